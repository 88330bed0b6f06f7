//! The rows of the engine `wasm`, through the module in a third-party host. It must agree with the policy core, and so
//! with all engines that agree with the core: our own host and Envoy, in the table of the workspace.

use std::process::ExitCode;

use portcullis_other_host::OtherHost;
use portcullis_tests::table::{Seat, run_through};

fn main() -> ExitCode {
    run_through(&[Seat::core(), Seat::machine::<OtherHost>()])
}

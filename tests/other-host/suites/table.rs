//! The rows that the engine `wasm` runs, through the module in a host that others wrote. It must agree with the policy core,
//! and so with all that agree with that: the host of ours and Envoy, in the table of the workspace.

use std::process::ExitCode;

use portcullis_other_host::OtherHost;
use portcullis_tests::table::{Seat, run_through};

fn main() -> ExitCode {
    run_through(&[Seat::core(), Seat::machine::<OtherHost>()])
}

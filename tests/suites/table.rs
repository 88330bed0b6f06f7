//! Every row of `tests/cases/*.yaml`, through every engine: the policy core, the built module in our own host, a real
//! Envoy.
//!
//! ```text
//! cargo test -p portcullis-tests --test table                 # all of it
//! cargo test -p portcullis-tests --test table -- keys-        # the rows of keys.yaml
//! cargo test -p portcullis-tests --test table -- keys-017     # one row
//! cargo test -p portcullis-tests --test table -- "[core]"     # one engine: [core] (in a second), [wasm] or [envoy]
//! ```

use std::process::ExitCode;

use portcullis_tests::table::{Seat, run_through};

fn main() -> ExitCode {
    run_through(&[Seat::core(), Seat::wasm(), Seat::envoy()])
}

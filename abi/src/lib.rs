//! The part of proxy-wasm ABI 0.2.1 that the gate needs: fourteen hostcalls and six callbacks
//! (<https://github.com/proxy-wasm/spec>, "abi-versions/v0.2.1").
//!
//! All unsafe code of the filter is here, and nothing else. In place of the Rust SDK, which copies each header twice into memory
//! of its own and exports every callback of the ABI: that was more than half of the gate's cost (docs/performance.md). A status
//! that the host returns is a value here, known or not; nothing panics over it.
//!
//! * `buffers`: memory that the host fills, lent to it and taken back.
//! * `hostcalls`: out of the VM.
//! * `contexts`, and [`export!`]: into the VM.

#[cfg(any(target_arch = "wasm32", test))]
mod buffers;
#[cfg(target_arch = "wasm32")]
mod contexts;
#[cfg(target_arch = "wasm32")]
mod hostcalls;

#[cfg(target_arch = "wasm32")]
pub use contexts::{Contexts, Plugin, call_constructors};
#[cfg(target_arch = "wasm32")]
pub use hostcalls::*;

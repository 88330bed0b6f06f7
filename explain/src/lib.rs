//! Explains a decision: its steps, each with the place in the policy that it met, and what is replied or forwarded. The command
//! and the playground share this crate, so it reads no file and no environment, and it compiles for the browser.

mod explanation;
pub mod refusal;
pub mod request_spec;
pub mod similar;
pub mod stand_ins;
pub mod trace;
pub mod when;
pub mod wire;
pub mod yaml;

pub use explanation::{Explanation, Written};

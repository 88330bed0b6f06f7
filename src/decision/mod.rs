//! The decision about a request, its reason and its outcome.

pub(crate) mod answer;
mod authenticate;
pub(crate) mod compile;
pub(crate) mod decide;
pub(crate) mod endpoint;
pub(crate) mod host;
pub(crate) mod outcome;
pub(crate) mod policy;
mod public;
pub(crate) mod reason;
#[cfg(test)]
mod refusal_table;
pub(crate) mod reply;
mod rules;
pub mod trace;
mod trusted;

pub use answer::Endpoint;
pub use compile::Loaded;
pub use host::Host;
pub use outcome::{HeaderMutation, HeaderMutations, Outcome};
pub use policy::Policy;
pub use reason::{Caller, Decision, Reason};
pub use reply::Reply;

//! The policy document as written, its parsing, and the reasons why one is refused.

pub(crate) mod access;
pub(crate) mod canonical;
mod protobuf;
pub(crate) mod read;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod root;
#[cfg(feature = "schema")]
mod schema;
pub(crate) mod tokens;
pub(crate) mod upstream;

pub use crate::value::problem::Problem;
pub use access::{ClientAddress, ProtectedPath, PublicPath, RuleEntry, TrustedNetworks};
pub use refusal::Refusal;
pub use reply::ReplyTexts;
pub use root::{CorsPreflight, Document, Mode};
pub use tokens::{EndpointPath, Endpoints, Lifetime, SecretEntry, TokenSettings};
pub use upstream::Upstream;

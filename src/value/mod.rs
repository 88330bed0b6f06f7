//! Values: JSON, and what a policy writes as text. Each kind has its own type, and every instance is well formed.

pub(crate) mod json;
pub(crate) mod names;
pub(crate) mod problem;
pub(crate) mod text;
pub(crate) mod timestamp;

pub use names::{
    ConsumerName, Description, GateName, HeaderName, KeyId, Method, Methods, ParameterName, Plaintext, Realm, RoleName,
    Sentence, StateKey, VariableName,
};
pub use problem::Problem;
pub use text::Invalid;
pub use timestamp::Timestamp;

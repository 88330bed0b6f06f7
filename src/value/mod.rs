//! Values that a policy writes as text. Each kind has its own type, and every instance is well formed.

pub(crate) mod names;
pub(crate) mod text;
pub(crate) mod timestamp;

pub use names::{
    ConsumerName, Description, GateName, HeaderName, KeyId, Method, Methods, ParameterName, Plaintext, Realm, RoleName,
    Sentence, StateKey, VariableName,
};
pub use text::Invalid;
pub use timestamp::Timestamp;

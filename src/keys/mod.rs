//! Keys: digests, the key entries of a policy, the keyring in which a presented key is looked up, and tokens.

pub(crate) mod builder;
pub(crate) mod census;
pub(crate) mod digest;
pub(crate) mod entry;
pub(crate) mod keyring;
pub(crate) mod placeholder;
pub(crate) mod token;

pub use census::Census;
pub use digest::Digest;
pub use entry::{ConsumerEntry, EntryProblem, KeyEntry, RefusedEntry, Secret};
pub use keyring::{Consumer, Key, Keyring};
pub use placeholder::NotAKey;

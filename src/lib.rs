//! Portcullis: the API-key gate for Envoy and Istio, as a plain library. The command and the tests link it natively; for WASI
//! only, a thin filter puts it into Envoy.
//!
//! ```
//! use portcullis::{HeaderBlock, Policy, Request};
//!
//! let document = r#"{"public_paths": ["/"], "consumers": [{"name": "ci", "keys": [{"plaintext": "my-secret"}]}]}"#;
//! let policy = Policy::load(document.as_bytes(), &|_variable| None)?.policy;
//!
//! let headers = [(":method", "GET"), (":path", "/models"), (":authority", "gate"), ("x-api-key", "my-secret")];
//! let block = HeaderBlock::new(&headers);
//! let decision = policy.decide(&Request::new(block.headers()), &(), &mut ());
//! assert_eq!(decision.reason.name(), "key");
//! # Ok::<(), portcullis::Refusal>(())
//! ```
//!
//! # From a request to its outcome
//!
//! The bytes of one request become a [`Request`]; a [`Policy`] makes a [`Decision`] of it, and of that an [`Outcome`]:
//! header mutations on the way to the upstream, or a local [`Reply`]. Each step of a decision either answers or leaves it to
//! the next:
//!
//! 1. A disabled gate allows.
//! 2. What no API sends is refused ([`path::Target`]).
//! 3. A CORS preflight is allowed, if the policy says so.
//! 4. A public path is allowed, if it is unambiguous.
//! 5. A trusted peer is allowed, by its address ([`request::Peer`]) or its mTLS identity ([`request::SpiffeIdPattern`]).
//! 6. There must be exactly one credential ([`request::find`]).
//! 7. It must be a key that is valid now ([`Keyring`]).
//! 8. Its consumer must have one of the roles that the path requires, in every variant.
//! 9. The request is forwarded: without the credential, with the consumer's identity.
//!
//! # Two readings of a path
//!
//! What is public is read narrowly: the path must be unambiguous, and match as sent and decoded. What is restricted is read
//! widely: in every variant that some upstream may take the path for. A path whose variants cannot be told, or not at a
//! bounded cost, may be anything ([`path::Ambiguity`]): it is never public, and every rule applies to it.
//!
//! # Two forms of a policy
//!
//! [`Document`] is the policy as written, with every default filled in. [`Policy`] is its compiled form, which decides.
//!
//! Code that few requests need is out of line (`#[inline(never)]`), so that the way of a usual request stays short.

// First, since all modules use its macro.
#[macro_use]
mod defence;

pub mod decision;
pub mod document;
#[cfg(target_os = "wasi")]
mod filter;
pub mod keys;
pub mod path;
pub mod request;
#[cfg(test)]
mod secrecy;
pub mod value;

pub use decision::{Caller, Decision, HeaderMutation, HeaderMutations, Host, Loaded, Outcome, Policy, Reason, Reply};
pub use document::{Document, Refusal};
pub use keys::{Consumer, Digest, Key, Keyring, RefusedEntry};
pub use path::PathPattern;
pub use request::{HeaderBlock, Headers, Request};
pub use value::Timestamp;

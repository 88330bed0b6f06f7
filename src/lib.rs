//! Portcullis is an API-key gate for Envoy and Istio. This crate is its policy library. The command and the tests link it
//! natively. On WASI, the module `filter` connects it to Envoy.
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
//! # How a request is processed
//!
//! * [`Request`] reads the header pairs of one request.
//! * [`Policy::decide`] returns a [`Decision`]: allowed or denied, and the [`Reason`].
//! * [`Policy::outcome`] returns an [`Outcome`]: header mutations for the upstream, or a local [`Reply`].
//!
//! The decision has these steps. The first step that has an answer decides:
//!
//! 1. If the gate is disabled, the request is allowed.
//! 2. An invalid or suspicious request target is denied ([`path::Target`]).
//! 3. A CORS preflight is allowed, if the policy allows preflights.
//! 4. A public path is allowed, if it is unambiguous.
//! 5. A trusted peer is allowed, by its address ([`request::Peer`]) or its mTLS identity ([`request::SpiffeIdPattern`]).
//! 6. The request must have exactly one credential ([`request::find`]).
//! 7. The credential must be a key that is valid now ([`Keyring`]), or a token that was issued for one.
//! 8. The consumer must have one of the roles that the path requires. This is checked for every variant of the path.
//! 9. The request is forwarded without the credential, and with the consumer's identity.
//!
//! Paths of [`Endpoints`](document::Endpoints) are answered by the gate itself: steps 3, 4 and 8 do not apply to them.
//!
//! # How paths are matched
//!
//! Upstreams differ in how they interpret a path. Public patterns match strictly; restrictions apply to every variant:
//!
//! * A public path must be unambiguous. Its raw form and its decoded form must both match.
//! * A rule or a protected path applies if any variant of the path matches. A variant is one way in which
//!   some upstream may interpret the path.
//! * A path may be anything if its variants cannot be determined, or not at a bounded cost ([`path::Ambiguity`]). Such a
//!   path is never public, and every rule applies to it.
//!
//! # Two forms of a policy
//!
//! * [`Document`] is the policy as written, with every default filled in.
//! * [`Policy`] is the compiled form, which decides.
//!
//! Code that few requests need is marked `#[inline(never)]`, so that the code path of a usual request stays short.

// Declared first, since all modules use its macro.
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

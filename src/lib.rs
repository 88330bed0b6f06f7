//! Portcullis: the API-key gate for Envoy and Istio.
//!
//! Data flows one way: the bytes of one request ([`Request`]) go into a [`Policy`], out comes a [`Decision`], and from
//! that the [`Outcome`]: edits on the way to the upstream, or a local [`Reply`].
//!
//! The order of a decision, each step the first that can answer:
//!
//! 1. A disabled gate allows.
//! 2. What no API sends is refused ([`target`]).
//! 3. A CORS preflight is allowed, where the policy says so.
//! 4. A public path is allowed, where its path can be understood in one way only.
//! 5. A trusted peer is allowed, by its address ([`network`]) or its mTLS identity ([`spiffe`]).
//! 6. There must be exactly one credential ([`credential`]).
//! 7. It must be a key that is valid now.
//! 8. Its consumer must have the roles that the path asks for, in every variant.
//! 9. The request goes on: without the credential, with the consumer's identity.
//!
//! A path is read in two ways: narrowly for what is public (`Target::plain`), and in every variant for what is restricted
//! (`Variants`). A `Scan` is what one pass sees of a path: most paths are simple, and have no variant but themselves. A path
//! that cannot be told, or not at a bounded cost, may be anything ([`trail::Ambiguity`]): it is never public, and under every
//! rule. A `Fold` is what path and pattern have in common where a backend does not tell things apart, and a `Tree` compares a
//! path with all patterns of a policy at once.
//!
//! A policy has two forms: a [`document`] as it is written, with every default filled in, and the compiled [`Policy`].
//!
//! What few requests need is out of line (`#[inline(never)]`), so that the way of a usual request stays short.
//!
//! All of this knows no host: it is a plain library, which the command and the tests link natively. For WASI only, a thin
//! filter puts it into Envoy, on the SDK of proxy-wasm; it has no rules of its own.

// The first, since all others may use its macro.
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

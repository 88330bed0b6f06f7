//! Paths: how a request target is read, what patterns mean, and what a backend may take a path for.

pub(crate) mod alias;
pub(crate) mod ambiguity;
pub(crate) mod budget;
pub(crate) mod escape;
pub(crate) mod normalization;
pub(crate) mod pattern;
pub(crate) mod scan;
pub(crate) mod target;
pub(crate) mod trie;
pub(crate) mod variant;

pub use ambiguity::Ambiguity;
pub use pattern::PathPattern;
pub use target::{AmbiguousPath, BadTarget, Target};

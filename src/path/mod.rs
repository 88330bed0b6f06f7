//! Paths: request targets, patterns, and the variants of a path: how an upstream may interpret it.

pub(crate) mod alias;
pub(crate) mod ambiguity;
pub(crate) mod budget;
pub(crate) mod escape;
pub(crate) mod normalization;
pub(crate) mod pattern;
pub(crate) mod restricted;
pub(crate) mod scan;
pub(crate) mod target;
pub(crate) mod trie;
pub(crate) mod variant;

pub use ambiguity::Ambiguity;
pub use pattern::PathPattern;
pub use target::{BadTarget, Target};

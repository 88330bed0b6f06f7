//! Path patterns as a trie: a path is compared with all of them at once.

pub(crate) mod nodes;
pub(crate) mod normalized;
pub(crate) mod segments;
pub(crate) mod walk;

//! Rules that block paths whose restrictions cannot be imported, until somebody writes which roles they allow.

use super::discovered::{Discovered, PLACEHOLDER_ROLE, list, refused};
use crate::yaml::Node;

/// The blocked paths, each once.
#[derive(Default)]
pub(super) struct Blocked {
    rules: Vec<Node>,
}

/// What the report says about a blocked path.
pub(super) fn fix() -> String {
    format!("the route is blocked until you replace {PLACEHOLDER_ROLE} in its rule by roles of its clients")
}

impl Blocked {
    /// Blocks a pattern; every path, if there is none or it is not valid.
    pub(super) fn add(&mut self, pattern: Option<String>) {
        let rule = |path: String| Node::map([("path", Node::from(path)), ("roles", list([PLACEHOLDER_ROLE]))]);
        let pattern = pattern.filter(|path| refused("rules", &Node::list([rule(path.clone())])).is_none());
        let rule = rule(pattern.unwrap_or_else(|| "/**".to_owned()));
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    /// Sets the rules, if there are any.
    pub(super) fn set(self, comment: &str, discovered: &mut Discovered) {
        if !self.rules.is_empty() {
            discovered.set("rules", Node::list(self.rules), comment);
        }
    }
}

//! One route of Kong, and its order among the others.

use crate::import::discovered::texts;
use crate::yaml::{Node, Position, Tree};

/// A route.
pub(super) struct Route<'a> {
    /// Its position.
    pub(super) at: Option<Position>,
    /// Its prefixes: `/` if it names none.
    pub(super) prefixes: Vec<Prefix>,
    /// Its methods; empty means all.
    pub(super) methods: Vec<String>,
    /// Whether it has further conditions: host, header, address.
    pub(super) narrowed: bool,
    /// The number of its attributes. Of the routes that match a request, Kong uses one with the most.
    pub(super) attributes: usize,
    /// The number of its service.
    pub(super) service: Option<usize>,
    /// The route itself.
    pub(super) node: &'a Node,
}

/// One of the paths of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    /// The prefix; for a regular expression, the folders before it.
    pub(super) text: String,
    /// Whether a regular expression follows.
    pub(super) is_regex: bool,
    /// Its length for Kong, which uses the longest. A regular expression and a missing path have length 0.
    pub(super) length: usize,
}

impl<'a> Route<'a> {
    /// Reads a route of a service. Members that cannot be read count as further conditions.
    pub(super) fn read(node: &'a Node, service: Option<usize>) -> Self {
        let given = |name: &str| node.get(name).is_some_and(is_given);
        let is_unclear = |name: &str| given(name) && all_texts(node, name).is_none();
        let texts = |name: &str| all_texts(node, name).unwrap_or_default();
        let mut prefixes: Vec<Prefix> = texts("paths").iter().map(|path| Prefix::read(path)).collect();
        // The expressions router has its own language for matches.
        if prefixes.is_empty() || given("expression") {
            let is_regex = given("expression") || given("paths");
            prefixes = vec![Prefix { text: "/".to_owned(), is_regex, length: 0 }];
        }
        let narrowing = ["hosts", "headers", "snis", "sources", "destinations"];
        Self {
            at: node.at,
            prefixes,
            methods: texts("methods"),
            narrowed: narrowing.into_iter().any(given) || is_unclear("methods"),
            attributes: ["methods", "hosts", "headers", "snis", "paths"].into_iter().filter(|name| given(name)).count(),
            service,
            node,
        }
    }
}

/// The texts of a list of texts that is not empty.
fn all_texts(node: &Node, name: &str) -> Option<Vec<String>> {
    node.get(name).and_then(texts).filter(|texts| !texts.is_empty())
}

/// Whether a member is set: a dump has `null` and empty lists for members that are not set.
pub(super) fn is_given(node: &Node) -> bool {
    match &node.tree {
        Tree::Null => false,
        Tree::List(items) => !items.is_empty(),
        Tree::Map(members) => !members.is_empty(),
        _ => true,
    }
}

impl Prefix {
    /// Kong 3 marks a regular expression with `~`; before, one was known by its characters.
    fn read(path: &str) -> Self {
        let marked = path.strip_prefix('~');
        let text = marked.unwrap_or(path);
        if marked.is_none() && !text.contains(|c| SPECIAL.contains(c) && c != '.') {
            return Self { text: text.to_owned(), is_regex: false, length: text.len() };
        }
        let end = if is_split(text) { Some(0) } else { text.find(|c| SPECIAL.contains(c)) };
        let literal = end.and_then(|end| text.get(..end)).unwrap_or(text);
        // The character before a quantifier may be absent.
        let rest = end.and_then(|end| text.get(end..)).unwrap_or_default();
        let is_count = |rest: &str| rest.starts_with(|c: char| !c.is_ascii_alphabetic());
        let may_lack = rest.starts_with(['?', '*']) || rest.strip_prefix('{').is_some_and(is_count);
        let literal = if may_lack { literal.strip_suffix(|_: char| true).unwrap_or(literal) } else { literal };
        // The last segment continues in the expression.
        let whole = literal.rfind('/').and_then(|end| literal.get(..=end)).unwrap_or("/");
        Self { text: whole.to_owned(), is_regex: true, length: 0 }
    }

    /// Whether a path can match both prefixes. A prefix of Kong can end anywhere: `/a` matches `/ab`.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.text.starts_with(&other.text) || other.text.starts_with(&self.text)
    }
}

/// Whether a regular expression may have a second branch, which begins with anything: a bar outside of all groups.
/// Where
/// escapes and classes may hide a bracket, any bar counts.
fn is_split(expression: &str) -> bool {
    let mut depth = 0_i64;
    let mut is_outside = |c| {
        depth = depth.saturating_add(i64::from(c == '(')).saturating_sub(i64::from(c == ')'));
        c == '|' && depth <= 0
    };
    let bars = expression.contains('|');
    bars && (expression.contains(['\\', '[']) || expression.chars().any(&mut is_outside))
}

/// The special characters of regular expressions.
const SPECIAL: &str = "\\^$.|?*+()[]{}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_is_the_folders_before_it() {
        for (path, text, is_regex) in [
            ("/a", "/a", false),
            ("/a/", "/a/", false),
            ("/a.b/c-d_e~f", "/a.b/c-d_e~f", false),
            ("~/a/v[0-9]+", "/a/", true),
            ("~/a/b$", "/a/", true),
            ("/a/\\d+/b", "/a/", true),
            ("/a/{id}", "/a/", true),
            ("~/a.b/c", "/", true),
            ("~/a/b", "/a/", true),
            ("~/a/?b", "/", true),
            ("~/a/b/*c", "/a/", true),
            ("~/a/b{0,1}", "/a/", true),
            ("~/a/b/{0,1}c", "/a/", true),
            ("~/a/b|/c", "/", true),
            ("~/a/(b|c)", "/a/", true),
            ("~/a/(b)|/c", "/", true),
            ("~/a/\\(|/c", "/", true),
            ("~(?i)/a/b", "/", true),
        ] {
            let prefix = Prefix::read(path);
            assert_eq!((prefix.text.as_str(), prefix.is_regex), (text, is_regex), "{path}");
        }
    }
}

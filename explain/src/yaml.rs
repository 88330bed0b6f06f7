//! YAML (and JSON, which is also YAML) as a tree that keeps the order and the position of every value.

use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;
use serde_saphyr::Spanned;

/// A value, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its position in its file; `None` for a value from elsewhere.
    pub at: Option<Position>,
    /// The value.
    pub tree: Tree,
}

/// A line and a column of a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// A file, and a position in it if known. Displayed as `FILE:LINE:COLUMN`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was given.
    pub file: String,
    /// The position in it.
    pub at: Option<Position>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// `null`, or an empty document.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Members, in order. A duplicate name is a parse error.
    Map(Vec<(Name, Node)>),
}

/// The name of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its position.
    pub at: Option<Position>,
    /// The name.
    pub text: String,
}

impl Node {
    /// Parses a document. An empty one is `null`.
    ///
    /// # Errors
    /// If the text is not valid YAML. The message is one line and shows no part of the text, since it may contain a
    /// key.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str_with_options(text, limits()).map_err(|error| brief(&error.to_string()))
    }

    /// Parses several documents, separated by `---`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        serde_saphyr::from_multiple_with_options(text, limits()).map_err(|error| brief(&error.to_string()))
    }

    /// Creates a map without positions.
    pub fn map<N: Into<String>>(members: impl IntoIterator<Item = (N, Self)>) -> Self {
        Tree::Map(members.into_iter().map(|(name, node)| (name.into().into(), node)).collect()).into()
    }

    /// Creates a list without positions.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Tree::List(items.into_iter().collect()).into()
    }

    /// The member with this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(member, _)| member.text == name).map(|(_, node)| node)
    }

    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.tree {
            Tree::Map(members) => members.iter_mut().find(|(member, _)| member.text == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Sets a member of a map: replaces it, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Self) {
        if let Some(member) = self.get_mut(name) {
            *member = value;
        } else if let Tree::Map(members) = &mut self.tree {
            members.push((name.to_owned().into(), value));
        }
    }

    /// Takes a member out of a map.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let Tree::Map(members) = &mut self.tree else { return None };
        let index = members.iter().position(|(member, _)| member.text == name)?;
        Some(members.remove(index).1)
    }

    /// Returns the map with a member, as [`set`](Self::set) does it.
    pub fn with(mut self, name: &str, value: Self) -> Self {
        self.set(name, value);
        self
    }

    /// The members of a map; empty for other values.
    pub fn members(&self) -> &[(Name, Self)] {
        match &self.tree {
            Tree::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; empty for other values.
    pub fn items(&self) -> &[Self] {
        match &self.tree {
            Tree::List(items) => items,
            _ => &[],
        }
    }

    /// The items of the list in the member with this name; empty if there is no such list.
    pub fn items_of(&self, name: &str) -> &[Self] {
        self.get(name).map(Self::items).unwrap_or_default()
    }

    /// The text, if the value is a text.
    pub fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value without the members that are `null`.
    pub fn without_nulls(self) -> Self {
        let tree = match self.tree {
            Tree::Map(members) => {
                let given = members.into_iter().filter(|(_, value)| value.tree != Tree::Null);
                Tree::Map(given.map(|(name, value)| (name, value.without_nulls())).collect())
            }
            Tree::List(items) => Tree::List(items.into_iter().map(Self::without_nulls).collect()),
            tree => tree,
        };
        Self { at: self.at, tree }
    }

    /// Changes the position of each value and name.
    pub fn move_to(&mut self, moved: &impl Fn(Option<Position>) -> Option<Position>) {
        self.at = moved(self.at);
        match &mut self.tree {
            Tree::Map(members) => members.iter_mut().for_each(|(name, value)| {
                name.at = moved(name.at);
                value.move_to(moved);
            }),
            Tree::List(items) => items.iter_mut().for_each(|item| item.move_to(moved)),
            _ => {}
        }
    }

    /// The position of a path such as `consumers[2].keys[0].expires`, or of the nearest value around it that has one.
    pub fn position(&self, path: &str) -> Option<Position> {
        let mut node = self;
        let mut found = node.at;
        for step in steps(path) {
            let next = match step {
                Step::Item(index) => node.items().get(index),
                Step::Member(name) => node.get(name),
            };
            let Some(next) = next else { break };
            found = next.at.or(found);
            node = next;
        }
        found
    }

    /// The position of the name of a member, in the map at `path`.
    pub fn name_position(&self, path: &str, name: &str) -> Option<Position> {
        self.at_path(path)?.members().iter().find(|(member, _)| member.text == name)?.0.at
    }

    /// The value at `path`.
    pub fn at_path(&self, path: &str) -> Option<&Self> {
        steps(path).try_fold(self, |node, step| match step {
            Step::Item(index) => node.items().get(index),
            Step::Member(name) => node.get(name),
        })
    }

    /// The value at `path`.
    pub fn at_path_mut(&mut self, path: &str) -> Option<&mut Self> {
        steps(path).try_fold(self, |node, step| match step {
            Step::Item(index) => match &mut node.tree {
                Tree::List(items) => items.get_mut(index),
                _ => None,
            },
            Step::Member(name) => node.get_mut(name),
        })
    }

    /// Writes JSON, in the order of the file.
    ///
    /// # Errors
    /// Never: it only writes to memory.
    pub fn to_json(&self) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Writes YAML, in the order of the file. Every string is in quotes, so that no parser reads `off`, `1e3` or `012`
    /// as another type.
    ///
    /// # Errors
    /// Never, as [`to_json`](Self::to_json).
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let options = serde_saphyr::ser_options! { quote_all: true, prefer_block_scalars: false };
        Ok(serde_saphyr::to_string_with_options(self, options)?)
    }
}

/// One step of a path.
enum Step<'a> {
    Item(usize),
    Member(&'a str),
}

/// The steps of a path such as `consumers[2].keys`.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[']).filter(|step| !step.is_empty()).map(|step| match step.strip_suffix(']').map(str::parse) {
        Some(Ok(index)) => Step::Item(index),
        _ => Step::Member(step),
    })
}

impl From<Tree> for Node {
    fn from(tree: Tree) -> Self {
        Self { at: None, tree }
    }
}

/// Converts JSON. Members are sorted, with `name` first.
impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Tree::Null.into(),
            Value::Bool(value) => value.into(),
            Value::Number(number) => Tree::Number(number).into(),
            Value::String(text) => text.into(),
            Value::Array(items) => Self::list(items.into_iter().map(Self::from)),
            Value::Object(members) => {
                let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, Self::from(value))).collect();
                members.sort_by_key(|(name, _)| name != "name");
                Self::map(members)
            }
        }
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Tree::Text(text.to_owned()).into()
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Tree::Text(text).into()
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Tree::Bool(value).into()
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self { at: None, text }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Place {
    /// A place in this file.
    pub fn new(file: &Path, at: Option<Position>) -> Self {
        Self { file: file.display().to_string(), at }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.at.map_or(Ok(()), |at| write!(f, ":{at}"))
    }
}

/// The limits of the parser: enough for 100,000 consumers with their keys, but few repetitions by aliases, so that a
/// small file cannot fill the memory. The depth is what the stack of a browser's WebAssembly can hold.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 2_000_000, max_events: 4_000_000, max_depth: 200 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    }
}

/// The parser's message without its excerpt of the file, which may contain a key, and without advice for programmers.
fn brief(message: &str) -> String {
    let line = message.lines().next().unwrap_or(message);
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.split(", set ").next().unwrap_or(line);
    if let Some(before) = line.find("multiple YAML documents").and_then(|at| line.get(..at)) {
        return format!("{before}there is a second document after `---`: keep one document");
    }
    // The duplicate name follows. In a map of keys it is a key.
    let twice = "duplicate mapping key";
    line.find(twice).and_then(|at| line.get(..at.saturating_add(twice.len()))).unwrap_or(line).to_owned()
}

/// Splits a message of the parser: it begins with line and column, if known.
pub fn position_in(message: &str) -> (Option<Position>, &str) {
    let split = || {
        let (line, rest) = message.strip_prefix("line ")?.split_once(" column ")?;
        let (column, rest) = rest.split_once(": ")?;
        Some((Position { line: line.parse().ok()?, column: column.parse().ok()? }, rest))
    };
    split().map_or((None, message), |(at, rest)| (Some(at), rest))
}

fn position(location: serde_saphyr::Location) -> Option<Position> {
    (location.line() > 0).then(|| Position { line: location.line(), column: location.column() })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self { at: position(referenced), tree: value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Tree, E> {
        serde_json::Number::from_f64(number)
            .map(Tree::Number)
            .ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some((name, node)) = members.next_entry::<Spanned<String>, Node>()? {
            map.push((Name { at: position(name.referenced), text: name.value }, node));
        }
        Ok(Tree::Map(map))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.tree {
            Tree::Null => serializer.serialize_unit(),
            Tree::Bool(value) => serializer.serialize_bool(*value),
            Tree::Number(number) => number.serialize(serializer),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::List(items) => serializer.collect_seq(items),
            Tree::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, node) in members {
                    map.serialize_entry(&name.text, node)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_place_and_keeps_its_order() {
        let node =
            Node::parse("name: edge\nconsumers:\n  - name: ci\n    keys: [{id: one}, {expires: 'x'}]\nb: 1\na: x\n")
                .unwrap();
        let names: Vec<_> = node.members().iter().map(|(name, _)| name.text.as_str()).collect();
        assert_eq!(names, ["name", "consumers", "b", "a"]);
        let at = |path| node.position(path).map(|at| at.to_string()).unwrap_or_default();
        assert_eq!(at("name"), "1:7");
        assert_eq!(at("consumers[0].keys[1].expires"), "4:33");
        assert_eq!(at("consumers[0].keys[0].expires"), "4:12", "the nearest");
        assert_eq!(node.members()[1].0.at.map(|at| at.to_string()).unwrap_or_default(), "2:1");
        assert_eq!(
            String::from_utf8(node.to_json().unwrap()).unwrap(),
            r#"{"name":"edge","consumers":[{"name":"ci","keys":[{"id":"one"},{"expires":"x"}]}],"b":1,"a":"x"}"#
        );
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let text = r#"{"a": "off", "b": "0123", "c": "1e3", "d": ["x\n'\"y", "", "-", "null", null, true, 1, 1.5], "e": {}, "f": []}"#;
        let node = Node::parse(text).unwrap();
        let yaml = node.to_yaml().unwrap();
        assert_eq!(Node::parse(&yaml).unwrap().to_json().unwrap(), node.to_json().unwrap(), "{yaml}");
    }

    #[test]
    fn a_member_twice_is_an_error_that_shows_nothing() {
        for text in ["a: secret\na: secret\n", "secret: a\nsecret: a\n"] {
            let error = Node::parse(text).unwrap_err();
            assert!(error.contains("duplicate") && !error.contains("secret"), "{error}");
        }
    }
}

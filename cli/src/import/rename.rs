//! `--rename OLD=NEW`: other names for consumers, and for roles that the gate refuses.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use anyhow::{Result, bail};
use serde_json::json;
use unicode_normalization::UnicodeNormalization as _;

use super::discovered::{Discovered, refused};
use crate::yaml::Node;

/// One `--rename`.
#[derive(Debug, Clone)]
pub(super) struct Rename {
    old: String,
    new: String,
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((old, new)) = text.rsplit_once('=').filter(|(old, _)| !old.is_empty()) else {
            return Err("expected OLD=NEW".to_owned());
        };
        match refused("consumers", &Node::from(json!([{"name": new, "roles": [new]}]))) {
            Some(why) => Err(format!("the new name is refused: {why}")),
            None => Ok(Self { old: old.to_owned(), new: new.to_owned() }),
        }
    }
}

/// All of them, and which were used.
pub(super) struct Renames<'a> {
    all: &'a [Rename],
    /// The old names that are refused as roles.
    roles: HashSet<&'a str>,
    used: RefCell<HashSet<&'a str>>,
}

impl<'a> Renames<'a> {
    /// Reads the options.
    ///
    /// # Errors
    /// If an old name is given twice.
    pub(super) fn of(all: &'a [Rename]) -> Result<Self> {
        let mut old = HashSet::new();
        if let Some(twice) = all.iter().find(|rename| !old.insert(rename.old.as_str())) {
            bail!("duplicate --rename of {:?}: give it one new name", twice.old);
        }
        let is_refused =
            |name: &&str| refused("consumers", &Node::from(json!([{"name": "x", "roles": [name]}]))).is_some();
        Ok(Self { all, roles: old.into_iter().filter(is_refused).collect(), used: RefCell::default() })
    }

    /// The new name of a consumer.
    fn consumer(&self, name: &str) -> Option<&'a str> {
        let rename = self.all.iter().find(|rename| rename.old == name)?;
        self.used.borrow_mut().insert(&rename.old);
        Some(&rename.new)
    }

    /// The new name of a role, if the gate refuses the old one: a role with a valid name may be in rules.
    pub(super) fn role(&self, name: &str) -> Option<&'a str> {
        if self.roles.contains(name) { self.consumer(name) } else { None }
    }

    /// Renames the consumers and roles of the keys. Notes the options that were not used.
    pub(super) fn apply(&self, discovered: &mut Discovered) {
        for key in &mut discovered.keys {
            let mut renamed = Vec::new();
            if let Some(new) = self.consumer(&key.consumer) {
                renamed.push(std::mem::replace(&mut key.consumer, new.to_owned()));
            }
            for role in key.roles.iter_mut().flatten() {
                if let Some(new) = self.role(role) {
                    renamed.push(std::mem::replace(role, new.to_owned()));
                }
            }
            key.named_after.retain(|name| !renamed.contains(name));
        }
        for Rename { old, new } in self.all {
            if !self.used.borrow().contains(old.as_str()) {
                let option = option(old, new);
                discovered.note(None, format!("{option}: not used, no consumer and no refused role has this name"));
            }
        }
    }
}

/// The options that would rename these names, which the gate refuses, without using one that is there. There is none for
/// a name that a message cannot show.
pub(super) fn advice<'a>(
    refused_names: impl IntoIterator<Item = &'a String>,
    there: impl IntoIterator<Item = &'a String>,
) -> HashMap<&'a str, String> {
    let mut names: Vec<&str> = refused_names.into_iter().map(String::as_str).filter(|name| is_shown(name)).collect();
    names.sort_unstable();
    let mut taken: HashSet<String> = there.into_iter().cloned().collect();
    // How often each plain name was used: many names may have the same.
    let mut used: HashMap<String, usize> = HashMap::new();
    let mut advice = HashMap::new();
    for name in names {
        let plain = plain(name);
        let number = used.entry(plain.clone()).or_default();
        let mut new = plain.clone();
        while !taken.insert(new.clone()) {
            *number = number.saturating_add(1);
            new = format!("{plain}-{}", number.saturating_add(1));
        }
        advice.insert(name, option(name, &new));
    }
    advice
}

/// Whether a message can show the name: it has no character that controls a terminal or the direction of text.
fn is_shown(name: &str) -> bool {
    let is_hidden = |letter: char| letter.is_control() || matches!(letter, '\u{200b}'..='\u{206f}' | '\u{feff}');
    (1..=128).contains(&name.len()) && !name.contains(is_hidden)
}

/// `--rename OLD=NEW` for a shell.
fn option(old: &str, new: &str) -> String {
    let rename = format!("{old}={new}");
    // No argument can have a NUL byte, and no source has one.
    let quoted = shlex::try_quote(&rename).map(|quoted| quoted.into_owned()).unwrap_or_default();
    format!("--rename {quoted}")
}

/// The name in lower case, without accents, and with hyphens for what is not ASCII.
fn plain(name: &str) -> String {
    let letters = name.nfkd().filter(|letter| !unicode_normalization::char::is_combining_mark(*letter));
    let letters = letters.map(|letter| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() || "._@".contains(letter) => letter,
        _ => '-',
    });
    let letters: String = letters.collect();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    let plain: String = words.join("-").chars().take(100).collect();
    if plain.is_empty() { "renamed".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_in_ascii() {
        for (name, expected) in [
            ("José Pérez", "jose-perez"),
            ("Team A / B", "team-a-b"),
            ("ops@example.com ", "ops@example.com"),
            ("張三", "renamed"),
            ("ﬁnance", "finance"),
            ("a,b", "a-b"),
        ] {
            assert_eq!(plain(name), expected);
        }
    }

    #[test]
    fn what_is_advised_is_accepted_and_not_taken() {
        let names = ["José", "Jose ", "it's", "", "a\u{1b}[2J", "a\u{202e}b", &"é".repeat(500)].map(str::to_owned);
        let there = ["jose".to_owned()];
        let advice = advice(&names, &there);
        assert_eq!(advice["José"], "--rename 'José=jose-3'");
        assert_eq!(advice["Jose "], "--rename 'Jose =jose-2'");
        assert_eq!(advice["it's"], "--rename \"it's=it-s\"");
        assert_eq!(advice.len(), 3, "a message is one line of visible characters");
    }
}

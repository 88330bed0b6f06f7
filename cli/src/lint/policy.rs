//! Lints of a policy, in a file of its own or in a configuration: first what the gate would refuse, then what is risky.

use portcullis::document::Document;
use portcullis::document::{Problem, Refusal};
use portcullis::keys::{EntryProblem, RefusedEntry};
use portcullis::{Policy, Timestamp};
use portcullis_explain::refusal::refused_at;

use super::code::Code;
use super::finding::Finding;
use super::{access, keys};
use crate::similar::similar;
use crate::yaml::{Node, Place, Tree};

/// The maximum number of refusals that are reported.
const MAX_REFUSALS: usize = 20;

/// A policy to check.
pub(crate) struct Subject<'a> {
    /// The document as a tree.
    pub(crate) node: &'a Node,
    /// The document as the gate gets it.
    pub(crate) bytes: &'a [u8],
    /// Returns the place of a path such as `consumers[0].keys[1]`.
    pub(crate) place: &'a dyn Fn(&str) -> Place,
    /// The variables that `env` keys can use.
    pub(crate) variables: &'a Variables,
    /// Whether the listener is checked too, which decides how far addresses can be trusted.
    pub(crate) has_listener: bool,
    /// The current time, and the time before which a key expires soon.
    pub(crate) times: (Timestamp, Timestamp),
}

/// The variables that a module can see.
pub(crate) enum Variables {
    /// Those of this process.
    Here,
    /// Those that its configuration passes to it.
    Given {
        /// By name, from the environment of the proxy.
        of_host: Vec<String>,
        /// With their values.
        values: Vec<(String, String)>,
    },
}

impl Variables {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Here => true,
            Self::Given { of_host, values } => {
                of_host.iter().any(|one| one == name) || values.iter().any(|(one, _)| one == name)
            }
        }
    }

    /// Whether the configuration contains the value.
    pub(crate) fn shows(&self, name: &str) -> bool {
        matches!(self, Self::Given { values, .. } if values.iter().any(|(one, _)| one == name))
    }

    /// The value. The environment of this process is used in place of that of the proxy.
    pub(crate) fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Given { values, .. } if let Some((_, value)) = values.iter().find(|(one, _)| one == name) => {
                Some(value.clone().into_bytes())
            }
            _ if self.has(name) => crate::files::environment(name),
            _ => None,
        }
    }
}

/// A policy that the gate would accept.
#[derive(Debug)]
pub(crate) struct AcceptedPolicy {
    /// The document, with its defaults.
    pub(crate) document: Document,
    /// Its digest, as the gate logs it and shows it in a gauge.
    pub(crate) digest: String,
}

impl Subject<'_> {
    /// Returns the findings, and the policy if the gate would accept it.
    pub(crate) fn examine(&self) -> (Vec<Finding>, Option<AcceptedPolicy>) {
        let loaded = Document::read(self.bytes)
            .and_then(|document| Ok((Policy::compile(document.clone(), &|name| self.variables.get(name))?, document)));
        let (loaded, document) = match loaded {
            Ok(loaded) => loaded,
            Err(refusal) => return (self.refusals(refusal), None),
        };
        let mut findings: Vec<_> = loaded.refused_entries.iter().map(|entry| self.refused_entry(entry)).collect();
        keys::examine(self, &document, &mut findings);
        access::examine(self, &document, &loaded.policy, &mut findings);
        let digest = format!("{:012x}", loaded.policy.digest().first_48_bits());
        (findings, Some(AcceptedPolicy { document, digest }))
    }

    /// A finding at a path of the document.
    pub(crate) fn finding(&self, code: Code, path: &str, message: &str, fix: impl Into<String>) -> Finding {
        Finding::new(code, (self.place)(path), format!("{path}: {message}"), fix)
    }

    /// Reports every refusal. The gate reports only the first one, so the refused member is removed to find the next
    /// one.
    fn refusals(&self, first: Refusal) -> Vec<Finding> {
        let mut findings = vec![self.refusal(&first)];
        let mut node = self.node.clone();
        let mut refusal = first;
        while findings.len() < MAX_REFUSALS && take_out(&mut node, &refusal) {
            let loaded = node.to_json().map(|json| Policy::load(&json, &|name| self.variables.get(name)));
            match loaded {
                Ok(Err(next)) => refusal = next,
                _ => break,
            }
            // A missing field may be one that was removed.
            if !matches!(refusal.problem, Problem::MissingField(_)) {
                findings.push(self.refusal(&refusal));
            }
        }
        findings
    }

    fn refusal(&self, refusal: &Refusal) -> Finding {
        let text = refusal.to_string();
        let (why, last) = text.rsplit_once(": ").unwrap_or((&text, ""));
        let (message, fix) = match &refusal.problem {
            Problem::Invalid { invalid, .. } => {
                (text.strip_suffix(&format!(": {}", invalid.help)).unwrap_or(&text), invalid.help.to_string())
            }
            // Its message ends with the fix.
            Problem::WrongType { quotable: true, found: "a number" | "a boolean", .. } => (why, last.to_owned()),
            Problem::WrongType { expected, .. } => (text.as_str(), format!("write {expected}")),
            Problem::UnknownField { name, known } => {
                let like = name.as_deref().and_then(|name| similar(name, known.iter().copied()));
                let fix = like.map(|like| format!("did you mean `{like}`? Otherwise remove it"));
                (text.as_str(), fix.unwrap_or_else(|| "use one of the expected fields, or remove it".into()))
            }
            _ => (why, last.to_owned()),
        };
        let mut place = (self.place)(&refusal.path);
        place.at = refused_at(self.node, refusal, place.at);
        Finding::new(Code::Refused, place, message, fix)
    }

    fn refused_entry(&self, entry: &RefusedEntry) -> Finding {
        let text = entry.to_string();
        let (message, fix) = text.rsplit_once(": ").unwrap_or((&text, ""));
        let place = (self.place)(&entry.path);
        match &entry.problem {
            EntryProblem::UnsetVariable(name) if !self.variables.has(name.as_str()) => {
                let message = format!(
                    "{}: the variable {name} is not passed to the module, so this entry does not work",
                    entry.path
                );
                let fix = "add it to the variables of the plugin (vm_config.environment_variables, vmConfig.env, \
                           env.hostKeys)";
                Finding::new(Code::UnlistedVariable, place, message, fix)
            }
            // Whether a variable is set depends on where Envoy runs, and not on the document.
            EntryProblem::UnsetVariable(_) => {
                Finding::new(Code::UnsetVariable, place, format!("{message} (checked where lint runs)"), fix)
            }
            _ => Finding::new(Code::RefusedEntry, place, message, fix),
        }
    }
}

/// Removes the refused member, or the member with the list that contains the refused item. Returns whether there was
/// one.
fn take_out(node: &mut Node, refusal: &Refusal) -> bool {
    let path = match &refusal.problem {
        Problem::UnknownField { name: Some(name), .. } if refusal.path.is_empty() => name.clone(),
        Problem::UnknownField { name: Some(name), .. } => format!("{}.{name}", refusal.path),
        // Whatever lacks a field goes as a whole.
        Problem::MissingField(_) => refusal.path.rsplit_once('.').map_or("", |(holder, _)| holder).to_owned(),
        // So does an entry with a field whose name is not shown.
        Problem::UnknownField { name: None, .. } if !refusal.path.is_empty() => refusal.path.clone(),
        Problem::UnknownField { name: None, .. } | Problem::Syntax(_) => return false,
        _ => refusal.path.clone(),
    };
    let mut path = path.as_str();
    // Removing an item of a list would change the numbers of the others.
    while path.ends_with(']') {
        path = path.rsplit_once('[').map_or("", |(list, _)| list);
    }
    let (holder, name) = path.rsplit_once('.').unwrap_or(("", path));
    let Some(Node { tree: Tree::Map(members), .. }) = node.at_path_mut(holder) else { return false };
    let before = members.len();
    members.retain(|(member, _)| member.text != name);
    members.len() < before
}

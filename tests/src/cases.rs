//! The table of cases: `tests/cases/*.yaml`, read strictly. The format is described in `tests/cases/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::envoy::V4;
use crate::expect::Expectation;
use crate::listener::Kind;
use crate::message::Pair;
use crate::paths;
use crate::yaml::{Bytes, Fields, Protocols};

/// One file of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The name of the file without its extension.
    #[serde(skip)]
    pub name: String,
    /// What the rows are about, one sentence.
    pub about: String,
    /// The environment of the VM, for `env` keys.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The default kind of listener.
    #[serde(default = "edge")]
    pub listener: Kind,
    /// Policy documents by name.
    pub policies: BTreeMap<String, Value>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One request and its expected outcome.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The name of the file and a number, such as `keys-017`. It stays when rows are added, moved, renamed or removed.
    pub id: String,
    /// What the row shows, as a sentence.
    pub name: String,
    /// The policy.
    #[serde(default = "default_policy")]
    pub policy: String,
    /// The kind of listener, if not the file's.
    pub listener: Option<Kind>,
    /// The protocols to send the request with.
    pub http: Option<Protocols>,
    /// The source address of the connection.
    #[serde(default = "loopback")]
    pub from: IpAddr,
    /// A PROXY protocol prelude.
    pub proxy: Option<Bytes>,
    /// `source.address` as the gate sees it. It is checked on the wire, the port only if it is 0.
    pub source: Option<String>,
    /// The direct peer in filter state: an input of `core` and `wasm`.
    pub state: Option<String>,
    /// The URI SAN of the client's certificate: on the wire, the listener then speaks mTLS.
    pub identity: Option<String>,
    /// The clock of `core` and `wasm` (RFC 3339, UTC); such a row is not sent over the wire.
    pub now: Option<String>,
    /// The request.
    #[serde(default)]
    pub request: Request,
    /// The outcome.
    pub expect: Expectation,
    /// The engines, if not all.
    #[serde(default = "all_engines")]
    pub engines: BTreeSet<EngineName>,
}

/// A request, in parts or as exact bytes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Default `GET`.
    pub method: Option<Bytes>,
    /// `:path`. Default `/`; none for a plain `CONNECT`.
    pub path: Option<Bytes>,
    /// Default `gate.test`.
    pub authority: Option<Bytes>,
    /// Header lines in order; names that begin with a colon are further pseudo-headers (HTTP/2).
    #[serde(default)]
    pub headers: Fields,
    /// The body.
    pub body: Option<Bytes>,
    /// The HTTP/1 request as exact bytes; the other members are then the input of `core` and `wasm`.
    pub raw: Option<Bytes>,
}

/// An engine that runs rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// The policy core as a library.
    Core,
    /// The built filter in our own host.
    Wasm,
    /// A real Envoy with the built filter.
    Envoy,
}

impl EngineName {
    /// All engines, the fastest first.
    pub const ALL: [Self; 3] = [Self::Core, Self::Wasm, Self::Envoy];

    /// The name in the table of cases.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Wasm => "wasm",
            Self::Envoy => "envoy",
        }
    }
}

fn edge() -> Kind {
    Kind::Edge
}

fn loopback() -> IpAddr {
    V4
}

fn default_policy() -> String {
    "default".to_owned()
}

fn all_engines() -> BTreeSet<EngineName> {
    BTreeSet::from(EngineName::ALL)
}

impl Row {
    /// Id and name, as tests and failures have them.
    pub fn title(&self) -> String {
        format!("{}: {}", self.id, self.name)
    }

    /// Whether the row runs on an engine. Envoy has a clock that nobody can set. The others are told what the gate sees:
    /// an answer of Envoy's own, or bare bytes, say nothing about that.
    pub fn runs_on(&self, engine: EngineName) -> bool {
        let told = self.request.raw.is_none() || self.request.has_parts();
        self.engines.contains(&engine)
            && match engine {
                EngineName::Core | EngineName::Wasm => told && self.expect.reason != crate::expect::ENVOY,
                EngineName::Envoy => self.now.is_none(),
            }
    }

    /// The protocols to send the request with.
    pub fn protocols(&self) -> Protocols {
        let usual = if self.request.raw.is_some() { Protocols::Http1 } else { Protocols::Both };
        self.http.unwrap_or(usual)
    }

    fn check(&self, cases: &Cases) -> Result<(), String> {
        if !is_id(&self.id, &cases.name) {
            return Err(format!("invalid id: expected the name of the file and three digits, as `{}-001`", cases.name));
        }
        if !cases.policies.contains_key(&self.policy) {
            return Err(format!("no policy named {}", self.policy));
        }
        if self.request.raw.is_some() && self.protocols() != Protocols::Http1 {
            return Err("`raw` is HTTP/1: `http` must be 1".to_owned());
        }
        if !EngineName::ALL.iter().any(|engine| self.runs_on(*engine)) {
            return Err("no engine is left for this row".to_owned());
        }
        let kind = self.listener.unwrap_or(cases.listener);
        let needs_proxy = kind.wants_proxy_protocol() && self.request.raw.is_none() && self.runs_on(EngineName::Envoy);
        if self.proxy.is_none() && needs_proxy {
            return Err("a proxy_protocol listener needs `proxy`".to_owned());
        }
        self.expect.check()
    }
}

impl Request {
    /// The method.
    pub fn method(&self) -> &[u8] {
        self.method.as_ref().map_or(b"GET", |method| method.0.as_slice())
    }

    /// The authority.
    pub fn authority(&self) -> &[u8] {
        self.authority.as_ref().map_or(b"gate.test", |authority| authority.0.as_slice())
    }

    /// `:path`; a CONNECT has none unless the row sets one.
    pub fn path(&self) -> Option<&[u8]> {
        let usual = if self.method() == b"CONNECT" { None } else { Some(b"/".as_slice()) };
        self.path.as_ref().map(|path| path.0.as_slice()).or(usual)
    }

    /// All fields as HTTP/2 has them, pseudo-headers first.
    pub fn fields(&self) -> Vec<Pair> {
        let pair = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        let mut fields = vec![pair(":method", self.method()), pair(":authority", self.authority())];
        if let Some(path) = self.path() {
            fields.extend([pair(":path", path), pair(":scheme", b"http")]);
        }
        let (pseudo, usual): (Vec<_>, Vec<_>) =
            self.headers.0.iter().cloned().partition(|pair| pair.0.starts_with(b":"));
        fields.extend(pseudo);
        fields.extend(usual);
        fields
    }

    fn has_parts(&self) -> bool {
        self.method.is_some() || self.path.is_some() || self.authority.is_some() || !self.headers.0.is_empty()
    }
}

/// Reads all files of `tests/cases`, in the order of their names.
///
/// # Errors
/// The error, with file and row.
pub fn load_all() -> Result<Vec<Cases>, String> {
    let directory = paths::workspace().join("tests/cases");
    let entries = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let files = entries.map_while(Result::ok).map(|entry| entry.path());
    let yaml = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    yaml.collect::<BTreeSet<_>>().iter().map(|path| load(path)).collect()
}

fn load(path: &Path) -> Result<Cases, String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&name, &text)
}

/// Reads one file from its text.
///
/// # Errors
/// The error, with file and row.
pub fn parse(name: &str, text: &str) -> Result<Cases, String> {
    let file = format!("tests/cases/{name}.yaml");
    let mut cases: Cases = serde_saphyr::from_str(text).map_err(|error| {
        let row = error.location().and_then(|place| row_at(text, usize::try_from(place.line()).ok()?));
        format!("{file}, {}: {error}", row.map_or("above the rows".to_owned(), |row| format!("row `{row}`")))
    })?;
    name.clone_into(&mut cases.name);
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for row in &cases.rows {
        let unique = match (ids.insert(&row.id), names.insert(&row.name)) {
            (true, true) => Ok(()),
            (false, _) => Err("a second row with this id".to_owned()),
            (true, false) => Err(format!("a second row of the name `{}`", row.name)),
        };
        unique.and_then(|()| row.check(&cases)).map_err(|error| format!("{file}, row `{}`: {error}", row.id))?;
    }
    Ok(cases)
}

/// Whether an id is one of a file: `FILE-NNN`.
fn is_id(id: &str, file: &str) -> bool {
    let number = id.strip_prefix(file).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The id of the row that the line belongs to: the last `- id:` of a row at or above it.
fn row_at(text: &str, line: usize) -> Option<&str> {
    let above = text.lines().take(line).filter_map(|line| line.strip_prefix("  - id:"));
    above.last().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::parse;

    fn file(row: &str) -> String {
        format!(
            "about: x\npolicies: {{default: {{}}}}\nrows:\n  - id: demo-001\n    name: first\n    expect: {{reason: no_credential}}\n{row}"
        )
    }

    #[test]
    fn an_unknown_member_is_refused_with_the_id_of_its_row() {
        let text =
            file("  - id: demo-002\n    name: second\n    expect: {reason: no_credential}\n    pollicy: other\n");
        let error = parse("demo", &text).unwrap_err();
        assert!(error.contains("tests/cases/demo.yaml, row `demo-002`") && error.contains("pollicy"), "{error}");
    }

    #[test]
    fn a_row_of_an_unknown_policy_is_refused() {
        let text = file("  - id: demo-002\n    name: second\n    policy: other\n    expect: {reason: no_credential}\n");
        let error = parse("demo", &text).unwrap_err();
        assert_eq!(error, "tests/cases/demo.yaml, row `demo-002`: no policy named other");
    }

    #[test]
    fn an_unknown_reason_is_refused() {
        let error =
            parse("demo", &file("  - id: demo-002\n    name: second\n    expect: {reason: no_idea}\n")).unwrap_err();
        assert!(error.contains("no_idea"), "{error}");
    }

    #[test]
    fn two_rows_of_one_name_are_refused() {
        let row = "  - id: demo-002\n    name: first\n    expect: {reason: no_credential}\n";
        let error = parse("demo", &file(row)).unwrap_err();
        assert_eq!(error, "tests/cases/demo.yaml, row `demo-002`: a second row of the name `first`");
    }

    #[test]
    fn two_rows_of_one_id_and_an_id_of_another_form_are_refused() {
        let row = |id: &str| file(&format!("  - id: {id}\n    name: second\n    expect: {{reason: no_credential}}\n"));
        assert!(parse("demo", &row("demo-002")).is_ok(), "a control");
        let error = parse("demo", &row("demo-001")).unwrap_err();
        assert_eq!(error, "tests/cases/demo.yaml, row `demo-001`: a second row with this id");
        for id in ["demo-02", "demo-0002", "demo-00x", "other-002", "demo", "002", "demo_002"] {
            let error = parse("demo", &row(id)).unwrap_err();
            assert!(
                error.contains(&format!("row `{id}`: invalid id: expected")) && error.contains("demo-001"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_file_has_a_name_that_another_ends_with_so_that_an_id_selects_one_row() {
        let files = super::load_all().expect("the table can be read");
        for (one, other) in files.iter().flat_map(|one| files.iter().map(move |other| (&one.name, &other.name))) {
            assert!(one == other || !one.ends_with(other.as_str()), "{one} ends with {other}");
        }
    }
}

//! From the document to the policy: what several fields can be wrong about together is found here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use super::Policy;
use super::open::{Protected, PublicPaths};
use super::rules::Rules;
use crate::credential::is_presentable;
use crate::digest::Digest;
use crate::document::refusal::{EntryProblem, Invalid, Problem, Refusal, RefusedEntry};
use crate::document::{self, Document, KeyEntry, KeySource, RoleName, Secret};
use crate::keyring::{Consumer, Key, Keyring};
use crate::reply::Replies;
use crate::request::{HOLD_THE_CLIENT, METHOD_OVERRIDES, NAMES_A_CLIENT, URL_OVERRIDES, same_name};

/// A policy, and the key entries of its document that were refused alone.
#[derive(Debug)]
pub struct Loaded {
    /// The policy, without those entries.
    pub policy: Policy,
    /// What to log and count. The gate is up all the same.
    pub refused_entries: Vec<RefusedEntry>,
}

/// Reads an environment variable of the VM.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

impl Policy {
    /// Reads and compiles a document: JSON text, or a serialized `google.protobuf.Struct`.
    ///
    /// # Errors
    /// What is wrong with the document as a whole, with its path. A key entry that is wrong alone is no error.
    pub fn load(configuration: &[u8], environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        Self::compile(Document::read(configuration)?, environment)
    }

    /// Compiles a document.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn compile(document: Document, environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        check_headers(&document)?;
        check_paths(&document)?;
        let digest = canonical_digest(&document);
        let (consumers, keyring, refused_entries) = compile_consumers(document.consumers, environment)?;
        let policy = Self {
            replies: Replies::new(&document.reply, &document.key_sources),
            name: document.name,
            mode: document.mode,
            access_log: document.access_log,
            key_metrics: document.key_metrics,
            digest,
            key_sources: document.key_sources,
            consumers,
            keyring,
            public_paths: PublicPaths::new(document.public_paths),
            protected_paths: document.protected_paths.as_deref().map(Protected::new),
            trusted_networks: document.trusted_networks,
            trusted_identities: document.trusted_identities,
            cors_preflight: document.cors_preflight,
            rules: Rules::new(document.rules),
            upstream: document.upstream,
        };
        Ok(Loaded { policy, refused_entries })
    }
}

fn refuse(path: impl Into<String>, shown: Option<&str>, why: &'static str, fix: &'static str) -> Refusal {
    let problem = Problem::Invalid { shown: shown.map(str::to_owned), invalid: Invalid::new(why, fix) };
    Refusal { path: path.into(), problem }
}

/// Headers that mean something else to HTTP or to Envoy.
const RESERVED: [&str; 20] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "origin",
    "proxy-authorization",
    "sec-fetch-site",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-proto",
];

/// Whether a header means something else already: to HTTP, to Envoy, or to the gate itself.
fn is_reserved(name: &str) -> bool {
    let mut reserved =
        RESERVED.iter().chain(&HOLD_THE_CLIENT).chain(&NAMES_A_CLIENT).chain(&METHOD_OVERRIDES).chain(&URL_OVERRIDES);
    reserved.any(|reserved| same_name(name, reserved))
}

fn check_headers(document: &Document) -> Result<(), Refusal> {
    if document.key_sources.is_empty() {
        return Err(refuse(
            "key_sources",
            None,
            "an empty list: no key could ever be presented",
            "remove it, or name a source",
        ));
    }
    let mut taken: Vec<&str> = Vec::new();
    for (index, source) in document.key_sources.iter().enumerate() {
        let path = format!("key_sources[{index}]");
        if document.key_sources.iter().take(index).any(|other| other == source) {
            return Err(refuse(path, None, "the same key source twice", "keep one"));
        }
        if let KeySource::Header(name) = source {
            let name = name.as_str();
            if is_reserved(name) {
                let fix = "use a header of its own such as x-api-key, or `bearer` for Authorization";
                return Err(refuse(format!("{path}.header"), Some(name), "means something else already", fix));
            }
            taken.push(name);
        }
    }
    let upstream = &document.upstream;
    let fields = [
        ("upstream.consumer_header", &upstream.consumer_header),
        ("upstream.roles_header", &upstream.roles_header),
        ("upstream.key_id_header", &upstream.key_id_header),
    ];
    for (path, name) in fields {
        let name = name.as_str();
        if is_reserved(name) || taken.iter().any(|other| same_name(name, other)) {
            let fix = "use a header of its own: the gate removes every copy that a caller sends";
            return Err(refuse(path, Some(name), "means something else already", fix));
        }
        taken.push(name);
    }
    Ok(())
}

fn check_paths(document: &Document) -> Result<(), Refusal> {
    if document.protected_paths.as_ref().is_some_and(Vec::is_empty) {
        let fix = "remove it to protect everything; `mode: disabled` opens the gate";
        return Err(refuse("protected_paths", None, "an empty list protects nothing", fix));
    }
    Ok(())
}

/// SHA-256 of the document as JSON text, defaults filled in, members in the order of the format.
fn canonical_digest(document: &Document) -> Digest {
    struct Sink(Sha256);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    // Neither the sink nor the document can fail: no map with keys that are no text, no I/O.
    let _ = serde_json::to_writer(&mut sink, document);
    Digest::from_bytes(sink.0.finalize().into())
}

type Compiled = (Vec<Consumer>, Keyring, Vec<RefusedEntry>);

fn compile_consumers(consumers: Vec<document::Consumer>, environment: &Environment<'_>) -> Result<Compiled, Refusal> {
    let mut compiled: Vec<Consumer> = Vec::with_capacity(consumers.len());
    let mut names = BTreeMap::new();
    let mut ids = BTreeMap::new();
    let mut keys: BTreeMap<Digest, Result<(Key, String), String>> = BTreeMap::new();
    let mut refused = Vec::new();
    for (index, consumer) in consumers.into_iter().enumerate() {
        let path = format!("consumers[{index}]");
        if names.insert(consumer.name.clone(), ()).is_some() {
            let name = Some(consumer.name.as_str());
            return Err(refuse(format!("{path}.name"), name, "is the name of another consumer too", "join the two"));
        }
        for (number, entry) in consumer.keys.into_iter().enumerate() {
            let path = format!("{path}.keys[{number}]");
            let KeyEntry { id, secret, not_before, expires, disabled, .. } = entry;
            if let Some(id) = &id
                && ids.insert(id.clone(), ()).is_some()
            {
                let (place, id) = (format!("{path}.id"), Some(id.as_str()));
                return Err(refuse(place, id, "is the id of another key too", "give each key an id of its own"));
            }
            let refuse_entry = |path: &str, id: &Option<document::KeyId>, problem| RefusedEntry {
                path: path.to_owned(),
                id: id.as_ref().map(|id| id.as_str().to_owned()),
                problem,
            };
            let digest = match secret.resolve(environment) {
                Ok(digest) => digest,
                Err(problem) => {
                    refused.push(refuse_entry(&path, &id, problem));
                    continue;
                }
            };
            match keys.entry(digest) {
                Entry::Vacant(place) => {
                    place.insert(Ok((Key { digest, id, consumer: index, not_before, expires, disabled }, path)));
                }
                // Which owner would count? Neither.
                Entry::Occupied(mut place) => {
                    let first = match place.get() {
                        Ok((key, first)) => {
                            refused.push(refuse_entry(first, &key.id, EntryProblem::DuplicateDigest(path.clone())));
                            first.clone()
                        }
                        Err(first) => first.clone(),
                    };
                    refused.push(refuse_entry(&path, &id, EntryProblem::DuplicateDigest(first.clone())));
                    let _ = place.insert(Err(first));
                }
            }
        }
        let roles_value = consumer.roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(",");
        compiled.push(Consumer { name: consumer.name, roles: consumer.roles, roles_value });
    }
    let keys = keys.into_values().filter_map(Result::ok).map(|(key, _)| key).collect();
    Ok((compiled, Keyring::new(keys), refused))
}

impl Secret {
    /// The digest of the key, which may stand in the environment.
    ///
    /// # Errors
    /// Why the gate refuses the entry.
    pub fn resolve(&self, environment: &Environment<'_>) -> Result<Digest, EntryProblem> {
        match self {
            Self::Sha256(digest) => digest.ok_or(EntryProblem::MalformedDigest),
            Self::Plaintext(key) if is_presentable(key.expose().as_bytes()) => Ok(Digest::of(key.expose().as_bytes())),
            Self::Plaintext(_) => Err(EntryProblem::MalformedPlaintext),
            Self::Env(variable) => {
                let name = || variable.clone();
                let value = environment(variable.as_str()).ok_or_else(|| EntryProblem::UnsetVariable(name()))?;
                let key = value.strip_suffix(b"\n").unwrap_or(&value);
                let key = key.strip_suffix(b"\r").unwrap_or(key);
                match key {
                    [] => Err(EntryProblem::EmptyVariable(name())),
                    key if is_presentable(key) => Ok(Digest::of(key)),
                    _ => Err(EntryProblem::MalformedVariable(name())),
                }
            }
        }
    }
}

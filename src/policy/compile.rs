//! From the document to the policy: what several fields can be wrong about together is found here.

use std::io::Read;

use super::Policy;
use super::open::{Protected, PublicPaths};
use super::rules::Rules;
use crate::document::canonical::Canonical;
use crate::document::refusal::{Invalid, Problem, Refusal, RefusedEntry};
use crate::document::{Consumer, Document, KeyEntry, KeySource, Taker};
use crate::keyring::{Environment, Intake};
use crate::reply::Replies;
use crate::request::{HOLD_THE_CLIENT, METHOD_OVERRIDES, NAMES_A_CLIENT, ROOT_OVERRIDES, URL_OVERRIDES, same_name};

/// A policy, and the key entries of its document that were refused alone.
#[derive(Debug)]
pub struct Loaded {
    /// The policy, without those entries.
    pub policy: Policy,
    /// What to log and count. The gate is up all the same.
    pub refused_entries: Vec<RefusedEntry>,
}

impl Policy {
    /// Reads and compiles a document: JSON text, or a serialized `google.protobuf.Struct`.
    ///
    /// # Errors
    /// What is wrong with the document as a whole, with its path. A key entry that is wrong alone is no error.
    pub fn load(mut configuration: &[u8], environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        Self::load_from(&mut configuration, environment)
    }

    /// Reads and compiles a document that comes piece by piece. Of its consumers, only what the policy keeps is ever held.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(configuration: &mut dyn Read, environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        let mut compiler = Compiler::new(environment);
        let document = Document::stream(configuration, &mut compiler)?;
        compiler.finish(document)
    }

    /// Compiles a document.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn compile(mut document: Document, environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        let mut compiler = Compiler::new(environment);
        for mut consumer in core::mem::take(&mut document.consumers) {
            core::mem::take(&mut consumer.keys).into_iter().for_each(|key| compiler.key(key));
            compiler.consumer(consumer);
        }
        compiler.finish(document)
    }
}

/// What becomes of a document: of its keys and consumers one by one, and then of the rest.
struct Compiler<'a> {
    intake: Intake<'a>,
    canonical: Canonical,
}

impl<'a> Compiler<'a> {
    fn new(environment: &'a Environment<'a>) -> Self {
        Self { intake: Intake::new(environment), canonical: Canonical::default() }
    }

    fn finish(self, document: Document) -> Result<Loaded, Refusal> {
        check_headers(&document)?;
        check_paths(&document)?;
        let (keyring, refused_entries) = self.intake.finish()?;
        let policy = Policy {
            digest: self.canonical.finish(&document),
            replies: Replies::new(&document.reply, &document.key_sources),
            name: document.name,
            mode: document.mode,
            access_log: document.access_log,
            key_metrics: document.key_metrics,
            key_sources: document.key_sources,
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

impl Taker for Compiler<'_> {
    fn key(&mut self, key: KeyEntry) {
        self.canonical.key(&key);
        self.intake.key(key);
    }

    fn consumer(&mut self, consumer: Consumer) {
        self.canonical.consumer(&consumer);
        self.intake.consumer(consumer);
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
    let lists: [&[&str]; 6] =
        [&RESERVED, &HOLD_THE_CLIENT, &NAMES_A_CLIENT, &METHOD_OVERRIDES, &URL_OVERRIDES, &ROOT_OVERRIDES];
    lists.into_iter().flatten().any(|reserved| same_name(name.as_bytes(), reserved))
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
        if is_reserved(name) || taken.iter().any(|other| same_name(name.as_bytes(), other)) {
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
    if let Some(index) = document.rules.iter().position(|rule| rule.roles.is_empty()) {
        let why = "the rule asks for no role, so nobody could meet it";
        return Err(refuse(format!("rules[{index}]"), None, why, "name a role, or remove the rule"));
    }
    Ok(())
}

//! Compiles a document to a policy. Finds errors that involve several fields.

use std::io::Read;

use super::policy::Policy;
use super::public::PublicPaths;
use super::reply::Replies;
use super::rules::Rules;
use crate::document::canonical::CanonicalHash;
use crate::document::read::Part;
use crate::document::refusal::Refusal;
use crate::document::root::Document;
use crate::document::tokens::Endpoints;
use crate::keys::builder::KeyringBuilder;
use crate::keys::entry::{Environment, RefusedEntry};
use crate::keys::token::Tokens;
use crate::path::restricted::RestrictedPatterns;
use crate::request::header_names::{is_reserved, same_name};
use crate::request::key_source::KeySource;
use crate::value::text::Invalid;

/// A compiled policy, and the key entries of its document that were skipped.
#[derive(Debug)]
pub struct Loaded {
    /// The policy, without the skipped entries.
    pub policy: Policy,
    /// The skipped entries, to be logged and counted. All other keys work.
    pub refused_entries: Vec<RefusedEntry>,
}

impl Policy {
    /// Reads and compiles a document: JSON text, or a serialized `google.protobuf.Struct`.
    ///
    /// # Errors
    /// The first error in the document, with the path of the field. An invalid key entry is not an error: it is skipped.
    pub fn load(mut configuration: &[u8], environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        Self::load_from(&mut configuration, environment)
    }

    /// Reads and compiles a document in pieces. Consumers are compiled one by one, so a large document is never in memory
    /// as a whole.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_from(configuration: &mut dyn Read, environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        let mut compiler = Compiler::new(environment);
        let document = Document::stream(configuration, &mut |part| compiler.add(part))?;
        compiler.finish(document)
    }

    /// Compiles a document.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn compile(mut document: Document, environment: &Environment<'_>) -> Result<Loaded, Refusal> {
        let mut compiler = Compiler::new(environment);
        for mut consumer in core::mem::take(&mut document.consumers) {
            core::mem::take(&mut consumer.keys).into_iter().for_each(|key| compiler.add(Part::Key(key)));
            compiler.add(Part::Consumer(consumer));
        }
        compiler.finish(document)
    }
}

/// Receives keys and consumers one by one, then the rest of the document.
struct Compiler<'a> {
    keyring: KeyringBuilder<'a>,
    hash: CanonicalHash,
}

impl<'a> Compiler<'a> {
    fn new(environment: &'a Environment<'a>) -> Self {
        Self { keyring: KeyringBuilder::new(environment), hash: CanonicalHash::default() }
    }

    fn add(&mut self, part: Part) {
        match part {
            Part::Key(key) => {
                self.hash.key(&key);
                self.keyring.key(key);
            }
            Part::Consumer(consumer) => {
                self.hash.consumer(&consumer);
                self.keyring.consumer(consumer);
            }
        }
    }

    fn finish(self, document: Document) -> Result<Loaded, Refusal> {
        check_headers(&document)?;
        check_paths(&document)?;
        check_tokens(&document)?;
        let environment = self.keyring.environment;
        let (mut keyring, mut refused_entries) = self
            .keyring
            .finish()
            .map_err(|duplicate| Refusal::invalid(duplicate.path, Some(&duplicate.shown), duplicate.invalid))?;
        let tokens = document.tokens.as_ref().map(|settings| {
            keyring.index_ids();
            let variables = settings.secrets.iter().map(|secret| &secret.env);
            let issuer = document.name.as_str();
            let (tokens, refused) = Tokens::new(issuer, variables, settings.lifetime.seconds(), environment);
            refused_entries.extend(refused);
            tokens
        });
        let policy = Policy {
            digest: self.hash.finish(&document),
            replies: Replies::new(&document.reply, &document.key_sources),
            name: document.name,
            mode: document.mode,
            access_log: document.access_log,
            key_metrics: document.key_metrics,
            key_sources: document.key_sources,
            keyring,
            public_paths: PublicPaths::new(document.public_paths),
            protected_paths: document
                .protected_paths
                .map(|paths| RestrictedPatterns::new(paths.iter().map(|protected| &protected.path))),
            trusted_networks: document.trusted_networks,
            trusted_identities: document.trusted_identities,
            cors_preflight: document.cors_preflight,
            rules: Rules::new(document.rules),
            upstream: document.upstream,
            endpoints: Some(document.endpoints).filter(|endpoints| *endpoints != Endpoints::default()),
            tokens,
        };
        Ok(Loaded { policy, refused_entries })
    }
}

fn check_headers(document: &Document) -> Result<(), Refusal> {
    if document.key_sources.is_empty() {
        let invalid = Invalid::new("empty list", "no key could be presented; name a source, or remove the field");
        return Err(Refusal::invalid("key_sources", None, invalid));
    }
    let mut taken: Vec<&str> = Vec::new();
    for (index, source) in document.key_sources.iter().enumerate() {
        let path = format!("key_sources[{index}]");
        if document.key_sources.iter().take(index).any(|other| other == source) {
            return Err(Refusal::invalid(path, None, Invalid::new("duplicate key source", "keep one")));
        }
        if let KeySource::Header(name) = source {
            if is_reserved(name.as_str()) {
                let help =
                    "use a header of its own such as x-api-key, `bearer` for Authorization, or `websocket_protocol`";
                let invalid = Invalid::new("reserved header name", help);
                return Err(Refusal::invalid(format!("{path}.header"), Some(name.as_str()), invalid));
            }
            taken.push(name.as_str());
        }
    }
    let upstream = &document.upstream;
    for (path, name) in [
        ("upstream.consumer_header", &upstream.consumer_header),
        ("upstream.roles_header", &upstream.roles_header),
        ("upstream.key_id_header", &upstream.key_id_header),
    ] {
        let name = name.as_str();
        if is_reserved(name) || taken.iter().any(|other| same_name(name.as_bytes(), other)) {
            let help = "use a header of its own, since the gate removes every copy that a caller sends";
            return Err(Refusal::invalid(path, Some(name), Invalid::new("reserved header name", help)));
        }
        taken.push(name);
    }
    Ok(())
}

fn check_tokens(document: &Document) -> Result<(), Refusal> {
    let Endpoints { whoami, token } = &document.endpoints;
    if let (Some(whoami), Some(token)) = (whoami, token)
        && whoami == token
    {
        let invalid = Invalid::new("duplicate path of an endpoint", "give each endpoint a path of its own");
        return Err(Refusal::invalid("endpoints.token", Some(token.as_str()), invalid));
    }
    match &document.tokens {
        None if token.is_some() => {
            let invalid =
                Invalid::new("endpoint without tokens", "add `tokens` with `secrets`, or remove the endpoint");
            Err(Refusal::invalid("endpoints.token", None, invalid))
        }
        Some(tokens) if tokens.secrets.is_empty() => {
            let invalid = Invalid::new("empty list", "no token could be signed; name a secret, or remove `tokens`");
            Err(Refusal::invalid("tokens.secrets", None, invalid))
        }
        Some(_) if !document.key_sources.contains(&KeySource::Bearer) => {
            let invalid = Invalid::new("tokens without bearer", "a token is sent as a bearer credential; add `bearer`");
            Err(Refusal::invalid("key_sources", None, invalid))
        }
        _ => Ok(()),
    }
}

fn check_paths(document: &Document) -> Result<(), Refusal> {
    if document.protected_paths.as_ref().is_some_and(Vec::is_empty) {
        let help = "it would protect nothing; remove it to protect everything (`mode: disabled` opens the gate)";
        let invalid = Invalid::new("empty list", help);
        return Err(Refusal::invalid("protected_paths", None, invalid));
    }
    if let Some(index) = document.rules.iter().position(|rule| rule.roles.is_empty()) {
        let invalid = Invalid::new("rule without roles", "name a role, or remove the rule");
        return Err(Refusal::invalid(format!("rules[{index}]"), None, invalid));
    }
    Ok(())
}

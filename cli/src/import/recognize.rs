//! Recognizes the system that a file is from, so that a file of another kind is named instead of misread.

use anyhow::{Result, bail};

use super::kubernetes::flat;
use super::source::Source;
use crate::yaml::{Node, Tree};

/// A kind of file.
struct Kind {
    /// Its name as a subcommand of `import`, if it can be imported.
    command: Option<&'static str>,
    /// What it is.
    words: &'static str,
    is: fn(&File<'_>) -> bool,
}

/// What is known of a file.
struct File<'a> {
    text: &'a str,
    /// The documents, without those that are lists of objects, whose items follow instead. Empty if it is not YAML.
    documents: Vec<Node>,
}

/// Each kind, with a test that is true only for files that are certainly of that kind.
const KINDS: [Kind; 15] = [
    Kind { command: Some("orchestra"), words: "an api_keys.json of Orchestra", is: |file| file.has(&ORCHESTRA) },
    Kind { command: Some("deepaas"), words: "a configuration file of DEEPaaS", is: is_ini },
    Kind { command: Some("rxinfer"), words: "an export of RxInferServer's tokens", is: is_rxinfer },
    Kind { command: Some("api-key-auth"), words: "a configuration of Envoy", is: is_envoy },
    Kind {
        command: Some("envoy-gateway"),
        words: "Envoy Gateway's resources",
        is: |file| file.has_kind(&["SecurityPolicy"]),
    },
    Kind { command: Some("kong"), words: "a declarative configuration of Kong", is: is_kong },
    Kind {
        command: Some("kong-ingress"),
        words: "Kong Ingress Controller's resources",
        is: |file| file.has_kind(&KONG),
    },
    Kind { command: Some("apisix"), words: "a configuration of APISIX", is: is_apisix },
    Kind { command: Some("higress"), words: "the plugin key-auth of Higress", is: is_higress },
    Kind { command: Some("csv"), words: "a table of keys", is: is_table },
    Kind { command: Some("agentgateway"), words: "a configuration of agentgateway", is: is_agentgateway },
    Kind { command: None, words: "agentgateway's resources", is: |file| file.has_api("agentgateway.dev") },
    Kind { command: None, words: "a configuration of Traefik", is: is_traefik },
    Kind { command: None, words: "a key store of Portcullis", is: is_store },
    Kind { command: None, words: "a policy of Portcullis", is: is_policy },
];

const ORCHESTRA: [&str; 3] = ["valid_keys", "require_auth_for_external", "local_networks"];
const KONG: [&str; 4] = ["KongConsumer", "KongPlugin", "KongClusterPlugin", "KongCredential"];

/// Checks that a file is not certainly of another kind than the subcommand expects.
///
/// # Errors
/// If it is.
pub(super) fn check(source: &Source, command: &str) -> Result<()> {
    let documents = source.nodes().unwrap_or_default().into_iter().flat_map(flat).collect();
    let file = File { text: &source.text, documents };
    let mut kinds = KINDS.iter().filter(|kind| (kind.is)(&file)).peekable();
    let Some(first) = kinds.peek().copied() else { return Ok(()) };
    if kinds.any(|kind| kind.command == Some(command)) {
        return Ok(());
    }
    let Source { name, .. } = source;
    let argument = if name == Source::STDIN { "-".into() } else { shlex::try_quote(name).unwrap_or(name.into()) };
    match first.command {
        Some(command) => bail!("{name} looks like {}: use `portcullis import {command} {argument}`", first.words),
        None => bail!("{name} looks like {}, which `import {command}` does not read", first.words),
    }
}

impl File<'_> {
    /// Whether a document has one of these members.
    fn has(&self, names: &[&str]) -> bool {
        self.documents.iter().any(|document| names.iter().any(|name| document.get(name).is_some()))
    }

    fn has_kind(&self, kinds: &[&str]) -> bool {
        self.texts("kind").any(|kind| kinds.contains(&kind))
    }

    /// Whether an object is of a version of this API.
    fn has_api(&self, group: &str) -> bool {
        self.texts("apiVersion").any(|version| version.split('/').next() == Some(group))
    }

    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.documents.iter().filter_map(move |document| document.get(name)?.text())
    }

    /// The items of a list in the documents.
    fn items(&self, name: &'static str) -> impl Iterator<Item = &Node> {
        self.documents.iter().flat_map(move |document| document.items_of(name))
    }
}

fn is_ini(file: &File<'_>) -> bool {
    file.documents.iter().all(|document| document.members().is_empty())
        && file.text.lines().any(|line| line.trim() == "[DEFAULT]")
}

fn is_rxinfer(file: &File<'_>) -> bool {
    let is_token =
        |node: &Node| node.get("token").is_some() && (node.get("_id").is_some() || node.get("roles").is_some());
    // One document on each line is not YAML.
    let first = file.text.lines().find(|line| !line.trim().is_empty()).filter(|line| line.starts_with('{'));
    let first = first.and_then(|line| Node::parse(line).ok());
    let in_list = file.documents.iter().flat_map(Node::items);
    file.documents.iter().chain(in_list).chain(&first).any(is_token)
}

fn is_envoy(file: &File<'_>) -> bool {
    let is_filter = |node: &Node| {
        let sources = node.get("key_sources").or_else(|| node.get("keySources"));
        node.get("credentials").is_some() && sources.is_some()
    };
    file.has(&["static_resources", "staticResources", "dynamic_resources"])
        || file.text.contains("envoy.extensions.filters.http.api_key_auth")
        || file.documents.iter().any(is_filter)
}

fn is_kong(file: &File<'_>) -> bool {
    let has = |node: &Node, names: [&str; 2]| names.iter().any(|name| node.get(name).is_some());
    file.has(&["_format_version", "_transform", "keyauth_credentials"])
        || file.items("consumers").any(|consumer| has(consumer, ["keyauth_credentials", "acls"]))
        || file.items("services").chain(file.items("routes")).any(|entity| !entity.items_of("plugins").is_empty())
}

fn is_apisix(file: &File<'_>) -> bool {
    let has_uri = |route: &Node| route.get("uri").is_some() || route.get("uris").is_some();
    let of_consumer = |consumer: &Node| {
        let plugins = consumer.get("plugins").is_some_and(|plugins| plugins.get("key-auth").is_some());
        plugins || consumer.items_of("credentials").iter().any(|credential| credential.get("type").is_some())
    };
    let routes = file.items("services").flat_map(|service| service.items_of("routes")).chain(file.items("routes"));
    let replies = file.items("list").chain(file.documents.iter());
    let is_reply = |reply: &Node| reply.get("key").and_then(Node::text).is_some_and(|key| key.starts_with("/apisix/"));
    file.has_api("apisix.apache.org")
        || file.text.trim_end().ends_with("\n#END")
        || file.items("consumers").any(of_consumer)
        || routes.into_iter().any(has_uri)
        || replies.into_iter().any(is_reply)
}

fn is_higress(file: &File<'_>) -> bool {
    let of_consumer = |consumer: &Node| consumer.get("credential").is_some() || consumer.get("credentials").is_some();
    file.has_api("extensions.higress.io") || (file.has(&["keys"]) && file.items("consumers").any(of_consumer))
}

fn is_table(file: &File<'_>) -> bool {
    let head = file.text.lines().next().unwrap_or_default().to_ascii_lowercase();
    let columns: Vec<&str> = head.split([',', ';', '\t']).map(str::trim).collect();
    columns.contains(&"consumer") && (columns.contains(&"key") || columns.contains(&"sha256"))
}

fn is_agentgateway(file: &File<'_>) -> bool {
    let has_keys = |policies: &Node| policies.get("apiKey").is_some();
    file.has(&["binds"]) || file.documents.iter().filter_map(|file| file.get("llm")?.get("policies")).any(has_keys)
}

fn is_traefik(file: &File<'_>) -> bool {
    let is_dynamic = |document: &Node| document.get("http").is_some_and(|http| http.get("middlewares").is_some());
    file.has_api("traefik.io") || file.has_api("hub.traefik.io") || file.documents.iter().any(is_dynamic)
}

fn is_store(file: &File<'_>) -> bool {
    file.documents.iter().filter_map(|document| document.get("consumers")).any(|consumers| {
        consumers
            .members()
            .iter()
            .any(|(_, consumer)| consumer.items_of("keys").iter().any(|key| key.get("sha256").is_some()))
    })
}

fn is_policy(file: &File<'_>) -> bool {
    let is_list = |node: Option<&Node>| node.is_some_and(|node| matches!(node.tree, Tree::List(_)));
    file.has(&["public_paths", "protected_paths", "trusted_networks", "trusted_identities"])
        || file.items("consumers").any(|consumer| consumer.get("name").is_some() && is_list(consumer.get("keys")))
}

//! Imports the tokens of RxInferServer, as `mongoexport` writes the collection: one document on each line, or a list.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::json;

use super::Common;
use super::discovered::{Discovered, DiscoveredKey, list, texts};
use super::source::Source;
use crate::when::point;
use crate::yaml::{Node, Position, Tree};

/// The development token of RxInferServer, which is publicly known, and its role.
pub(crate) const DEV_TOKEN: (&str, &str) = ("dev-token", "user");
/// The variable with which RxInferServer's users enable the development token.
pub(crate) const ENABLE: &str = "RXINFER_SERVER_ENABLE_DEV_TOKEN";

/// Whether the development token is enabled in the environment, as RxInferServer reads it.
pub(crate) fn is_dev_token_enabled() -> bool {
    std::env::var_os(ENABLE).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The options of `import rxinfer`.
#[derive(Debug, Args)]
pub(super) struct Rxinfer {
    #[command(flatten)]
    pub(super) common: Common,
    /// Import the development token, with its role `user`; needs no FILE. It is publicly known: never use it in production
    #[arg(long)]
    pub(super) dev_token: bool,
}

/// Reads the export.
///
/// # Errors
/// If it is invalid.
pub(super) fn find(source: &Source, dev_token: bool) -> Result<Discovered> {
    let mut discovered = Discovered::default();
    for document in documents(source)? {
        token(&document, &mut discovered);
    }
    if dev_token {
        let (token, role) = DEV_TOKEN;
        let mut key = DiscoveredKey::of(token, None, "development");
        key.roles = Some(vec![role.to_owned()]);
        key.description = Some("RxInferServer's development token, which is publicly known".to_owned());
        discovered.push(token, key);
        discovered.note(
            None,
            "the development token is imported, but it is publicly known: `portcullis keys disable` disables it",
        );
    } else if is_dev_token_enabled() {
        discovered.leave(
            None,
            format!("the development token ({ENABLE} is true): it is publicly known; --dev-token imports it"),
        );
    }
    discovered.set("name", "rxinfer".into(), "From RxInferServer.");
    discovered.set("key_sources", list(["bearer"]), "RxInferServer accepts its tokens only as Authorization: Bearer.");
    discovered.set(
        "public_paths",
        list(["/v1/ping"]),
        "RxInferServer answers this without a token. It also gives a token to everyone at /v1/token/generate; the gate, \
         \nonly for a key.",
    );
    discovered.set(
        "endpoints",
        Node::from(json!({"whoami": "/v1/token/roles", "token": "/v1/token/generate"})),
        "The paths of RxInferServer, answered by the gate.",
    );
    discovered.set(
        "tokens",
        Node::from(json!({"secrets": [{"env": "PORTCULLIS_TOKEN_SECRET"}]})),
        "Set this variable where Envoy runs, to at least 32 bytes: `openssl rand -base64 32`.",
    );
    discovered.set("cors_preflight", "allow".into(), "RxInferServer answers preflights itself.");
    discovered.set(
        "upstream",
        Node::from(json!({"forward_credential": true})),
        "RxInferServer checks the token again: who owns a model, and which roles it requires. To let the gate check \
         the\n\
         roles of a model first, write rules such as:\n\
         rules: [{path: \"/v1/models/secret-v1/**\", roles: [admin]}]",
    );
    Ok(discovered)
}

fn documents(source: &Source) -> Result<Vec<Node>> {
    if source.text.trim_start().starts_with('[') {
        let Tree::List(documents) = source.node()?.tree else { bail!("{}: expected a list of tokens", source.name) };
        return Ok(documents);
    }
    let lines = source.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let mut node = Node::parse(line).map(Node::without_nulls).map_err(|_| {
                let number = index.saturating_add(1);
                anyhow!("{}:{number}: invalid JSON: export the collection `tokens` with mongoexport", source.name)
            })?;
            let lines = u64::try_from(index)?;
            // It was parsed from a single line.
            node.move_to(&|at| at.map(|at| Position { line: at.line.saturating_add(lines), column: at.column }));
            Ok(node)
        })
        .collect()
}

fn token(document: &Node, discovered: &mut Discovered) {
    let Some(text) = document.get("token").and_then(Node::text) else {
        return discovered.leave(document.at, "missing field `token`: not a document of the collection `tokens`");
    };
    discovered.leave_unknown(document, "", &["_id", "token", "created_at", "roles"]);
    let at = document.get("token").and_then(|token| token.at);
    let id = document.get("_id").and_then(|id| id.get("$oid").unwrap_or(id).text());
    let created = document.get("created_at").and_then(|date| date.get("$date").unwrap_or(date).text());
    let mut key = DiscoveredKey::of(text, at, "");
    key.consumer = format!("rxinfer-{}", id.map_or_else(|| key.digest.handle(), str::to_owned));
    key.id = id.map(str::to_owned);
    key.created = created.and_then(point);
    key.roles = match document.get("roles") {
        None => {
            discovered.note(document.at, "no roles: the token is imported without roles");
            Some(Vec::new())
        }
        Some(roles) => match texts(roles) {
            Some(roles) => Some(roles),
            None => return discovered.leave(roles.at, "key not imported: invalid roles: expected a list of texts"),
        },
    };
    discovered.push(text, key);
}

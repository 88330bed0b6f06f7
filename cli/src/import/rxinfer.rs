//! RxInferServer: its collection of tokens, as `mongoexport` writes it: one document a line, or a list of them.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use serde_json::json;

use super::Common;
use super::found::{Found, FoundKey, list, texts};
use super::source::Source;
use crate::when::point;
use crate::yaml::{Node, Position, Tree};

/// The development token of RxInferServer, which everybody knows.
const DEV_TOKEN: &str = "dev-token";
const ENABLE: &str = "RXINFER_SERVER_ENABLE_DEV_TOKEN";

/// Where the tokens are.
#[derive(Debug, Args)]
pub(super) struct Rxinfer {
    #[command(flatten)]
    pub(super) common: Common,
    /// Take the development token too, with its role `user`: everybody knows it, so never in production
    #[arg(long)]
    pub(super) dev_token: bool,
}

/// What the export holds.
///
/// # Errors
/// Where it is none.
pub(super) fn find(source: &Source, dev_token: bool) -> Result<Found> {
    let mut found = Found::default();
    for document in documents(source)? {
        token(&document, &mut found);
    }
    if dev_token {
        let mut key = FoundKey::of(DEV_TOKEN, None, "development");
        key.roles = Some(vec!["user".to_owned()]);
        key.description = Some("RxInferServer's development token, which everybody knows".to_owned());
        found.push(DEV_TOKEN, key);
        found.note(None, "the development token is in: everybody knows it. `portcullis keys disable` switches it off");
    } else if std::env::var_os(ENABLE).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        found
            .leave(None, format!("the development token ({ENABLE} is true): everybody knows it; --dev-token takes it"));
    }
    found.set("name", "rxinfer".into(), "From RxInferServer.");
    found.set("key_sources", list(["bearer"]), "RxInferServer takes its tokens as Authorization: Bearer alone.");
    found.set(
        "public_paths",
        list(["/v1/ping", "/v1/token/generate"]),
        "What RxInferServer answers without a token. Whoever gets one there is not known here: take it out when\n\
         `portcullis keys` is where tokens are made.",
    );
    found.set("cors_preflight", "allow".into(), "RxInferServer answers preflights itself.");
    found.set(
        "upstream",
        Node::from(json!({"forward_credential": true})),
        "RxInferServer looks at the token again: whose models these are, and which roles they ask for. For the gate to\n\
         ask for a model's roles first, write rules, such as:\n\
         rules: [{path: \"/v1/models/secret-v1/**\", roles: [admin]}]",
    );
    Ok(found)
}

fn documents(source: &Source) -> Result<Vec<Node>> {
    if source.text.trim_start().starts_with('[') {
        let Tree::List(documents) = source.node()?.tree else { bail!("{} is no list of tokens", source.name) };
        return Ok(documents);
    }
    let lines = source.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let mut node = Node::parse(line).map_err(|_| {
                let number = index.saturating_add(1);
                anyhow!("{}:{number}: no JSON: export the collection `tokens` with mongoexport", source.name)
            })?;
            move_down(&mut node, u64::try_from(index)?);
            Ok(node)
        })
        .collect()
}

/// Each line was read by itself.
fn move_down(node: &mut Node, lines: u64) {
    let moved = |at: Position| Position { line: at.line.saturating_add(lines), column: at.column };
    node.at = node.at.map(moved);
    match &mut node.tree {
        Tree::Map(members) => members.iter_mut().for_each(|(name, value)| {
            name.at = name.at.map(moved);
            move_down(value, lines);
        }),
        Tree::List(items) => items.iter_mut().for_each(|item| move_down(item, lines)),
        _ => {}
    }
}

fn token(document: &Node, found: &mut Found) {
    let Some(text) = document.get("token").and_then(Node::text) else {
        return found.leave(document.at, "no token: this is no document of the collection `tokens`");
    };
    found.leave_unknown(document, "", &["_id", "token", "created_at", "roles"]);
    let at = document.get("token").and_then(|token| token.at);
    let id = document.get("_id").and_then(|id| id.get("$oid").unwrap_or(id).text());
    let created = document.get("created_at").and_then(|date| date.get("$date").unwrap_or(date).text());
    let mut key = FoundKey::of(text, at, "");
    key.consumer = format!("rxinfer-{}", id.map_or_else(|| key.digest.handle(), str::to_owned));
    key.id = id.map(str::to_owned);
    key.created = created.and_then(point);
    key.roles = match document.get("roles") {
        None => {
            found.note(document.at, "no roles: the token is taken without any");
            Some(Vec::new())
        }
        Some(roles) => match texts(roles) {
            Some(roles) => Some(roles),
            None => return found.leave(roles.at, "key not taken: its roles are no list of texts"),
        },
    };
    found.push(text, key);
}

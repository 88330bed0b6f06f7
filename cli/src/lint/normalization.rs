//! Lints of normalization before the gate: paths, and header names with an underscore. In a connection manager of
//! Envoy, in the configuration of a mesh, and in a `ClientTrafficPolicy` of Envoy Gateway.

use super::code::Code;
use super::configuration::{Source, field, is_enum, is_set, text_of};
use super::finding::Finding;
use super::listener::Manager;
use crate::yaml::{Node, Place, Tree};

const REJECT_UNDERSCORES: &str = "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}";
const PATHS: &str = "`..`, `//` and `%2F` reach the gate and the service as sent: the gate checks every variant of \
                     such a path, and denies more requests than necessary";
const UNDERSCORES: &str = "header names with underscores are accepted: x_api_key and x-api-key are different headers \
                           to Envoy, but the same header to many services";

/// Checks a connection manager with a gate, or a part of one, whose missing settings are elsewhere.
pub(super) fn examine_manager(manager: &Manager<'_>, findings: &mut Vec<Finding>) {
    let is_said = |name| manager.is_whole() || field(manager.node, name).is_some();
    let settles = |action: &Node| {
        let names = [("REJECT_REQUEST", 2), ("UNESCAPE_AND_REDIRECT", 3), ("UNESCAPE_AND_FORWARD", 4)];
        names.iter().any(|(name, number)| is_enum(action, name, *number))
    };
    let escapes = "path_with_escaped_slashes_action";
    let missing: Vec<_> = [
        ("normalize_path", "true", is_set(manager.node, "normalize_path")),
        ("merge_slashes", "true", is_set(manager.node, "merge_slashes")),
        (escapes, "REJECT_REQUEST", field(manager.node, escapes).is_some_and(settles)),
    ]
    .iter()
    .filter(|(name, _, is_there)| is_said(name) && !is_there)
    .map(|(name, value, _)| format!("{name}: {value}"))
    .collect();
    if !missing.is_empty() {
        findings.push(manager.find(Code::PathNormalization, None, PATHS, &format!("set {}", missing.join(", "))));
    }
    let action = underscores_of(manager);
    if !action.map_or(!manager.is_whole(), refuses) {
        findings.push(manager.find(Code::Underscores, action, UNDERSCORES, &format!("set {REJECT_UNDERSCORES}")));
    }
}

fn underscores_of<'a>(manager: &Manager<'a>) -> Option<&'a Node> {
    field(field(manager.node, "common_http_protocol_options")?, "headers_with_underscores_action")
}

fn refuses(action: &Node) -> bool {
    is_enum(action, "REJECT_REQUEST", 1) || is_enum(action, "DROP_HEADER", 2)
}

/// Checks the configuration of a mesh, and the `ClientTrafficPolicy` of a Gateway.
pub(super) fn examine(sources: &[Source], managers: &[Manager<'_>], findings: &mut Vec<Finding>) {
    let is_merged = managers.iter().any(|part| !part.is_whole() && underscores_of(part).is_some_and(refuses));
    for source in sources {
        for document in &source.documents {
            let Some(spec) = document.get("spec") else { continue };
            let mut find = |code, node: &Node, message: &str, fix: &str| {
                findings.push(Finding::new(code, Place { file: source.file.clone(), at: node.at }, message, fix));
            };
            match text_of(document, "kind") {
                Some("IstioOperator") => mesh(spec, is_merged, &mut find),
                Some("ClientTrafficPolicy") => clients(spec, &mut find),
                _ => {}
            }
        }
    }
}

type Find<'f> = dyn FnMut(Code, &Node, &str, &str) + 'f;

/// Checks `pathNormalization`, and the `connectionSettings` of Istio 1.31 and later, which take precedence.
fn mesh(spec: &Node, is_merged: bool, find: &mut Find<'_>) {
    let Some(config) = spec.get("meshConfig") else { return };
    let settings = config.get("defaultConfig").and_then(|proxy| proxy.get("connectionSettings"));
    let setting = |name| settings.and_then(|settings| settings.get(name));
    let normalization = config.get("pathNormalization").and_then(|paths| paths.get("normalization"));
    let normalizes = |names: &[&str]| normalization.and_then(Node::text).is_some_and(|name| names.contains(&name));
    let merges = match setting("httpMergeSlashes") {
        Some(merges) => merges.tree == Tree::Bool(true),
        None => normalizes(&["MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]),
    };
    let unescapes = match setting("httpPathWithEscapedSlashesAction").and_then(Node::text) {
        Some(action) => ["REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"].contains(&action),
        None => normalizes(&["DECODE_AND_MERGE_SLASHES"]),
    };
    if !merges || !unescapes || normalizes(&["NONE"]) {
        let fix = "set meshConfig.pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}";
        find(Code::PathNormalization, normalization.unwrap_or(config), PATHS, fix);
    }
    let action = setting("httpHeadersWithUnderscoresAction");
    let is_refused = match action.and_then(Node::text) {
        Some(action) => action.ends_with("_REJECT_REQUEST") || action.ends_with("_DROP_HEADER"),
        None => false,
    };
    if !is_refused && !is_merged {
        let fix = "apply envoy/istio/strict-http.yaml, and also give it to lint; or, from Istio 1.31 on, set \
                   meshConfig.defaultConfig.connectionSettings.httpHeadersWithUnderscoresAction";
        find(Code::Underscores, action.unwrap_or(config), UNDERSCORES, fix);
    }
}

/// Checks a `ClientTrafficPolicy`: Envoy Gateway normalizes by default.
fn clients(spec: &Node, find: &mut Find<'_>) {
    let member = |part: &str, name: &str| spec.get(part).and_then(|part| part.get(name));
    let unchanged = member("path", "escapedSlashesAction").filter(|action| action.text() == Some("KeepUnchanged"));
    let unmerged = member("path", "disableMergeSlashes").filter(|off| off.tree == Tree::Bool(true));
    for node in unchanged.into_iter().chain(unmerged) {
        find(
            Code::PathNormalization,
            node,
            PATHS,
            "set escapedSlashesAction: RejectRequest, and remove disableMergeSlashes",
        );
    }
    if let Some(action) = member("headers", "withUnderscoresAction").filter(|action| action.text() == Some("Allow")) {
        find(Code::Underscores, action, UNDERSCORES, "set withUnderscoresAction: RejectRequest");
    }
}

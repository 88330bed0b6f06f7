//! Lints of replies that show callers why the gate denied a request. Envoy's response code details have the gate's reason,
//! which tells an expired key from an unknown one.

use super::code::Code;
use super::configuration::{field, is_set};
use super::finding::Finding;
use super::listener::Manager;
use crate::yaml::{Node, Tree};

/// The operator that Envoy replaces by the details (Envoy docs, "Command operators").
const OPERATOR: &str = "%RESPONSE_CODE_DETAILS";

/// Checks a connection manager with a gate.
pub(super) fn examine_manager(manager: &Manager<'_>, findings: &mut Vec<Finding>) {
    let message =
        "callers see why the gate denied a request: an expired or disabled key can be told from an unknown one";
    if let Some(status) = field(manager.node, "proxy_status_config").filter(|status| !is_set(status, "remove_details"))
    {
        findings.push(manager.find(Code::ShowsReason, Some(status), message, "set remove_details: true"));
    }
    // An access log is for operators.
    let members =
        manager.node.members().iter().filter(|(name, _)| !matches!(name.text.as_str(), "access_log" | "accessLog"));
    let mut shown = None;
    members.for_each(|(_, value)| find_operator(value, &mut shown));
    if let Some(text) = shown {
        let fix = "show it only in access logs, and remove it from replies and their headers";
        findings.push(manager.find(Code::ShowsReason, Some(text), message, fix));
    }
}

/// Finds the first text with the operator.
fn find_operator<'a>(node: &'a Node, found: &mut Option<&'a Node>) {
    if matches!(&node.tree, Tree::Text(text) if text.contains(OPERATOR)) && found.is_none() {
        *found = Some(node);
    }
    let members = node.members().iter().map(|(_, value)| value);
    members.chain(node.items()).for_each(|inner| find_operator(inner, found));
}

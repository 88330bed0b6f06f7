//! Connection managers of Envoy: what stands before and after the gate, and what they do to paths and headers.

use super::code::Code;
use super::configuration::{Source, field, is_enum, is_set, text_of, typed, walk};
use super::finding::{Finding, Place};
use super::gate::Gate;
use crate::yaml::Node;

/// A connection manager, and the listener that it is in.
pub(super) struct Manager<'a> {
    source: &'a Source,
    /// What configures it.
    pub(super) node: &'a Node,
    /// What configures the listener.
    pub(super) listener: Option<&'a Node>,
}

/// Takes a finding: its code, where it is if not at the whole, what is wrong, and the fix.
pub(super) type Find<'f> = dyn FnMut(Code, Option<&Node>, &str, &str) + 'f;

/// The connection managers of a file that have filters.
pub(super) fn managers_of(source: &Source) -> Vec<Manager<'_>> {
    let mut listeners: Vec<&Node> = Vec::new();
    let mut managers: Vec<Manager<'_>> = Vec::new();
    for document in &source.documents {
        walk(document, &mut |node| {
            if field(node, "filter_chains").or_else(|| field(node, "default_filter_chain")).is_some() {
                listeners.push(node);
            }
            let manager = typed(node).filter(|(kind, _)| kind.ends_with(".HttpConnectionManager"));
            if let Some((_, node)) = manager.filter(|(_, body)| field(body, "http_filters").is_some()) {
                managers.push(Manager {
                    source,
                    node,
                    listener: listeners.last().copied().filter(|listener| holds(listener, node)),
                });
            }
        });
    }
    managers
}

fn holds(outer: &Node, inner: &Node) -> bool {
    let mut found = false;
    walk(outer, &mut |node| found |= std::ptr::eq(node, inner));
    found
}

/// Looks at each. Whether there is a gate: in one of them, or elsewhere where none passes requests on.
pub(super) fn examine(managers: &[Manager<'_>], gates: &[Gate<'_>], findings: &mut Vec<Finding>) -> bool {
    let (gated, mut open): (Vec<_>, Vec<_>) =
        managers.iter().partition(|manager| manager.gates(gates).next().is_some());
    for manager in &gated {
        manager.chain(gates, findings);
        manager.paths(findings);
        let policies = manager.gates(gates).filter_map(|(_, gate)| gate?.taken.as_ref());
        for taken in policies.filter(|taken| !taken.document.trusted_networks.ranges.is_empty()) {
            manager.addresses(&taken.document, findings);
        }
    }
    open.retain(|manager| manager.router().is_some() && manager.passes_on());
    for manager in open.iter().filter(|_| !gated.is_empty()) {
        let message = "this listener has no gate, and another has one";
        let fix = "put a gate here too, if what is behind it is the same";
        findings.push(manager.find(Code::UngatedListener, None, message, fix));
    }
    shared_vms(gates, findings);
    !gated.is_empty() || (open.is_empty() && !gates.is_empty())
}

impl<'a> Manager<'a> {
    /// A finding at a part of it, or at the whole.
    pub(super) fn find(&self, code: Code, node: Option<&Node>, message: impl Into<String>, fix: &str) -> Finding {
        let at = node.or(Some(self.node)).and_then(|node| node.at);
        Finding::new(code, Place { file: self.source.file.clone(), at }, message, fix)
    }

    fn filters(&self) -> &'a [Node] {
        field(self.node, "http_filters").map(Node::items).unwrap_or_default()
    }

    fn router(&self) -> Option<usize> {
        self.filters().iter().position(|filter| {
            kind(filter).ends_with(".router.v3.Router") || text_of(filter, "name") == Some("envoy.filters.http.router")
        })
    }

    /// Whether a route leads to a cluster, as far as they are here.
    fn passes_on(&self) -> bool {
        let Some(routes) = field(self.node, "route_config") else { return true };
        let mut found = false;
        walk(routes, &mut |node| found |= field(node, "route").is_some());
        found
    }

    /// The gates among the filters, and inside them, with their numbers. What is in another file that was not given is a
    /// gate by its name.
    fn gates<'g>(&self, gates: &'g [Gate<'a>]) -> impl Iterator<Item = (usize, Option<&'g Gate<'a>>)> {
        self.filters().iter().enumerate().flat_map(move |(number, filter)| {
            let name = text_of(filter, "name").unwrap_or_default();
            let discovered = field(filter, "config_discovery").is_some();
            let is_here = |gate: &&Gate<'_>| holds(filter, gate.entry) || (discovered && gate.name == name);
            let mut found: Vec<_> = gates.iter().filter(is_here).map(|gate| (number, Some(gate))).collect();
            if found.is_empty() && discovered && name.contains("portcullis") {
                found.push((number, None));
            }
            found
        })
    }

    /// Whether a gate is among the filters.
    pub(super) fn has(&self, gate: &Gate<'a>, gates: &[Gate<'a>]) -> bool {
        self.gates(gates).any(|(_, one)| one.is_some_and(|one| std::ptr::eq(one, gate)))
    }

    fn chain(&self, gates: &[Gate<'a>], findings: &mut Vec<Finding>) {
        let here: Vec<_> = self.gates(gates).collect();
        let mut find =
            |code, node: &Node, message: String, fix: &str| findings.push(self.find(code, Some(node), message, fix));
        let first = here.first().map_or(0, |(number, _)| *number);
        for (number, filter) in self.filters().iter().enumerate() {
            let is_gate = here.iter().any(|(gate, _)| *gate == number);
            if is_gate && self.router().is_some_and(|router| router < number) {
                find(
                    Code::GateAfterRouter,
                    filter,
                    "the gate stands after the router, which must be the last: Envoy refuses that".into(),
                    "put it before the router",
                );
            }
            if number < first && may_answer(filter) {
                let message = format!(
                    "{} stands before the gate: whoever it answers by itself needs no key",
                    text_of(filter, "name").unwrap_or("a filter")
                );
                find(
                    Code::AnswersBeforeGate,
                    filter,
                    message,
                    "put it behind the gate, or see that it answers nothing that a key is for",
                );
            }
            let is_inside = |(_, gate): &&(usize, Option<&Gate<'_>>)| {
                gate.is_some_and(|gate| !std::ptr::eq(gate.entry, filter) && holds(filter, gate.entry))
            };
            if let Some((_, Some(gate))) = here.iter().find(is_inside) {
                let message = "the gate is inside another filter, which decides which requests it sees".into();
                find(Code::ConditionalGate, gate.entry, message, "make it a filter of its own");
            }
            let default = field(filter, "config_discovery").and_then(|discovery| field(discovery, "default_config"));
            let is_none = |default: &&Node| is_gate && Gate::of_filter(self.source, filter, default).is_none();
            if let Some(default) = default.filter(is_none) {
                let message = "this stands in for the gate until Envoy has it, and is none".into();
                let fix = "remove default_config: without it, requests get 500 until then";
                find(Code::UngatedDefault, default, message, fix);
            }
        }
        for pair in here.windows(2) {
            if let [(before, Some(one)), (number, _)] = pair
                && before != number
                && !one.forwards()
                && let Some(filter) = self.filters().get(*number)
            {
                find(Code::TwoGates, filter, two_gates(&one.name), TWO_GATES_FIX);
            }
        }
    }

    fn paths(&self, findings: &mut Vec<Finding>) {
        let is_one = |action: &Node, names: &[(&str, u64)]| names.iter().any(|(name, n)| is_enum(action, name, *n));
        let settle = [("REJECT_REQUEST", 2), ("UNESCAPE_AND_REDIRECT", 3), ("UNESCAPE_AND_FORWARD", 4)];
        let escapes = field(self.node, "path_with_escaped_slashes_action");
        let escapes = escapes.is_some_and(|action| is_one(action, &settle));
        let missing = [
            ("normalize_path: true", is_set(self.node, "normalize_path")),
            ("merge_slashes: true", is_set(self.node, "merge_slashes")),
            ("path_with_escaped_slashes_action: REJECT_REQUEST", escapes),
        ];
        let missing: Vec<_> = missing.iter().filter(|(_, is_there)| !is_there).map(|(setting, _)| *setting).collect();
        if !missing.is_empty() {
            let message = "`..`, `//` or `%2F` reach the gate and the service as they were sent; the gate weighs each \
                           reading of a path, and denies more than it must";
            let fix = format!("set {}", missing.join(", "));
            findings.push(self.find(Code::PathNormalization, None, message, &fix));
        }
        let action = field(self.node, "common_http_protocol_options")
            .and_then(|options| field(options, "headers_with_underscores_action"));
        if !action.is_some_and(|action| is_one(action, &[("REJECT_REQUEST", 1), ("DROP_HEADER", 2)])) {
            let message = "headers with underscores pass: x_api_key is another header than x-api-key to Envoy, and \
                           the same one to many services";
            let fix = "set common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}";
            findings.push(self.find(Code::Underscores, action, message, fix));
        }
    }
}

/// What two gates in a row do.
pub(super) fn two_gates(first: &str) -> String {
    format!("a second gate behind {first}, which takes the key out: this one then denies")
}

/// What to do about it.
pub(super) const TWO_GATES_FIX: &str = "have one, or give the first `upstream: {forward_credential: true}`";

/// The type of a filter.
pub(super) fn kind(filter: &Node) -> &str {
    field(filter, "typed_config").and_then(typed).map_or("", |(kind, _)| kind)
}

/// Filters that can answer a request with what is behind the gate, or let somebody else do so.
fn may_answer(filter: &Node) -> bool {
    const ANSWER: [&str; 8] =
        [".health_check.", ".cache.", ".cache_v2.", ".lua.", ".ext_proc.", ".wasm.", ".golang.", ".dynamic_modules."];
    ANSWER.iter().any(|part| kind(filter).contains(part))
}

/// Before Envoy 1.39, gates of one `vm_id` have one environment, that of the first.
fn shared_vms(gates: &[Gate<'_>], findings: &mut Vec<Finding>) {
    for (number, gate) in gates.iter().enumerate() {
        let Some((id, vm)) = gate.vm() else { continue };
        let variables = |vm: &Node| field(vm, "environment_variables").and_then(|node| node.to_json().ok());
        let differs = |other: &Gate<'_>| {
            other.vm().is_some_and(|(other_id, other)| id == other_id && variables(vm) != variables(other))
        };
        if gates.iter().take(number).any(differs) {
            let message = format!(
                "another gate has the vm_id {id:?} with other environment_variables: before Envoy 1.39 both see those \
                 of one"
            );
            findings.push(Finding::new(
                Code::SharedVm,
                gate.place(Some(vm)),
                message,
                "give each environment a vm_id of its own",
            ));
        }
    }
}

//! Connection managers of Envoy: the filters before and after the gate, and the requests that bypass it.

use super::code::Code;
use super::configuration::{Source, field, is_off, text_of, typed, walk};
use super::details;
use super::filters::{is_cors, may_answer, router_of, translates};
use super::finding::Finding;
use super::gate::Gate;
use super::normalization;
use crate::yaml::{Node, Place};

/// A connection manager and its listener. One without filters is a part that Istio merges into its own.
pub(super) struct Manager<'a> {
    source: &'a Source,
    /// Its configuration.
    pub(super) node: &'a Node,
    /// The configuration of the listener.
    pub(super) listener: Option<&'a Node>,
}

/// Adds a finding: its code, its node if it is not about the whole, the message, and the fix.
pub(super) type Find<'f> = dyn FnMut(Code, Option<&Node>, &str, &str) + 'f;

/// The connection managers of a file.
pub(super) fn managers_of(source: &Source) -> Vec<Manager<'_>> {
    let mut listeners: Vec<&Node> = Vec::new();
    let mut managers: Vec<Manager<'_>> = Vec::new();
    for document in &source.documents {
        walk(document, &mut |node| {
            if field(node, "filter_chains").or_else(|| field(node, "default_filter_chain")).is_some() {
                listeners.push(node);
            }
            if let Some((_, node)) = typed(node).filter(|(kind, _)| kind.ends_with(".HttpConnectionManager")) {
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

/// Whether a node is inside another one.
pub(super) fn holds(outer: &Node, inner: &Node) -> bool {
    let mut found = false;
    walk(outer, &mut |node| found |= std::ptr::eq(node, inner));
    found
}

/// Checks each connection manager. Returns whether there is a gate in one of them, or elsewhere if none forwards
/// requests.
pub(super) fn examine(
    sources: &[Source],
    managers: &[Manager<'_>],
    gates: &[Gate<'_>],
    findings: &mut Vec<Finding>,
) -> bool {
    let (whole, parts): (Vec<_>, Vec<_>) = managers.iter().partition(|manager| manager.is_whole());
    let (gated, mut open): (Vec<_>, Vec<_>) =
        whole.into_iter().partition(|manager| manager.gates(manager.filters(), gates).next().is_some());
    for manager in &gated {
        manager.chain(manager.filters(), gates, findings);
        manager.upgrade_chains(sources, gates, findings);
        manager.internal_redirects(gates, findings);
        manager.updates(gates, findings);
        normalization::examine_manager(manager, findings);
        details::examine_manager(manager, findings);
        let policies = gates.iter().filter(|gate| manager.has(gate, gates)).filter_map(|gate| gate.accepted.as_ref());
        for accepted in policies.filter(|accepted| !accepted.document.trusted_networks.ranges.is_empty()) {
            manager.addresses(&accepted.document, findings);
        }
    }
    for part in parts.iter().filter(|_| !gates.is_empty()) {
        part.upgrade_chains(sources, gates, findings);
        normalization::examine_manager(part, findings);
    }
    open.retain(|manager| manager.router().is_some() && manager.passes_on());
    for manager in open.iter().filter(|_| !gated.is_empty()) {
        let beside =
            |gated: &&&Manager<'_>| gated.listener.zip(manager.listener).is_some_and(|(a, b)| std::ptr::eq(a, b));
        let message = match gated.iter().find(beside) {
            Some(_) => "this filter chain has no gate, but another one of its listener has",
            None => "this listener has no gate, but another one has",
        };
        let fix = "add a gate here too, if it leads to the same services";
        findings.push(manager.find(Code::UngatedListener, None, message, fix));
    }
    let clusters: Vec<&str> = gated.iter().flat_map(|manager| manager.clusters()).collect();
    sources.iter().for_each(|source| unfiltered(source, &clusters, findings));
    !gated.is_empty() || (open.is_empty() && !gates.is_empty())
}

/// Finds TCP proxies to clusters that have a gate in front of them elsewhere.
fn unfiltered(source: &Source, clusters: &[&str], findings: &mut Vec<Finding>) {
    for document in &source.documents {
        walk(document, &mut |node| {
            let Some((_, proxy)) = typed(node).filter(|(kind, _)| kind.ends_with(".TcpProxy")) else { return };
            if let Some(cluster) = clusters_of(proxy).into_iter().find(|cluster| clusters.contains(cluster)) {
                let message = format!(
                    "connections here reach {cluster} over TCP without a gate, but elsewhere a gate is in front of it"
                );
                let fix = "remove it, or restrict who can connect: HTTP filters do not run here";
                let place = Place { file: source.file.clone(), at: proxy.at };
                findings.push(Finding::new(Code::UngatedListener, place, message, fix));
            }
        });
    }
}

/// The clusters that a route or a TCP proxy names.
fn clusters_of(route: &Node) -> Vec<&str> {
    let weighted = field(route, "weighted_clusters").and_then(|weighted| field(weighted, "clusters"));
    let weighted = weighted.map(Node::items).unwrap_or_default().iter().filter_map(|one| text_of(one, "name"));
    text_of(route, "cluster").into_iter().chain(weighted).collect()
}

impl<'a> Manager<'a> {
    /// A finding at a part of it, or at the whole.
    pub(super) fn find(&self, code: Code, node: Option<&Node>, message: impl Into<String>, fix: &str) -> Finding {
        let at = node.or(Some(self.node)).and_then(|node| node.at);
        Finding::new(code, Place { file: self.source.file.clone(), at }, message, fix)
    }

    /// Whether it has filters.
    pub(super) fn is_whole(&self) -> bool {
        field(self.node, "http_filters").is_some()
    }

    fn filters(&self) -> &'a [Node] {
        field(self.node, "http_filters").map(Node::items).unwrap_or_default()
    }

    fn router(&self) -> Option<usize> {
        router_of(self.filters())
    }

    /// The upgrades, with the filters that replace `http_filters` for them, if any.
    fn upgrades(&self) -> impl Iterator<Item = (&'a Node, &'a [Node])> {
        let upgrades = field(self.node, "upgrade_configs").map(Node::items).unwrap_or_default();
        upgrades.iter().map(|upgrade| (upgrade, field(upgrade, "filters").map(Node::items).unwrap_or_default()))
    }

    /// Checks the separate filters of upgrades. A disabled upgrade counts if a route enables it.
    fn upgrade_chains(&self, sources: &[Source], gates: &[Gate<'a>], findings: &mut Vec<Finding>) {
        let is_open = |upgrade: &Node| !is_off(upgrade, "enabled") || is_enabled_by_a_route(upgrade, sources);
        let own = self.upgrades().filter(|(upgrade, filters)| !filters.is_empty() && is_open(upgrade));
        for (upgrade, filters) in own {
            if self.gates(filters, gates).next().is_some() {
                self.chain(filters, gates, findings);
                continue;
            }
            let message = format!(
                "requests with the upgrade {} run only through these filters, and the gate is not among them: no key \
                 is needed",
                text_of(upgrade, "upgrade_type").unwrap_or_default()
            );
            let fix =
                "remove filters, so that the upgrade runs through http_filters, or add the gate as the first of them";
            findings.push(self.find(Code::UngatedUpgrade, field(upgrade, "filters"), message, fix));
        }
    }

    /// Finds routes with internal redirects, which run the filters again, but without the key.
    fn internal_redirects(&self, gates: &[Gate<'a>], findings: &mut Vec<Finding>) {
        if self.gates(self.filters(), gates).all(|(_, gate)| gate.is_some_and(Gate::forwards)) {
            return;
        }
        walk(self.node, &mut |node| {
            let policy = field(node, "route").and_then(|route| field(route, "internal_redirect_policy"));
            if let Some(policy) = policy {
                let message = "an internal redirect runs the gate again, which has removed the key: the redirected request \
                               is denied, unless its path is public";
                let fix =
                    "let the client follow redirects (remove internal_redirect_policy), or make the targets public";
                findings.push(self.find(Code::InternalRedirect, Some(policy), message, fix));
            }
        });
    }

    /// Finds a gate whose policy is a part of a listener that Envoy receives: an update then leaves the connections that
    /// are open with the old policy.
    fn updates(&self, gates: &[Gate<'a>], findings: &mut Vec<Finding>) {
        let limit = field(self.node, "common_http_protocol_options")
            .and_then(|options| field(options, "max_connection_duration"));
        let is_received = |document: &Node| field(document, "resources").is_some_and(|all| holds(all, self.node));
        if limit.is_some() || !self.source.documents.iter().any(is_received) {
            return;
        }
        for (number, gate) in self.gates(self.filters(), gates) {
            let filter = self.filters().get(number);
            if gate.is_some() && filter.is_some_and(|filter| field(filter, "config_discovery").is_none()) {
                let message = "when this listener is replaced, open connections keep the old policy until they are drained \
                               (after up to 10 minutes): there, a removed key still works";
                let fix = "load the gate with config_discovery (portcullis render filter --ecds), or set \
                           max_connection_duration and Envoy's --drain-time-s";
                findings.push(self.find(Code::OldConnections, filter, message, fix));
            }
        }
    }

    /// The clusters that its routes name, as far as the routes are in this file.
    fn clusters(&self) -> Vec<&'a str> {
        let mut found = Vec::new();
        if let Some(routes) = field(self.node, "route_config") {
            walk(routes, &mut |node| found.extend(field(node, "route").map(clusters_of).unwrap_or_default()));
        }
        found
    }

    /// Whether a route leads to a cluster, as far as the routes are in this file.
    fn passes_on(&self) -> bool {
        let Some(routes) = field(self.node, "route_config") else { return true };
        let mut found = false;
        walk(routes, &mut |node| found |= field(node, "route").is_some());
        found
    }

    /// The gates among and inside filters, with the position of the filter. A gate in a file that was not given is
    /// recognized by its name.
    fn gates<'g>(
        &self,
        filters: &'a [Node],
        gates: &'g [Gate<'a>],
    ) -> impl Iterator<Item = (usize, Option<&'g Gate<'a>>)> {
        filters.iter().enumerate().flat_map(move |(number, filter)| {
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

    /// Whether a gate is among the filters or among those of an upgrade.
    pub(super) fn has(&self, gate: &Gate<'a>, gates: &[Gate<'a>]) -> bool {
        let chains = self.upgrades().map(|(_, filters)| filters).chain([self.filters()]);
        chains
            .flat_map(|filters| self.gates(filters, gates))
            .any(|(_, one)| one.is_some_and(|one| std::ptr::eq(one, gate)))
    }

    /// Checks a chain of filters that contains a gate.
    fn chain(&self, filters: &'a [Node], gates: &[Gate<'a>], findings: &mut Vec<Finding>) {
        let here: Vec<_> = self.gates(filters, gates).collect();
        let mut find =
            |code, node: &Node, message: String, fix: &str| findings.push(self.find(code, Some(node), message, fix));
        let first = here.first().map_or(0, |(number, _)| *number);
        for (number, filter) in filters.iter().enumerate() {
            let is_gate = here.iter().any(|(gate, _)| *gate == number);
            if is_gate && router_of(filters).is_some_and(|router| router < number) {
                find(
                    Code::GateAfterRouter,
                    filter,
                    "the gate is after the router, which must be the last filter: Envoy refuses this".into(),
                    "move it before the router",
                );
            }
            if number < first && may_answer(filter) {
                let message = format!(
                    "{} is before the gate: requests that it answers itself need no key",
                    text_of(filter, "name").unwrap_or("a filter")
                );
                find(
                    Code::AnswersBeforeGate,
                    filter,
                    message,
                    "move it after the gate, or make sure that it answers nothing that needs a key",
                );
            }
            let is_behind = |(gate, _): &&(usize, Option<&Gate<'_>>)| *gate < number;
            if let Some(what) = translates(filter)
                .filter(|_| here.iter().filter(is_behind).filter_map(|(_, gate)| *gate).any(Gate::tells_paths_apart))
            {
                let message =
                    format!("{what}, but after the gate, whose rules and protected paths apply to the request as sent");
                let fix = "move it before the gate, or also write protected paths and rules (without methods) for \
                           /package.Service/Method";
                find(Code::TranslatesAfterGate, filter, message, fix);
            }
            if first < number && is_cors(filter) {
                let message = "the CORS filter is after the gate: it does not add its headers to the gate's replies, so web \
                               pages cannot read a 401, and preflights need a key";
                find(Code::CorsAfterGate, filter, message.into(), "move it before the gate");
            }
            let is_inside = |(_, gate): &&(usize, Option<&Gate<'_>>)| {
                gate.is_some_and(|gate| !std::ptr::eq(gate.entry, filter) && holds(filter, gate.entry))
            };
            if let Some((_, Some(gate))) = here.iter().find(is_inside) {
                let message = "the gate is inside another filter, which decides for which requests it runs".into();
                find(Code::ConditionalGate, gate.entry, message, "make it a separate filter");
            }
            let default = field(filter, "config_discovery").and_then(|discovery| field(discovery, "default_config"));
            let is_none = |default: &&Node| is_gate && Gate::of_filter(self.source, filter, default).is_none();
            if let Some(default) = default.filter(is_none) {
                let message = "this replaces the gate until Envoy has received it, but is not a gate".into();
                let fix = "remove default_config: without it, requests get 500 until then";
                find(Code::UngatedDefault, default, message, fix);
            }
        }
        for pair in here.windows(2) {
            if let [(before, Some(one)), (number, _)] = pair
                && before != number
                && !one.forwards()
                && let Some(filter) = filters.get(*number)
            {
                find(Code::TwoGates, filter, two_gates(&one.name), TWO_GATES_FIX);
            }
        }
    }
}

/// Whether a route enables an upgrade that the connection manager has disabled.
fn is_enabled_by_a_route(upgrade: &Node, sources: &[Source]) -> bool {
    let wanted = text_of(upgrade, "upgrade_type").unwrap_or_default();
    let asks = |one: &Node| {
        !is_off(one, "enabled") && text_of(one, "upgrade_type").is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    };
    let mut found = false;
    for document in sources.iter().flat_map(|source| &source.documents) {
        walk(document, &mut |node| {
            let upgrades = field(node, "route").and_then(|route| field(route, "upgrade_configs"));
            found |= upgrades.map(Node::items).unwrap_or_default().iter().any(asks);
        });
    }
    found
}

/// The message about two gates in a row.
pub(super) fn two_gates(first: &str) -> String {
    format!("second gate after {first}, which removes the key: this one then denies every request")
}

/// The mode to set, or another action about it.
pub(super) const TWO_GATES_FIX: &str = "keep one of them, or set `upstream: {forward_credential: true}` in the first";

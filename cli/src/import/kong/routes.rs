//! What Kong routes, and which plugins run there: the most special one of each name counts.

use std::collections::HashMap;

use crate::import::found::{Found, shown};
use crate::yaml::{Node, Position, Tree};

/// The routes of a configuration, and its plugins.
pub(super) struct Routing<'a> {
    /// The routes.
    pub(super) routes: Vec<Route<'a>>,
    plugins: Vec<Plugin<'a>>,
}

/// A route.
pub(super) struct Route<'a> {
    /// Where it stands.
    pub(super) at: Option<Position>,
    /// Its prefixes: `/` where it names none.
    pub(super) prefixes: Vec<Prefix>,
    /// Its methods: all where there are none.
    pub(super) methods: Vec<String>,
    /// Whether more than path and method decide: host, header, address.
    pub(super) narrowed: bool,
    service: Option<usize>,
    node: &'a Node,
}

/// The paths of a route.
pub(super) struct Prefix {
    /// The prefix; of a regular expression, the part before it.
    pub(super) text: String,
    /// Whether a regular expression follows.
    pub(super) is_regex: bool,
}

/// Plugins that are not about keys and turn nobody away for who they are. Any other, such as `jwt`, may guard what it runs on.
const LETS_ALL_IN: [&str; 23] = [
    "correlation-id",
    "cors",
    "datadog",
    "file-log",
    "grpc-gateway",
    "grpc-web",
    "http-log",
    "loggly",
    "opentelemetry",
    "prometheus",
    "proxy-cache",
    "proxy-cache-advanced",
    "rate-limiting",
    "rate-limiting-advanced",
    "request-size-limiting",
    "request-transformer",
    "response-ratelimiting",
    "response-transformer",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

/// A plugin that is switched on, and may turn callers away.
#[derive(Clone, Copy)]
pub(super) struct Plugin<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Where it stands.
    pub(super) at: Option<Position>,
    node: &'a Node,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everywhere,
    Service(usize),
    Route(usize),
}

impl<'a> Plugin<'a> {
    /// A member of its configuration.
    pub(super) fn config(&self, name: &str) -> Option<&'a Node> {
        self.node.get("config")?.get(name).filter(|node| node.tree != Tree::Null)
    }

    /// Whether a member of its configuration is true.
    pub(super) fn is_on(&self, name: &str, default: bool) -> bool {
        match self.config(name).map(|node| &node.tree) {
            Some(Tree::Bool(value)) => *value,
            _ => default,
        }
    }

    /// Says of every member of its configuration but the known ones that it is not taken.
    pub(super) fn leave_unknown(&self, known: &[&str], found: &mut Found) {
        if let Some(config) = self.node.get("config") {
            found.leave_unknown(config, "config", known);
        }
    }
}

impl<'a> Routing<'a> {
    /// Reads services, routes and plugins.
    pub(super) fn read(node: &'a Node, found: &mut Found) -> Self {
        let mut routing = Self { routes: Vec::new(), plugins: Vec::new() };
        let mut services = HashMap::new();
        let mut owners: Vec<(Scope, &Node)> = vec![(Scope::Everywhere, node)];
        for (index, service) in items(node, "services").iter().enumerate() {
            services.extend(handles(service).map(|handle| (handle, index)));
            owners.push((Scope::Service(index), service));
            for route in items(service, "routes") {
                routing.routes.push(Route::read(route, Some(index)));
            }
        }
        for route in items(node, "routes") {
            let service = reference(route, "service").and_then(|name| services.get(name).copied());
            routing.routes.push(Route::read(route, service));
        }
        let mut routes = HashMap::new();
        for (index, route) in routing.routes.iter().enumerate() {
            routes.extend(handles(route.node).map(|handle| (handle, index)));
            owners.push((Scope::Route(index), route.node));
        }
        for (scope, owner) in owners {
            for plugin in items(owner, "plugins") {
                let scope = match (reference(plugin, "route"), reference(plugin, "service")) {
                    (Some(route), _) => routes.get(route).copied().map(Scope::Route),
                    (None, Some(service)) => services.get(service).copied().map(Scope::Service),
                    (None, None) => Some(scope),
                };
                routing.plugin(plugin, scope, found);
            }
        }
        for consumer in items(node, "consumers") {
            for plugin in items(consumer, "plugins") {
                found.leave(plugin.at, "a plugin of one consumer");
            }
        }
        routing
    }

    fn plugin(&mut self, node: &'a Node, scope: Option<Scope>, found: &mut Found) {
        let Some(name) = node.get("name").and_then(Node::text) else {
            return found.leave(node.at, "a plugin without a name");
        };
        let plugin = format!("the plugin {}", shown(name));
        if node.get("enabled").is_some_and(|enabled| enabled.tree == Tree::Bool(false)) {
            return found.note(node.at, format!("{plugin} is switched off"));
        }
        if node.get("consumer").is_some_and(|consumer| consumer.tree != Tree::Null) {
            return found.leave(node.at, format!("{plugin} of one consumer"));
        }
        if LETS_ALL_IN.contains(&name) {
            return found.leave(node.at, format!("{plugin}: not about keys"));
        }
        if !matches!(name, "key-auth" | "acl") {
            found.leave(node.at, format!("{plugin}: not about keys; nothing is public where it runs"));
        }
        match scope {
            Some(scope) => self.plugins.push(Plugin { name, at: node.at, node, scope }),
            None => found.leave(node.at, format!("{plugin}: its route or service is not in this file")),
        }
    }

    /// Every plugin of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Plugin<'a>> {
        self.plugins.iter().filter(move |plugin| plugin.name == name)
    }

    /// The one that runs everywhere, but where there is a more special one.
    pub(super) fn everywhere(&self, name: &str) -> Option<&Plugin<'a>> {
        self.all(name).find(|plugin| plugin.scope == Scope::Everywhere)
    }

    /// The one that runs on this route.
    pub(super) fn on(&self, name: &str, index: usize) -> Option<&Plugin<'a>> {
        self.scopes(index).find_map(|scope| self.all(name).find(|plugin| plugin.scope == scope))
    }

    /// Whether nothing that runs on this route may turn a caller away. An acl without `key-auth` lets nobody in.
    pub(super) fn is_open(&self, index: usize) -> bool {
        !self.scopes(index).any(|scope| self.plugins.iter().any(|plugin| plugin.scope == scope))
    }

    /// Where a plugin may stand that runs on this route, the most special place first.
    fn scopes(&self, index: usize) -> impl Iterator<Item = Scope> {
        let service = self.routes.get(index).and_then(|route| route.service).map(Scope::Service);
        [Some(Scope::Route(index)), service, Some(Scope::Everywhere)].into_iter().flatten()
    }
}

impl<'a> Route<'a> {
    fn read(node: &'a Node, service: Option<usize>) -> Self {
        let texts =
            |name| items(node, name).iter().filter_map(|item| item.text().map(str::to_owned)).collect::<Vec<_>>();
        let given =
            |name: &str| node.get(name).is_some_and(|node| !node.items().is_empty() || !node.members().is_empty());
        let mut prefixes: Vec<Prefix> = texts("paths").iter().map(|path| Prefix::read(path)).collect();
        if prefixes.is_empty() {
            // A route of the expressions router says where it applies in a language of its own.
            prefixes.push(Prefix { text: "/".to_owned(), is_regex: node.get("expression").is_some() });
        }
        let narrowed = ["hosts", "headers", "snis", "sources", "destinations"].into_iter().any(given);
        Self { at: node.at, prefixes, methods: texts("methods"), narrowed, service, node }
    }
}

impl Prefix {
    /// Kong 3 marks a regular expression with `~`; before, one was known by its characters.
    fn read(path: &str) -> Self {
        let (text, marked) = path.strip_prefix('~').map_or((path, false), |rest| (rest, true));
        let special = text
            .find(|c| "\\^$.|?*+()[]{}".contains(c))
            .filter(|_| marked || text.contains(['(', '[', '\\', '*', '+', '^', '$', '|', '?']));
        let Some(literal) = special.and_then(|end| text.get(..end)) else {
            return Self { text: text.to_owned(), is_regex: marked };
        };
        // The last segment goes on in the expression.
        let whole = literal.rfind('/').and_then(|end| literal.get(..=end)).unwrap_or("/");
        Self { text: whole.to_owned(), is_regex: true }
    }
}

fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    node.get(name).map(Node::items).unwrap_or_default()
}

fn handles(node: &Node) -> impl Iterator<Item = &str> {
    ["name", "id"].into_iter().filter_map(|name| node.get(name).and_then(Node::text))
}

/// What another entity is called here: its name, or an object with its name or id.
fn reference<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let reference = node.get(name)?;
    reference.text().or_else(|| handles(reference).next())
}

//! Kong's routes, and the plugins that run on them: the most specific one of each name counts.

use std::collections::{HashMap, HashSet};

use super::reference::{NAMES, Reference, Services, handles, reference};
use super::route::Route;
use crate::import::discovered::{Discovered, shown};
use crate::yaml::{Node, Position, Tree};

/// The routes of a configuration, and its plugins.
pub(super) struct Routing<'a> {
    /// The routes.
    pub(super) routes: Vec<Route<'a>>,
    plugins: Vec<Plugin<'a>>,
    services: Services<'a>,
    /// Whether a plugin that may reject callers runs on something that is not in this file. That may be any route,
    /// since the file may refer to it by another name.
    guards_elsewhere: bool,
}

/// Plugins that do not reject callers by their identity. Any other plugin, such as `jwt`, may guard its routes.
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

/// An enabled plugin that may reject callers.
#[derive(Clone, Copy)]
pub(super) struct Plugin<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its position.
    pub(super) at: Option<Position>,
    node: &'a Node,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Everywhere,
    Service(usize),
    Route(usize),
    /// On something that is not in this file.
    Elsewhere,
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

    /// Reports every unknown member of its configuration as not imported.
    pub(super) fn leave_unknown(&self, known: &[&str], discovered: &mut Discovered) {
        if let Some(config) = self.node.get("config") {
            discovered.leave_unknown(config, "config", known);
        }
    }
}

impl<'a> Routing<'a> {
    /// Reads services, routes and plugins.
    pub(super) fn read(node: &'a Node, discovered: &mut Discovered) -> Self {
        let mut services = Services::read(node);
        let mut routes = Vec::new();
        let mut owners: Vec<(Scope, &Node)> = vec![(Scope::Everywhere, node)];
        for (number, service) in node.items_of("services").iter().enumerate() {
            owners.push((Scope::Service(number), service));
            routes.extend(service.items_of("routes").iter().map(|route| Route::read(route, Some(number))));
        }
        routes.extend(node.items_of("routes").iter().map(|route| Route::read(route, services.of(route))));
        let mut routing = Self { routes, plugins: Vec::new(), services, guards_elsewhere: false };
        let mut numbers = HashMap::new();
        for (number, route) in routing.routes.iter().enumerate() {
            numbers.extend(handles(route.node, &NAMES).map(|handle| (handle, number)));
            owners.push((Scope::Route(number), route.node));
        }
        let some = |entities, names: &[&'static str]| {
            node.items_of(entities).iter().flat_map(|one| handles(one, names)).collect::<HashSet<_>>()
        };
        let callers = [
            ("consumer", some("consumers", &["username", "custom_id", "id"])),
            ("consumer_group", some("consumer_groups", &NAMES)),
        ];
        for (owner_scope, owner) in owners {
            for plugin in owner.items_of("plugins") {
                let scope = match (reference(plugin, "route"), reference(plugin, "service")) {
                    (Reference::Missing, Reference::Missing) => owner_scope,
                    (Reference::To(route), _) => {
                        numbers.get(route).map_or(Scope::Elsewhere, |route| Scope::Route(*route))
                    }
                    (Reference::Missing, Reference::To(service)) => routing
                        .services
                        .numbers
                        .get(service)
                        .map_or(Scope::Elsewhere, |service| Scope::Service(*service)),
                    _ => Scope::Elsewhere,
                };
                routing.plugin(plugin, scope, &callers, discovered);
            }
        }
        for consumer in node.items_of("consumers") {
            for plugin in consumer.items_of("plugins") {
                discovered.leave(plugin.at, "a plugin of one consumer");
            }
        }
        routing
    }

    fn plugin(&mut self, node: &'a Node, scope: Scope, callers: &[(&str, HashSet<&str>)], discovered: &mut Discovered) {
        let Some(name) = node.get("name").and_then(Node::text) else {
            self.guards_elsewhere = true;
            return discovered.leave(node.at, "a plugin without a name: no route is public");
        };
        let plugin = format!("the plugin {}", shown(name));
        if node.get("enabled").is_some_and(|enabled| enabled.tree == Tree::Bool(false)) {
            return discovered.note(node.at, format!("{plugin} is disabled"));
        }
        if LETS_ALL_IN.contains(&name) {
            return discovered.leave(node.at, format!("{plugin}: not about keys"));
        }
        let mut is_here = match scope {
            Scope::Elsewhere => false,
            Scope::Service(number) => self.services.is_here(number),
            Scope::Everywhere | Scope::Route(_) => true,
        };
        let mut of_some = None;
        for (kind, known) in callers {
            match reference(node, kind) {
                Reference::Missing => continue,
                Reference::To(name) => is_here &= known.contains(name),
                Reference::Unclear => is_here = false,
            }
            of_some = Some(kind);
        }
        if !is_here {
            self.guards_elsewhere = true;
            let message = "its service, route or consumer is not in this file, so no route is public: import a file \
                           that has both";
            discovered.leave(node.at, format!("{plugin}: {message}"));
        }
        match of_some {
            Some(kind) if is_here => {
                return discovered.leave(node.at, format!("{plugin} of one {}", kind.replace('_', " ")));
            }
            Some(_) => return,
            None if is_here && !matches!(name, "key-auth" | "acl") => {
                discovered.leave(node.at, format!("{plugin}: not about keys; no route with it is public"));
            }
            None => {}
        }
        self.plugins.push(Plugin { name, at: node.at, node, scope });
    }

    /// Every plugin of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Plugin<'a>> {
        self.plugins.iter().filter(move |plugin| plugin.name == name)
    }

    /// Every plugin that may reject callers.
    pub(super) fn guards(&self) -> impl Iterator<Item = &Plugin<'a>> {
        self.plugins.iter()
    }

    /// Whether another file may have plugins for a route of this file, or the other way round.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.guards_elsewhere || self.services.are_elsewhere()
    }

    /// The plugin that runs everywhere, except where there is a more specific one.
    pub(super) fn everywhere(&self, name: &str) -> Option<&Plugin<'a>> {
        self.all(name).find(|plugin| plugin.scope == Scope::Everywhere)
    }

    /// A plugin that runs on something that is not in this file.
    pub(super) fn elsewhere(&self, name: &str) -> Option<&Plugin<'a>> {
        self.all(name).find(|plugin| plugin.scope == Scope::Elsewhere)
    }

    /// The plugin that runs on this route according to this file.
    pub(super) fn on(&self, name: &str, index: usize) -> Option<&Plugin<'a>> {
        self.scopes(index).find_map(|scope| self.all(name).find(|plugin| plugin.scope == scope))
    }

    /// Why another file may have a plugin of that name for this route, which would take precedence.
    pub(super) fn hidden(&self, name: &str, index: usize) -> Option<&'static str> {
        let service = self.routes.get(index).and_then(|route| route.service);
        let service = service.filter(|number| !self.services.is_here(*number)).map(Scope::Service);
        let is_known = |scope: Scope| self.all(name).any(|plugin| plugin.scope == scope);
        if is_known(Scope::Route(index)) {
            None
        } else if self.elsewhere(name).is_some() {
            Some("a plugin runs on a route or a service that is not in this file, and may be this one")
        } else {
            service.filter(|service| !is_known(*service)).map(|_| SERVICE_ELSEWHERE)
        }
    }

    /// Whether no plugin of this file on this route may reject a caller. An acl without `key-auth` rejects every
    /// caller.
    pub(super) fn is_unguarded(&self, index: usize) -> bool {
        !self.scopes(index).any(|scope| self.plugins.iter().any(|plugin| plugin.scope == scope))
    }

    /// Why a route that is unguarded in this file may still be guarded.
    pub(super) fn doubt(&self, index: usize) -> Option<&'static str> {
        let service = self.routes.get(index).and_then(|route| route.service);
        if service.is_some_and(|number| !self.services.is_here(number)) {
            return Some(SERVICE_ELSEWHERE);
        }
        self.guards_elsewhere.then_some("a plugin runs on something that is not in this file, and may be this route")
    }

    /// The scopes of plugins that run on this route, the most specific first.
    fn scopes(&self, index: usize) -> impl Iterator<Item = Scope> {
        let service = self.routes.get(index).and_then(|route| route.service).map(Scope::Service);
        [Some(Scope::Route(index)), service, Some(Scope::Everywhere)].into_iter().flatten()
    }
}

const SERVICE_ELSEWHERE: &str = "its service is not in this file, so its plugins are unknown";

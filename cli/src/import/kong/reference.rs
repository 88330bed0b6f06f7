//! References between Kong's entities, and the services that routes refer to.

use std::collections::HashMap;

use super::route::is_given;
use crate::yaml::Node;

/// A reference from one entity to another.
pub(super) enum Reference<'a> {
    /// Nothing.
    Missing,
    /// Its name or its id.
    To(&'a str),
    /// Something else, which may refer to any entity.
    Unclear,
}

/// The services: first those of the file, then those that a route names and that are in another file.
pub(super) struct Services<'a> {
    /// The number of each, by name and id.
    pub(super) numbers: HashMap<&'a str, usize>,
    here: usize,
    all: usize,
}

impl<'a> Services<'a> {
    /// Those of the file.
    pub(super) fn read(node: &'a Node) -> Self {
        let services = node.items_of("services");
        let named = services.iter().enumerate();
        let numbers = named.flat_map(|(number, service)| handles(service, &NAMES).map(move |name| (name, number)));
        Self { numbers: numbers.collect(), here: services.len(), all: services.len() }
    }

    /// The service of a route. One that is not in this file gets a number too, and plugins that name it run on the
    /// route.
    pub(super) fn of(&mut self, route: &'a Node) -> Option<usize> {
        let known = match reference(route, "service") {
            Reference::Missing => return None,
            Reference::To(name) => Some(*self.numbers.entry(name).or_insert(self.all)),
            Reference::Unclear => None,
        };
        let number = known.unwrap_or(self.all);
        self.all = self.all.max(number.saturating_add(1));
        Some(number)
    }

    /// Whether it is in this file.
    pub(super) fn is_here(&self, number: usize) -> bool {
        number < self.here
    }

    /// Whether a route names one that is not in this file.
    pub(super) fn are_elsewhere(&self) -> bool {
        self.all > self.here
    }
}

/// The members by which most entities are referred to.
pub(super) const NAMES: [&str; 2] = ["name", "id"];

/// The names by which an entity is referred to.
pub(super) fn handles<'a>(node: &'a Node, names: &[&'static str]) -> impl Iterator<Item = &'a str> {
    names.iter().filter_map(|name| node.get(name).and_then(Node::text)).collect::<Vec<_>>().into_iter()
}

/// Reads a reference: a name, or an object with a name or id.
pub(super) fn reference<'a>(node: &'a Node, name: &str) -> Reference<'a> {
    let Some(reference) = node.get(name).filter(|node| is_given(node)) else { return Reference::Missing };
    let handle = reference.text().or_else(|| handles(reference, &["name", "username", "id"]).next());
    handle.map_or(Reference::Unclear, Reference::To)
}

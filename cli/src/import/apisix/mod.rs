//! Imports consumers and `key-auth` of APISIX: from its standalone file, from what the Admin API replies, from the file of
//! ADC, and from the resources of its ingress controller.

mod credentials;
mod entities;
mod plugins;

use anyhow::Result;

use super::discovered::Discovered;
use super::kubernetes::{kind, objects};
use super::source::Source;
use credentials::Credentials;
use entities::Entities;
use plugins::Plugins;

/// Reads the documents.
///
/// # Errors
/// If a document is invalid, or if there is neither a consumer nor a plugin among them.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let objects = objects(source)?;
    let mut discovered = Discovered::default();
    let mut credentials = Credentials::default();
    let mut plugins = Plugins::default();
    for object in &objects {
        match kind(object) {
            "" => {
                let entities = Entities::read(object);
                entities.consumers.into_iter().for_each(|consumer| credentials.of_entity(&consumer, &mut discovered));
                entities.others.into_iter().for_each(|other| plugins.search(other, None));
            }
            "Secret" => {}
            "ApisixConsumer" | "Consumer" => credentials.of_resource(object, &objects, &mut discovered),
            _ => plugins.search(object, None),
        }
    }
    if credentials.is_empty() && plugins.is_empty() {
        return Err(source.not_a("a configuration of APISIX: it has no consumer with key-auth and no such plugin"));
    }
    let places = plugins.settings(&mut discovered);
    credentials.push(places, &mut discovered);
    Ok(discovered)
}

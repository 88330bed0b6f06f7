//! Imports from Envoy Gateway: Secrets with a key for each client, and the SecurityPolicy with the key sources.

use anyhow::{Result, bail};

use super::api_key_auth::{set_sources, set_upstream};
use super::discovered::{Discovered, DiscoveredKey};
use super::kubernetes::{Reference, kind, metadata, objects, texts};
use super::source::Source;
use crate::yaml::Node;

/// Reads the documents.
///
/// # Errors
/// If there is neither a Secret nor a SecurityPolicy among them, or more than one policy.
pub(super) fn find(source: &Source) -> Result<Discovered> {
    let objects = objects(source)?;
    let policies: Vec<&Node> = objects.iter().filter(|object| kind(object) == "SecurityPolicy").collect();
    let (with_keys, others): (Vec<&Node>, Vec<&Node>) = policies.into_iter().partition(|policy| auth(policy).is_some());
    let mut discovered = Discovered::default();
    for policy in others {
        discovered.leave(policy.at, "a SecurityPolicy without apiKeyAuth");
    }
    let references = match with_keys.as_slice() {
        [] => None,
        [policy] => security_policy(policy, &mut discovered),
        [first, second, ..] => bail!(
            "{} has several SecurityPolicies with apiKeyAuth ({} and {}): import one of them at a time",
            source.name,
            source.place(first.at),
            source.place(second.at)
        ),
    };
    let secrets: Vec<&Node> = objects.iter().filter(|object| kind(object) == "Secret").collect();
    if secrets.is_empty() && with_keys.is_empty() {
        bail!("{} has no Secret and no SecurityPolicy with apiKeyAuth", source.name);
    }
    for object in &objects {
        if !matches!(kind(object), "Secret" | "SecurityPolicy") {
            discovered.leave(object.at, "neither a Secret nor a SecurityPolicy");
        }
    }
    let mut clients = Vec::new();
    match &references {
        // If a client has two keys, the order of the references decides which one counts.
        Some(references) => {
            for reference in references {
                match secrets.iter().find(|secret| reference.is_to(secret)) {
                    Some(secret) => keys(secret, &mut clients, &mut discovered),
                    None => discovered.leave(
                        reference.at,
                        "credentialRefs names a Secret that is not in this file: its keys are missing",
                    ),
                }
            }
            for secret in secrets {
                if !references.iter().any(|reference| reference.is_to(secret)) {
                    discovered.leave(secret.at, "a Secret that the SecurityPolicy does not name");
                }
            }
        }
        None => secrets.into_iter().for_each(|secret| keys(secret, &mut clients, &mut discovered)),
    }
    Ok(discovered)
}

fn auth(policy: &Node) -> Option<&Node> {
    policy.get("spec")?.get("apiKeyAuth")
}

/// The references of a SecurityPolicy: to Secrets in its own namespace, unless they name another.
fn security_policy<'a>(policy: &'a Node, discovered: &mut Discovered) -> Option<Vec<Reference<'a>>> {
    let auth = auth(policy)?;
    if let Some(spec) = policy.get("spec") {
        discovered.leave_unknown(spec, "spec", &["apiKeyAuth", "targetRef", "targetRefs", "targetSelectors"]);
    }
    discovered.note(policy.at, "its target routes are ignored: the gate applies to every request through its filter");
    let known = ["credentialRefs", "extractFrom", "forwardClientIDHeader", "sanitize"];
    discovered.leave_unknown(auth, "spec.apiKeyAuth", &known);
    let mut sources = Vec::new();
    for extract in auth.items_of("extractFrom") {
        discovered.leave_unknown(extract, "spec.apiKeyAuth.extractFrom", &["headers", "params", "cookies"]);
        for (member, kind) in [("headers", "header"), ("params", "query"), ("cookies", "cookie")] {
            let names = extract.items_of(member);
            sources.extend(names.iter().filter_map(|name| Some((kind, name.text()?.to_owned(), name.at))));
        }
    }
    set_sources(sources, "extractFrom of the SecurityPolicy.", discovered);
    let comment = "forwardClientIDHeader and sanitize of the SecurityPolicy.";
    set_upstream(auth.get("forwardClientIDHeader"), auth.get("sanitize"), comment, discovered);
    let references = auth.items_of("credentialRefs");
    let own = metadata(policy, "namespace");
    let reference = |one: &'a Node| {
        let namespace = one.get("namespace").and_then(Node::text).or(own);
        Some(Reference { at: one.at, name: one.get("name")?.text()?, namespace })
    };
    Some(references.iter().filter_map(reference).collect())
}

fn keys(secret: &Node, clients: &mut Vec<String>, discovered: &mut Discovered) {
    if secret.get("type").is_some_and(|kind| kind.text() != Some("Opaque")) {
        return discovered.leave(secret.at, "a Secret that is not of the type Opaque");
    }
    let mut own = Vec::new();
    for (client, value, text) in texts(secret) {
        let Some(text) = text else {
            discovered.leave(value.at, "key not imported: it is not base64 of text");
            continue;
        };
        let key = DiscoveredKey::of(&text, value.at, client.text.as_str());
        if clients.contains(&client.text) {
            discovered.leave(
                value.at,
                "key not imported: an earlier Secret has a key of this client, which takes precedence",
            );
            continue;
        }
        if text.ends_with('\n') {
            discovered.leave(
                value.at,
                "key not imported: it ends with a line break, so no request can present it: encode it with printf",
            );
            continue;
        }
        own.push(client.text.clone());
        discovered.push(&text, key);
    }
    clients.extend(own);
}

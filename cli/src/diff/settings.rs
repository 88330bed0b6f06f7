//! Compares single fields: the mode, preflights, key sources, identities, headers, texts.

use std::cmp::Ordering;

use portcullis::document::{CorsPreflight, Endpoints, Mode, TokenSettings, Upstream};
use portcullis::request::KeySource;
use portcullis::request::SpiffeIdPattern;

use super::Effect::{Closes, MayOpen, Neither, Opens};
use super::{Change, Side};
use crate::when::Span;

pub(super) fn compare(old: &Side, new: &Side) -> Vec<Change> {
    let mut changes = Vec::new();
    compare_modes(old, new, &mut changes);
    let (before, after) = (&old.document, &new.document);
    match (before.cors_preflight, after.cors_preflight) {
        (CorsPreflight::Authenticate, CorsPreflight::Allow) => {
            changes.push(Change::new(Opens, "cors_preflight", "preflights need no key"));
        }
        (CorsPreflight::Allow, CorsPreflight::Authenticate) => {
            changes.push(Change::new(Closes, "cors_preflight", "preflights need a key"));
        }
        _ => {}
    }
    sources(&before.key_sources, &after.key_sources, &mut changes);
    identities(old, new, &mut changes);
    upstream(&before.upstream, &after.upstream, &mut changes);
    endpoints(&before.endpoints, &after.endpoints, &mut changes);
    tokens(before.tokens.as_ref(), after.tokens.as_ref(), &mut changes);
    let texts = [
        ("name", before.name.as_str() != after.name.as_str()),
        ("reply", texts_of(old) != texts_of(new)),
        ("access_log", before.access_log != after.access_log),
        ("key_metrics", before.key_metrics != after.key_metrics),
    ];
    for (about, _) in texts.iter().filter(|(_, differs)| *differs) {
        changes.push(Change::new(Neither, about, "changed"));
    }
    changes
}

fn texts_of(side: &Side) -> (&str, &str) {
    (side.document.reply.realm.as_str(), side.document.reply.detail.as_str())
}

fn compare_modes(old: &Side, new: &Side, changes: &mut Vec<Change>) {
    let name = |side: &Side| {
        let name = side.document.mode.as_str();
        let by_store = if side.merged.overridden_mode.is_some() { " (set in the store)" } else { "" };
        format!("{name}{by_store}")
    };
    let both = format!("{} -> {}", name(old), name(new));
    let (effect, what) = match (old.document.mode, new.document.mode) {
        (before, after) if before == after => return,
        (Mode::Enforce, _) => (Opens, "EVERY REQUEST passes, whatever the rest of the policy says"),
        (_, Mode::Enforce) => (Closes, "requests that the rest of the policy denies are now denied"),
        _ => (Neither, "every request passes, as before"),
    };
    let place = new.merged.node.get("mode").and_then(|mode| mode.at).map(|_| new.merged.place("mode"));
    changes.push(Change { place, ..Change::new(effect, "mode", format!("{both}: {what}")) });
}

fn sources(old: &[KeySource], new: &[KeySource], changes: &mut Vec<Change>) {
    let name = |source: &KeySource| match source {
        KeySource::Bearer => "Authorization: Bearer".to_owned(),
        KeySource::Header(name) => format!("header {}", name.as_str()),
        KeySource::Query(name) => format!("query {}", name.as_str()),
        KeySource::Cookie(name) => format!("cookie {}", name.as_str()),
        KeySource::WebsocketProtocol(marker) => format!("WebSocket subprotocol {}", marker.as_str()),
    };
    for source in new.iter().filter(|source| !old.contains(source)) {
        let name = name(source);
        changes.push(Change::new(Opens, "key_sources", format!("keys are accepted in {name}")));
        changes.push(Change::new(Closes, "key_sources", format!("a second credential in {name} is rejected")));
    }
    for source in old.iter().filter(|source| !new.contains(source)) {
        let name = name(source);
        changes.push(Change::new(Closes, "key_sources", format!("keys are no longer accepted in {name}")));
        let what = format!("a second credential in {name} was rejected, and is now ignored");
        changes.push(Change::new(MayOpen, "key_sources", what));
    }
    let same = old.len() == new.len() && new.iter().all(|source| old.contains(source));
    if same && old != new {
        changes.push(Change::new(Neither, "key_sources", "different order"));
    }
}

fn endpoints(old: &Endpoints, new: &Endpoints, changes: &mut Vec<Change>) {
    for (before, after) in [(&old.whoami, &new.whoami), (&old.token, &new.token)] {
        let (before, after) = (before.as_ref(), after.as_ref());
        if let Some(path) = before.filter(|_| before != after) {
            let what = format!("{} goes to the service again, as the other rules say", path.as_str());
            changes.push(Change::new(MayOpen, "endpoints", what));
        }
        if let Some(path) = after.filter(|_| before != after) {
            changes.push(Change::new(Neither, "endpoints", format!("the gate itself answers {}", path.as_str())));
        }
    }
}

fn tokens(old: Option<&TokenSettings>, new: Option<&TokenSettings>, changes: &mut Vec<Change>) {
    let secrets = |settings: Option<&TokenSettings>| {
        let secrets = settings.into_iter().flat_map(|settings| &settings.secrets);
        secrets.map(|secret| secret.env.to_string()).collect::<Vec<_>>()
    };
    let (before, after) = (secrets(old), secrets(new));
    for name in after.iter().filter(|name| !before.contains(name)) {
        changes.push(Change::new(Opens, "tokens", format!("tokens signed with the secret in {name} are accepted")));
    }
    for name in before.iter().filter(|name| !after.contains(name)) {
        changes.push(Change::new(Closes, "tokens", format!("tokens signed with the secret in {name} are rejected")));
    }
    if let (Some(old), Some(new)) = (old, new) {
        let (before, after) = (old.lifetime.seconds(), new.lifetime.seconds());
        let what = format!("tokens are valid for {}, instead of {}", Span::seconds(after), Span::seconds(before));
        match before.cmp(&after) {
            Ordering::Less => changes.push(Change::new(Opens, "tokens", what)),
            Ordering::Equal => {}
            Ordering::Greater => changes.push(Change::new(Closes, "tokens", what)),
        }
    }
}

fn identities(old: &Side, new: &Side, changes: &mut Vec<Change>) {
    let (before, after) = (&old.document.trusted_identities, &new.document.trusted_identities);
    let covered = |pattern, others: &[SpiffeIdPattern]| others.iter().any(|other| covers(other, pattern));
    for (index, pattern) in after.iter().enumerate().filter(|(_, pattern)| !covered(pattern, before)) {
        let place = Some(new.merged.place(&format!("trusted_identities[{index}]")));
        let what = format!("{} needs no key", pattern.as_str());
        changes.push(Change { place, ..Change::new(Opens, "trusted_identities", what) });
    }
    for (index, pattern) in before.iter().enumerate().filter(|(_, pattern)| !covered(pattern, after)) {
        let place = Some(old.merged.place(&format!("trusted_identities[{index}]")));
        let narrower = after.iter().any(|other| covers(pattern, other));
        let what = if narrower { "a part of it now needs a key" } else { "needs a key" };
        let what = format!("{}: {what}", pattern.as_str());
        changes.push(Change { place, ..Change::new(Closes, "trusted_identities", what) });
    }
}

/// Whether a pattern of identities covers another one: a `*` is covered only by a `*`.
fn covers(wide: &SpiffeIdPattern, narrow: &SpiffeIdPattern) -> bool {
    wide.matches(narrow.as_str().as_bytes())
}

fn upstream(old: &Upstream, new: &Upstream, changes: &mut Vec<Change>) {
    let names =
        |of: &Upstream| [&of.consumer_header, &of.roles_header, &of.key_id_header].map(|name| name.as_str().to_owned());
    let (before, after) = (names(old), names(new));
    for name in before.iter().filter(|name| !after.contains(name)) {
        let what = format!("{name} from callers is no longer removed: services must not trust it");
        changes.push(Change::new(Opens, "upstream", what));
    }
    for name in after.iter().filter(|name| !before.contains(name)) {
        changes.push(Change::new(Closes, "upstream", format!("{name} from callers is removed")));
    }
    if before != after {
        let what =
            format!("consumer, roles and key id are sent in {} (before: {})", after.join(", "), before.join(", "));
        changes.push(Change::new(Neither, "upstream", what));
    }
    if old.forward_credential != new.forward_credential {
        let what =
            if new.forward_credential { "services receive the keys" } else { "services no longer receive the keys" };
        changes.push(Change::new(Neither, "upstream", what));
    }
}

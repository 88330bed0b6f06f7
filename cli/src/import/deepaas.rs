//! Imports the bearer token of DEEPaaS, from its configuration file (oslo.config's ini format) or from the environment.

use std::path::Path;

use anyhow::{Result, bail};

use super::discovered::{Discovered, DiscoveredKey, list, shown};
use super::recognize;
use super::source::{Source, line};
use crate::yaml::{Node, Position};

/// The consumer of the token.
pub(crate) const CONSUMER: &str = "deepaas";
const OPTION: &str = "auth_bearer_token";
/// The variable of the environment with the token.
pub(crate) const VARIABLE: &str = "DEEPAAS_AUTH_BEARER_TOKEN";

/// Reads the token from the given file, or from the environment, and adds the settings.
///
/// # Errors
/// If there is neither, or if the file is invalid.
pub(super) fn find(file: Option<&Path>) -> Result<(Source, Discovered)> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let mut discovered = Discovered::default();
    let (source, token) = match (file, &variable) {
        (Some(file), variable) => {
            let source = Source::read(file)?;
            recognize::check(&source, "deepaas")?;
            let token = token(&source, &mut discovered)?;
            let differs = |(token, _): &(String, _)| variable.as_ref().is_some_and(|value| value != token.as_str());
            if token.as_ref().is_none_or(differs) && variable.is_some() {
                discovered.leave(None, format!("{VARIABLE} is set to another token: to import that one, give no file"));
            }
            (source, token)
        }
        (None, Some(value)) => {
            let source = Source { name: VARIABLE.to_owned(), text: String::new() };
            let Some(token) = value.to_str() else { bail!("{VARIABLE} is not UTF-8, so no request can present it") };
            (source, Some((token.to_owned(), None)))
        }
        (None, None) => bail!(
            "nothing to import: DEEPaaS is open until it has a token. Give its configuration file, or set {VARIABLE}"
        ),
    };
    discovered.set("name", CONSUMER.into(), "From DEEPaaS.");
    match token {
        Some((token, at)) => {
            discovered.push(&token, DiscoveredKey::of(&token, at, CONSUMER));
            discovered.set("mode", "enforce".into(), "There was a token.");
        }
        None if variable.is_some() => {
            discovered.set("mode", "enforce".into(), "The file has no token, and the environment has.")
        }
        None => {
            discovered.note(None, format!("no {OPTION}: DEEPaaS is open without a token, so mode is disabled"));
            discovered.set("mode", "disabled".into(), "There was no token: DEEPaaS is open without one.");
        }
    }
    for (member, value, why) in access() {
        discovered.set(member, value, why);
    }
    discovered.note(None, "the gate removes the token from requests: start DEEPaaS itself without one");
    Ok((source, discovered))
}

/// The paths that DEEPaaS protects, and its key source, with the reasons.
pub(crate) fn access() -> [(&'static str, Node, &'static str); 2] {
    [
        ("key_sources", list(["bearer"]), "DEEPaaS accepts its token only as Authorization: Bearer."),
        (
            "protected_paths",
            list(["/v2/models/**"]),
            "DEEPaaS requires its token only here: /, /v2/ and the documentation are open.",
        ),
    ]
}

/// Reads the token from DEEPaaS's configuration file, for `run`. Also returns what was left out.
///
/// # Errors
/// If the file is invalid, or has no token: who names a file does not mean to leave DEEPaaS open.
pub(crate) fn token_of(file: &Path) -> Result<(String, Vec<String>)> {
    let source = Source::read(file)?;
    let mut discovered = Discovered::default();
    let token = token(&source, &mut discovered)?;
    let left_out = discovered.left_out.iter().map(|remark| format!("{}: {}", source.place(remark.at), remark.message));
    let Some((token, _)) = token else {
        bail!("{}: no {OPTION} in [DEFAULT]: add one, or run without this file to leave every path open", source.name)
    };
    Ok((token, left_out.collect()))
}

/// The option in the section `[DEFAULT]`, and its position. As in oslo.config, the last one counts, quotes around a
/// value are removed, and a line that begins with a blank continues the line before.
fn token(source: &Source, discovered: &mut Discovered) -> Result<Option<(String, Option<Position>)>> {
    let mut section = None;
    let mut token: Option<(String, Option<Position>)> = None;
    let mut in_token = false;
    let mut others = Vec::new();
    for (index, text) in source.text.lines().enumerate() {
        let number = index.saturating_add(1);
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            in_token = false;
            continue;
        }
        if text.starts_with([' ', '\t']) {
            if in_token && let Some((value, _)) = &mut token {
                // A token of several lines: it is reported later that no request can present it.
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        in_token = false;
        if let Some(name) = trimmed.strip_prefix('[') {
            let Some(name) = name.strip_suffix(']') else {
                bail!("{}:{number}: invalid section: expected [NAME]", source.name)
            };
            section = Some(name.to_owned());
            continue;
        }
        let Some(section) = &section else {
            bail!("{}:{number}: setting before the first section: begin the file with [DEFAULT]", source.name)
        };
        let Some((name, value)) = trimmed.split_once(['=', ':']) else {
            bail!("{}:{number}: invalid line: expected name = value", source.name)
        };
        let (name, value) = (name.trim(), value.trim());
        if name != OPTION {
            others.push(shown(name));
        } else if section != "DEFAULT" {
            discovered
                .leave(line(index), format!("{OPTION} is not in the section [DEFAULT], where DEEPaaS looks for it"));
        } else {
            if token.is_some() {
                discovered.note(line(index), format!("duplicate {OPTION}: the last one counts"));
            }
            in_token = true;
            token = Some((unquoted(value).to_owned(), line(index)));
        }
    }
    if !others.is_empty() {
        discovered.note(None, format!("ignored, since not about access: {}", others.join(", ")));
    }
    Ok(token.filter(|(value, _)| !value.is_empty()))
}

fn unquoted(value: &str) -> &str {
    let inside = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inside('"').or_else(|| inside('\'')).unwrap_or(value)
}

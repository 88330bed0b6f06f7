//! A table with a header row: `key` or `sha256`, `consumer`, and `roles`, `id`, `expires`, `disabled`, `description`.

use anyhow::{Context as _, Result, bail};
use csv::{ReaderBuilder, StringRecord};
use portcullis::keys::Digest;

use super::found::{Fits, Found, FoundKey, shown};
use super::source::Source;
use crate::when::point;
use crate::yaml::Position;

const COLUMNS: [&str; 8] = ["key", "sha256", "consumer", "roles", "id", "expires", "disabled", "description"];

/// What the table holds.
///
/// # Errors
/// Where its header row lacks a column that must be there, or names one twice.
pub(super) fn find(source: &Source) -> Result<Found> {
    let head = source.text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().max_by_key(|one| head.bytes().filter(|byte| byte == one).count());
    // Rows may be shorter than the header.
    let mut builder = ReaderBuilder::new();
    builder
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(delimiter.filter(|one| head.as_bytes().contains(one)).unwrap_or(b','));
    let mut reader = builder.from_reader(source.text.as_bytes());
    let header = reader.headers().with_context(|| format!("{} has no header row", source.name))?.clone();
    let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    let known = |name: &str| names.iter().position(|column| column == name);
    for column in COLUMNS {
        if names.iter().filter(|name| *name == column).count() > 1 {
            bail!("{}:1: the column {column} stands there twice: keep one", source.name);
        }
    }
    if (known("key").is_none() && known("sha256").is_none()) || known("consumer").is_none() {
        bail!("{}:1: the header row must name the columns consumer, and key or sha256", source.name);
    }
    let mut found = Found::default();
    let at = |line, column| Some(Position { line, column });
    for name in names.iter().filter(|name| !COLUMNS.contains(&name.as_str())) {
        found.leave(at(1, 1), format!("column {}: known are {}", shown(name), COLUMNS.join(", ")));
    }
    for record in reader.records() {
        // The text is UTF-8 and rows may be of any length, so there is no error left.
        let record = record.with_context(|| format!("{} is no table", source.name))?;
        let place = record.position().and_then(|place| at(place.line(), 1));
        let cell = |name: &str| {
            let cell = known(name).and_then(|column| record.get(column));
            cell.filter(|cell| !cell.is_empty()).map(str::to_owned)
        };
        row(&record, place, cell, known("roles").is_some(), names.len(), &mut found);
    }
    Ok(found)
}

fn row(
    record: &StringRecord,
    at: Option<Position>,
    cell: impl Fn(&str) -> Option<String>,
    has_roles: bool,
    width: usize,
    found: &mut Found,
) {
    if record.iter().all(str::is_empty) {
        return;
    }
    let digest = match cell("sha256").map(|text| Digest::from_hex(&text)) {
        Some(None) => return found.leave(at, "key not taken: sha256 is not 64 hex digits"),
        digest => digest.flatten(),
    };
    let text = cell("key");
    let mut key = match (&text, digest) {
        (Some(text), None) => FoundKey::of(text, at, ""),
        (None, Some(digest)) => FoundKey::of_digest(digest, Fits::Unknown, at, ""),
        (Some(text), Some(digest)) if digest == Digest::of(text.as_bytes()) => FoundKey::of(text, at, ""),
        (Some(_), Some(_)) => {
            return found.leave(at, "key not taken: key and sha256 are of two keys: give one of them");
        }
        (None, None) => return found.leave(at, "key not taken: the row has neither key nor sha256"),
    };
    let mut problem =
        (record.len() > width).then_some("the row has more cells than the header: quote what holds a comma");
    key.consumer = cell("consumer").unwrap_or_default();
    if has_roles {
        let roles = cell("roles").unwrap_or_default();
        let roles = roles.split([',', ';', '|', ' ']).filter(|role| !role.is_empty());
        key.roles = Some(roles.map(str::to_owned).collect());
    }
    key.id = cell("id");
    key.description = cell("description");
    if let Some(text) = cell("expires") {
        key.expires = point(&text);
        if key.expires.is_none() {
            problem = Some("expires is no date: write 2027-02-01, or 2027-02-01T00:00:00Z");
        }
    }
    match cell("disabled").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "false" | "no" | "0" => {}
        "true" | "yes" | "1" => key.disabled = true,
        _ => problem = Some("disabled is neither true nor false"),
    }
    if key.consumer.is_empty() {
        problem = Some("the row names no consumer");
    }
    match problem {
        Some(problem) => found.leave(at, format!("key not taken: {problem}")),
        None => found.push(text.as_deref().unwrap_or_default(), key),
    }
}

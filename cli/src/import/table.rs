//! Imports a table with a header row: `key` or `sha256`, `consumer`, and `roles`, `id`, `expires`, `disabled`,
//! `description`.

use anyhow::{Context as _, Result, bail};
use csv::{ReaderBuilder, StringRecord};
use portcullis::keys::Digest;

use super::discovered::{Discovered, DiscoveredKey, Fits, shown};
use super::source::Source;
use crate::when::point;
use crate::yaml::Position;

const COLUMNS: [&str; 8] = ["key", "sha256", "consumer", "roles", "id", "expires", "disabled", "description"];

/// Reads the table.
///
/// # Errors
/// If the header row lacks a required column, or has one twice.
pub(super) fn find(source: &Source) -> Result<Discovered> {
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
            bail!("{}:1: duplicate column {column}: keep one", source.name);
        }
    }
    if (known("key").is_none() && known("sha256").is_none()) || known("consumer").is_none() {
        bail!("{}:1: missing column: expected consumer, and key or sha256", source.name);
    }
    let mut discovered = Discovered::default();
    let at = |line, column| Some(Position { line, column });
    for name in names.iter().filter(|name| !COLUMNS.contains(&name.as_str())) {
        discovered.leave(at(1, 1), format!("unknown column {}: expected {}", shown(name), COLUMNS.join(", ")));
    }
    let mut lines = Lines { text: &source.text, byte: 0, number: 1 };
    for record in reader.records() {
        // The text is UTF-8 and rows may have any length, so no error is expected.
        let record = record.with_context(|| format!("{} is not a valid table", source.name))?;
        let place = record.position().and_then(|place| at(lines.of_row(place.byte())?, 1));
        let cell = |name: &str| {
            let cell = known(name).and_then(|column| record.get(column));
            cell.filter(|cell| !cell.is_empty()).map(str::to_owned)
        };
        row(&record, place, cell, known("roles").is_some(), names.len(), &mut discovered);
    }
    Ok(discovered)
}

/// Counts lines. The reader gives the position of a row before the empty lines above it.
struct Lines<'a> {
    text: &'a str,
    byte: usize,
    number: u64,
}

impl Lines<'_> {
    /// The number of the line with the row that is read from this byte. Rows are asked for in their order.
    fn of_row(&mut self, byte: u64) -> Option<u64> {
        let from = usize::try_from(byte).ok()?;
        let empty = self.text.get(from..)?.bytes().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let start = from.checked_add(empty)?;
        let breaks = self.text.get(self.byte..start)?.bytes().filter(|byte| *byte == b'\n').count();
        self.number = self.number.checked_add(u64::try_from(breaks).ok()?)?;
        self.byte = start;
        Some(self.number)
    }
}

fn row(
    record: &StringRecord,
    at: Option<Position>,
    cell: impl Fn(&str) -> Option<String>,
    has_roles: bool,
    width: usize,
    discovered: &mut Discovered,
) {
    if record.iter().all(str::is_empty) {
        return;
    }
    let digest = match cell("sha256").map(|text| Digest::from_hex(&text)) {
        Some(None) => return discovered.leave(at, "key not imported: invalid sha256: expected 64 hex digits"),
        digest => digest.flatten(),
    };
    let text = cell("key");
    let mut key = match (&text, digest) {
        (Some(text), None) => DiscoveredKey::of(text, at, ""),
        (None, Some(digest)) => DiscoveredKey::of_digest(digest, Fits::Unknown, at, ""),
        (Some(text), Some(digest)) if digest == Digest::of(text.as_bytes()) => DiscoveredKey::of(text, at, ""),
        (Some(_), Some(_)) => {
            return discovered.leave(at, "key not imported: key and sha256 do not match: give one of them");
        }
        (None, None) => return discovered.leave(at, "key not imported: the row has neither key nor sha256"),
    };
    let mut problem =
        (record.len() > width).then_some("the row has more cells than the header: quote cells that contain a comma");
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
            problem = Some("invalid expires: expected a date or date-time, such as 2027-02-01 or 2027-02-01T00:00:00Z");
        }
    }
    match cell("disabled").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "false" | "no" | "0" => {}
        "true" | "yes" | "1" => key.disabled = true,
        _ => problem = Some("invalid disabled: expected true or false"),
    }
    if key.consumer.is_empty() {
        problem = Some("missing consumer");
    }
    match problem {
        Some(problem) => discovered.leave(at, format!("key not imported: {problem}")),
        None => discovered.push(text.as_deref().unwrap_or_default(), key),
    }
}

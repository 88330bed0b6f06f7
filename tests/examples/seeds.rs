//! Rewrites the seeds of the fuzz targets from the table of cases: `cargo run -p portcullis-tests --example seeds`.
//!
//! File names are digests of the contents, so that the same rows give the same files. Hand-written seeds, and those
//! found by a fuzz target, have other names and are kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use portcullis::keys::Digest;
use portcullis_models::structs;
use portcullis_tests::cases::{EngineName, Row, load_all};
use portcullis_tests::told::Told;
use serde_json::Value;

/// Longer ones slow down a fuzz target.
const MAX_LENGTH: usize = 1200;

/// The maximum number of rows with the same reason from one file, for the whole decision.
const ALIKE: usize = 3;

fn main() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut written: BTreeSet<PathBuf> = BTreeSet::new();
    let mut write = |target: &str, bytes: &[u8]| {
        let path = seeds.join(target).join(format!("case-{}", Digest::of(bytes).handle()));
        if bytes.len() <= MAX_LENGTH && written.insert(path.clone()) { fs::write(path, bytes) } else { Ok(()) }
    };
    for target in ["document", "path", "credential", "address", "decision"] {
        for seed in fs::read_dir(seeds.join(target))? {
            let seed = seed?;
            if seed.file_name().to_string_lossy().starts_with("case-") {
                fs::remove_file(seed.path())?;
            }
        }
    }
    for cases in load_all().map_err(io::Error::other)? {
        for document in cases.policies.values() {
            write("document", document.to_string().as_bytes())?;
            write("document", &structs::encode(document))?;
        }
        let mut reasons: Vec<&str> = Vec::new();
        for row in cases.rows.iter().filter(|row| row.runs_on(EngineName::Core)) {
            let told = Told::by(&cases, row);
            let (request, host) = (request(&told), host(row, &told));
            let policy = &cases.policies[&row.policy];
            if reasons.iter().filter(|reason| **reason == row.expect.reason).count() < ALIKE {
                reasons.push(&row.expect.reason);
                write("decision", &[&request[..], &host[..]].concat())?;
            }
            match cases.name.as_str() {
                "targets" | "public_paths" | "protected_paths" | "rules" | "overrides" | "front_controllers"
                | "url_parsers" | "not_utf8" | "windows_names" | "suffixes" => {
                    write("path", row.request.path.as_ref().map_or(&b"/"[..], |path| &path.0))?;
                }
                "addresses" | "orchestra" => {
                    write("address", &[&request[..], &host[..], &networks(policy)].concat())?;
                }
                "credentials" | "identity_headers" | "deepaas" => write("credential", &request)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// A line in the format of the fuzz targets.
fn line(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b": ", value, b"\n"].concat()
}

fn request(told: &Told) -> Vec<u8> {
    told.headers.iter().flat_map(|(name, value)| line(&String::from_utf8_lossy(name), value)).collect()
}

fn host(row: &Row, told: &Told) -> Vec<u8> {
    let now = row.now.as_ref().map(|_| told.now.0.to_string());
    let lines = [
        ("@source", Some(&told.source)),
        ("@state", told.state.as_ref()),
        ("@identity", told.identity.as_ref()),
        ("@now", now.as_ref()),
    ];
    lines.iter().filter_map(|(name, value)| Some(line(name, value.as_ref()?.as_bytes()))).flatten().collect()
}

fn networks(policy: &Value) -> Vec<u8> {
    let networks = &policy["trusted_networks"];
    let ranges = networks["ranges"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mode = match &networks["client_address"] {
        Value::String(mode) => mode,
        Value::Object(_) => "filter_state",
        _ => "direct",
    };
    let ranges = ranges.collect::<Vec<_>>().join(" ");
    [line("@ranges", ranges.as_bytes()), line("@mode", mode.as_bytes())].concat()
}

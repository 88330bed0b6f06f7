//! One Envoy with a listener for each contender. Behind every filter chain Envoy itself answers 200: what is measured is Envoy
//! alone, with no upstream in it.

use std::net::SocketAddr;

use portcullis_tests::bootstrap::{cluster, socket};
use portcullis_tests::envoy::{Envoy, Options, V4};
use serde_json::{Value, json};

use crate::contender::Contender;
use crate::cpu::Thread;

/// The host of requests that are measured.
pub const HOST: &str = "gate.test";
/// The host whose replies tell what the upstream would have seen.
pub const CHECK: &str = "check.test";
/// The headers that such a reply tells of, each behind [`SEEN`].
pub const TOLD: [&str; 5] =
    ["authorization", "x-api-key", "x-portcullis-consumer", "x-portcullis-roles", "x-portcullis-key-id"];
/// What the names of the told headers begin with in the reply.
pub const SEEN: &str = "x-seen-";

/// A running Envoy.
#[derive(Debug)]
pub struct Stage {
    /// The process.
    pub envoy: Envoy,
    /// The only worker.
    pub worker: Thread,
}

impl Stage {
    /// Starts Envoy with the listeners of these contenders, on the first core.
    pub fn start(contenders: &[Contender], authorization: SocketAddr) -> Self {
        let envoy = Envoy::start_with(
            &document(contenders, authorization),
            Options { wasm_log: "warning", ..Options::default() },
        );
        let worker = Thread::named(&envoy.process(), "wrk:worker");
        worker.keep_on(0);
        Self { envoy, worker }
    }

    /// Where a contender listens.
    pub fn address(&self, contender: &Contender) -> SocketAddr {
        self.envoy.address(&contender.name, V4)
    }
}

/// The configuration with the listeners of these contenders.
pub fn document(contenders: &[Contender], authorization: SocketAddr) -> Value {
    json!({
        "admin": {"address": socket(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "static_resources": {
            "clusters": [cluster("authorization", &socket(authorization))],
            "listeners": contenders.iter().map(listener).collect::<Vec<_>>()
        }
    })
}

fn listener(contender: &Contender) -> Value {
    let router = json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    });
    let filters: Vec<Value> = contender.filters.iter().cloned().chain([router]).collect();
    json!({
        "name": contender.name,
        "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench",
                // As the shipped edge listeners have it.
                "use_remote_address": true,
                "skip_xff_append": true,
                "http_filters": filters,
                "route_config": {"virtual_hosts": [checked(), measured(contender)]}
            }
        }]}]
    })
}

fn measured(contender: &Contender) -> Value {
    let answer = json!({"status": 200});
    let others = (1..contender.routes)
        .map(|number| json!({"match": {"prefix": format!("/service-{number}/")}, "direct_response": {"status": 404}}));
    let last = json!({"match": {"prefix": "/"}, "direct_response": answer});
    let mut host = json!({"name": "measured", "domains": ["*"], "routes": others.chain([last]).collect::<Vec<_>>()});
    if let (Value::Object(host), Value::Object(more)) = (&mut host, &contender.virtual_host) {
        host.extend(more.clone());
    }
    host
}

fn checked() -> Value {
    let tell = |name: &&str| json!({"header": {"key": format!("{SEEN}{name}"), "value": format!("%REQ({name})%")}});
    json!({"name": "checked", "domains": [CHECK], "routes": [{
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": TOLD.iter().map(tell).collect::<Vec<_>>()
    }]})
}

//! One Envoy with a listener for each contender. Envoy itself answers 200 after every filter chain: so only Envoy is
//! measured, without an upstream.

use std::net::SocketAddr;

use portcullis_tests::bootstrap::{cluster, socket};
use portcullis_tests::envoy::{Envoy, Options, V4};
use serde_json::{Value, json};

use crate::contender::{Contender, Routes};
use crate::cpu::Thread;

/// The host of requests that are measured.
pub const HOST: &str = "gate.test";
/// The host whose replies show what the upstream would receive.
pub const CHECK: &str = "check.test";
/// The headers that such a reply shows, each with the prefix [`SEEN`].
pub const TOLD: [&str; 5] =
    ["authorization", "x-api-key", "x-portcullis-consumer", "x-portcullis-roles", "x-portcullis-key-id"];
/// The prefix of these headers in the reply.
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

    /// The address of a contender.
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
    let upgrades: &[&str] = if contender.upgrades { &["websocket"] } else { &[] };
    json!({
        "name": contender.name,
        "address": socket(SocketAddr::from(([127, 0, 0, 1], 0))),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "bench",
                // As in the shipped edge listeners.
                "use_remote_address": true,
                "skip_xff_append": true,
                "upgrade_configs": upgrades.iter().map(|kind| json!({"upgrade_type": kind})).collect::<Vec<_>>(),
                "http_filters": filters,
                "route_config": {"virtual_hosts": [checked(), measured(contender.routes)]}
            }
        }]}]
    })
}

fn measured(routes: Routes) -> Value {
    let prefix = |number: usize| format!("/service-{number}/");
    let answers = |status: u16| json!({"status": status});
    match routes {
        Routes::List(count) => {
            let route = |prefix: &str, status| json!({"match": {"prefix": prefix}, "direct_response": answers(status)});
            let others = (1..count).map(|number| route(&prefix(number), 404));
            json!({"name": "measured", "domains": ["*"], "routes": others.chain([route("/", 200)]).collect::<Vec<_>>()})
        }
        Routes::Tree(count) => {
            let route = |status| {
                json!({"action": {"name": "route", "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.route.v3.Route",
                    "match": {"prefix": "/"},
                    "direct_response": answers(status)
                }}})
            };
            let others = (1..count).map(|number| (prefix(number), route(404)));
            let map: serde_json::Map<String, Value> = others.chain([("/".to_owned(), route(200))]).collect();
            let path = json!({"name": "path", "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                "header_name": ":path"
            }});
            let tree = json!({"matcher_tree": {"input": path, "prefix_match_map": {"map": map}}});
            json!({"name": "measured", "domains": ["*"], "matcher": tree})
        }
    }
}

fn checked() -> Value {
    let tell = |name: &&str| json!({"header": {"key": format!("{SEEN}{name}"), "value": format!("%REQ({name})%")}});
    json!({"name": "checked", "domains": [CHECK], "routes": [{
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": TOLD.iter().map(tell).collect::<Vec<_>>()
    }]})
}

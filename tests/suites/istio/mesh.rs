//! A mesh of real Envoys, and the results of requests in it.

use std::collections::BTreeMap;

use portcullis_tests::envoy::Options;
use portcullis_tests::http1;
use portcullis_tests::istio::Place;
use portcullis_tests::mesh::{Proxy, Setup};
use portcullis_tests::message::{Pair, Reply, values};
use portcullis_tests::stage::verdict;
use portcullis_tests::tls::{Authority, Identity};
use portcullis_tests::upstream::{Seen, Upstream};
use serde_json::Value;

/// The key of the demonstration.
pub(crate) const KEY: &str = "pk_demo_ci_not_a_secret";
/// The key in the environment of sidecars.
pub(crate) const TOKEN: &str = "istio-suite-token";
/// The service account of an ingress gateway, and its namespace.
pub(crate) const GATEWAY: &str = "istio-system/istio-ingressgateway-service-account";
/// The service accounts of all callers.
const ACCOUNTS: [&str; 6] =
    [GATEWAY, "shop/frontend", "shop/other", "billing/worker", "monitoring/prometheus", "monitoring/grafana"];

/// A mesh: an authority that all proxies trust, and a service.
pub(crate) struct Mesh {
    pub(crate) authority: Authority,
    pub(crate) upstream: Upstream,
    accounts: BTreeMap<&'static str, Identity>,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let accounts = ACCOUNTS.map(|name| {
            let (namespace, account) = name.split_once('/').expect("a namespace and an account");
            (name, authority.workload(&[&format!("spiffe://cluster.local/ns/{namespace}/sa/{account}")]))
        });
        Self { authority, upstream: Upstream::start(), accounts: accounts.into() }
    }

    /// The certificate of a service account.
    pub(crate) fn account(&self, name: &str) -> &Identity {
        self.accounts.get(name).unwrap_or_else(|| panic!("no service account {name}"))
    }

    /// The configuration of a sidecar in front of the service.
    pub(crate) fn setup(&self, filters: Vec<Value>) -> Setup<'_> {
        Setup {
            place: Place::SidecarInbound,
            filters,
            upstream: self.upstream.address(),
            authority: &self.authority,
            identity: None,
            settings: Value::Null,
            options: Options::default(),
            log_format: None,
            tcp: None,
        }
    }

    /// A sidecar in front of the service, with a key in its environment.
    pub(crate) fn sidecar(&self, filters: Vec<Value>) -> Proxy {
        let options = Options { environment: &[("PORTCULLIS_TOKEN", TOKEN)], ..Options::default() };
        Proxy::start(Setup { options, ..self.setup(filters) })
    }

    /// A gateway in front of a sidecar.
    pub(crate) fn gateway(&self, filters: Vec<Value>, sidecar: &Proxy) -> Proxy {
        let identity = Some(self.account(GATEWAY));
        Proxy::start(Setup { place: Place::Gateway, upstream: sidecar.mutual(), identity, ..self.setup(filters) })
    }

    /// The result of a request to a proxy: by `who` over mutual TLS, or without identity in plain text.
    pub(crate) fn send(&self, to: &Proxy, who: &str, request: &Request) -> Outcome {
        let identity = (who != NOBODY).then(|| self.account(who));
        let before = self.upstream.count();
        let reply = to.send(&self.authority, identity, &request.bytes()).expect("Envoy replies");
        Outcome { seen: self.upstream.since(before), reply }
    }
}

/// A caller in plain text.
pub(crate) const NOBODY: &str = "nobody";

/// A request without a body.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

impl Request<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let pair = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let headers: Vec<Pair> = self.headers.iter().map(pair).collect();
        http1::request(self.method.as_bytes(), self.path.as_bytes(), b"models.shop", &headers, None)
    }
}

pub(crate) fn get<'a>(path: &'a str, headers: &'a [(&'a str, &'a str)]) -> Request<'a> {
    Request { method: "GET", path, headers }
}

pub(crate) const WITH_KEY: &[(&str, &str)] = &[("x-api-key", KEY)];
pub(crate) const MODELS: &str = "/v2/models/iris/predict";

pub(crate) struct Outcome {
    pub(crate) reply: Reply,
    pub(crate) seen: Option<Seen>,
}

impl Outcome {
    /// The status, and the reason that the gate gave.
    pub(crate) fn verdict(&self) -> (u16, String) {
        verdict(&self.reply)
    }

    /// A header as the service got it.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let seen = self.seen.as_ref().expect("the service was reached");
        values(&seen.headers, name).first().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Everything that must be equal for two forms of a policy: the status, and the headers of the reply and at the
    /// service.
    pub(crate) fn all(&self) -> (u16, Vec<String>) {
        let seen = self.seen.iter().flat_map(|seen| &seen.headers);
        let lines = self.reply.headers.iter().chain(seen);
        let lines = lines.map(|(name, value)| [name, b": ".as_slice(), value].concat());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
        (self.reply.status, lines.filter(|line| !OF_THE_MOMENT.iter().any(|name| line.starts_with(name))).collect())
    }
}

/// Headers that differ from one request to the next.
const OF_THE_MOMENT: [&str; 5] =
    ["date:", "x-envoy-upstream-service-time:", "x-request-id:", "x-test-seen:", "x-test-source:"];

pub(crate) fn says(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

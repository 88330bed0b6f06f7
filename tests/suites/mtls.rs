//! Trusted identities on a real Envoy: a peer's URI SAN counts if Envoy verified its certificate, and only then.

use std::io;

use portcullis_tests::bootstrap::Listener;
use portcullis_tests::envoy::V4;
use portcullis_tests::http1;
use portcullis_tests::listener::Kind;
use portcullis_tests::net::connect;
use portcullis_tests::stage::{Stage, listener, verdict};
use portcullis_tests::tls::{Authority, Identity};
use serde_json::{Value, json};

const TRUSTED: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const OTHER: &str = "spiffe://cluster.local/ns/billing/sa/cart";

fn policy() -> Value {
    json!({
        "version": 1,
        "consumers": [{"name": "ci", "keys": [{"plaintext": "mtls-suite-key"}]}],
        "trusted_identities": ["spiffe://cluster.local/ns/shop/sa/*"],
    })
}

/// Envoy with a listener that verifies client certificates, one that accepts any, and one without TLS.
struct Mesh {
    stage: Stage,
    authority: Authority,
}

impl Mesh {
    fn start() -> Self {
        let authority = Authority::new();
        let with_tls = |name: &str, trust: &str| {
            let tls = Some(authority.listener(trust));
            Listener { tls, ..listener(name, Kind::Sidecar, &policy()) }
        };
        let stage = Stage::start(vec![
            with_tls("verifying", "VERIFY_TRUST_CHAIN"),
            with_tls("accepting", "ACCEPT_UNTRUSTED"),
            listener("plain", Kind::Sidecar, &policy()),
        ]);
        Self { stage, authority }
    }

    fn ask(&self, listener: &str, client: Option<&Identity>, headers: &[(&str, &str)]) -> io::Result<(u16, String)> {
        let stream = connect(V4, self.stage.envoy.address(listener, V4))?;
        let session = self.authority.session(stream, client)?;
        http1::Client::new(session).send(&http1::get("/v2/models", headers)).map(|reply| verdict(&reply))
    }
}

fn says(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

#[test]
fn a_trusted_identity_passes_without_a_key() {
    let mesh = Mesh::start();
    let client = mesh.authority.workload(&[TRUSTED]);
    assert_eq!(mesh.ask("verifying", Some(&client), &[]).unwrap(), says(200, "trusted_identity"));
}

#[test]
fn another_identity_needs_a_key_like_anyone() {
    let mesh = Mesh::start();
    let client = mesh.authority.workload(&[OTHER]);
    assert_eq!(mesh.ask("verifying", Some(&client), &[]).unwrap(), says(401, "no_credential"));
    let key = [("x-api-key", "mtls-suite-key")];
    assert_eq!(mesh.ask("verifying", Some(&client), &key).unwrap(), says(200, "key"));
}

#[test]
fn a_certificate_without_a_uri_is_nobody() {
    let mesh = Mesh::start();
    let client = mesh.authority.workload(&[]);
    assert_eq!(mesh.ask("verifying", Some(&client), &[]).unwrap(), says(401, "no_credential"));
}

#[test]
fn only_the_first_uri_of_a_certificate_counts() {
    let mesh = Mesh::start();
    let first = mesh.authority.workload(&[TRUSTED, OTHER]);
    assert_eq!(mesh.ask("verifying", Some(&first), &[]).unwrap(), says(200, "trusted_identity"));
    let second = mesh.authority.workload(&[OTHER, TRUSTED]);
    assert_eq!(mesh.ask("verifying", Some(&second), &[]).unwrap(), says(401, "no_credential"));
}

#[test]
fn a_certificate_of_another_authority_ends_the_handshake() {
    let mesh = Mesh::start();
    let stranger = Authority::new().workload(&[TRUSTED]);
    assert!(mesh.ask("verifying", Some(&stranger), &[]).is_err());
}

#[test]
fn a_caller_without_a_certificate_needs_a_key() {
    let mesh = Mesh::start();
    assert_eq!(mesh.ask("verifying", None, &[]).unwrap(), says(401, "no_credential"));
}

#[test]
fn headers_that_claim_an_identity_claim_nothing() {
    let mesh = Mesh::start();
    let claimed = format!("By=spiffe://cluster.local/ns/shop/sa/gate;URI={TRUSTED}");
    let headers = [("x-forwarded-client-cert", claimed.as_str())];
    assert_eq!(mesh.ask("verifying", None, &headers).unwrap(), says(401, "no_credential"));
    assert_eq!(mesh.stage.ask("plain", "/v2/models", &headers), says(401, "no_credential"));
}

#[test]
fn without_tls_nobody_has_an_identity() {
    let mesh = Mesh::start();
    assert_eq!(mesh.stage.ask("plain", "/v2/models", &[]), says(401, "no_credential"));
}

/// Behaviour of Envoy, not a goal: `connection.mtls` says that a certificate was presented, not that it was verified,
/// and no attribute says the latter. With `ACCEPT_UNTRUSTED` a caller can have any identity, so `trusted_identities`
/// must not be used on such a listener. If this test fails, Envoy has improved.
#[test]
fn where_envoy_accepts_untrusted_certificates_an_identity_is_what_the_caller_says() {
    let mesh = Mesh::start();
    let stranger = Authority::new().workload(&[TRUSTED]);
    assert_eq!(mesh.ask("accepting", Some(&stranger), &[]).unwrap(), says(200, "trusted_identity"));
}

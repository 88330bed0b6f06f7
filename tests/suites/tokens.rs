//! Tokens on real Envoys: one issues, another accepts, a third verifies with a filter of its own, and all end with the key.

use std::net::Ipv4Addr;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use portcullis::{HeaderBlock, Policy, Request, Timestamp};
use portcullis_tests::bootstrap::{Gate, socket};
use portcullis_tests::envoy::{Envoy, V4};
use portcullis_tests::fleet::{Fleet, text};
use portcullis_tests::http1;
use portcullis_tests::issued::{self, Clock};
use portcullis_tests::message::Reply;
use portcullis_tests::net::connect;
use portcullis_tests::poll;
use serde_json::{Value, json};

const SECRET: &str = "tokens-suite-secret-of-more-than-32-bytes";
const KEY: &str = "tokens-suite-key";

/// A policy whose only consumer has these keys.
fn policy(keys: &Value) -> Value {
    json!({
        "name": "tokens",
        "access_log": true,
        "endpoints": {"whoami": "/v1/token/roles", "token": "/v1/token/generate"},
        "tokens": {"secrets": [{"env": "TOKENS_SUITE_SECRET"}]},
        "consumers": [{"name": "lab", "roles": ["predict", "admin"], "keys": keys}],
    })
}

fn gate() -> Gate {
    text(&policy(&json!([{"id": "lab-1", "plaintext": KEY}])))
}

fn fleet() -> Fleet {
    Fleet::start_in(&[("TOKENS_SUITE_SECRET", SECRET)], &[("main", &gate())])
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("the body is JSON")
}

/// A new token, from the endpoint.
fn issue(fleet: &Fleet) -> String {
    let reply = fleet.stage.send("main", "POST", "/v1/token/generate", &[("x-api-key", KEY)]).expect("Envoy replies");
    let answer = json_of(&reply);
    assert_eq!(reply.status, 200, "{answer}");
    assert_eq!(reply.header("cache-control").as_deref(), Some("no-store"));
    assert_eq!((&answer["token_type"], &answer["scope"]), (&json!("Bearer"), &json!("predict admin")));
    assert_eq!((&answer["expires_in"], &answer["token"]), (&json!(900), &answer["access_token"]));
    answer["access_token"].as_str().expect("a token").to_owned()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The status and the reason for a request with a token.
fn ask(fleet: &Fleet, token: &str) -> (u16, String) {
    fleet.stage.ask("main", "/v2/models", &[("authorization", &bearer(token))])
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&Base64UrlUnpadded::decode_vec(part).expect("base64url")).expect("JSON")
}

#[test]
fn a_token_of_one_envoy_passes_at_another_and_ends_with_its_key() {
    let (one, mut other) = (fleet(), fleet());
    let token = issue(&one);
    assert_eq!(ask(&other, &token), (200, "token".to_owned()));
    let reply = other.stage.get("main", "/v1/token/roles", &[("authorization", &bearer(&token))]);
    let answer = json_of(&reply.expect("Envoy replies"));
    let expires = answer["expires"].as_str().and_then(Timestamp::from_rfc3339);
    assert_eq!(Some(expires.expect("a date-time").0), part(&token, 1)["exp"].as_i64());
    assert_eq!(
        (&answer["consumer"], &answer["key_id"], &answer["roles"], &answer["via"]),
        (&json!("lab"), &json!("lab-1"), &json!(["predict", "admin"]), &json!("token"))
    );
    for (keys, reason) in [
        (json!([{"id": "lab-1", "plaintext": KEY, "disabled": true}]), "disabled_key"),
        (json!([{"id": "lab-1", "plaintext": "tokens-suite-replacement"}]), "unknown_token"),
        (json!([{"id": "lab-2", "plaintext": KEY}]), "unknown_token"),
        (json!([]), "unknown_token"),
    ] {
        other.update("main", &gate());
        poll::until("the token passes", || (ask(&other, &token).0 == 200).then_some(()));
        other.update("main", &text(&policy(&keys)));
        poll::within(poll::LIVE, "the token ends", || (ask(&other, &token) == (401, reason.to_owned())).then_some(()));
    }
    assert_eq!(ask(&one, &token).0, 200, "the other Envoy has the key still");
    for fleet in [&one, &other] {
        let log = fleet.stage.envoy.log();
        assert!(!log.contains(SECRET) && !log.contains(&token), "a secret is in the log:\n{log}");
    }
}

/// A gate keeps the claims of a token that it has verified: everything but the signature is checked at each use.
#[test]
fn a_token_that_was_accepted_expires() {
    let (at, token) = (1_800_000_000, issued_at(1_800_000_000));
    let document = policy(&json!([{"id": "lab-1", "plaintext": KEY}])).to_string();
    let loaded = Policy::load(document.as_bytes(), &|_| Some(SECRET.as_bytes().to_vec())).expect("a policy");
    let ask = |seconds: i64, token: &str| {
        let credential = bearer(token);
        let headers = [(":method", "GET"), (":path", "/"), (":authority", "gate"), ("authorization", &credential)];
        let block = HeaderBlock::new(&headers);
        loaded.policy.decide(&Request::new(block.headers()), &Clock(seconds), &mut ()).reason.name()
    };
    for (seconds, reason) in
        [(0, "token"), (899, "token"), (900, "expired_token"), (0, "token"), (-61, "unknown_token"), (-60, "token")]
    {
        assert_eq!(ask(at + seconds, &token), reason, "{seconds} s after its issue");
    }
    let tampered = token.replacen("eyJ", "eyK", 2);
    assert_eq!(ask(at, &tampered), "unknown_token");
    // More tokens than claims are kept.
    for second in 1..300 {
        assert_eq!(ask(at + second, &issued_at(at + second)), "token");
    }
    assert_eq!((ask(at, &token), ask(at, &tampered)), ("token", "unknown_token"));
}

#[test]
fn each_token_has_an_id_of_its_own() {
    let fleet = fleet();
    let (one, other) = (issue(&fleet), issue(&fleet));
    assert_eq!(part(&one, 0), part(&other, 0));
    assert_ne!(part(&one, 1)["jti"], part(&other, 1)["jti"]);
}

/// An Envoy that verifies tokens with its own filter and the secret, and nothing of ours.
fn verifier(kid: &Value) -> Envoy {
    let secret = Base64UrlUnpadded::encode_string(SECRET.as_bytes());
    let jwks = json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": kid, "k": secret}]}).to_string();
    let filters = json!([
        {"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"gate": {"issuer": "tokens", "local_jwks": {"inline_string": jwks}}},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "gate"}}],
        }},
        {"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }},
    ]);
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "verifier",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": filters,
    });
    let chain =
        json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]});
    let address = socket((Ipv4Addr::LOCALHOST, 0));
    Envoy::start(&json!({
        "admin": {"address": address},
        "static_resources": {"listeners": [{"name": "verifier", "address": address, "filter_chains": [chain]}]},
    }))
}

/// The token that a gate issued at this time.
fn issued_at(seconds: i64) -> String {
    issued::token(&policy(&json!([{"id": "lab-1", "plaintext": KEY}])), SECRET, KEY, Clock(seconds))
}

#[test]
fn envoys_own_filter_accepts_the_token_and_rejects_one_that_is_changed_or_has_expired() {
    let fleet = fleet();
    let token = issue(&fleet);
    let verifier = verifier(&part(&token, 0)["kid"]);
    let status = |token: &str| {
        let stream = connect(V4, verifier.address("verifier", V4)).expect("Envoy accepts");
        let request = http1::get("/", &[("authorization", &bearer(token))]);
        http1::Client::new(stream).send(&request).expect("Envoy replies").status
    };
    assert_eq!(status(&token), 200);
    let now = part(&token, 1)["iat"].as_i64().expect("a time");
    assert_eq!(status(&issued_at(now)), 200, "the control: this one is made in the same way, but has not expired");
    let expired = issued_at(now - 2_000);
    assert_eq!((status(&expired), ask(&fleet, &expired)), (401, (401, "expired_token".to_owned())));
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, _) = signed.split_once('.').expect("two parts");
    let mut claims = part(&token, 1);
    claims["sub"] = json!("somebody");
    let claims = Base64UrlUnpadded::encode_string(claims.to_string().as_bytes());
    let changed = format!("{header}.{claims}.{signature}");
    assert_eq!((status(&changed), ask(&fleet, &changed)), (401, (401, "unknown_token".to_owned())));
}

//! The gate, in each of its cases.

use portcullis::keys::Digest;
use portcullis_tests::issued::{self, Clock};
use serde_json::{Value, json};

use super::lua::{LUA_KEY, LUA_NO_CREDENTIAL, LUA_PUBLIC, LUA_UNKNOWN, LUA_X_API_KEY};
use super::wasm::{SECRET, VARIABLE, filter, floor_name, now};
use super::{BEARER, IDENTITY, KEY, STRANGER, bearer};
use crate::contender::{Contender, Kind, Outcome};
use crate::options::Module;

/// One case: a policy, and a request with its expected result.
#[derive(Debug, Clone)]
pub struct Case {
    /// The policy.
    pub policy: Value,
    /// The request and the expected result; its filters are still missing.
    pub contender: Contender,
    /// The Lua contender that does the same.
    pub lua: Option<&'static str>,
}

/// The name of the main case of the chart.
pub const MAIN: &str = "key";

/// Every case.
pub fn cases() -> Vec<Case> {
    let case =
        |name: &str, policy: Value, lua| Case { policy, contender: Contender::new(name, Kind::Gate, Vec::new()), lua };
    let keyed = |mut case: Case| {
        case.contender = bearer(case.contender, KEY).so(Outcome::Seen(IDENTITY.to_vec()));
        case
    };
    let then = |mut case: Case, change: fn(Contender) -> Contender| {
        case.contender = change(case.contender);
        case
    };
    let denied = |contender: Contender| contender.so(Outcome::Denied { status: 401, full: true });
    let mut expiring = policy();
    expiring["consumers"][0]["keys"][0]["expires"] = json!("2100-01-01T00:00:00Z");
    let rule = json!([{"path": "/v2/models/**", "roles": ["predict", "admin"]}]);
    vec![
        keyed(case(MAIN, policy(), Some(LUA_KEY))),
        then(case("x-api-key", policy(), Some(LUA_X_API_KEY)), |one| {
            one.with("x-api-key", KEY).so(Outcome::Seen(IDENTITY.to_vec()))
        }),
        keyed(case(
            "key, networks that do not match",
            with("trusted_networks", json!({"ranges": ["10.0.0.0/8"]})),
            None,
        )),
        keyed(case("key with a rule", with("rules", rule), None)),
        keyed(case("key that expires", expiring, None)),
        keyed(case("key, access_log", with("access_log", json!(true)), None)),
        then(case("token", with_tokens(), None), |one| {
            let clock = Clock(i64::try_from(now()).unwrap_or_default());
            bearer(one, &issued::token(&with_tokens(), SECRET, KEY, clock)).so(Outcome::Seen(IDENTITY.to_vec()))
        }),
        then(case("public path", policy(), Some(LUA_PUBLIC)), |one| one.at("/health")),
        case("trusted network", with("trusted_networks", json!({"ranges": ["127.0.0.1"]})), None),
        then(case("no credential", policy(), Some(LUA_NO_CREDENTIAL)), denied),
        then(case("unknown key", policy(), Some(LUA_UNKNOWN)), |one| {
            bearer(one, STRANGER).so(Outcome::Denied { status: 401, full: true })
        }),
        then(case("report: unknown key", with("mode", json!("report")), None), |one| {
            bearer(one, STRANGER).so(Outcome::Seen(vec![("authorization", STRANGER_BEARER)]))
        }),
        then(case("disabled", with("mode", json!("disabled")), None), |one| {
            bearer(one, KEY).so(Outcome::Seen(vec![("authorization", BEARER)]))
        }),
    ]
}

/// [`STRANGER`] as a bearer token.
const STRANGER_BEARER: &str = "Bearer pk_strangerX7Jx2mQ9vLw4TzR8cYdN1sKpFhBo_2m4YbC";

/// A module in a case.
pub fn contender(module: &Module, case: &Case) -> Contender {
    let name = format!("{}: {}", module.name, case.contender.name);
    let filters = vec![filter(&name, &module.file, &case.policy.to_string())];
    let floor = case.lua.map(|_| floor_name(&case.contender.name));
    Contender { filters, lua: case.lua, floor, name, ..case.contender.clone() }
}

/// One key, a few public paths, no networks and no rules.
pub fn policy() -> Value {
    json!({
        "version": 1,
        "name": "bench",
        "consumers": [{"name": "ci", "roles": ["predict"], "keys": [
            {"id": "ci-1", "sha256": Digest::of(KEY.as_bytes()).to_hex()}
        ]}],
        "public_paths": ["/", "/health", "/docs/**"]
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut policy = policy();
    policy[name] = value;
    policy
}

/// With tokens of the longest lifetime.
fn with_tokens() -> Value {
    let mut policy = with("tokens", json!({"secrets": [{"env": VARIABLE}], "lifetime": "24h"}));
    policy["endpoints"] = json!({"token": "/token"});
    policy
}

//! Envoy's built-in filters: `api_key_auth`, RBAC, `ext_authz`.

use serde_json::{Value, json};

use super::{BEARER, IDENTITY, KEY, STRANGER, bearer};
use crate::contender::{Contender, Kind, Outcome};

pub(super) fn all() -> Vec<Contender> {
    let new = |name: &str, filter: Value| Contender::new(name, Kind::BuiltIn, vec![filter]);
    let consumer = vec![IDENTITY[0]];
    vec![
        bearer(new("api_key_auth: key", api_key_auth(1)), KEY).so(Outcome::Seen(consumer)),
        bearer(new("api_key_auth: unknown key", api_key_auth(1)), STRANGER)
            .so(Outcome::Denied { status: 401, full: false }),
        bearer(new("rbac: header match", rbac()), KEY).so(Outcome::Seen(vec![("authorization", BEARER)])),
        bearer(new("ext_authz: key", ext_authz()), KEY)
            .so(Outcome::Seen([&[("authorization", BEARER)], &IDENTITY[..]].concat())),
        bearer(new("ext_authz: unknown key", ext_authz()), STRANGER).so(Outcome::Denied { status: 401, full: true }),
    ]
}

/// Sets one identity header and removes the key: that is all it can do.
pub fn api_key_auth(keys: usize) -> Value {
    let others = (1..keys).map(|number| json!({"key": format!("pk_other_{number:040}"), "client": "other"}));
    let ours = json!({"key": KEY, "client": IDENTITY[0].1});
    json!({"name": "envoy.filters.http.api_key_auth", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
        "credentials": others.chain([ours]).collect::<Vec<_>>(),
        "key_sources": [{"header": "authorization"}, {"header": "x-api-key"}],
        "forwarding": {"header": IDENTITY[0].0, "hide_credentials": true}
    }})
}

/// Compares the whole header with the key; sets and removes nothing.
fn rbac() -> Value {
    let matches = json!({"name": "authorization", "string_match": {"exact": BEARER}});
    json!({"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"key": {
            "permissions": [{"any": true}],
            "principals": [{"header": matches}]
        }}}
    }})
}

/// Over HTTP, to the server of [`crate::authorization`].
fn ext_authz() -> Value {
    let exact =
        |names: &[&str]| json!({"patterns": names.iter().map(|name| json!({"exact": name})).collect::<Vec<_>>()});
    let identity: Vec<&str> = IDENTITY.iter().map(|(name, _)| *name).collect();
    json!({"name": "envoy.filters.http.ext_authz", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "allowed_headers": exact(&["authorization", "x-api-key"]),
        "http_service": {
            "server_uri": {"uri": "http://authorization", "cluster": "authorization", "timeout": "5s"},
            "authorization_response": {
                "allowed_upstream_headers": exact(&identity),
                "allowed_client_headers": exact(&["www-authenticate", "content-type", "cache-control"])
            }
        }
    }})
}

//! Every way in which a document is refused, with the complete error message.

use crate::decision::policy::Policy;

/// Each document is followed by its error message. No message shows what may be a secret.
const REFUSED: &str = r##"
{
  the document: not valid JSON (line 1, column 1): write the policy as JSON text, or as YAML in a google.protobuf.Struct
{} {}
  the document: not valid JSON (line 1, column 4): write the policy as JSON text, or as YAML in a google.protobuf.Struct
[]
  the document: found a list, expected a policy document (an object)
"hunter2"
  the document: found text, expected a policy document (an object)
{"rulez": []}
  the document: unknown field `rulez`: expected version, name, description, mode, access_log, key_metrics, key_sources, consumers, public_paths, protected_paths, trusted_networks, trusted_identities, cors_preflight, rules, endpoints, tokens, reply, upstream
{"name": "a", "name": "b"}
  the document: duplicate field `name`: keep one
{"version": 2}
  version: unknown version of the format "2": expected 1
{"consumers": 5}
  consumers: found a number, expected a list
{"public_paths": false}
  public_paths: found a boolean (false), expected a list
{"public_paths": [1]}
  public_paths[0]: found a number (1), expected a path pattern such as /docs/**, or {path, methods}: quote it
{"version": "1"}
  version: found text ("1"), expected a whole number
{"version": 1.5}
  version: found a fractional or very large number, expected a whole number
{"version": -1}
  version: found a number (-1), expected a whole number
{"name": 12345678}
  name: found a number (12345678), expected a name of letters, digits, - and _: quote it
{"name": "a.b"}
  name: invalid gate name "a.b": expected 1 to 64 letters, digits, - and _ (it is part of the names of stats)
{"name": "a'\"\\\n\u202e\u00e9"}
  name: invalid gate name "a'\"\\\n\u{202e}é": expected 1 to 64 letters, digits, - and _ (it is part of the names of stats)
{"mode": false}
  mode: found a boolean (false), expected enforce, report or disabled: quote it (YAML reads a bare off, no or yes as a boolean)
{"mode": "off"}
  mode: invalid mode "off": expected enforce, report or disabled
{"key_metrics": 1}
  key_metrics: found a number (1), expected true or false
{"access_log": "yes"}
  access_log: found text ("yes"), expected true or false
{"public_paths": null}
  public_paths: found null, expected a list: write a value, or remove the field
{"key_sources": []}
  key_sources: empty list: no key could be presented; name a source, or remove the field
{"key_sources": ["basic"]}
  key_sources[0]: invalid key source "basic": expected bearer, {header: NAME}, {query: NAME}, {cookie: NAME} or {websocket_protocol: MARKER}
{"key_sources": [{"header": "a", "query": "b"}]}
  key_sources[0]: invalid key source: expected bearer, {header: NAME}, {query: NAME}, {cookie: NAME} or {websocket_protocol: MARKER}
{"key_sources": ["bearer", "bearer"]}
  key_sources[1]: duplicate key source: keep one
{"key_sources": [{"header": "X-API-Key"}]}
  key_sources[0].header: invalid header name "X-API-Key": expected 1 to 64 characters of a header name, in lower case
{"key_sources": [{"header": "authorization"}]}
  key_sources[0].header: reserved header name "authorization": use a header of its own such as x-api-key, `bearer` for Authorization, or `websocket_protocol`
{"key_sources": [{"header": "sec-websocket-protocol"}]}
  key_sources[0].header: reserved header name "sec-websocket-protocol": use a header of its own such as x-api-key, `bearer` for Authorization, or `websocket_protocol`
{"key_sources": [{"websocket_protocol": "a,b"}]}
  key_sources[0].websocket_protocol: invalid parameter name (value not shown, it may be a key): expected 1 to 64 characters of a name, such as letters, digits, - and _
{"upstream": {"consumer_header": "x_api_key"}}
  upstream.consumer_header: reserved header name "x_api_key": use a header of its own, since the gate removes every copy that a caller sends
{"upstream": {"roles_header": "x_portcullis_consumer"}}
  upstream.roles_header: reserved header name "x_portcullis_consumer": use a header of its own, since the gate removes every copy that a caller sends
{"consumers": [{"roles": []}]}
  consumers[0]: missing field `name`: add it
{"consumers": [{"name": "a,b"}]}
  consumers[0].name: invalid consumer name "a,b": expected 1 to 128 visible ASCII characters without comma, quote and backslash (it is sent as a header)
{"consumers": [{"name": "a"}, {"name": "a"}]}
  consumers[1].name: duplicate consumer name "a": merge the two
{"consumers": [{"name": "a", "keys": [{"id": "k", "env": "A"}, {"id": "k", "env": "B"}]}]}
  consumers[0].keys[1].id: duplicate key id "k": give each key an id of its own
{"consumers": [{"name": "a", "keys": [{"id": "2c26b46b68ffc68f", "env": "A"}, {"plaintext": "foo"}]}]}
  consumers[0].keys[1].id: duplicate key id "2c26b46b68ffc68f": give each key an id of its own
{"consumers": [{"name": "a", "keys": [{"plaintext": "foo"}, {"id": "2c26b46b68ffc68f", "plaintext": "bar"}]}]}
  consumers[0].keys[1].id: duplicate key id "2c26b46b68ffc68f": give each key an id of its own
{"consumers": [{"name": "a", "keys": [{"id": "2c26b46b68ffc68f", "plaintext": "foo"}, {"id": "2c26b46b68ffc68f", "plaintext": "bar"}]}]}
  consumers[0].keys[1].id: duplicate key id "2c26b46b68ffc68f": give each key an id of its own
{"consumers": [{"name": "a", "keys": [{"id": "2c26b46b68ffc68f", "plaintext": "foo"}, {"plaintext": "foo"}, {"id": "2c26b46b68ffc68f", "env": "A"}]}]}
  consumers[0].keys[2].id: duplicate key id "2c26b46b68ffc68f": give each key an id of its own
{"consumers": [{"name": "a", "keys": [{"env": "A", "expires": "2027-02-01"}]}]}
  consumers[0].keys[0].expires: invalid date-time "2027-02-01": expected RFC 3339, such as 2027-02-01T00:00:00Z
{"consumers": [{"name": "a", "keys": [{"env": "A", "expires": "2027-sk_hunter2"}]}]}
  consumers[0].keys[0].expires: invalid date-time (value not shown, it may be a key): expected RFC 3339, such as 2027-02-01T00:00:00Z
{"consumers": [{"name": "a", "keys": [{"env": "A", "not_before": "2027-02-01T00:00:00Z", "expires": "2027-02-01T00:00:00Z"}]}]}
  consumers[0].keys[0]: invalid key entry: expected `expires` to be after `not_before`
{"public_paths": ["/a/../b"]}
  public_paths[0]: invalid path pattern "/a/../b": dot segment; write the path resolved
{"public_paths": [{"path": "/a", "methods": ["get"]}]}
  public_paths[0].methods[0]: invalid method "get": expected upper case, such as GET
{"public_paths": [{"path": "/a", "methods": []}]}
  public_paths[0].methods: empty list of methods: name a method, or remove the field
{"protected_paths": []}
  protected_paths: empty list: it would protect nothing; remove it to protect everything (`mode: disabled` opens the gate)
{"protected_paths": [{"path": "/a", "methods": ["GET"]}]}
  protected_paths[0]: unknown field `methods`: expected path, description
{"trusted_networks": {"ranges": ["10.0.0.0/7"]}}
  trusted_networks.ranges[0]: invalid range "10.0.0.0/7": wider than /8 (IPv4) or /7 (IPv6), which is never trusted; name the networks that are yours
{"trusted_networks": {"ranges": ["10.1.2.3/16"]}}
  trusted_networks.ranges[0]: invalid range "10.1.2.3/16": bits are set beyond the prefix; write the first address of the network
{"trusted_networks": {"client_address": "xff"}}
  trusted_networks.client_address: invalid client address "xff": expected direct, remote_ip or {filter_state: KEY}
{"trusted_identities": ["spiffe://cluster.local/ns/*/sa/*"]}
  trusted_identities[0]: invalid SPIFFE id "spiffe://cluster.local/ns/*/sa/*": it trusts a whole trust domain; name at least a namespace or an account
{"endpoints": {"token": "/t"}}
  endpoints.token: endpoint without tokens: add `tokens` with `secrets`, or remove the endpoint
{"endpoints": {"token": "/t", "whoami": "/t"}, "tokens": {"secrets": [{"env": "A"}]}}
  endpoints.token: duplicate path of an endpoint "/t": give each endpoint a path of its own
{"endpoints": {"whoami": "/t/**"}}
  endpoints.whoami: invalid path of an endpoint "/t/**": expected one path without patterns, such as /v1/token: `/`, letters, digits, - . _ ~
{"endpoints": {"whoami": "/t//a"}}
  endpoints.whoami: invalid path of an endpoint "/t//a": expected one path without patterns, such as /v1/token: `/`, letters, digits, - . _ ~
{"tokens": {"lifetime": "15min"}}
  tokens: missing field `secrets`: add it
{"tokens": {"secrets": []}}
  tokens.secrets: empty list: no token could be signed; name a secret, or remove `tokens`
{"tokens": {"secrets": [{"env": "A"}], "lifetime": "15m"}}
  tokens.lifetime: invalid lifetime "15m": expected 1min to 24h, such as 900s, 15min or 1h (`m` may be a month)
{"tokens": {"secrets": [{"env": "A"}], "lifetime": "25h"}}
  tokens.lifetime: invalid lifetime "25h": expected 1min to 24h, such as 900s, 15min or 1h (`m` may be a month)
{"tokens": {"secrets": [{"env": "A"}], "lifetime": 900}}
  tokens.lifetime: found a number (900), expected a time such as 15min: quote it
{"tokens": {"secrets": [{"plaintext": "hunter2"}]}}
  tokens.secrets[0]: unknown field (name not shown): expected env
{"key_sources": [{"header": "x-api-key"}], "tokens": {"secrets": [{"env": "A"}]}}
  key_sources: tokens without bearer: a token is sent as a bearer credential; add `bearer`
{"rules": [{"path": "/a"}]}
  rules[0]: missing field `roles`: add it
{"rules": [{"path": "/a", "roles": []}]}
  rules[0]: rule without roles: name a role, or remove the rule
{"reply": {"realm": "a\"b"}}
  reply.realm: invalid realm "a\"b": expected 1 to 64 ASCII characters without quote and backslash
{"consumers": [{"name": "a", "keys": ["hunter2"]}]}
  consumers[0].keys[0]: found text, expected a key entry: {sha256}, {plaintext} or {env}, with id, not_before, expires, disabled
{"consumers": [{"name": "a", "hunter2_hunter2_hunter2": "b"}]}
  consumers[0]: unknown field (name not shown): expected name, description, roles, keys
{"consumers": ["hunter2"]}
  consumers[0]: found text, expected a consumer: {name, roles, keys}
{"consumers": [{"name": "a", "keys": "hunter2"}]}
  consumers[0].keys: found text, expected a list
{"consumers": [{"name": "a", "keys": [{"hunter2": true}]}]}
  consumers[0].keys[0]: unknown field (name not shown): expected id, description, sha256, plaintext, env, not_before, expires, disabled
{"consumers": [{"name": "a", "keys": [{"plaintext": 12345678}]}]}
  consumers[0].keys[0].plaintext: found a number, expected the key as text: quote it
{"consumers": [{"name": "a", "keys": [{"sha256": 12345678}]}]}
  consumers[0].keys[0].sha256: found a number, expected the SHA-256 of the key, as 64 hex digits: quote it
{"consumers": [{"name": "a", "keys": [{"plaintext": "hunter2", "env": "A"}]}]}
  consumers[0].keys[0]: invalid key entry: expected exactly one of sha256, plaintext and env
{"consumers": [{"name": "a", "keys": [{"env": ""}]}]}
  consumers[0].keys[0].env: invalid environment variable name (value not shown, it may be a key): expected letters, digits and _; put the key into the variable
{"consumers": [{"name": "a", "keys": [{"env": "1A"}]}]}
  consumers[0].keys[0].env: invalid environment variable name (value not shown, it may be a key): expected letters, digits and _; put the key into the variable
{"tokens": "hunter2"}
  tokens: found text, expected an object: {secrets, lifetime}
{"tokens": {"secrets": "hunter2"}}
  tokens.secrets: found text, expected a list
{"tokens": {"secrets": ["hunter2"]}}
  tokens.secrets[0]: found text, expected a secret: {env}
{"tokens": {"secrets": [{"env": "hunter2-hunter2"}]}}
  tokens.secrets[0].env: invalid environment variable name (value not shown, it may be a key): expected letters, digits and _; put the key into the variable
{"tokens": {"secrets": [{"hunter2": "a"}]}}
  tokens.secrets[0]: unknown field (name not shown): expected env
{"consumers": [{"name": "a", "keys": [{"env": "hunter2-hunter2"}]}]}
  consumers[0].keys[0].env: invalid environment variable name (value not shown, it may be a key): expected letters, digits and _; put the key into the variable
"##;

#[test]
fn every_refusal_says_where_what_and_how_to_fix_it() {
    let lines: Vec<&str> = REFUSED.trim_matches('\n').lines().collect();
    for row in lines.chunks(2) {
        let refusal = Policy::load(row[0].as_bytes(), &|_| None).expect_err(row[0]);
        assert_eq!(refusal.to_string(), row[1].trim_start(), "{}", row[0]);
    }
}

#[test]
fn an_invalid_key_entry_is_skipped() {
    let digest = crate::keys::digest::Digest::of(b"same").to_hex();
    let document = format!(
        r#"{{"consumers": [
            {{"name": "a", "keys": [
                {{"plaintext": "good"}}, {{"sha256": "hunter2", "id": "one"}}, {{"plaintext": "hunter2 "}}, {{"plaintext": "same"}},
                {{"env": "UNSET"}}, {{"env": "hunter2_hunter2"}}, {{"env": "EMPTY"}}, {{"env": "BAD"}}, {{"env": "GOOD"}}, {{"env": "GOOD_TOO"}},
                {{"plaintext": "${{hunter2}}"}}, {{"env": "REFERENCE"}}]}},
            {{"name": "b", "keys": [{{"sha256": "{digest}"}}, {{"sha256": "hunter2"}}]}}]}}"#
    );
    let environment = |name: &str| match name {
        "EMPTY" => Some(b"\n".to_vec()),
        "BAD" => Some(b"hunter2\n\n".to_vec()),
        "GOOD" => Some(b"from-the-environment\n".to_vec()),
        "GOOD_TOO" => Some(b"with-a-carriage-return\r\n".to_vec()),
        "REFERENCE" => Some(b"op://hunter2\n".to_vec()),
        _ => None,
    };
    let loaded = Policy::load(document.as_bytes(), &environment).expect("the document stands");
    let refused: Vec<String> = loaded.refused_entries.iter().map(ToString::to_string).collect();
    let expected = "expected 1 to 1024 visible ASCII characters (0x21 to 0x7E)";
    let same = |other: &str| format!("duplicate key, also at {other}: both entries are skipped, keep one");
    assert_eq!(
        refused,
        [
            "consumers[0].keys[1] (id one): invalid sha256: expected 64 hex digits (printf %s \"$KEY\" | sha256sum)".to_owned(),
            format!("consumers[0].keys[2]: invalid plaintext: {expected}"),
            "consumers[0].keys[4]: environment variable UNSET is not set in the VM: export it before Envoy starts, and list it in \
             vm_config.environment_variables"
                .to_owned(),
            "consumers[0].keys[5]: environment variable (name not shown, it may be a key) is not set in the VM: \
             export it before Envoy starts, and list it in vm_config.environment_variables"
                .to_owned(),
            "consumers[0].keys[6]: environment variable EMPTY is empty: put the key in it".to_owned(),
            format!("consumers[0].keys[7]: invalid value of environment variable BAD: {expected}"),
            "consumers[0].keys[10]: invalid plaintext: a placeholder that was not replaced: expected the key itself".to_owned(),
            "consumers[0].keys[11]: invalid value of environment variable REFERENCE: a reference to a key in another place: \
             expected the key itself"
                .to_owned(),
            format!("consumers[0].keys[3]: {}", same("consumers[1].keys[0]")),
            format!("consumers[1].keys[0]: {}", same("consumers[0].keys[3]")),
            "consumers[1].keys[1]: invalid sha256: expected 64 hex digits (printf %s \"$KEY\" | sha256sum)".to_owned(),
        ]
    );
    assert!(refused.iter().all(|message| !message.contains("hunter2")));
    assert_eq!((loaded.policy.keyring().len(), loaded.policy.keyring().is_empty()), (3, false));
}

#[test]
fn an_empty_configuration_is_the_default_policy() {
    for document in ["", "{}", "\n{\n}\n", r#"{"version": 1}"#] {
        let loaded = Policy::load(document.as_bytes(), &|_| None).expect("the document stands");
        assert!(loaded.policy.keyring().is_empty() && loaded.refused_entries.is_empty());
        assert_eq!((loaded.policy.name(), loaded.policy.access_log()), ("default", false));
    }
}

#[test]
fn documents_with_the_same_meaning_have_the_same_digest() {
    let digest = |document: &str| Policy::load(document.as_bytes(), &|_| None).expect("stands").policy.digest();
    let hash = crate::keys::digest::Digest::of(b"key").to_hex();
    assert_eq!(digest("{}"), digest(r#"{"mode": "enforce", "version": 1}"#), "defaults are filled in");
    assert_eq!(digest(r#"{"name": "a", "mode": "report"}"#), digest(r#"{"mode": "report", "name": "a"}"#));
    assert_eq!(
        digest(r#"{"consumers": [{"name": "a", "keys": [{"plaintext": "key"}]}]}"#),
        digest(&format!(r#"{{"consumers": [{{"name": "a", "keys": [{{"sha256": "{hash}"}}]}}]}}"#)),
        "a plaintext counts as its digest"
    );
    assert_ne!(digest("{}"), digest(r#"{"mode": "report"}"#));
    assert_ne!(digest(r#"{"public_paths": ["/a"]}"#), digest(r#"{"public_paths": ["/b"]}"#));
}

//! What is refused, and in which words: one row a way to be wrong. Each message names the place, shows the value unless
//! it may be a secret, and says the mend.

use crate::decision::policy::Policy;

/// The document, and the whole message.
const REFUSED: &[(&str, &str)] = &[
    (
        "{",
        "the document: not valid JSON (line 1, column 1): give the policy as JSON text, or as YAML in a google.protobuf.Struct",
    ),
    (
        "{} {}",
        "the document: not valid JSON (line 1, column 4): give the policy as JSON text, or as YAML in a google.protobuf.Struct",
    ),
    ("[]", "the document: found a list, expected a policy document (an object)"),
    ("\"hunter2\"", "the document: found text, expected a policy document (an object)"),
    (
        r#"{"rulez": []}"#,
        "the document: unknown field `rulez`: known here are version, name, description, mode, access_log, key_metrics, \
         key_sources, consumers, public_paths, protected_paths, trusted_networks, trusted_identities, cors_preflight, rules, reply, upstream",
    ),
    (r#"{"name": "a", "name": "b"}"#, "the document: `name` is given twice: keep one"),
    (r#"{"version": 2}"#, r#"version: "2" is a version of the format that this filter does not know: write 1"#),
    (r#"{"consumers": 5}"#, "consumers: found a number, expected a list"),
    (r#"{"public_paths": false}"#, "public_paths: false is a boolean, expected a list"),
    (
        r#"{"public_paths": [1]}"#,
        "public_paths[0]: 1 is a number, expected a path pattern such as /docs/**, or {path, methods}: quote it",
    ),
    (r#"{"version": "1"}"#, r#"version: "1" is text, expected u64"#),
    (r#"{"version": 1.5}"#, "version: 1.5 is a number, expected u64"),
    (r#"{"name": 12345678}"#, "name: 12345678 is a number, expected a name of letters, digits, - and _: quote it"),
    (
        r#"{"name": "a.b"}"#,
        r#"name: "a.b" is no name of a gate: use 1 to 64 letters, digits, - and _ (it stands in the names of stats)"#,
    ),
    (
        r#"{"name": "a'\"\\\n\u202e\u00e9"}"#,
        r#"name: "a'\"\\\n\u{202e}é" is no name of a gate: use 1 to 64 letters, digits, - and _ (it stands in the names of stats)"#,
    ),
    (
        r#"{"mode": false}"#,
        "mode: false is a boolean, expected enforce, report or disabled: quote it (YAML reads a bare off, no or yes as a boolean)",
    ),
    (r#"{"mode": "off"}"#, r#"mode: "off" is no mode: write enforce, report or disabled"#),
    (r#"{"key_metrics": 1}"#, "key_metrics: 1 is a number, expected true or false"),
    (r#"{"access_log": "yes"}"#, r#"access_log: "yes" is text, expected true or false"#),
    (r#"{"public_paths": null}"#, "public_paths: no value, expected a list: give one, or remove the field"),
    (
        r#"{"key_sources": []}"#,
        "key_sources: an empty list: no key could ever be presented: remove it, or name a source",
    ),
    (
        r#"{"key_sources": ["basic"]}"#,
        r#"key_sources[0]: "basic" is no key source: write bearer, {header: NAME}, {query: NAME} or {cookie: NAME}"#,
    ),
    (
        r#"{"key_sources": [{"header": "a", "query": "b"}]}"#,
        "key_sources[0]: a key source has one name: write bearer, {header: NAME}, {query: NAME} or {cookie: NAME}",
    ),
    (r#"{"key_sources": ["bearer", "bearer"]}"#, "key_sources[1]: the same key source twice: keep one"),
    (
        r#"{"key_sources": [{"header": "X-API-Key"}]}"#,
        r#"key_sources[0].header: "X-API-Key" is no header name: use 1 to 64 characters of a header name, in lower case"#,
    ),
    (
        r#"{"key_sources": [{"header": "authorization"}]}"#,
        "key_sources[0].header: \"authorization\" means something else already: use a header of its own such as x-api-key, or \
         `bearer` for Authorization",
    ),
    (
        r#"{"upstream": {"consumer_header": "x_api_key"}}"#,
        "upstream.consumer_header: \"x_api_key\" means something else already: use a header of its own: the gate removes every \
         copy that a caller sends",
    ),
    (
        r#"{"upstream": {"roles_header": "x_portcullis_consumer"}}"#,
        "upstream.roles_header: \"x_portcullis_consumer\" means something else already: use a header of its own: the gate \
         removes every copy that a caller sends",
    ),
    (r#"{"consumers": [{"roles": []}]}"#, "consumers[0]: `name` is missing: add it"),
    (
        r#"{"consumers": [{"name": "a,b"}]}"#,
        "consumers[0].name: \"a,b\" is no name of a consumer: use 1 to 128 visible ASCII characters without comma, quote and \
         backslash (it is sent as a header)",
    ),
    (
        r#"{"consumers": [{"name": "a"}, {"name": "a"}]}"#,
        r#"consumers[1].name: "a" is the name of another consumer too: join the two"#,
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"id": "k", "env": "A"}, {"id": "k", "env": "B"}]}]}"#,
        r#"consumers[0].keys[1].id: "k" is the id of another key too: give each key an id of its own"#,
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": "A", "expires": "2027-02-01"}]}]}"#,
        "consumers[0].keys[0].expires: \"2027-02-01\" is no date-time of RFC 3339: write one such as 2027-02-01T00:00:00Z",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": "A", "expires": "2027-sk_hunter2"}]}]}"#,
        "consumers[0].keys[0].expires: the value (not shown: it may be a key) is no date-time of RFC 3339: write one such as \
         2027-02-01T00:00:00Z",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": "A", "not_before": "2027-02-01T00:00:00Z", "expires": "2027-02-01T00:00:00Z"}]}]}"#,
        "consumers[0].keys[0]: the key expires before it is valid: give an `expires` after `not_before`",
    ),
    (
        r#"{"public_paths": ["/a/../b"]}"#,
        "public_paths[0]: \"/a/../b\" has a dot segment, which no request that is let through has: write it resolved",
    ),
    (
        r#"{"public_paths": [{"path": "/a", "methods": ["get"]}]}"#,
        r#"public_paths[0].methods[0]: "get" is no method: write it in upper case, such as GET"#,
    ),
    (
        r#"{"public_paths": [{"path": "/a", "methods": []}]}"#,
        "public_paths[0].methods: \"[]\" is an empty list, which narrows to nothing: name a method, or remove the field",
    ),
    (
        r#"{"protected_paths": []}"#,
        "protected_paths: an empty list protects nothing: remove it to protect everything; `mode: disabled` opens the gate",
    ),
    (
        r#"{"protected_paths": [{"path": "/a", "methods": ["GET"]}]}"#,
        "protected_paths[0]: unknown field `methods`: known here are path, description",
    ),
    (
        r#"{"trusted_networks": {"ranges": ["10.0.0.0/7"]}}"#,
        "trusted_networks.ranges[0]: \"10.0.0.0/7\" is most of the Internet: ranges wider than /8 (IPv4) or /7 (IPv6) are not \
         trusted; name the networks that are yours",
    ),
    (
        r#"{"trusted_networks": {"ranges": ["10.1.2.3/16"]}}"#,
        "trusted_networks.ranges[0]: \"10.1.2.3/16\" has bits set beyond its prefix: write the first address \
         of the network, or the one address without a prefix",
    ),
    (
        r#"{"trusted_networks": {"client_address": "xff"}}"#,
        r#"trusted_networks.client_address: "xff" is no choice here: write direct, remote_ip or {filter_state: KEY}"#,
    ),
    (
        r#"{"trusted_identities": ["spiffe://cluster.local/ns/*/sa/*"]}"#,
        "trusted_identities[0]: \"spiffe://cluster.local/ns/*/sa/*\" trusts a whole trust domain: name at least a namespace or \
         an account",
    ),
    (r#"{"rules": [{"path": "/a"}]}"#, "rules[0]: `roles` is missing: add it"),
    (
        r#"{"rules": [{"path": "/a", "roles": []}]}"#,
        "rules[0]: the rule asks for no role, so nobody could meet it: name a role, or remove the rule",
    ),
    (
        r#"{"reply": {"realm": "a\"b"}}"#,
        r#"reply.realm: "a\"b" is no realm: use 1 to 64 ASCII characters without quote and backslash"#,
    ),
];

/// Documents with a secret where it may have slipped to: the message must be this, without it.
const SECRETS: &[(&str, &str)] = &[
    (
        r#"{"consumers": [{"name": "a", "keys": ["hunter2"]}]}"#,
        "consumers[0].keys[0]: found text, expected a key entry: {sha256}, {plaintext} or {env}, with id, not_before, expires, \
         disabled",
    ),
    (
        r#"{"consumers": [{"name": "a", "hunter2_hunter2_hunter2": "b"}]}"#,
        "consumers[0]: unknown field (its name is not shown): known here are name, description, roles, keys",
    ),
    (r#"{"consumers": ["hunter2"]}"#, "consumers[0]: found text, expected a consumer: {name, roles, keys}"),
    (r#"{"consumers": [{"name": "a", "keys": "hunter2"}]}"#, "consumers[0].keys: found text, expected a list"),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"hunter2": true}]}]}"#,
        "consumers[0].keys[0]: unknown field (its name is not shown): known here are id, description, sha256, plaintext, env, \
         not_before, expires, disabled",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"plaintext": 12345678}]}]}"#,
        "consumers[0].keys[0].plaintext: found a number, expected the key as text: quote it",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"sha256": 12345678}]}]}"#,
        "consumers[0].keys[0].sha256: found a number, expected the SHA-256 of the key, as 64 hex digits: quote it",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"plaintext": "hunter2", "env": "A"}]}]}"#,
        "consumers[0].keys[0]: a key entry holds one key: give exactly one of sha256, plaintext and env",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": ""}]}]}"#,
        "consumers[0].keys[0].env: the value (not shown: it may be a key) is no name of an environment variable: write \
         the variable's name, in letters, digits and _, and put the key into the variable",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": "1A"}]}]}"#,
        "consumers[0].keys[0].env: the value (not shown: it may be a key) is no name of an environment variable: write \
         the variable's name, in letters, digits and _, and put the key into the variable",
    ),
    (
        r#"{"consumers": [{"name": "a", "keys": [{"env": "hunter2-hunter2"}]}]}"#,
        "consumers[0].keys[0].env: the value (not shown: it may be a key) is no name of an environment variable: write \
         the variable's name, in letters, digits and _, and put the key into the variable",
    ),
];

fn message(document: &str) -> String {
    match Policy::load(document.as_bytes(), &|_| None) {
        Err(refusal) => refusal.to_string(),
        Ok(_) => panic!("{document} is not refused"),
    }
}

#[test]
fn every_refusal_names_the_place_and_the_mend() {
    for (document, expected) in REFUSED.iter().chain(SECRETS) {
        assert_eq!(&message(document), expected, "{document}");
    }
}

#[test]
fn no_refusal_shows_what_may_be_a_secret() {
    for (document, _) in SECRETS {
        let message = message(document);
        assert!(!message.contains("hunter2") && !message.contains("12345678"), "{message}");
    }
}

#[test]
fn a_bad_key_entry_is_refused_alone() {
    let digest = crate::keys::digest::Digest::of(b"same").to_hex();
    let document = format!(
        r#"{{"consumers": [
            {{"name": "a", "keys": [
                {{"plaintext": "good"}}, {{"sha256": "hunter2", "id": "one"}}, {{"plaintext": "hunter2 "}}, {{"plaintext": "same"}},
                {{"env": "UNSET"}}, {{"env": "hunter2_hunter2"}}, {{"env": "EMPTY"}}, {{"env": "BAD"}}, {{"env": "GOOD"}}, {{"env": "GOOD_TOO"}}]}},
            {{"name": "b", "keys": [{{"sha256": "{digest}"}}, {{"sha256": "hunter2"}}]}}]}}"#
    );
    let environment = |name: &str| match name {
        "EMPTY" => Some(b"\n".to_vec()),
        "BAD" => Some(b"hunter2\n\n".to_vec()),
        "GOOD" => Some(b"from-the-environment\n".to_vec()),
        "GOOD_TOO" => Some(b"with-a-carriage-return\r\n".to_vec()),
        _ => None,
    };
    let loaded = Policy::load(document.as_bytes(), &environment).expect("the document stands");
    let refused: Vec<String> = loaded.refused_entries.iter().map(ToString::to_string).collect();
    let unpresentable = "no request can present it: use 1 to 1024 visible ASCII characters (0x21 to 0x7E)";
    let same = |other: &str| format!("the same key stands at {other}; both entries are refused: keep one");
    assert_eq!(
        refused,
        [
            "consumers[0].keys[1] (id one): sha256 is no SHA-256: give 64 hex digits (printf %s \"$KEY\" | sha256sum)".to_owned(),
            format!("consumers[0].keys[2]: plaintext is malformed, {unpresentable}"),
            "consumers[0].keys[4]: environment variable UNSET is not set in the VM: export it before Envoy starts, and list it in \
             vm_config.environment_variables"
                .to_owned(),
            "consumers[0].keys[5]: environment variable (its name is not shown: it may be a key) is not set in the VM: \
             export it before Envoy starts, and list it in vm_config.environment_variables"
                .to_owned(),
            "consumers[0].keys[6]: environment variable EMPTY is empty: put the key in it".to_owned(),
            format!("consumers[0].keys[7]: the value of environment variable BAD is malformed, {unpresentable}"),
            format!("consumers[0].keys[3]: {}", same("consumers[1].keys[0]")),
            format!("consumers[1].keys[0]: {}", same("consumers[0].keys[3]")),
            "consumers[1].keys[1]: sha256 is no SHA-256: give 64 hex digits (printf %s \"$KEY\" | sha256sum)".to_owned(),
        ]
    );
    assert!(refused.iter().all(|message| !message.contains("hunter2")));
    assert_eq!((loaded.policy.keyring().len(), loaded.policy.keyring().is_empty()), (3, false));
}

#[test]
fn nothing_at_all_is_the_default_policy() {
    for document in ["", "{}", "\n{\n}\n", r#"{"version": 1}"#] {
        let loaded = Policy::load(document.as_bytes(), &|_| None).expect("the document stands");
        assert!(loaded.policy.keyring().is_empty() && loaded.refused_entries.is_empty());
        assert_eq!((loaded.policy.name(), loaded.policy.access_log()), ("default", false));
    }
}

#[test]
fn the_digest_is_of_what_the_document_means() {
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

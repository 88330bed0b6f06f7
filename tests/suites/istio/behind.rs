//! A gate at the gateway and one in the sidecar behind it: the three safe combinations, and the pitfalls.

use portcullis_tests::istio::{Plugin, Traffic, authorization, authorizations, plugins};
use portcullis_tests::wire_engine::Form;
use serde_json::json;

use super::mesh::{GATEWAY, KEY, MODELS, Mesh, NOBODY, WITH_KEY, get, says};
use super::only;

/// The gates of a file with two plugins: the gateway's and the sidecar's.
fn pair(file: &str) -> (Plugin, Plugin) {
    let mut both = plugins(file);
    assert_eq!(both.len(), 2, "{file}");
    let sidecar = both.remove(1);
    (both.remove(0), sidecar)
}

#[test]
fn gated_once_at_the_gateway_the_service_learns_the_consumer() {
    let mesh = Mesh::new();
    let sidecar = mesh.sidecar(Vec::new());
    let gateway = mesh.gateway(vec![only("gateway.yaml").extension(Form::Text)], &sidecar);
    let denied = mesh.send(&gateway, NOBODY, &get(MODELS, &[]));
    assert_eq!((denied.reply.status, denied.seen.is_none()), (401, true));
    let passed = mesh.send(&gateway, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!(passed.reply.status, 200);
    assert_eq!((passed.header("x-portcullis-consumer"), passed.header("x-api-key")), (Some("ci".into()), None));
    assert!(
        passed.header("x-forwarded-client-cert").is_some_and(|peer| peer.contains(GATEWAY.split_once('/').unwrap().1))
    );
    // A caller that reaches the sidecar without passing the gateway meets no gate, and can forge the identity.
    let forged = get(MODELS, &[("x-portcullis-consumer", "admin")]);
    let around = mesh.send(&sidecar, "billing/worker", &forged);
    assert_eq!((around.reply.status, around.header("x-portcullis-consumer")), (200, Some("admin".into())));

    // So the file only lets the gateway call.
    let closed = mesh.sidecar(authorization(&authorizations("gateway.yaml"), Traffic::Http));
    let gateway = mesh.gateway(vec![only("gateway.yaml").extension(Form::Text)], &closed);
    assert_eq!(mesh.send(&gateway, NOBODY, &get(MODELS, WITH_KEY)).reply.status, 200);
    for who in ["billing/worker", NOBODY] {
        assert_eq!(mesh.send(&closed, who, &forged).reply.status, 403, "{who}");
    }
}

/// The pitfall: the gateway's gate removes the key, and the sidecar's requires it.
#[test]
fn two_gates_that_know_nothing_of_each_other_let_nobody_through() {
    let mesh = Mesh::new();
    let sidecar = mesh.sidecar(vec![only("mesh-wide.yaml").extension(Form::Text)]);
    let gateway = mesh.gateway(vec![only("gateway.yaml").extension(Form::Text)], &sidecar);
    let outcome = mesh.send(&gateway, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!(outcome.verdict(), says(401, "no_credential"), "the reason is the sidecar's");
    assert_eq!(mesh.send(&gateway, NOBODY, &get("/healthz", &[])).verdict(), says(200, "public_path"));
}

/// The same in one proxy: a sidecar has both a plugin of the mesh and one of the namespace.
#[test]
fn two_plugins_in_one_sidecar_are_two_gates() {
    let mesh = Mesh::new();
    let [namespace, whole] = ["workload.yaml", "mesh-wide.yaml"].map(|file| only(file).extension(Form::Text));
    let proxy = mesh.sidecar(vec![namespace, whole]);
    let outcome = mesh.send(&proxy, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!((outcome.reply.status, outcome.seen.is_none()), (401, true));
    assert_eq!(mesh.send(&proxy, "shop/frontend", &get(MODELS, &[])).reply.status, 200, "both trust it");
    // While the second only reports, keys work, but it removes the consumer that the first one set.
    let [first, second] = ["workload.yaml", "mesh-wide.yaml"].map(only);
    let reporting = second.with("/mode", json!("report"));
    let proxy = mesh.sidecar(vec![first.extension(Form::Text), reporting.extension(Form::Text)]);
    let outcome = mesh.send(&proxy, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!((outcome.reply.status, outcome.header("x-portcullis-consumer")), (200, None));
}

/// The step of the roll-out from a gate of the namespace to one of the mesh, in the guide's order.
#[test]
fn one_gate_takes_the_place_of_another_and_no_request_goes_ungated() {
    let mesh = Mesh::new();
    let forwarding = only("namespace.yaml")
        .with("/mode", json!("enforce"))
        .with("/upstream", json!({"forward_credential": true}))
        .extension(Form::Text);
    let whole = only("mesh-wide.yaml");
    let reporting = whole.clone().with("/mode", json!("report")).extension(Form::Text);
    let enforcing = whole.extension(Form::Text);
    for (key_arrives, filters) in [
        (true, vec![forwarding.clone()]),
        (false, vec![forwarding.clone(), reporting.clone()]),
        (false, vec![forwarding, enforcing.clone()]),
        (false, vec![enforcing]),
    ] {
        let proxy = mesh.sidecar(filters);
        for headers in [&[], &[("x-api-key", "istio-suite-stranger")][..]] {
            let denied = mesh.send(&proxy, "billing/worker", &get(MODELS, headers));
            assert_eq!((denied.reply.status, denied.seen.is_none()), (401, true), "{headers:?}");
        }
        let passed = mesh.send(&proxy, "billing/worker", &get(MODELS, WITH_KEY));
        assert_eq!((passed.reply.status, passed.header("x-portcullis-consumer")), (200, Some("ci".into())));
        assert_eq!(passed.header("x-api-key").is_some(), key_arrives);
        assert_eq!(mesh.send(&proxy, "shop/frontend", &get(MODELS, &[])).reply.status, 200);
    }
    // Control: in the other order, there is a time in which every request gets through.
    let open = mesh.sidecar(vec![reporting]);
    assert_eq!(mesh.send(&open, "billing/worker", &get(MODELS, &[])).reply.status, 200);
}

#[test]
fn a_forwarded_key_is_checked_twice_and_taken_out_by_the_second_gate() {
    let mesh = Mesh::new();
    let (first, second) = pair("forward-credential.yaml");
    let sidecar = mesh.sidecar(vec![second.extension(Form::Text)]);
    let gateway = mesh.gateway(vec![first.extension(Form::Text)], &sidecar);
    let outcome = mesh.send(&gateway, NOBODY, &get(MODELS, &[("x-api-key", KEY), ("x-portcullis-consumer", "admin")]));
    assert_eq!(outcome.verdict(), says(200, "key"));
    assert_eq!((outcome.header("x-portcullis-consumer"), outcome.header("x-api-key")), (Some("ci".into()), None));
    // Without a key or with a wrong one, the gateway's gate answers, not the sidecar's.
    for headers in [&[], &[("x-api-key", "istio-suite-stranger")][..]] {
        assert_eq!(mesh.send(&gateway, NOBODY, &get(MODELS, headers)).verdict(), says(401, "-"));
    }
    // Calls inside the mesh pass without one, and cannot forge a consumer.
    let inside = mesh.send(&sidecar, "shop/frontend", &get(MODELS, &[("x-portcullis-consumer", "admin")]));
    assert_eq!((inside.verdict(), inside.header("x-portcullis-consumer")), (says(200, "trusted_identity"), None));
}

#[test]
fn a_sidecar_that_trusts_the_gateway_lets_its_callers_in_and_does_not_name_them() {
    let mesh = Mesh::new();
    let (first, second) = pair("trust-gateway.yaml");
    let sidecar = mesh.sidecar(vec![second.extension(Form::Text)]);
    let gateway = mesh.gateway(vec![first.extension(Form::Text)], &sidecar);
    let outcome = mesh.send(&gateway, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!(outcome.verdict(), says(200, "trusted_identity"));
    assert_eq!((outcome.header("x-portcullis-consumer"), outcome.header("x-api-key")), (None, None));
    assert_eq!(mesh.send(&gateway, NOBODY, &get(MODELS, &[])).verdict(), says(401, "-"));
    assert_eq!(mesh.send(&sidecar, "billing/worker", &get(MODELS, &[])).verdict(), says(401, "no_credential"));
}

/// Three cases in which that trust is not justified: a gateway without a gate, one that only reports, and a path that
/// is public there.
#[test]
fn a_trusted_gateway_is_as_good_as_its_gate() {
    let mesh = Mesh::new();
    let (first, second) = pair("trust-gateway.yaml");
    let sidecar = mesh.sidecar(vec![second.extension(Form::Text)]);
    let reporting = first.clone().with("/mode", json!("report")).extension(Form::Text);
    for (filters, path) in
        [(vec![], MODELS), (vec![reporting], MODELS), (vec![first.extension(Form::Text)], "/healthz")]
    {
        let gateway = mesh.gateway(filters, &sidecar);
        assert_eq!(mesh.send(&gateway, NOBODY, &get(path, &[])).verdict(), says(200, "trusted_identity"));
    }
}

/// Other names for the second gate's headers let the consumer through, and also every forged one.
#[test]
fn headers_of_another_name_let_the_first_gates_consumer_through_and_forged_ones_too() {
    let mesh = Mesh::new();
    let (first, second) = pair("trust-gateway.yaml");
    let names =
        json!({"consumer_header": "x-mesh-consumer", "roles_header": "x-mesh-roles", "key_id_header": "x-mesh-key-id"});
    let second = second.with("/upstream", names).with("/public_paths", json!(["/healthz"]));
    let sidecar = mesh.sidecar(vec![second.extension(Form::Text)]);
    let gateway = mesh.gateway(vec![first.extension(Form::Text)], &sidecar);
    let outcome = mesh.send(&gateway, NOBODY, &get(MODELS, WITH_KEY));
    assert_eq!(outcome.header("x-portcullis-consumer"), Some("ci".into()));
    let forged: &[(&str, &str)] = &[("x-portcullis-consumer", "admin")];
    let inside = mesh.send(&sidecar, "billing/worker", &get("/healthz", forged));
    assert_eq!(
        (inside.verdict(), inside.header("x-portcullis-consumer")),
        (says(200, "public_path"), Some("admin".into()))
    );
}

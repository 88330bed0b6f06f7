//! `portcullis render envoy --limit`.

use portcullis_tests::message::Reply;
use serde_json::{Value, json};

use super::{Limited, key};

/// The members of a reply's body.
fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("it is JSON")
}

#[test]
fn a_consumer_beyond_its_limit_gets_429_and_another_does_not() {
    let limited = Limited::rendered_for(2, &["2/day"]);
    assert_eq!(limited.ask("alice", 8), [200, 200, 429, 429, 429, 429, 429, 429], "the workers share its bucket");
    assert_eq!(limited.ask("bob", 3), [200, 200, 429]);
    let reply = limited.send("/v2", &[("x-api-key", &key("alice"))]);
    assert_eq!(reply.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(reply.header("retry-after").as_deref(), Some("43200"));
    assert_eq!(reply.header("x-ratelimit-limit").as_deref(), Some("2"));
    assert_eq!(reply.header("x-ratelimit-remaining").as_deref(), Some("0"));
    // The pause is a statement about how Envoy fills a bucket: evenly.
    let reset: u32 = reply.header("x-ratelimit-reset").and_then(|reset| reset.parse().ok()).expect("a number");
    assert!((40_000..=43_200).contains(&reset), "{reset}");
    let detail = "Rate limit exceeded: 2 requests per day.";
    let expected = json!({"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": detail});
    assert_eq!(body(&reply), expected);
    let grpc = limited.send("/v2", &[("x-api-key", &key("alice")), ("content-type", "application/grpc")]);
    assert_eq!((grpc.status, grpc.header("grpc-status").as_deref()), (200, Some("8")), "RESOURCE_EXHAUSTED");
    let another_envoy = Limited::rendered(&["2/day"]);
    assert_eq!(another_envoy.ask("alice", 3), [200, 200, 429], "each Envoy has buckets of its own");
}

#[test]
fn a_caller_cannot_choose_its_bucket() {
    let limited = Limited::rendered(&["2/day", "gold=4/day"]);
    let forged = [
        ("x-portcullis-consumer", "bob"),
        ("x-portcullis-roles", "gold"),
        ("X-Portcullis-Roles", "gold"),
        ("x-portcullis-key-id", "bob"),
    ];
    assert_eq!(limited.ask_with("alice", 3, &forged), [200, 200, 429]);
    assert_eq!(limited.ask_with("alice", 1, &[("x-portcullis-consumer", "another")]), [429]);
    assert_eq!(limited.ask_with("alice", 1, &[("connection", "x-portcullis-consumer, x-portcullis-roles")]), [429]);
    assert_eq!(limited.ask("bob", 3), [200, 200, 429], "nobody has used its bucket up");
}

#[test]
fn the_roles_decide_and_of_several_limits_the_largest() {
    let limited = Limited::rendered(&["silver=3/day", "1/day", "gold=5/day"]);
    for (consumer, most) in [("alice", 1), ("silver", 3), ("gold", 5), ("both", 5)] {
        let statuses = limited.ask(consumer, most + 1);
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), most, "{consumer}: {statuses:?}");
        assert_eq!(statuses.last(), Some(&429), "{consumer}");
        let reply = limited.send("/v2", &[("x-api-key", &key(consumer))]);
        let detail = format!("Rate limit exceeded: {most} request{} per day.", if most == 1 { "" } else { "s" });
        assert_eq!(body(&reply)["detail"], detail, "{consumer}");
        let pause = 86_400_usize.div_ceil(most).to_string();
        assert_eq!(reply.header("retry-after"), Some(pause), "{consumer}");
    }
}

#[test]
fn what_has_no_consumer_has_no_limit() {
    let limited = Limited::rendered(&["1/day"]);
    let key = key("alice");
    for headers in [&[][..], &[("x-api-key", key.as_str())], &[("x-portcullis-consumer", "alice")]] {
        let statuses: Vec<u16> = (0..3).map(|_| limited.send("/healthz", headers).status).collect();
        assert_eq!(statuses, [200; 3], "{headers:?}");
    }
    let denied: Vec<u16> = (0..3).map(|_| limited.send("/v2", &[]).status).collect();
    assert_eq!(denied, [401; 3], "the gate comes first");
    assert_eq!(limited.ask("alice", 2), [200, 429], "and none of these has counted");
}

#[test]
fn the_limits_follow_the_names_of_the_policy() {
    let limited =
        Limited::with_policy("upstream: {consumer_header: x-who, roles_header: x-what}\n", &["1/day", "gold=2/day"]);
    assert_eq!(limited.ask_with("alice", 2, &[("x-who", "bob"), ("x-what", "gold")]), [200, 429]);
    assert_eq!(limited.ask("gold", 3), [200, 200, 429]);
}

//! Metrics, traces and the access log of `monitoring/envoy.yaml`.

use portcullis_tests::monitored::{KEY, Monitored};
use portcullis_tests::poll;

fn page(envoy: &Monitored) -> String {
    let reply = envoy.get("metrics", "/stats/prometheus", &[]).expect("a reply");
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// An allowed request, one that the canary would deny, one that both gates deny, and one that needs no key.
fn asked() -> Monitored {
    let envoy = Monitored::start(|_| {});
    assert_eq!(envoy.status("/v2/models", &[("x-api-key", KEY)]), 200);
    assert_eq!(envoy.status("/v2/admin/x", &[("x-api-key", KEY)]), 200);
    assert_eq!(envoy.status("/v2/models", &[("x-api-key", "monitoring-stranger")]), 401);
    assert_eq!(envoy.status("/healthz", &[]), 200);
    envoy
}

#[test]
fn metrics_traces_and_logs_name_the_consumer_and_the_reason() {
    let envoy = asked();
    let metrics = [
        r#"envoy_portcullis_by_consumer_requests{gate="edge",consumer="ci",decision="allow"} 2"#,
        r#"envoy_portcullis_by_consumer_requests{gate="edge",consumer="",decision="deny"} 1"#,
        r#"envoy_portcullis_by_consumer_requests{gate="edge",consumer="",decision="allow"} 1"#,
        r#"envoy_portcullis_by_consumer_milliseconds_count{gate="edge",consumer="ci"} 2"#,
    ];
    poll::until("requests and their latency are counted by consumer", || {
        let page = page(&envoy);
        metrics.iter().all(|line| page.lines().any(|shown| shown == *line)).then_some(())
    });

    // OTLP is protobuf: an attribute is its key, then its value, with lengths in between.
    let attribute = |key: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).expect("a short text");
        let held = [&[0x0a, length(value)], value.as_bytes()].concat();
        let held_length = u8::try_from(held.len()).expect("a short value");
        [&[0x0a, length(key)], key.as_bytes(), &[0x12, held_length], &held].concat()
    };
    let attributes = [
        attribute("portcullis.consumer", "ci"),
        attribute("portcullis.reason", "key"),
        attribute("portcullis.reason", "unknown_key"),
        attribute("portcullis.decision", "deny"),
    ];
    let mut spans = Vec::new();
    poll::until("the collector has the spans", || {
        let sent = envoy.collector.since(0);
        if let Some(sent) = sent.filter(|sent| sent.path == b"/v1/traces" && !spans.ends_with(&sent.body)) {
            spans.extend(sent.body);
        }
        let holds = |wanted: &Vec<u8>| spans.windows(wanted.len()).any(|window| window == wanted);
        attributes.iter().all(holds).then_some(())
    });

    let lines = [
        "GET /v2/models 200 edge=allow:key canary=allow:key ci",
        "GET /v2/admin/x 200 edge=allow:key canary=report:missing_role ci",
        "GET /v2/models 401 edge=deny:unknown_key canary=report:unknown_key",
        "GET /healthz 200 edge=allow:public_path canary=allow:public_path",
    ];
    poll::until("the access log tells the gates apart", || {
        let log = envoy.envoy.log();
        lines.iter().all(|line| log.contains(line)).then_some(())
    });
    assert!(!envoy.envoy.log().contains("deprecated"), "{}", envoy.envoy.log());
}

#[test]
fn the_listener_for_prometheus_shows_metrics_and_nothing_else() {
    let envoy = asked();
    assert!(page(&envoy).contains("portcullis_mode{gate=\"edge\"} 2"));
    for path in ["/", "/stats", "/config_dump", "/quitquitquit", "/stats/prometheus/", "/stats/prometheus;x", "/help"] {
        assert_eq!(envoy.get("metrics", path, &[]).expect("a reply").status, 404, "{path}");
    }
}

//! Policies and requests to start from.

use serde_json::{Value, json};

const ROLES: &str = include_str!("../examples/roles.yaml");
const REPORT: &str = include_str!("../examples/report.yaml");
const BROWSER: &str = include_str!("../examples/browser.yaml");

/// The examples, each with its title, policy and request. The first is shown at the beginning.
pub(crate) fn all() -> Value {
    json!([
        {
            "title": "A role is missing",
            "policy": ROLES,
            "request": {"method": "DELETE", "path": "/v2/models/iris", "key": "ci-2026-11", "now": "2026-12-01"},
        },
        {
            "title": "A path that backends read in several ways",
            "policy": ROLES,
            "request": {"method": "GET", "path": "/docs/a%2Fb"},
        },
        {
            "title": "A trusted network",
            "policy": ROLES,
            "request": {"method": "GET", "path": "/v2/models/iris", "peer": "10.0.0.7:1234"},
        },
        {
            "title": "Mode report: no key",
            "policy": REPORT,
            "request": {"method": "GET", "path": "/api/orders"},
        },
        {
            "title": "A CORS preflight",
            "policy": BROWSER,
            "request": {
                "method": "OPTIONS",
                "path": "/metrics",
                "headers": "Origin: https://dashboard.example.com\nAccess-Control-Request-Method: GET",
            },
        },
        {
            "title": "Who am I?",
            "policy": BROWSER,
            "request": {"method": "GET", "path": "/whoami", "key": "dashboard-1"},
        },
        {
            "title": "An mTLS identity",
            "policy": BROWSER,
            "request": {
                "method": "GET",
                "path": "/metrics",
                "peer": "10.0.0.7:1234",
                "identity": "spiffe://cluster.local/ns/monitoring/sa/prometheus",
            },
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_decided_as_its_title_says() {
        let expected = [
            "missing_role",
            "no_credential",
            "trusted_network",
            "no_credential",
            "cors_preflight",
            "whoami",
            "trusted_identity",
        ];
        let all = all();
        let reasons = all.as_array().unwrap().iter().map(|example| {
            let answer = crate::answer::explain(example["policy"].as_str().unwrap(), &example["request"].to_string());
            answer.unwrap()["reason"].as_str().unwrap().to_owned()
        });
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
    }
}

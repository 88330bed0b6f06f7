//! The files in `monitoring/` are valid and consistent with each other.

use std::fs;

use portcullis_tests::envoy::validate;
use portcullis_tests::paths::workspace;
use portcullis_tests::prometheus::{promtool, shipped, shipped_alerts, shipped_yaml};
use serde_json::{Map, Value};

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    for arguments in [
        &["check", "rules", "rules.yaml"][..],
        &["check", "config", "prometheus.yaml"],
        &["test", "rules", "rules.test.yaml", "rules-days.test.yaml"],
    ] {
        let (passes, output) = promtool(arguments);
        assert!(passes, "promtool {}:\n{output}", arguments.join(" "));
    }
}

/// The tests of promtool name every alert that they expect, and `for` is looked at there alone.
#[test]
fn every_alert_has_a_test_of_its_time_and_a_place_in_the_page() {
    let read = |file: &str| fs::read_to_string(shipped(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (tests, page) = ([read("rules.test.yaml"), read("rules-days.test.yaml")].concat(), read("README.md"));
    for alert in shipped_alerts() {
        assert!(tests.contains(&alert), "{alert} has no test");
        assert!(page.lines().any(|line| line == format!("### {alert}")), "{alert} is not in monitoring/README.md");
    }
    let rules = shipped_yaml("rules.yaml");
    for rule in rules["groups"][0]["rules"].as_array().expect("rules") {
        if let Some(alert) = rule["alert"].as_str() {
            let anchor = format!("monitoring/README.md#{}", alert.to_lowercase());
            assert_eq!(rule["annotations"]["runbook"], anchor, "{alert}");
            assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().expect("text")), "{alert}");
        }
    }
}

/// The name of a field of Prometheus in the custom resources of its operator.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &word[..1].to_uppercase() + &word[1..])
}

#[test]
fn the_resources_of_the_operator_have_the_same_rules_and_relabeling() {
    let text = fs::read_to_string(shipped("operator.yaml")).expect("the file");
    let resources: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let [rules, monitor] = resources.try_into().expect("two resources");
    assert_eq!(rules["kind"], "PrometheusRule");
    assert_eq!(rules["spec"]["groups"], shipped_yaml("rules.yaml")["groups"]);
    assert_eq!(monitor["kind"], "PodMonitor");
    let prometheus = shipped_yaml("prometheus.yaml");
    let relabeling = prometheus["scrape_configs"][1]["metric_relabel_configs"].as_array().expect("a list").iter();
    let relabeling = relabeling.map(|one| {
        let members = one.as_object().expect("an object").iter();
        Value::Object(members.map(|(name, value)| (camel(name), value.clone())).collect::<Map<_, _>>())
    });
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["metricRelabelings"], relabeling.collect::<Value>());
}

#[test]
fn envoy_accepts_its_file_unchanged() {
    let verdict = validate(&shipped("envoy.yaml"), &workspace(), &[]);
    assert!(verdict.status.success() && !verdict.output.contains("deprecated"), "{}", verdict.output);
}

#[test]
fn envoy_yaml_has_the_tags_of_the_reference() {
    let page = fs::read_to_string(workspace().join("docs/policy/envoy.md")).expect("the reference");
    let shown = page.lines().filter_map(|line| line.trim_start().strip_prefix("- {tag_name: "));
    let shown: Vec<Value> =
        shown.map(|tag| serde_saphyr::from_str(&format!("{{tag_name: {tag}")).expect("a tag is YAML")).collect();
    let own = shipped_yaml("envoy.yaml");
    let own = own["stats_config"]["stats_tags"].as_array().expect("tags");
    assert!(shown.len() > 3 && own.starts_with(&shown), "of the reference: {shown:?}");
}

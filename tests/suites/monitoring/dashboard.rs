//! The dashboard: its structure, and its queries on the Prometheus of the alerts.

use std::collections::BTreeSet;
use std::fs;

use portcullis_tests::poll;
use portcullis_tests::prometheus::{Prometheus, shipped};
use serde_json::Value;

fn shipped_dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(shipped("dashboard.json")).expect("the file")).expect("JSON")
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().expect("panels")
}

/// The queries with their panels, as Grafana sends them.
fn queries() -> Vec<(String, String)> {
    let query = |panel: &Value, target: &Value| {
        let text = target["expr"].as_str().expect("a query").replace("$__rate_interval", "5m").replace("$gate", ".+");
        (panel["title"].as_str().expect("a title").to_owned(), text)
    };
    let dashboard = shipped_dashboard();
    let of_panel = |panel: &Value| {
        let targets = panel["targets"].as_array().expect("targets");
        targets.iter().map(|target| query(panel, target)).collect::<Vec<_>>()
    };
    panels(&dashboard).iter().flat_map(of_panel).collect()
}

/// Waits until every query has a value.
pub(crate) fn every_query_has_data(prometheus: &Prometheus) {
    let mut left = queries();
    assert!(left.len() > 15, "{left:?}");
    poll::until("every panel shows something", || {
        let before = left.len();
        left.retain(|(_, query)| prometheus.query(query).is_empty());
        if left.len() < before {
            eprintln!("without data: {:?}", left.iter().map(|(title, _)| title).collect::<BTreeSet<_>>());
        }
        left.is_empty().then_some(())
    });
}

#[test]
fn panels_are_complete_and_do_not_overlap() {
    let dashboard = shipped_dashboard();
    assert!(dashboard["schemaVersion"].is_u64() && dashboard["id"].is_null(), "Grafana chooses its id");
    let variables = dashboard["templating"]["list"].as_array().expect("variables").iter();
    let variables: Vec<_> = variables.map(|one| (one["name"].as_str(), one["type"].as_str())).collect();
    assert_eq!(variables, [(Some("datasource"), Some("datasource")), (Some("gate"), Some("query"))]);
    let (mut ids, mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().expect("a type")), "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}");
        assert!(titles.insert(title), "{title}");
        let [x, y, width, height] = ["x", "y", "w", "h"]
            .map(|side| panel["gridPos"][side].as_u64().unwrap_or_else(|| panic!("{title}: {side}")));
        assert!(width > 0 && height > 0 && x + width <= 24, "{title}: Grafana has 24 columns");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{title} overlaps at {cell:?}");
        }
        let mut references = BTreeSet::new();
        for target in panel["targets"].as_array().expect("targets") {
            assert!(references.insert(target["refId"].as_str().expect("a reference")), "{title}");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(target["legendFormat"].as_str().is_some_and(|legend| legend.contains("{{")), "{title}");
        }
        assert!(!references.is_empty(), "{title}");
    }
}

//! A real Prometheus as a child process, [leashed](crate::leash), with the configuration and the rules in `monitoring/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy::V4;
use crate::http1::{Client, request};
use crate::leash::Leashed;
use crate::message::pairs;
use crate::net::connect;
use crate::{paths, poll};

/// One element of an instant vector: the labels with the name, and the value.
pub type Sample = (BTreeMap<String, String>, f64);

/// The interval of scrapes; rules are evaluated more often, so that each scrape is seen by itself.
const SCRAPES: &str = "1s";
const EVALUATIONS: &str = "200ms";

/// A running Prometheus; dropping it ends the process.
#[derive(Debug)]
pub struct Prometheus {
    // Declared before its directory, so that it ends before that is deleted.
    process: Leashed,
    directory: TempDir,
    address: SocketAddr,
}

/// A folder or file in `monitoring/`.
pub fn shipped(file: &str) -> PathBuf {
    paths::workspace().join("monitoring").join(file)
}

/// A YAML file in `monitoring/`.
///
/// # Panics
/// If there is no such file, or it is no YAML.
pub fn shipped_yaml(file: &str) -> Value {
    let text = fs::read_to_string(shipped(file)).unwrap_or_else(|error| panic!("monitoring/{file}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("monitoring/{file}: {error}"))
}

/// The alerts in `monitoring/rules.yaml`.
pub fn shipped_alerts() -> BTreeSet<String> {
    let rules = shipped_yaml("rules.yaml");
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    rules.filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

impl Prometheus {
    /// Starts Prometheus with `monitoring/prometheus.yaml`; the jobs in it get these targets, in this order.
    ///
    /// # Panics
    /// If it does not start, with its log.
    pub fn start(targets: &[SocketAddr]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut configuration = shipped_yaml("prometheus.yaml");
        configuration["global"] =
            json!({"scrape_interval": SCRAPES, "scrape_timeout": SCRAPES, "evaluation_interval": EVALUATIONS});
        configuration["rule_files"] = json!([shipped("rules.yaml")]);
        let jobs = configuration["scrape_configs"].as_array_mut().expect("jobs");
        assert_eq!(jobs.len(), targets.len(), "a target for each job");
        for (job, target) in jobs.iter_mut().zip(targets) {
            // One fleet, whichever way its metrics get their labels.
            job["static_configs"] = json!([{"targets": [target.to_string()], "labels": {"job": "envoy"}}]);
        }
        let file = directory.path().join("prometheus.json");
        fs::write(&file, configuration.to_string()).expect("the directory takes a file");
        let log = File::create(directory.path().join(LOG)).expect("the directory takes a file");
        let mut command = Command::new(paths::backends().join("prometheus"));
        command.current_dir(directory.path());
        command.args(["--config.file", "prometheus.json", "--storage.tsdb.path", "data"]);
        command.args(["--web.listen-address", "127.0.0.1:0", "--log.format", "json"]);
        let process = Leashed::start(&command, log);
        let mut prometheus = Self { process, directory, address: (Ipv4Addr::LOCALHOST, 0).into() };
        poll::until("Prometheus is ready", || {
            let log = prometheus.log();
            assert!(prometheus.process.ended().is_none(), "it has ended:\n{log}");
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let listening = lines.filter(|line| line["msg"] == "Listening on").find_map(|line| {
                let address: SocketAddr = line["address"].as_str()?.parse().ok()?;
                Some(address)
            });
            prometheus.address = listening?;
            (prometheus.get("/-/ready", None).0 == 200).then_some(())
        });
        prometheus
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join(LOG)).expect("a log")
    }

    fn get(&self, path: &str, form: Option<&str>) -> (u16, Value) {
        let headers = pairs(&[("connection", "close"), ("content-type", "application/x-www-form-urlencoded")]);
        let method: &[u8] = if form.is_some() { b"POST" } else { b"GET" };
        let message = request(method, path.as_bytes(), b"prometheus", &headers, form.map(str::as_bytes));
        let stream = connect(V4, self.address).expect("Prometheus listens");
        let reply = Client::new(stream).send(&message).expect("Prometheus replies");
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    fn ask(&self, expression: &str) -> Value {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (status, body) = self.get("/api/v1/query", Some(&format!("query={escaped}")));
        assert_eq!(status, 200, "{expression}: {body}");
        body["data"].clone()
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value of an expression now: the elements of a vector, or a scalar without labels.
    ///
    /// # Panics
    /// If it is invalid.
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let data = self.ask(expression);
        let number = |value: &Value| value[1].as_str().and_then(|text| text.parse().ok()).expect("a number");
        if data["resultType"] == "scalar" {
            return vec![(BTreeMap::new(), number(&data["result"]))];
        }
        let elements = data["result"].as_array().expect("a vector").iter();
        elements
            .map(|one| (serde_json::from_value(one["metric"].clone()).expect("labels"), number(&one["value"])))
            .collect()
    }

    /// The times of the samples of a range, such as `up[5m]`, in seconds since 1970.
    ///
    /// # Panics
    /// If it is no range.
    pub fn times(&self, range: &str) -> Vec<f64> {
        let data = self.ask(range);
        let series = data["result"].as_array().expect("a matrix").iter();
        let samples = series.flat_map(|series| series["values"].as_array().expect("samples"));
        let mut times: Vec<f64> = samples.map(|sample| sample[0].as_f64().expect("a time")).collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The names of the alerts that are pending or firing, of this target or of all together.
    ///
    /// # Panics
    /// If Prometheus does not answer.
    pub fn active(&self, target: SocketAddr) -> BTreeSet<String> {
        let is_meant =
            |alert: &&Value| alert["labels"]["instance"].as_str().is_none_or(|own| own == target.to_string());
        let (_, body) = self.get("/api/v1/alerts", None);
        let alerts = body["data"]["alerts"].as_array().expect("alerts").iter().filter(is_meant);
        alerts.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }
}

/// Runs promtool in `monitoring/`. Returns whether it succeeds, and its output.
///
/// # Panics
/// If it does not start.
pub fn promtool(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(paths::backends().join("promtool"));
    let output = command.args(arguments).current_dir(shipped("")).output().expect("promtool starts");
    (output.status.success(), crate::bytes::said(&output))
}

const LOG: &str = "prometheus.log";

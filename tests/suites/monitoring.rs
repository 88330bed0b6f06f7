//! `monitoring/`: the rules on a real Prometheus that scrapes a real Envoy, the dashboard, and what is counted and traced by
//! consumer.

#[path = "monitoring/alerts.rs"]
mod alerts;
#[path = "monitoring/consumers.rs"]
mod consumers;
#[path = "monitoring/dashboard.rs"]
mod dashboard;
#[path = "monitoring/files.rs"]
mod files;

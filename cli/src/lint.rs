//! `portcullis lint`: what the gate would refuse (errors), and what it takes and is unwise (warnings).

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use portcullis::digest::Digest;
use portcullis::document::{ClientAddress, Document, Mode, Secret};
use portcullis::refusal::EntryProblem;
use portcullis::{Loaded, Policy, Timestamp};
use serde_json::json;

use crate::files::{PolicyFile, environment};
use crate::output::Output;

const EXAMPLES: &str = "Examples:
  portcullis lint
  portcullis lint policy.yaml --output json

Exit status: 0 no error (there may be warnings), 1 errors, 2 the file cannot be read.";

/// Find what the gate would refuse in a policy, and what is unwise
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Lint {
    #[command(flatten)]
    policy: PolicyFile,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// The keys of `envoy/envoy.yaml`, which protect nothing.
const DEMO_KEYS: [&str; 2] = ["pk_demo_ci_not_a_secret", "pk_demo_admin_not_a_secret"];

/// One finding.
struct Finding {
    is_error: bool,
    code: &'static str,
    message: String,
}

impl Lint {
    pub(crate) fn run(self) -> Result<bool> {
        let (findings, digest) = examine(&self.policy.read()?.node.to_json()?);
        // As the gate logs it and shows it in a gauge.
        let digest = digest.map(|digest| format!("{:012x}", digest.first_48_bits()));
        let errors = findings.iter().filter(|finding| finding.is_error).count();
        let warnings = findings.len().saturating_sub(errors);
        if self.output == Output::Json {
            let rows: Vec<_> = findings
                .iter()
                .map(|one| json!({"severity": one.severity(), "code": one.code, "message": one.message}))
                .collect();
            anstream::println!(
                "{:#}",
                json!({"errors": errors, "warnings": warnings, "digest": digest, "findings": rows})
            );
        } else {
            for finding in &findings {
                let colour = if finding.is_error { anstyle::AnsiColor::Red } else { anstyle::AnsiColor::Yellow };
                let style = colour.on_default().bold();
                anstream::println!("{style}{}{style:#}[{}] {}", finding.severity(), finding.code, finding.message);
            }
            let digest = digest.map(|digest| format!(", digest {digest}")).unwrap_or_default();
            let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
            let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
            anstream::println!("{}: {errors}, {warnings}{digest}", self.policy.path().display());
        }
        Ok(errors == 0)
    }
}

impl Finding {
    fn severity(&self) -> &'static str {
        if self.is_error { "error" } else { "warning" }
    }
}

/// The findings, and the digest of the policy where it stands.
fn examine(json: &[u8]) -> (Vec<Finding>, Option<Digest>) {
    let error = |code, message| Finding { is_error: true, code, message };
    let warning = |code, message| Finding { is_error: false, code, message };
    let loaded =
        Document::read(json).and_then(|document| Ok((Policy::compile(document.clone(), &environment)?, document)));
    let (Loaded { policy, refused_entries }, document) = match loaded {
        Ok(loaded) => loaded,
        Err(refusal) => return (vec![error("refused", refusal.to_string())], None),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    let now = Timestamp(now.unwrap_or_default());
    let mut findings = Vec::new();
    for entry in refused_entries {
        // Whether a variable is set is a matter of where Envoy runs, and not of the document.
        findings.push(match entry.problem {
            EntryProblem::UnsetVariable(_) => {
                warning("unset-variable", format!("{entry} (checked here, where lint runs)"))
            }
            _ => error("refused-entry", entry.to_string()),
        });
    }
    for (index, consumer) in document.consumers.iter().enumerate() {
        for (number, key) in consumer.keys.iter().enumerate() {
            let place = format!("consumers[{index}].keys[{number}]");
            let digest = match &key.secret {
                Secret::Sha256(digest) => *digest,
                Secret::Plaintext(key) => Some(Digest::of(key.expose().as_bytes())),
                Secret::Env(_) => None,
            };
            if digest == Some(Digest::of(b"")) {
                let message = format!("{place}: this is the SHA-256 of nothing: was the variable empty?");
                findings.push(warning("empty-key", message));
            }
            if digest.is_some_and(|digest| DEMO_KEYS.iter().any(|key| Digest::of(key.as_bytes()) == digest)) {
                let message = format!("{place}: this is a key of the demonstration, which everybody knows: replace it");
                findings.push(warning("demo-key", message));
            }
            if key.expires.is_some_and(|expires| expires <= now) {
                findings.push(warning("expired-key", format!("{place}: the key has expired: remove or renew it")));
            }
            if matches!(key.secret, Secret::Plaintext(_)) {
                let message = format!("{place}: the key itself stands in the policy: give its sha256, or an env");
                findings.push(warning("plaintext-key", message));
            }
        }
    }
    if policy.mode() == Mode::Enforce && document.consumers.iter().all(|consumer| consumer.keys.is_empty()) {
        let message = "consumers: nobody has a key: only public paths and trusted callers pass".to_owned();
        findings.push(warning("no-keys", message));
    }
    if policy.client_address() == Some(&ClientAddress::RemoteIp) {
        let message = "trusted_networks.client_address: remote_ip trusts the address that Envoy detected: without \
                       use_remote_address any caller chooses it, and with it every caller behind a proxy has the proxy's, \
                       unless xff_num_trusted_hops is exactly the number of proxies in front";
        findings.push(warning("remote-ip", message.to_owned()));
    }
    for (index, public) in document.public_paths.iter().enumerate() {
        if public.path.as_str() == "/**" && public.methods.is_none() {
            let message =
                format!("public_paths[{index}]: /** opens everything: name what is public, or set mode: disabled");
            findings.push(warning("all-public", message));
        }
    }
    let has_role = |role| document.consumers.iter().any(|consumer| consumer.roles.contains(role));
    for (index, rule) in document.rules.iter().enumerate() {
        for role in rule.roles.iter().filter(|role| !has_role(role)) {
            let message = format!("rules[{index}].roles: no consumer has the role {}", role.as_str());
            findings.push(warning("unknown-role", message));
        }
    }
    (findings, Some(policy.digest()))
}

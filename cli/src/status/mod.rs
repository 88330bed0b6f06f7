//! `portcullis status`: shows which policy running Envoys serve, and what they refused.

mod envoy;
mod prometheus;
mod report;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use clap::builder::ArgPredicate;

use crate::admin::Client;
use crate::files::{PolicyFile, environment, read_or_stdin};
use crate::output::Output;
use envoy::Envoy;

const EXAMPLES: &str = "Examples:
  portcullis status
  portcullis status policy.yaml --admin http://10.0.0.7:9901 \\
      --admin http://10.0.0.8:9901
  portcullis status policy.yaml --output json
  portcullis status policy.yaml --admin-file envoys.txt
  portcullis status policy.yaml --prometheus http://127.0.0.1:9090
  portcullis status policies

Envoy counts the uses of each key only with `key_metrics: true` in the policy.

Exit status: 0 all is well, 1 an Envoy serves another policy than POLICY or than the other Envoys, or a changed one, refused the last update or some keys, or has no such \
gate, \
2 usage or input error, or an Envoy does not answer.";

/// Show which policy running Envoys serve
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// The policy that the Envoys should serve, as YAML or JSON, or the folder of a platform and its teams
    /// [default: nothing is compared]
    #[arg(value_name = "POLICY")]
    policy: Vec<PathBuf>,
    /// The key store [default: keys.json beside the policy, if it exists]
    #[arg(long, value_name = "FILE", requires = "policy")]
    store: Option<PathBuf>,
    /// The admin interface of an Envoy, or the path of its socket; may be repeated
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9901",
        default_value_if("admin_file", ArgPredicate::IsPresent, None)
    )]
    admin: Vec<String>,
    /// A file with the admin interfaces of more Envoys, one on each line; - is standard input
    #[arg(long, value_name = "FILE")]
    admin_file: Option<PathBuf>,
    /// Ask Prometheus about all Envoys that it scrapes, instead of the Envoys
    #[arg(long, value_name = "URL", conflicts_with_all = ["admin", "admin_file"])]
    prometheus: Option<String>,
    /// How long an Envoy, or Prometheus, may take to answer
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// The policy that an Envoy should serve.
pub(crate) struct ExpectedPolicy {
    /// The policy's file.
    file: String,
    /// The name of the gate.
    gate: String,
    /// 48 bits of the policy's digest.
    digest: u64,
    /// The same as `portcullis run` serves it.
    digest_in_run: u64,
    /// The number of its keys.
    keys: usize,
    /// Whether it includes a store.
    has_store: bool,
}

/// The result of querying one Envoy.
struct Answer {
    /// Its admin interface, or its `instance` in Prometheus.
    admin: String,
    /// Its state and its problems, or why it did not answer.
    envoy: Result<(Envoy, Vec<String>)>,
}

impl Status {
    pub(crate) fn run(self) -> Result<bool> {
        let expected = self.expected()?;
        let answers = match &self.prometheus {
            Some(url) => self.answers_of_prometheus(url, expected.as_ref())?,
            None => self.answers(expected.as_ref())?,
        };
        let differences = if expected.is_none() { differences(&answers) } else { Vec::new() };
        match self.output {
            Output::Text => report::text(&answers, expected.as_ref(), &differences)?,
            Output::Json => report::json(&answers, expected.as_ref(), &differences)?,
        }
        match answers.iter().filter(|answer| answer.envoy.is_err()).count() {
            0 => {
                let is_well = answers.iter().flat_map(|answer| &answer.envoy).all(|(_, findings)| findings.is_empty());
                Ok(is_well && differences.is_empty())
            }
            dead => bail!("{dead} of {} did not answer", crate::output::count(answers.len(), "Envoy")),
        }
    }

    /// Asks every Envoy.
    fn answers(&self, expected: Option<&ExpectedPolicy>) -> Result<Vec<Answer>> {
        let mut admins = self.admin.iter().map(|text| Client::parse(text)).collect::<Result<Vec<_>>>()?;
        if let Some(file) = &self.admin_file {
            admins.extend(admins_in(file)?);
        }
        let timeout = Duration::from_secs(self.timeout);
        // One thread for each, so that several that do not answer take no longer than one.
        Ok(std::thread::scope(|scope| {
            let ask = |admin: Client| {
                let name = admin.to_string();
                (name, scope.spawn(move || Envoy::ask(&admin, timeout).map(|envoy| envoy.examined(expected))))
            };
            let asked: Vec<_> = admins.into_iter().map(ask).collect();
            let answer = |(admin, thread): (String, std::thread::ScopedJoinHandle<'_, _>)| {
                let envoy = thread.join().unwrap_or_else(|_| Err(anyhow!("internal error while querying it")));
                Answer { admin, envoy }
            };
            asked.into_iter().map(answer).collect()
        }))
    }

    fn answers_of_prometheus(&self, url: &str, expected: Option<&ExpectedPolicy>) -> Result<Vec<Answer>> {
        let client = Client::prometheus(url)?;
        let envoys = prometheus::ask(&client, Duration::from_secs(self.timeout));
        let envoys = envoys.with_context(|| format!("--prometheus {client}"))?;
        let answer = |(admin, envoy): (String, Envoy)| Answer { admin, envoy: Ok(envoy.examined(expected)) };
        Ok(envoys.into_iter().map(answer).collect())
    }

    fn expected(&self) -> Result<Option<ExpectedPolicy>> {
        let Some(file) = self.policy.first() else { return Ok(None) };
        let (mut merged, loaded) = PolicyFile { files: self.policy.clone(), store: self.store.clone() }.load()?;
        let (gate, digest) = (loaded.policy.name().to_owned(), loaded.policy.digest().first_48_bits());
        let keys = loaded.policy.keyring().len();
        merged.set_access_log();
        let digest_in_run = merged.compile(&environment)?.policy.digest().first_48_bits();
        let (file, has_store) = (file.display().to_string(), !merged.stores.is_empty());
        Ok(Some(ExpectedPolicy { file, gate, digest, digest_in_run, keys, has_store }))
    }
}

/// The admin interfaces in a file, one on each line. Lines that begin with # are comments.
fn admins_in(file: &Path) -> Result<Vec<Client>> {
    let text = read_or_stdin(file).with_context(|| format!("--admin-file: cannot read {}", file.display()))?;
    let lines = text.lines().zip(1_usize..).map(|(line, number)| (line.trim(), number));
    let admins = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')).map(|(line, number)| {
        Client::parse(line).with_context(|| format!("--admin-file: {}:{number}", file.display()))
    });
    let admins = admins.collect::<Result<Vec<_>>>()?;
    if admins.is_empty() {
        bail!("--admin-file: {} has no address: expected one on each line", file.display());
    }
    Ok(admins)
}

/// The gates of one name that serve different policies. Those of more Envoys come first.
fn differences(answers: &[Answer]) -> Vec<String> {
    let mut gates: BTreeMap<&str, BTreeMap<u64, Vec<String>>> = BTreeMap::new();
    for Answer { admin, envoy } in answers {
        for (name, gate) in envoy.iter().flat_map(|(envoy, _)| &envoy.gates) {
            gates.entry(name).or_default().entry(gate.digest).or_default().push(admin.to_string());
        }
    }
    let different = gates.into_iter().filter(|(_, policies)| policies.len() > 1);
    different
        .map(|(name, policies)| {
            let mut policies: Vec<_> = policies.into_iter().collect();
            policies.sort_by_key(|(_, admins)| std::cmp::Reverse(admins.len()));
            let each = policies.iter().map(|(digest, admins)| {
                let others = match admins.len() {
                    1 => String::new(),
                    number => format!(" and {} more", number.saturating_sub(1)),
                };
                let first = admins.first().map(String::as_str).unwrap_or_default();
                format!("{digest:012x} at {first}{others}")
            });
            format!("gate {name}: the Envoys serve different policies: {}", each.collect::<Vec<_>>().join(", "))
        })
        .collect()
}

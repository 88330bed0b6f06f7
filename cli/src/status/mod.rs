//! `portcullis status`: shows which policy running Envoys serve, and what they refused.

mod envoy;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::admin::Client;
use crate::files::{PolicyFile, environment};
use crate::output::Output;
use envoy::Envoy;

const EXAMPLES: &str = "Examples:
  portcullis status
  portcullis status policy.yaml --admin http://10.0.0.7:9901 \\
      --admin http://10.0.0.8:9901
  portcullis status policy.yaml --output json

Envoy counts the uses of each key only with `key_metrics: true` in the policy.

Exit status: 0 all is well, 1 an Envoy serves another policy or a changed one, refused the last update or some keys, or has no such \
gate, \
2 usage or input error, or an Envoy does not answer.";

/// Show which policy running Envoys serve
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// The policy that the Envoys should serve, as YAML or JSON [default: nothing is compared]
    #[arg(value_name = "POLICY")]
    policy: Option<PathBuf>,
    /// The key store [default: keys.json beside the policy, if it exists]
    #[arg(long, value_name = "FILE", requires = "policy")]
    store: Option<PathBuf>,
    /// The admin interface of an Envoy, or the path of its socket; may be repeated
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9901")]
    admin: Vec<String>,
    /// How long an Envoy may take to answer
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
    admin: Client,
    /// Its state and its problems, or why it did not answer.
    envoy: Result<(Envoy, Vec<String>)>,
}

impl Status {
    pub(crate) fn run(self) -> Result<bool> {
        let expected = self.expected()?;
        let admins = self.admin.iter().map(|text| Client::parse(text)).collect::<Result<Vec<_>>>()?;
        let timeout = Duration::from_secs(self.timeout);
        // One thread for each, so that several that do not answer take no longer than one.
        let answers = std::thread::scope(|scope| {
            let asked: Vec<_> = admins
                .into_iter()
                .map(|admin| {
                    let expected = expected.as_ref();
                    let thread = scope.spawn({
                        let admin = admin.clone();
                        move || Envoy::ask(&admin, timeout).map(|envoy| envoy.examined(expected))
                    });
                    (admin, thread)
                })
                .collect();
            let answer = |(admin, thread): (Client, std::thread::ScopedJoinHandle<'_, _>)| {
                let envoy = thread.join().unwrap_or_else(|_| Err(anyhow!("internal error while querying it")));
                Answer { admin, envoy }
            };
            asked.into_iter().map(answer).collect::<Vec<_>>()
        });
        match self.output {
            Output::Text => report::text(&answers, expected.as_ref())?,
            Output::Json => report::json(&answers, expected.as_ref())?,
        }
        match answers.iter().filter(|answer| answer.envoy.is_err()).count() {
            0 => Ok(answers.iter().flat_map(|answer| &answer.envoy).all(|(_, findings)| findings.is_empty())),
            dead => bail!("{dead} of {} did not answer", crate::output::count(answers.len(), "Envoy")),
        }
    }

    fn expected(&self) -> Result<Option<ExpectedPolicy>> {
        let Some(file) = &self.policy else { return Ok(None) };
        let (mut merged, loaded) = PolicyFile { file: file.clone(), store: self.store.clone() }.load()?;
        let (gate, digest) = (loaded.policy.name().to_owned(), loaded.policy.digest().first_48_bits());
        let keys = loaded.policy.keyring().len();
        merged.set_access_log();
        let digest_in_run = merged.compile(&environment)?.policy.digest().first_48_bits();
        let (file, has_store) = (file.display().to_string(), merged.has_store);
        Ok(Some(ExpectedPolicy { file, gate, digest, digest_in_run, keys, has_store }))
    }
}

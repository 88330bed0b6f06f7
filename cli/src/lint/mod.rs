//! `portcullis lint`: finds errors that the gate would refuse, and risky settings (warnings), in a policy and in the
//! configuration of Envoy, Istio or Envoy Gateway around it.

mod access;
mod address;
mod code;
mod configuration;
mod details;
mod explain;
mod files;
mod filters;
mod finding;
mod gate;
mod github;
mod keys;
mod listener;
mod mesh;
mod normalization;
mod policy;
mod report;
mod routes;
mod sarif;

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;

use crate::files::{POLICY, PolicyFile};
use crate::output::print;
use crate::when::{Span, now};
use code::Code;
use finding::Finding;
use report::Format;

const EXAMPLES: &str = "Examples:
  portcullis lint
  portcullis lint policy.yaml --soon 30d --strict
  portcullis lint policies
  portcullis lint --envoy envoy.yaml
  portcullis lint --envoy bootstrap.yaml --envoy gate.yaml --allow underscores
  kubectl get wasmplugin -A -o yaml | portcullis lint --envoy -
  portcullis lint --output sarif > lint.sarif
  portcullis lint --explain plaintext-key

Exit status: 0 no errors (perhaps warnings), 1 errors (with --strict also warnings), 2 usage error, or a file cannot be \
read.";

/// Find errors and risky settings in a policy, and in the configuration around it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Lint {
    /// The policy, as YAML or JSON, or the folder of a platform and its teams; - is standard input [default: policy.yaml,
    /// if no --envoy is given]
    #[arg(value_name = "POLICY")]
    policy: Vec<PathBuf>,
    /// The key store [default: keys.json beside the policy, if it exists]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A configuration with a gate in it: an Envoy bootstrap, listener or filter, an Istio manifest, an
    /// EnvoyExtensionPolicy; may be repeated for one that is in several files
    #[arg(long, value_name = "FILE")]
    envoy: Vec<PathBuf>,
    /// Warn about keys that expire within this time
    #[arg(long, value_name = "SPAN", default_value = "14d")]
    soon: Span,
    /// Hide this warning; may be repeated
    #[arg(long, value_name = "CODE", hide_possible_values = true)]
    allow: Vec<Code>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    /// Explain this code; without one, list all codes
    #[arg(long, value_name = "CODE", hide_possible_values = true, exclusive = true)]
    explain: Option<Option<Code>>,
}

/// The findings in one file.
pub(crate) struct Examined {
    /// The file, as it was given.
    file: String,
    /// The findings.
    findings: Vec<Finding>,
    /// The name and the digest of each valid policy.
    policies: Vec<(String, String)>,
}

impl Lint {
    pub(crate) fn run(self) -> Result<bool> {
        if let Some(code) = self.explain {
            print(&code.map_or_else(explain::list, explain::text))?;
            return Ok(true);
        }
        if let Some(code) = self.allow.iter().find(|code| code.is_error()) {
            return Err(anyhow!("--allow {}: errors cannot be hidden: fix it", code.name()));
        }
        let now = now();
        let times = (now, self.soon.after(now));
        let mut examined = Vec::new();
        if !self.policy.is_empty() || self.envoy.is_empty() {
            let given = if self.policy.is_empty() { vec![POLICY.into()] } else { self.policy.clone() };
            let file = |file: PathBuf| if file.as_os_str() == "-" { "/dev/stdin".into() } else { file };
            let policy = PolicyFile { files: given.into_iter().map(file).collect(), store: self.store.clone() };
            policy.note_if_part();
            examined.push(files::examine(&policy, times)?);
        }
        examined.extend(configuration::examine(&self.envoy, times)?);
        for one in &mut examined {
            one.findings.retain(|finding| !self.allow.contains(&finding.code));
            one.findings.sort_by(|one, other| one.place.cmp(&other.place));
        }
        print(&report::report(self.output, &examined))?;
        let errors = examined.iter().map(Examined::errors).sum::<usize>();
        let findings = examined.iter().map(|one| one.findings.len()).sum::<usize>();
        Ok(errors == 0 && !(self.strict && findings > 0))
    }
}

impl Examined {
    fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.code.is_error()).count()
    }
}

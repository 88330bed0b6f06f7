//! `portcullis check`: one request, or a table of them, against a policy, decided by the same core as in the filter.

mod cases;
mod expectation;
mod text;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use portcullis::document::Mode;
use portcullis::{HeaderBlock, Policy};
use portcullis_explain::Explanation;
use portcullis_explain::request_spec::{self, RequestSpec};
use portcullis_explain::stand_ins::StandIns;
use serde_json::Value;

use crate::files::{EffectivePolicy, PolicyFile, environment, read_or_stdin};
use crate::mode;
use crate::output::{Output, note, print};
use crate::when::When;

const EXAMPLES: &str = "Examples:
  portcullis check --path /v2/models
  portcullis check --path /v2/models --key ci-2026-11
  printf 'X-API-Key: %s' \"$KEY\" |
      portcullis check --path /v2/models --header-file -
  portcullis check policy.yaml --method DELETE --path /v2/models/iris \\
      -H 'X-API-Key: my-test-key'
  portcullis check --path /v2 --peer 10.0.0.7:1234 --output json
  portcullis check --cases cases.yaml
  portcullis check policies --path /team-a/models --key a-1

Exit status: 0 the request is forwarded (in mode report too), or every case passes; 1 it is denied, or a case fails; \
2 usage or input error.";

/// Decide a request, or a file of test cases, and explain the decision
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    policy: PolicyFile,
    /// The path, as sent, with its query
    #[arg(long, required_unless_present = "cases")]
    path: Option<String>,
    /// The method, as sent
    #[arg(long, default_value = "GET")]
    method: String,
    /// The host (the header Host, or :authority)
    #[arg(long, default_value = "localhost")]
    authority: String,
    /// A header, as `Name: value`; may be repeated. Other users can see it in the list of processes
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// A file with headers, one on each line; - is standard input. Use this for keys
    #[arg(long, value_name = "FILE")]
    header_file: Option<PathBuf>,
    /// Present the key with this id, in the first key source of the policy: the key itself is not needed
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The value of Envoy's source.address (port 0: taken from X-Forwarded-For)
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<String>,
    /// An address that the listener recorded in filter state, as `KEY=ADDRESS`
    #[arg(long, value_name = "KEY=ADDRESS")]
    filter_state: Option<String>,
    /// The peer's mTLS identity (a URI SAN), verified
    #[arg(long, value_name = "URI")]
    identity: Option<String>,
    /// A file with test cases (requests and expected decisions), instead of one request
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "path", "method", "authority", "headers", "header_file", "key", "peer", "filter_state", "identity",
    ])]
    cases: Option<PathBuf>,
    /// The time, instead of now: 30d, 2027-02-01, or a date-time
    #[arg(long, value_name = "WHEN")]
    now: Option<When>,
    /// Override the mode of the policy and the store
    #[arg(long, value_parser = mode::parser())]
    mode: Option<Mode>,
    /// The output format
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Check {
    pub(crate) fn run(self) -> Result<bool> {
        self.policy.note_if_part();
        let mut merged = self.policy.read()?;
        if let Some(mode) = self.mode {
            merged = in_mode(&merged, mode);
        } else if let Some(own) = &merged.overridden_mode {
            let mode = merged.node.get("mode").and_then(crate::yaml::Node::text).unwrap_or_default();
            note(format_args!("the store overrides the mode of the policy: {mode} instead of {own}"));
        }
        let now = When::or_now(self.now);
        if let Some(file) = &self.cases {
            return cases::run(file, merged, now, self.output);
        }
        let mut spec = self.spec(now)?;
        if let Some(id) = &self.key {
            stand_ins(&mut merged)?.present(id, &mut spec).context("--key")?;
        }
        let policy = load(&merged)?;
        let block = HeaderBlock::new(&spec.pairs);
        let checked = Explanation::of(&policy, &merged, &spec, &block);
        // In the other modes: also what `enforce` would decide.
        let enforced = (policy.mode() != Mode::Enforce).then(|| in_mode(&merged, Mode::Enforce));
        let enforced = enforced.map(|merged| Ok::<_, anyhow::Error>((merged.compile(&environment)?.policy, merged)));
        let enforced = enforced.transpose()?;
        let enforced = enforced.as_ref().map(|(policy, merged)| Explanation::of(policy, merged, &spec, &block));
        if self.output == Output::Json {
            let mut json = checked.as_json();
            if let (Value::Object(members), Some(enforced)) = (&mut json, enforced) {
                members.insert("enforced".to_owned(), enforced.as_json());
            }
            print(&format!("{json:#}\n"))?;
        } else {
            print(&format!("{}\n{}", text::decision(&checked), text::steps(&checked.steps)))?;
            if let Some(enforced) = enforced {
                print(&format!("\nIn mode enforce:\n\n{}", text::decision(&enforced)))?;
                // A report has the same trace.
                if policy.mode() == Mode::Disabled {
                    print(&format!("\n{}", text::steps(&enforced.steps)))?;
                }
            }
        }
        Ok(checked.verdict != "deny")
    }

    fn spec(&self, now: portcullis::Timestamp) -> Result<RequestSpec> {
        let path = request_spec::path(self.path.as_deref().unwrap_or_default()).context("--path")?;
        let mut spec = RequestSpec::new(&self.method, path, &self.authority, now);
        for (index, line) in self.headers.iter().enumerate() {
            let added = request_spec::header(line).and_then(|(name, value)| spec.header(name, value));
            added.map_err(|error| anyhow!("--header number {}: {error}", index.saturating_add(1)))?;
        }
        if let Some(file) = &self.header_file {
            let text = header_file(file)?;
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let place = || format!("{}: line {}", file.display(), index.saturating_add(1));
                let added = request_spec::header(line).and_then(|(name, value)| spec.header(name, value));
                added.map_err(|error| anyhow!("{}: {error}", place()))?;
            }
        }
        spec.peer = self.peer.as_deref().map(request_spec::peer).transpose().context("--peer")?;
        spec.identity.clone_from(&self.identity);
        if let Some(text) = &self.filter_state {
            let pair = text
                .split_once('=')
                .ok_or_else(|| anyhow!("--filter-state: invalid value {text:?}: expected KEY=ADDRESS"))?;
            spec.filter_state = Some((pair.0.to_owned(), pair.1.to_owned()));
        }
        Ok(spec)
    }
}

/// The text of a file of headers; `-` is standard input.
///
/// # Errors
/// If it cannot be read as text.
fn header_file(file: &Path) -> Result<String> {
    read_or_stdin(file).with_context(|| format!("cannot read the headers in {}", file.display()))
}

/// The same policy in another mode.
fn in_mode(merged: &EffectivePolicy, mode: Mode) -> EffectivePolicy {
    let mut merged = merged.clone();
    merged.node.set("mode", mode.as_str().into());
    merged
}

/// Compiles a policy, and prints which key entries are refused.
fn load(merged: &EffectivePolicy) -> Result<Policy> {
    let loaded = merged.compile(&environment)?;
    for entry in &loaded.refused_entries {
        note(format_args!("invalid key entry skipped: {entry}"));
    }
    Ok(loaded.policy)
}

/// The keys of the policy that requests can present by id.
fn stand_ins(merged: &mut EffectivePolicy) -> Result<StandIns<'_>> {
    let (document, loaded) = (merged.document()?, merged.compile(&|_| None)?);
    Ok(StandIns::new(&mut merged.node, document, &loaded.refused_entries))
}

//! Reads a policy file: YAML, or JSON, which is YAML too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde_json::Value;

/// Which policy.
#[derive(Debug, Args)]
pub(crate) struct PolicyFile {
    /// The policy, as YAML or JSON
    #[arg(id = "policy", default_value = "policy.yaml", value_name = "POLICY")]
    file: PathBuf,
}

impl PolicyFile {
    /// The path as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// The document as JSON text, which is what the gate reads. Duplicate members are an error here already.
    pub(crate) fn json(&self) -> Result<Vec<u8>> {
        let place = self.file.display();
        let text = std::fs::read_to_string(&self.file).with_context(|| format!("cannot read the policy {place}"))?;
        let value: Value = match serde_saphyr::from_str(&text) {
            Ok(Value::Null) => return Ok(b"{}".to_vec()),
            Ok(value) => value,
            Err(error) => return Err(anyhow!("{place} is not valid YAML: {}", brief(&error.to_string()))),
        };
        if ["static_resources", "dynamic_resources", "apiVersion"].iter().any(|member| value.get(member).is_some()) {
            return Err(anyhow!(
                "{place} is a whole configuration: give the policy alone, which is what stands under the filter's \
                 `configuration` (or `pluginConfig`)"
            ));
        }
        Ok(serde_json::to_vec(&value)?)
    }
}

/// A parser's message without its excerpt of the file, which may hold a key, and without advice for programmers.
fn brief(message: &str) -> &str {
    let line = message.lines().next().unwrap_or(message);
    let line = line.strip_prefix("error: ").unwrap_or(line);
    line.split(", set ").next().unwrap_or(line)
}

/// The environment of this process, for `env:` keys.
pub(crate) fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
}

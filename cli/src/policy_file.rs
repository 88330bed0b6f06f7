//! Reads a policy file: YAML, or JSON, which is YAML too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use serde_json::Value;

/// The longest policy file that is read, in bytes.
const LARGEST: usize = 256 << 20;

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
        if text.len() > LARGEST {
            return Err(anyhow!("{place} is larger than {LARGEST} bytes: is it a policy?"));
        }
        let value: Value = match serde_saphyr::from_str(&text) {
            Ok(value) => value,
            // The message quotes nothing but names and positions of the file.
            Err(error) => return Err(anyhow!("{place} is not valid YAML: {}", first_line(&error.to_string()))),
        };
        Ok(serde_json::to_vec(&value)?)
    }
}

/// A parser's message without the excerpt of the file, which may hold a key.
fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or(message)
}

/// The environment of this process, for `env:` keys.
pub(crate) fn environment(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
}

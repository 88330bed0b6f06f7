//! The policy of a file as `portcullis run` serves it: with a few changes. They are in the version that Envoy has of it, where
//! `portcullis status` finds them.

use std::fmt;

/// A policy of a file, and what is changed in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// 48 bits of the digest of the file's policy.
    pub(crate) digest: u64,
    /// Changes that always apply, such as `access_log: true`.
    pub(crate) fixed: Vec<String>,
    /// Changes from the command line or the environment, such as `mode: report (--mode)`.
    pub(crate) chosen: Vec<String>,
}

impl Served {
    /// All changes, in one line.
    pub(crate) fn changes(&self) -> String {
        let all: Vec<&str> = self.fixed.iter().chain(&self.chosen).map(String::as_str).collect();
        all.join(", ")
    }

    /// What was chosen, if `version` is that of the policy with this digest.
    pub(crate) fn chosen_in(version: &str, digest: u64) -> Option<&str> {
        version.strip_prefix(&format!("{digest:012x}{WITH}"))
    }
}

const WITH: &str = " with ";

/// The version of the policy in Envoy.
impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.digest)?;
        if self.chosen.is_empty() { Ok(()) } else { write!(f, "{WITH}{}", self.chosen.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_the_digest_of_the_file_and_what_was_chosen() {
        let mut served = Served { digest: 0xab, fixed: vec!["access_log: true".to_owned()], chosen: Vec::new() };
        assert_eq!(served.to_string(), "0000000000ab");
        assert_eq!(Served::chosen_in(&served.to_string(), 0xab), None, "nothing was chosen");
        served.chosen = vec!["mode: report (--mode)".to_owned(), "public_paths: /a, /b (--public)".to_owned()];
        let chosen = "mode: report (--mode), public_paths: /a, /b (--public)";
        assert_eq!(Served::chosen_in(&served.to_string(), 0xab), Some(chosen));
        assert_eq!(Served::chosen_in(&served.to_string(), 0xac), None, "another policy");
        assert_eq!(served.changes(), format!("access_log: true, {chosen}"));
    }
}

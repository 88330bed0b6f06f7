//! The request that was described.

use portcullis::Timestamp;
use portcullis_explain::request_spec::{self, RequestSpec};
use portcullis_explain::when::When;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// The length of a request as JSON, in bytes. Envoy's own limit for headers is 60 KiB.
const MAX_LENGTH: usize = 128 * 1024;

/// The fields of the form. Those that are empty are not given.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Described {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authority: String,
    /// One on each line, as `Name: value`.
    pub(crate) headers: String,
    /// The id of a key of the policy.
    pub(crate) key: String,
    pub(crate) peer: String,
    pub(crate) identity: String,
    /// As `KEY=ADDRESS`.
    pub(crate) filter_state: String,
    pub(crate) now: String,
}

impl Described {
    /// Parses the fields, as JSON.
    pub(crate) fn parse(json: &str) -> Result<Self, Fault> {
        if json.len() > MAX_LENGTH {
            return Err(Fault::new("headers", "the request is longer than 128 KiB: Envoy would not accept it either"));
        }
        serde_json::from_str(json).map_err(|_| Fault::new("link", "the request in it has other fields than this page"))
    }

    /// Converts them as `portcullis check` converts its options.
    pub(crate) fn spec(&self) -> Result<RequestSpec, Fault> {
        let path = request_spec::path(&self.path).map_err(Fault::field("path"))?;
        let mut spec = RequestSpec::new(or(&self.method, "GET"), path, or(&self.authority, "localhost"), self.time()?);
        for (index, line) in self.headers.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let added = request_spec::header(line).and_then(|(name, value)| spec.header(name, value));
            let line = index.saturating_add(1);
            added.map_err(|error| Fault::new("headers", format!("line {line}: {error}")))?;
        }
        spec.peer = given(&self.peer).map(request_spec::peer).transpose().map_err(Fault::field("peer"))?;
        spec.identity = given(&self.identity).map(str::to_owned);
        spec.filter_state = self.filter_state()?;
        Ok(spec)
    }

    fn time(&self) -> Result<Timestamp, Fault> {
        let now = given(&self.now).map(str::parse).transpose().map_err(Fault::field("now"))?;
        Ok(When::or_now(now))
    }

    fn filter_state(&self) -> Result<Option<(String, String)>, Fault> {
        let Some(text) = given(&self.filter_state) else { return Ok(None) };
        let (key, address) = text
            .split_once('=')
            .ok_or_else(|| Fault::new("filter_state", "invalid filter state: expected KEY=ADDRESS"))?;
        Ok(Some((key.to_owned(), address.to_owned())))
    }
}

/// The text of a field, if it is given.
pub(crate) fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    given(text).unwrap_or(default)
}

//! The request of a check: its headers, and the properties of its connection.

use anyhow::{Context as _, Result, bail};
use portcullis::request::Peer;
use portcullis::{Host, Timestamp};

/// A request, with the properties that the gate can read from its host.
pub struct RequestSpec {
    /// The header pairs, `:method`, `:path` and `:authority` first.
    pub pairs: Vec<(String, Vec<u8>)>,
    /// `source.address`.
    pub peer: Option<String>,
    /// The mTLS identity of the peer.
    pub identity: Option<String>,
    /// The filter state that the listener recorded: a key and an address.
    pub filter_state: Option<(String, String)>,
    /// The time.
    pub now: Timestamp,
}

impl RequestSpec {
    /// Creates a request without headers and without a peer.
    pub fn new(method: &str, path: &str, authority: &str, now: Timestamp) -> Self {
        let pseudo = [(":method", method), (":path", path), (":authority", authority)];
        let pairs = pseudo.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        Self { pairs, peer: None, identity: None, filter_state: None, now }
    }

    /// Adds a header as Envoy passes it on: its name in lower case, and `Host` as `:authority`.
    ///
    /// # Errors
    /// If the name is invalid (RFC 9110, section 5.1). The message does not show it, since it may be a key.
    pub fn header(&mut self, name: &str, value: &str) -> Result<()> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            bail!("invalid header name (not shown, it may be a key): expected a name such as X-API-Key");
        }
        let (name, value) = (name.to_ascii_lowercase(), value.as_bytes().to_vec());
        match self.pairs.iter_mut().find(|(pair, _)| name == "host" && pair == ":authority") {
            Some((_, authority)) => *authority = value,
            None => self.pairs.push((name, value)),
        }
        Ok(())
    }

    /// Adds a query parameter.
    pub fn query(&mut self, name: &str, value: &str) {
        for (_, path) in self.pairs.iter_mut().filter(|(pair, _)| pair == ":path") {
            let between = if path.contains(&b'?') { "&" } else { "?" };
            path.extend(format!("{between}{name}={value}").into_bytes());
        }
    }
}

/// Checks the path of a request.
///
/// # Errors
/// If it does not begin with a slash.
pub fn path(path: &str) -> Result<&str> {
    // Not the query, which may hold a key.
    let shown = path.split('?').next().unwrap_or_default();
    if path.starts_with('/') { Ok(path) } else { bail!("invalid path {shown:?}: expected a path that begins with /") }
}

/// Checks the address of a peer.
///
/// # Errors
/// If it is not an address with a port.
pub fn peer(peer: &str) -> Result<String> {
    match Peer::parse(peer.as_bytes()) {
        Some(_) => Ok(peer.to_owned()),
        None => bail!("invalid peer address {peer:?}: expected ADDRESS:PORT, such as 10.0.0.7:1234 or [::1]:1234"),
    }
}

/// Parses `Name: value`. Blanks and tabs around the value are no part of it (RFC 9110, section 5.5); other white space is.
///
/// # Errors
/// If there is no colon. The message does not show the line, which may be a key.
pub fn header(line: &str) -> Result<(&str, &str)> {
    let (name, value) =
        line.split_once(':').context("invalid header (not shown, it may be a key): expected 'Name: value'")?;
    Ok((name.trim(), value.trim_matches([' ', '\t', '\r'])))
}

impl Host for RequestSpec {
    fn now(&self) -> Option<Timestamp> {
        Some(self.now)
    }

    /// No randomness is needed: `check` does not print the token.
    fn random(&self) -> Option<[u8; 16]> {
        Some([0; 16])
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.peer.clone().map(String::into_bytes)
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.filter_state.as_ref().filter(|(name, _)| name == key).map(|(_, value)| value.clone().into_bytes())
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.identity.clone().map(String::into_bytes)
    }
}

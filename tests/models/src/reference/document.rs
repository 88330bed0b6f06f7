//! A policy document. The gate's own reader detects errors; this one expects a valid document.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::placeholder::is_placeholder;
use super::{Environment, credential};

/// A policy document.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of docs/policy/")]
pub struct Document {
    pub mode: String,
    pub key_sources: Vec<KeySource>,
    pub consumers: Vec<Consumer>,
    pub public_paths: Vec<Place>,
    pub protected_paths: Option<Vec<Place>>,
    pub trusted_networks: TrustedNetworks,
    pub trusted_identities: Vec<String>,
    pub cors_preflight: String,
    pub rules: Vec<Rule>,
    pub reply: Reply,
    pub upstream: Upstream,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "as above")]
pub enum KeySource {
    Bearer,
    Header(String),
    Query(String),
    Cookie(String),
    #[serde(rename = "websocket_protocol")]
    WebSocketProtocol(String),
}

#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Consumer {
    pub name: String,
    #[serde(default)]
    pub roles: Vec<String>,
    #[serde(default)]
    pub keys: Vec<Key>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as above")]
pub struct Key {
    pub id: Option<String>,
    pub sha256: Option<String>,
    pub plaintext: Option<String>,
    pub env: Option<String>,
    pub not_before: Option<String>,
    pub expires: Option<String>,
    pub disabled: bool,
}

/// A pattern, or an object that restricts it to some methods.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "as above")]
pub enum Place {
    Path(String),
    Narrowed { path: String, methods: Option<Vec<String>> },
}

#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Rule {
    pub path: String,
    pub methods: Option<Vec<String>>,
    pub roles: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as above")]
pub struct TrustedNetworks {
    pub ranges: Vec<String>,
    pub client_address: ClientAddress,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "as above")]
pub enum ClientAddress {
    Direct,
    RemoteIp,
    FilterState(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as above")]
pub struct Reply {
    pub realm: String,
    pub detail: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as above")]
pub struct Upstream {
    pub consumer_header: String,
    pub roles_header: String,
    pub key_id_header: String,
    pub forward_credential: bool,
}

/// The owner of a key, as the upstream gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The consumer's name.
    pub name: String,
    /// The consumer's roles.
    pub roles: Vec<String>,
    /// The key's id.
    pub key_id: String,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            mode: "enforce".into(),
            key_sources: vec![KeySource::Bearer, KeySource::Header("x-api-key".into())],
            consumers: Vec::new(),
            public_paths: Vec::new(),
            protected_paths: None,
            trusted_networks: TrustedNetworks::default(),
            trusted_identities: Vec::new(),
            cors_preflight: "authenticate".into(),
            rules: Vec::new(),
            reply: Reply::default(),
            upstream: Upstream::default(),
        }
    }
}

impl Default for TrustedNetworks {
    fn default() -> Self {
        Self { ranges: Vec::new(), client_address: ClientAddress::Direct }
    }
}

impl Default for Reply {
    fn default() -> Self {
        let detail = "Invalid or missing API key. Please provide a valid X-API-Key header.";
        Self { realm: "portcullis".into(), detail: detail.into() }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            consumer_header: "x-portcullis-consumer".into(),
            roles_header: "x-portcullis-roles".into(),
            key_id_header: "x-portcullis-key-id".into(),
            forward_credential: false,
        }
    }
}

impl Place {
    /// The pattern.
    pub fn path(&self) -> &str {
        let (Self::Path(path) | Self::Narrowed { path, .. }) = self;
        path
    }

    /// The methods that restrict it.
    pub fn methods(&self) -> Option<&[String]> {
        match self {
            Self::Narrowed { methods: Some(methods), .. } => Some(methods),
            _ => None,
        }
    }
}

impl Document {
    /// Reads a document that the gate has accepted.
    ///
    /// # Errors
    /// If the document has another shape.
    pub fn read(json: &serde_json::Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(json)
    }

    /// The headers that identify the caller to the upstream.
    pub fn identity_headers(&self) -> [&str; 3] {
        let Upstream { consumer_header, roles_header, key_id_header, .. } = &self.upstream;
        [consumer_header, roles_header, key_id_header]
    }

    /// The valid entries: those whose key can be presented, and is unique.
    pub fn usable_keys(&self, environment: &Environment) -> Vec<(Owner, &Key)> {
        let all: Vec<(&Consumer, &Key, String)> = self
            .consumers
            .iter()
            .flat_map(|consumer| consumer.keys.iter().map(move |key| (consumer, key)))
            .filter_map(|(consumer, key)| key.digest(environment).map(|digest| (consumer, key, digest)))
            .collect();
        let alone = |digest: &String| all.iter().filter(|(_, _, other)| other == digest).count() == 1;
        let owner = |consumer: &Consumer, key: &Key, digest: &str| Owner {
            name: consumer.name.clone(),
            roles: consumer.roles.clone(),
            key_id: key.id.clone().unwrap_or_else(|| digest[..16].to_owned()),
        };
        all.iter()
            .filter(|(_, _, digest)| alone(digest))
            .map(|(consumer, key, digest)| (owner(consumer, key, digest), *key))
            .collect()
    }
}

impl Key {
    /// The SHA-256 of the key, in lower-case hex; `None` if no request can present it, or if it is a placeholder.
    pub fn digest(&self, environment: &Environment) -> Option<String> {
        if let Some(hex) = &self.sha256 {
            return (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| hex.to_lowercase());
        }
        let value = match (&self.plaintext, &self.env) {
            (Some(plaintext), _) => plaintext.clone().into_bytes(),
            (None, Some(name)) => without_line_end(environment.get(name)?.clone()),
            (None, None) => return None,
        };
        (credential::is_presentable(&value) && !is_placeholder(&value)).then(|| sha256(&value))
    }

    /// Whether a request presents this key.
    pub fn is(&self, presented: &[u8], environment: &Environment) -> bool {
        self.digest(environment) == Some(sha256(presented))
    }
}

/// Drops one line end at the end of the value (`\n` or `\r\n`).
fn without_line_end(value: Vec<u8>) -> Vec<u8> {
    let kept = value.strip_suffix(b"\r\n").or_else(|| value.strip_suffix(b"\n")).map(<[u8]>::to_vec);
    kept.unwrap_or(value)
}

/// In lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970 of a date-time of RFC 3339.
///
/// # Panics
/// If it is invalid: the gate would have refused it.
pub fn seconds(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339).expect("a date-time").unix_timestamp()
}

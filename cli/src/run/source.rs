//! The source of the policy, and overrides from the command line.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use portcullis::document::Mode;
use portcullis::keys::{Digest, NotAKey};
use portcullis::request::{is_presentable, is_token68};
use portcullis::{Document, Loaded};
use serde_json::json;

use super::exposure;
use crate::files::{EffectivePolicy, Followed, POLICY, PolicyFile, environment, merge};
use crate::import::deepaas::{self, VARIABLE as TOKEN};
use crate::import::orchestra::{NAME as ORCHESTRA, VARIABLE as API_KEYS};
use crate::import::orchestra_as_policy;
use crate::import::rxinfer::{DEV_TOKEN, ENABLE};
use crate::render::document::KeylessPolicy;
use crate::served::Served;
use crate::store::Store;
use crate::yaml::{Node, Tree};

/// DEEPaaS's own flag.
const DEEPAAS_OPTION: &str = "--auth-bearer-token";

/// A token. `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Token(String);

impl From<String> for Token {
    fn from(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

/// The options that name a source. At most one is given.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) policy: Option<PolicyFile>,
    /// A token for every path.
    pub(super) bearer_token: Option<Token>,
    /// A token as DEEPaaS uses it.
    pub(super) deepaas_token: Option<Token>,
    pub(super) api_keys: Option<PathBuf>,
}

/// The source of the policy.
#[derive(Debug)]
pub(super) enum Source {
    /// `policy.yaml` and `keys.json`.
    Files(PolicyFile, Box<Followed>),
    /// Orchestra's `api_keys.json`.
    ApiKeys(PathBuf),
    /// One token for every path.
    Token(Digest),
    /// A token for a DEEPaaS, and the option or variable that it comes from.
    Deepaas(Digest, &'static str),
    /// DEEPaaS's configuration file.
    DeepaasFile(PathBuf),
    /// No source: the gate is open.
    Nowhere,
}

/// Overrides of the policy from the command line.
#[derive(Debug)]
pub(super) struct Overrides {
    /// Additional public paths.
    pub(super) public: Vec<String>,
    /// Another mode.
    pub(super) mode: Option<Mode>,
    /// Whether RxInferServer's development token is a key.
    pub(super) dev_token: bool,
}

/// A valid policy, ready to deliver.
#[derive(Debug)]
pub(super) struct Ready {
    /// The document, without keys.
    pub(super) keyless: KeylessPolicy,
    /// The compiled policy.
    pub(super) loaded: Loaded,
    /// Who gets in.
    pub(super) exposure: [String; 3],
    /// Warnings for the user.
    pub(super) remarks: Vec<String>,
    /// The policy of the file, if it is served with changes.
    pub(super) served: Option<Served>,
}

impl Source {
    /// Chooses the source: the given option, or the environment, or the working directory.
    ///
    /// # Errors
    /// An invalid token, or two sources in the environment.
    pub(super) fn choose(options: Options) -> Result<Self> {
        match options {
            Options { policy: Some(policy), .. } if is_of_deepaas(policy.path()) => {
                let file = policy.path();
                if let Some(store) = &policy.store {
                    bail!("--store {}: {} is DEEPaaS's, which has its own token", store.display(), file.display());
                }
                if policy.files.len() > 1 {
                    bail!("{} is DEEPaaS's, which is no part of a policy: give it alone", file.display());
                }
                return Ok(Self::DeepaasFile(file.to_owned()));
            }
            Options { policy: Some(file), .. } => return Ok(Self::Files(file, Box::default())),
            Options { bearer_token: Some(token), .. } => {
                return digest(token.0.as_bytes(), "--bearer-token").map(Self::Token);
            }
            Options { deepaas_token: Some(token), .. } => return Self::deepaas(token.0.as_bytes(), DEEPAAS_OPTION),
            Options { api_keys: Some(file), .. } => return Ok(Self::ApiKeys(file)),
            Options { policy: None, bearer_token: None, deepaas_token: None, api_keys: None } => {}
        }
        let set = |name| environment(name).filter(|value| !value.is_empty());
        match (set(TOKEN), std::env::var_os(API_KEYS).filter(|value| !value.is_empty())) {
            (Some(_), Some(_)) => {
                bail!(
                    "{TOKEN} and {API_KEYS} are both set: unset one, or choose with POLICY, {DEEPAAS_OPTION} or \
                     --api-keys"
                )
            }
            (Some(token), None) => Self::deepaas(&token, TOKEN),
            (None, Some(file)) => Ok(Self::ApiKeys(file.into())),
            (None, None) if Path::new(POLICY).exists() => {
                Ok(Self::Files(PolicyFile::of(POLICY.into(), None), Box::default()))
            }
            // If there are keys, the gate is not meant to be open.
            (None, None) if Path::new(Store::NAME).exists() => {
                bail!(
                    "found {}, but no {POLICY}: write the policy that its keys belong to (`portcullis init` writes one), \
                     or name another: `portcullis run FILE`",
                    Store::NAME
                )
            }
            (None, None) if Path::new(ORCHESTRA).exists() => {
                bail!("found {ORCHESTRA}, but no {POLICY}: use --api-keys {ORCHESTRA}, or name a policy")
            }
            // A secret is probably missing.
            (None, None) if let Some(name) = [TOKEN, API_KEYS].into_iter().find(|name| environment(name).is_some()) => {
                bail!("{name} is set but empty: give it a value, or unset it to run without a policy")
            }
            (None, None) => Ok(Self::Nowhere),
        }
    }

    fn deepaas(token: &[u8], from: &'static str) -> Result<Self> {
        Ok(Self::Deepaas(digest(token, from)?, from))
    }

    /// The files of the source. One may not exist yet.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files(files, _) => files.files(),
            Self::ApiKeys(file) | Self::DeepaasFile(file) => vec![file.clone()],
            Self::Token(_) | Self::Deepaas(..) | Self::Nowhere => Vec::new(),
        }
    }

    /// The same, whenever they are asked for: a file may be added to a folder.
    pub(super) fn watched(&self) -> Box<dyn Fn() -> Vec<PathBuf> + Send> {
        match self {
            Self::Files(files, _) => {
                let files = files.clone();
                Box::new(move || files.files())
            }
            _ => {
                let files = self.files();
                Box::new(move || files.clone())
            }
        }
    }

    /// A key store that somebody may expect to be read: `portcullis keys` writes to it.
    pub(super) fn unread_store(&self) -> Option<PathBuf> {
        let store = match self {
            Self::Files(..) | Self::Nowhere => return None,
            Self::ApiKeys(file) | Self::DeepaasFile(file) => file.with_file_name(Store::NAME),
            Self::Token(_) | Self::Deepaas(..) => PathBuf::from(Store::NAME),
        };
        store.exists().then_some(store)
    }

    /// Reads and compiles it.
    ///
    /// # Errors
    /// If a file cannot be read, or if the gate would refuse the policy.
    pub(super) fn read(&self, overrides: &Overrides) -> Result<Ready> {
        if let Self::Files(files, _) = self {
            files.members()?;
        }
        // A pipe cannot be read again when something changes.
        if let Some(file) = self.files().iter().find(|file| file.exists() && !file.is_file()) {
            bail!("{}: expected a regular file, because it is read again whenever it changes", file.display());
        }
        let (merged, remarks) = match self {
            Self::Files(files, followed) => (files.read_again(followed)?, Vec::new()),
            Self::ApiKeys(file) => orchestra_as_policy(file)?,
            Self::Token(digest) => {
                let policy = one_token("bearer-token", digest).with("key_sources", Node::list([Node::from("bearer")]));
                (merge(policy, None, Path::new("--bearer-token"))?, Vec::new())
            }
            Self::Deepaas(digest, from) => (merge(deepaas_policy(digest), None, Path::new(from))?, Vec::new()),
            Self::DeepaasFile(file) => {
                let (token, left_out) = deepaas::token_of(file)?;
                let digest = digest(token.as_bytes(), &file.display().to_string())?;
                (merge(deepaas_policy(&digest), None, file)?, left_out)
            }
            Self::Nowhere => {
                let open = Node::from(json!({"mode": "disabled"}));
                (merge(open, None, Path::new("no policy"))?, Vec::new())
            }
        };
        // What is made here from a token or from another system's file has no digest that the user knows.
        let own = matches!(self, Self::Files(..)).then(|| merged.clone());
        let ready =
            Ready { served: own.and_then(|own| overrides.served(&own)), ..Ready::new(merged, remarks, overrides)? };
        if let Self::Files(_, followed) = self {
            followed.accept();
        }
        Ok(ready)
    }

    /// Compiles what was accepted last, without what the store has revoked since.
    pub(super) fn without_revoked(&self, overrides: &Overrides) -> Option<Ready> {
        let Self::Files(files, followed) = self else { return None };
        let merged = files.accepted_without_revoked(followed)?;
        let served = overrides.served(&merged);
        Some(Ready { served, ..Ready::new(merged, Vec::new(), overrides).ok()? })
    }
}

impl Ready {
    fn new(mut merged: EffectivePolicy, mut remarks: Vec<String>, overrides: &Overrides) -> Result<Self> {
        overrides.add_to(&mut merged);
        if overrides.dev_token {
            let (token, _) = DEV_TOKEN;
            remarks.push(format!("the development token `{token}` is a valid key, because {ENABLE} is true"));
        }
        merged.set_access_log();
        let loaded = merged.compile(&environment)?;
        if let (Some(own), None) = (&merged.overridden_mode, overrides.mode) {
            remarks.push(format!("the store overrides the mode of the policy, which is {own}"));
        }
        let refused = loaded.refused_entries.iter();
        remarks
            .extend(refused.map(|entry| format!("{}: invalid key entry skipped: {entry}", merged.place(&entry.path))));
        let exposure = exposure::lines(&merged.document()?);
        Ok(Self { keyless: KeylessPolicy::new(merged, None)?, loaded, exposure, remarks, served: None })
    }
}

/// Whether a file is DEEPaaS's configuration: its name ends as files of oslo.config do. A policy is YAML or JSON.
fn is_of_deepaas(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "conf" || extension == "ini")
}

/// The digest of a token, which must be one that a bearer can present.
fn digest(token: &[u8], from: &str) -> Result<Digest> {
    let token = token.strip_suffix(b"\n").unwrap_or(token);
    if token.is_empty() {
        bail!("{from}: invalid token: it is empty: is the variable set that it comes from?");
    }
    if let Some(why) = NotAKey::of(token) {
        bail!("{from}: invalid token (not shown): {why}: expected the token itself");
    }
    if !(is_presentable(token) && is_token68(token)) {
        bail!(
            "{from}: invalid token (not shown): expected 1 to 1024 letters, digits and -._~+/, with = only at its end"
        );
    }
    Ok(Digest::of(token))
}

/// The policy with one key, for every path.
fn one_token(name: &str, token: &Digest) -> Node {
    let key = json!({"id": "token", "sha256": token.to_hex()});
    Node::from(json!({
        "name": name,
        "consumers": [{"name": name, "keys": [key]}],
        "reply": {"detail": "A valid bearer token is required."},
    }))
}

/// The policy for a DEEPaaS with one token.
fn deepaas_policy(token: &Digest) -> Node {
    let settings = deepaas::access().into_iter();
    settings.fold(one_token(deepaas::CONSUMER, token), |policy, (member, value, _)| policy.with(member, value))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(files, _) => {
                write!(f, "{}", files.path().display())?;
                let stores: Vec<String> = files.store_paths().iter().map(|store| store.display().to_string()).collect();
                if stores.is_empty() { Ok(()) } else { write!(f, " with the keys of {}", stores.join(", ")) }
            }
            Self::ApiKeys(file) => write!(f, "Orchestra's {}", file.display()),
            Self::Token(_) => f.write_str("--bearer-token"),
            Self::Deepaas(_, from) => f.write_str(from),
            Self::DeepaasFile(file) => write!(f, "DEEPaaS's {}", file.display()),
            Self::Nowhere => f.write_str("no policy"),
        }
    }
}

impl Overrides {
    /// Checks the additional paths before anything starts.
    ///
    /// # Errors
    /// The first invalid path.
    pub(super) fn check(&self) -> Result<()> {
        for path in &self.public {
            let document = Node::from(json!({"public_paths": [path]}));
            Document::read(&document.to_json()?).map_err(|refusal| anyhow!("--public: {refusal}"))?;
        }
        Ok(())
    }

    /// What is served of the policy of a file. `None` if there is no change, or if the gate would refuse the file's own policy.
    fn served(&self, own: &EffectivePolicy) -> Option<Served> {
        let mut fixed = Vec::new();
        if own.node.get("access_log").is_none_or(|value| value.tree != Tree::Bool(true)) {
            fixed.push("access_log: true".to_owned());
        }
        let own_mode = own.node.get("mode").and_then(Node::text).unwrap_or("enforce");
        let mode = self.mode.map(Mode::as_str).filter(|mode| *mode != own_mode);
        let mode = mode.map(|mode| format!("mode: {mode} (--mode)"));
        let public = (!self.public.is_empty()).then(|| format!("public_paths: {} (--public)", self.public.join(", ")));
        let token = self.dev_token.then(|| format!("the development token ({ENABLE})"));
        let chosen: Vec<String> = mode.into_iter().chain(public).chain(token).collect();
        if fixed.is_empty() && chosen.is_empty() {
            return None;
        }
        let digest = own.compile(&environment).ok()?.policy.digest().first_48_bits();
        Some(Served { digest, fixed, chosen })
    }

    fn add_to(&self, merged: &mut EffectivePolicy) {
        if let Some(mode) = self.mode {
            merged.node.set("mode", mode.as_str().into());
        }
        if self.dev_token
            && let Some(consumers) = list_of(&mut merged.node, "consumers")
        {
            let (token, role) = DEV_TOKEN;
            consumers.push(Node::from(json!({"name": "development", "roles": [role], "keys": [{"plaintext": token}]})));
        }
        if self.public.is_empty() {
            return;
        }
        let more = self.public.iter().map(|path| Node::from(path.as_str()));
        if let Some(paths) = list_of(&mut merged.node, "public_paths") {
            paths.extend(more);
        }
    }
}

/// A list of the policy, which is added if there is none. `None` if it is not a list: the gate refuses it with its own
/// message.
fn list_of<'n>(policy: &'n mut Node, member: &str) -> Option<&'n mut Vec<Node>> {
    if policy.get(member).is_none() {
        policy.set(member, Node::list([]));
    }
    match policy.get_mut(member) {
        Some(Node { tree: Tree::List(items), .. }) => Some(items),
        _ => None,
    }
}

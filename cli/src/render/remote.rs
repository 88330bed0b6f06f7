//! The source of the module for a proxy in a cluster. It is always pinned, since whoever can replace the module
//! controls the gate.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;
use portcullis::keys::Digest;

use crate::module;
use crate::output::note;

/// The options for the source of the module.
#[derive(Debug, Args)]
pub(crate) struct Origin {
    /// Where proxies get the module from: oci://…, https://…, or file:///… (a path in the proxy)
    #[arg(long)]
    url: Url,
    /// The SHA-256 of the image (oci://), as the registry shows it, or of the file (https://) [default there: that of
    /// the
    /// module in this command]
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
    /// A Secret for a private registry, in the namespace of the resource
    #[arg(long, value_name = "NAME", value_parser = super::object_name)]
    pub pull_secret: Option<String>,
}

/// A module and its digest.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Module {
    /// An OCI image, without `oci://`.
    Image {
        /// Its name.
        reference: String,
        /// The digest of the image.
        sha256: String,
    },
    /// A file on a server.
    Http {
        /// The whole URL.
        url: String,
        /// The checksum of the file.
        sha256: String,
    },
    /// A file in the proxy, without a digest.
    File {
        /// The absolute path.
        path: String,
    },
}

#[derive(Debug, Clone)]
enum Url {
    Image(String),
    Http(String),
    File(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sha256(String);

impl Origin {
    /// The module, pinned.
    ///
    /// # Errors
    /// If it is not pinned, or pinned to two digests.
    pub(crate) fn module(&self) -> Result<Module> {
        if self.url.has_credentials() {
            // The URL is not shown, since it contains a password.
            bail!(
                "--url: user and password are not allowed, because everyone can read them in the rendered file: use \
                 --pull-secret"
            );
        }
        let given = self.sha256.clone().map(|Sha256(hex)| hex);
        match &self.url {
            Url::Image(whole) => {
                let (reference, own) = match whole.split_once("@sha256:") {
                    Some((reference, hex)) => (reference, Some(hex.parse().map_err(anyhow::Error::msg)?)),
                    None => (whole.as_str(), None),
                };
                let own = own.map(|Sha256(hex)| hex);
                let reference = reference.to_owned();
                match (given, own) {
                    (Some(one), Some(other)) if one != other => {
                        bail!("--sha256 {one} differs from the digest in --url: remove one of them")
                    }
                    (Some(sha256), _) | (None, Some(sha256)) => Ok(Module::Image { reference, sha256 }),
                    (None, None) => bail!(
                        "--url oci://{reference}: missing digest: give the image's digest too, as the registry shows \
                         it (--sha256 HEX), since whoever can push there could replace the gate"
                    ),
                }
            }
            Url::Http(url) => {
                let sha256 = given.unwrap_or_else(|| {
                    note(format_args!(
                        "{url} must lead to the module of this command, which `portcullis render module` writes"
                    ));
                    module::sha256()
                });
                Ok(Module::Http { url: url.clone(), sha256 })
            }
            Url::File(path) if given.is_none() => Ok(Module::File { path: path.clone() }),
            Url::File(path) => bail!("--url file://{path}: --sha256 has no effect for a file: remove it"),
        }
    }
}

impl Url {
    fn has_credentials(&self) -> bool {
        match self {
            // An `@` after the host may precede a digest.
            Self::Image(reference) => reference.split_once('/').is_some_and(|(host, _)| host.contains('@')),
            Self::Http(url) => {
                let rest = url.split_once("://").map_or("", |(_, rest)| rest);
                rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains('@'))
            }
            Self::File(_) => false,
        }
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match text.split_once("://") {
            Some((_, "")) | None => {}
            Some(("oci", reference)) if is_plain => return Ok(Self::Image(reference.to_owned())),
            Some(("http" | "https", _)) if is_plain => return Ok(Self::Http(text.to_owned())),
            Some(("file", path)) if is_plain && path.starts_with('/') => return Ok(Self::File(path.to_owned())),
            Some(_) => {}
        }
        Err("expected oci://HOST/NAME:TAG, https://HOST/portcullis.wasm or file:///PATH".to_owned())
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digest = Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text));
        digest.map(|digest| Self(digest.to_hex())).ok_or("expected 64 hex digits".to_owned())
    }
}

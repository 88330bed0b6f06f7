//! The admin interface of an Envoy: where it is, and how it is asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use ureq::http::Uri;

use super::socket::Socket;

/// Where an Envoy can be asked.
#[derive(Debug, Clone)]
pub(super) enum Admin {
    /// At `http://HOST:PORT`.
    Url(String),
    /// At a Unix socket.
    Socket(PathBuf),
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl Admin {
    /// Reads `http://HOST:PORT`, `HOST:PORT`, or the absolute path of a socket.
    ///
    /// # Errors
    /// Anything else. What may be a password is not shown.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        if text.contains('@') {
            bail!(
                "--admin: the address (not shown) has credentials in it, which Envoy's admin interface does not ask for"
            );
        }
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Option<Uri> = with_scheme.parse().ok();
        let authority = uri.as_ref().filter(|uri| matches!(uri.path(), "" | "/") && uri.query().is_none());
        match authority.and_then(Uri::authority) {
            Some(_) if !with_scheme.starts_with("http://") => {
                bail!("--admin {text}: Envoy's admin interface speaks plain HTTP: write http://HOST:PORT")
            }
            Some(authority) if authority.port_u16().is_some() => Ok(Self::Url(format!("http://{authority}"))),
            _ => {
                bail!(
                    "--admin {text}: write http://HOST:PORT, such as http://127.0.0.1:9901, or the absolute path of a socket"
                )
            }
        }
    }

    /// A page of the interface, which is JSON.
    ///
    /// # Errors
    /// Nobody there, no answer in time, or somebody else who answers.
    pub(super) fn get(&self, page: &str, timeout: Duration) -> Result<Value> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // The interface is on this machine or in this cluster, and no page of the Web.
            .proxy(None)
            .build();
        let (agent, url) = match self {
            Self::Url(url) => (config.new_agent(), url.as_str()),
            // The resolver has an address to give, which is not used.
            Self::Socket(path) => {
                let resolver = ureq::unversioned::resolver::DefaultResolver::default();
                (ureq::Agent::with_parts(config, Socket(path.clone()), resolver), "http://127.0.0.1")
            }
        };
        let mut response = agent.get(format!("{url}{page}")).call().map_err(|error| explain(error, timeout))?;
        let body = response.body_mut().with_config().limit(LARGEST).read_to_string();
        let body = body.map_err(|error| explain(error, timeout))?;
        if response.status() != 200 {
            bail!("it answers {page} with {}: is this Envoy's admin interface?", response.status());
        }
        serde_json::from_str(&body)
            .with_context(|| format!("its answer to {page} is no JSON: is this Envoy's admin interface?"))
    }
}

/// The most that is read of a page, in bytes.
const LARGEST: u64 = 64 << 20;

fn explain(error: ureq::Error, timeout: Duration) -> anyhow::Error {
    match error {
        ureq::Error::Timeout(_) => anyhow!("it does not answer within {} s", timeout.as_secs()),
        ureq::Error::Io(error) => anyhow!(
            "it cannot be reached: {error} (`portcullis run` has an admin interface there with --admin ADDRESS:PORT)"
        ),
        ureq::Error::HostNotFound => anyhow!("there is no host of that name"),
        error => anyhow!("it does not speak HTTP as Envoy does: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Admin;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, read) in [
            ("http://127.0.0.1:9901", "http://127.0.0.1:9901"),
            ("http://127.0.0.1:9901/", "http://127.0.0.1:9901"),
            ("envoy-1.edge:15000", "http://envoy-1.edge:15000"),
            ("[::1]:9901", "http://[::1]:9901"),
            ("/run/envoy/admin.sock", "/run/envoy/admin.sock"),
        ] {
            assert_eq!(Admin::parse(text).unwrap().to_string(), read);
        }
    }

    #[test]
    fn anything_else_is_refused_and_no_password_shown() {
        for (text, message) in [
            ("https://127.0.0.1:9901", "--admin https://127.0.0.1:9901: Envoy's admin interface speaks plain HTTP"),
            ("127.0.0.1", "--admin 127.0.0.1: write http://HOST:PORT"),
            ("http://127.0.0.1:9901/stats", "--admin http://127.0.0.1:9901/stats: write http://HOST:PORT"),
            ("", "--admin : write http://HOST:PORT"),
            ("http://a b:1", "--admin http://a b:1: write http://HOST:PORT"),
            ("http://admin:hunter2@127.0.0.1:9901", "--admin: the address (not shown) has credentials in it"),
        ] {
            let error = Admin::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message) && !error.contains("hunter2"), "{error}");
        }
    }
}

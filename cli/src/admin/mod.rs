//! HTTP client for Envoy's admin interface, at an address or on a Unix socket, and for Prometheus.

mod socket;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::DefaultResolver;

use self::socket::Socket;

/// An admin interface.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// At `http://HOST:PORT`.
    Url(String),
    /// At a Unix socket.
    Socket(PathBuf),
    /// Prometheus, at a URL that may have a path.
    Prometheus(String),
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) | Self::Prometheus(url) => f.write_str(url),
            Self::Socket(path) => path.display().fmt(f),
        }
    }
}

impl Client {
    /// Reads `http://HOST:PORT`, `HOST:PORT`, or the absolute path of a socket.
    ///
    /// # Errors
    /// If it is anything else. A possible password is not shown.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.starts_with('/') {
            return Ok(Self::Socket(text.into()));
        }
        if text.contains('@') {
            bail!(
                "--admin: invalid address (not shown): user and password are not supported by Envoy's admin interface"
            );
        }
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Option<Uri> = with_scheme.parse().ok();
        let authority = uri.as_ref().filter(|uri| matches!(uri.path(), "" | "/") && uri.query().is_none());
        match authority.and_then(Uri::authority) {
            Some(_) if !with_scheme.starts_with("http://") => {
                bail!("--admin {text}: Envoy's admin interface supports only plain HTTP: expected http://HOST:PORT")
            }
            Some(authority) if authority.port_u16().is_some() => Ok(Self::Url(format!("http://{authority}"))),
            _ => {
                bail!(
                    "--admin {text}: expected http://HOST:PORT, such as http://127.0.0.1:9901, or the absolute path \
                     of a socket"
                )
            }
        }
    }

    /// Reads the URL of a Prometheus, such as `http://127.0.0.1:9090`.
    ///
    /// # Errors
    /// If it is anything else. A possible password is not shown.
    pub(crate) fn prometheus(text: &str) -> Result<Self> {
        if text.contains('@') {
            bail!("--prometheus: invalid URL (not shown): user and password are not supported");
        }
        let uri: Option<Uri> = text.parse().ok();
        match uri.filter(|uri| uri.host().is_some() && uri.query().is_none()) {
            Some(uri) if uri.scheme_str() == Some("http") => {
                Ok(Self::Prometheus(text.trim_end_matches('/').to_owned()))
            }
            _ => bail!(
                "--prometheus {text}: expected http://HOST:PORT, such as http://127.0.0.1:9090 (if it has TLS or a \
                 password: kubectl port-forward, or an SSH tunnel)"
            ),
        }
    }

    /// Gets a page as JSON.
    ///
    /// # Errors
    /// As [`text`](Self::text), and a page that is not JSON.
    pub(crate) fn json(&self, page: &str, query: &[(&str, &str)], timeout: Duration) -> Result<Value> {
        serde_json::from_str(&self.text(page, query, timeout)?)
            .with_context(|| format!("its answer to {page} is not JSON: {}", self.is_this()))
    }

    /// Gets a page.
    ///
    /// # Errors
    /// If there is no connection, no answer in time, or a status other than 200.
    pub(crate) fn text(&self, page: &str, query: &[(&str, &str)], timeout: Duration) -> Result<String> {
        let request = self.agent(timeout).get(self.url(page)).query_pairs(query.iter().copied());
        self.body(request.call(), page, timeout)
    }

    /// Sends a POST request to a page.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub(crate) fn post(&self, page: &str, timeout: Duration) -> Result<()> {
        self.body(self.agent(timeout).post(self.url(page)).send_empty(), page, timeout).map(drop)
    }

    fn agent(&self, timeout: Duration) -> Agent {
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // The interface is on this machine or in this cluster: a proxy for the Web does not apply.
            .proxy(None)
            .build();
        match self {
            Self::Url(_) | Self::Prometheus(_) => config.new_agent(),
            Self::Socket(path) => Agent::with_parts(config, Socket(path.clone()), DefaultResolver::default()),
        }
    }

    fn url(&self, page: &str) -> String {
        match self {
            Self::Url(url) | Self::Prometheus(url) => format!("{url}{page}"),
            // The address is not used.
            Self::Socket(_) => format!("http://127.0.0.1{page}"),
        }
    }

    fn body(
        &self,
        response: Result<Response<ureq::Body>, ureq::Error>,
        page: &str,
        timeout: Duration,
    ) -> Result<String> {
        let mut response = response.map_err(|error| self.explain(error, timeout))?;
        let body = response.body_mut().with_config().limit(LARGEST).read_to_string();
        let body = body.map_err(|error| self.explain(error, timeout))?;
        if response.status() != 200 {
            bail!("it answers {page} with {}: {}", response.status(), self.is_this());
        }
        Ok(body)
    }

    fn is_this(&self) -> &'static str {
        match self {
            Self::Prometheus(_) => "is this Prometheus?",
            _ => "is this Envoy's admin interface?",
        }
    }

    fn explain(&self, error: ureq::Error, timeout: Duration) -> anyhow::Error {
        match error {
            ureq::Error::Timeout(_) => anyhow!("it does not answer within {} s", timeout.as_secs()),
            ureq::Error::Io(error) if matches!(self, Self::Prometheus(_)) => anyhow!("it cannot be reached: {error}"),
            ureq::Error::Io(error) => anyhow!(
                "it cannot be reached: {error} (`portcullis run` has an admin interface there with --admin ADDRESS:PORT)"
            ),
            ureq::Error::HostNotFound => anyhow!("host not found"),
            error => anyhow!("its answer is not valid HTTP: {error}"),
        }
    }
}

/// The maximum size of a page, in bytes.
const LARGEST: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::Client;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, read) in [
            ("http://127.0.0.1:9901", "http://127.0.0.1:9901"),
            ("http://127.0.0.1:9901/", "http://127.0.0.1:9901"),
            ("envoy-1.edge:15000", "http://envoy-1.edge:15000"),
            ("[::1]:9901", "http://[::1]:9901"),
            ("/run/envoy/admin.sock", "/run/envoy/admin.sock"),
        ] {
            assert_eq!(Client::parse(text).unwrap().to_string(), read);
        }
    }

    #[test]
    fn anything_else_is_refused_and_no_password_shown() {
        for (text, message) in [
            (
                "https://127.0.0.1:9901",
                "--admin https://127.0.0.1:9901: Envoy's admin interface supports only plain HTTP",
            ),
            ("127.0.0.1", "--admin 127.0.0.1: expected http://HOST:PORT"),
            ("http://127.0.0.1:9901/stats", "--admin http://127.0.0.1:9901/stats: expected http://HOST:PORT"),
            ("", "--admin : expected http://HOST:PORT"),
            ("http://a b:1", "--admin http://a b:1: expected http://HOST:PORT"),
            ("http://admin:hunter2@127.0.0.1:9901", "--admin: invalid address (not shown)"),
        ] {
            let error = Client::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(message) && !error.contains("hunter2"), "{error}");
        }
    }
}

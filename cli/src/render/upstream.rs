//! The service that requests are forwarded to, as `--upstream` names it.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use http::Uri;

/// The place of a service, and what it speaks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Upstream {
    /// A port of a host.
    Host {
        /// How it was given.
        scheme: Scheme,
        /// An address, or a name in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket, at an absolute path, for HTTP/1.1.
    Socket(PathBuf),
}

/// The scheme of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `HOST:PORT` alone: HTTP/1.1.
    None,
    /// HTTP/1.1.
    Http,
    /// TLS, with HTTP/2 or HTTP/1.1, as the service chooses.
    Https,
    /// HTTP/2 without TLS.
    H2c,
    /// The same.
    Grpc,
    /// HTTP/2 over TLS.
    Grpcs,
}

/// The protocol on connections to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 if the service chooses it in the TLS handshake (ALPN), otherwise HTTP/1.1.
    Negotiated,
}

const FORMS: &str = "expected HOST:PORT, such as 127.0.0.1:5000 or [::1]:5000; or http://HOST, https://HOST, \
                     h2c://HOST:PORT, grpc://HOST:PORT, grpcs://HOST or unix:/PATH";

/// The length of a socket's path that fits into an address (unix(7)): 108 bytes with a NUL at the end.
const LONGEST_SOCKET: usize = 107;

impl Upstream {
    /// Whether connections to it use TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Host { scheme: Scheme::Https | Scheme::Grpcs, .. })
    }

    /// What it speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Host { scheme: Scheme::None | Scheme::Http, .. } | Self::Socket(_) => Protocol::Http1,
            Self::Host { scheme: Scheme::H2c | Scheme::Grpc | Scheme::Grpcs, .. } => Protocol::Http2,
            Self::Host { scheme: Scheme::Https, .. } => Protocol::Negotiated,
        }
    }

    /// The value of `Host` in a request that is sent to it directly.
    pub(crate) fn authority(&self) -> Option<String> {
        let Self::Host { scheme, host, port } = self else { return None };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Some(if scheme.default_port() == Some(*port) { host } else { format!("{host}:{port}") })
    }
}

impl Scheme {
    /// All that have a name.
    const NAMED: [Self; 5] = [Self::Http, Self::Https, Self::H2c, Self::Grpc, Self::Grpcs];

    fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::None | Self::H2c | Self::Grpc => None,
            Self::Http => Some(80),
            Self::Https | Self::Grpcs => Some(443),
        }
    }

    fn named(name: &str) -> Result<Self, String> {
        let found = Self::NAMED.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| format!("unknown scheme {name:?}: expected http, https, h2c, grpc, grpcs or unix"))
    }
}

/// The upstream as it was given, in its shortest form.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { scheme: Scheme::None, .. } => f.write_str(&self.authority().unwrap_or_default()),
            Self::Host { scheme, .. } => write!(f, "{}://{}", scheme.name(), self.authority().unwrap_or_default()),
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = socket(text) {
            return path.map(Self::Socket);
        }
        // `://` after one of these belongs to a path or a query.
        let parts = text.split_once("://").filter(|(name, _)| !name.contains(['/', '?', '#', '@']));
        let (scheme, rest) = match parts {
            Some((name, rest)) => (Scheme::named(name)?, rest),
            None => (Scheme::None, text),
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| FORMS)?;
        let authority = uri.authority().ok_or(FORMS)?;
        if authority.as_str().contains('@') {
            return Err("user and password are not allowed, because the gate does not send them to the service: \
                        remove everything up to the @"
                .to_owned());
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") | None => None,
            Some(port) => Some(port.strip_prefix(':').and_then(number).filter(|port| *port > 0).ok_or(FORMS)?),
        };
        let host = checked(host).ok_or(FORMS)?;
        let Some(port) = port.or(scheme.default_port()) else {
            return Err(match scheme {
                Scheme::None => FORMS.to_owned(),
                _ => {
                    let name = scheme.name();
                    format!("{name}:// has no default port: add the port of the service, as in {name}://HOST:8001")
                }
            });
        };
        let upstream = Self::Host { scheme, host, port };
        let more = match (uri.path(), uri.query()) {
            // This type leaves out a fragment.
            ("" | "/", None) if text.contains('#') => "fragment",
            ("" | "/", None) => return Ok(upstream),
            ("" | "/", Some(_)) => "query",
            _ => "path",
        };
        Err(format!(
            "a {more} is not allowed, because the gate forwards each request with the path that the caller sent, and \
             adds nothing to it: use {upstream}"
        ))
    }
}

/// The path of a Unix socket, if `text` is one.
fn socket(text: &str) -> Option<Result<PathBuf, String>> {
    let (scheme, rest) = text.split_once(':')?;
    // A host may have that name.
    if !scheme.eq_ignore_ascii_case("unix") || number(rest.trim_end_matches('/')).is_some() {
        return None;
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    Some(if !path.starts_with('/') || path.ends_with('/') || path.contains(char::is_control) {
        Err("expected the absolute path of a socket, such as unix:/run/service.sock".to_owned())
    } else if path.len() > LONGEST_SOCKET {
        Err(format!("the path of a socket has at most {LONGEST_SOCKET} bytes: move it to a shorter path"))
    } else {
        Ok(path.into())
    })
}

/// A port, without a sign.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// An address or a name, without brackets.
fn checked(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse().ok().map(|address: Ipv6Addr| address.to_string());
    }
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!host.is_empty() && host.bytes().all(sign)).then(|| host.to_ascii_lowercase())
}

/// The name for which a certificate must be issued: `Ok` is a DNS name, `Err` is an address.
pub(crate) fn certified_name(host: &str) -> Result<&str, IpAddr> {
    match host.parse() {
        Ok(address) => Err(address),
        Err(_) => Ok(host.trim_end_matches('.')),
    }
}

/// Reads an upstream. The message of an error does not show a value that may contain a secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamParser;

impl TypedValueParser for UpstreamParser {
    type Value = Upstream;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Upstream, clap::Error> {
        let shown = StringValueParser::new().try_map(|text| text.parse::<Upstream>());
        let Some(text) = value.to_str().filter(|text| text.contains(['@', '?', '#'])) else {
            return shown.parse_ref(command, arg, value);
        };
        text.parse().map_err(|message: String| {
            let message = format!("invalid value (not shown) for '--upstream <HOST:PORT>': {message}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str =
        "because the gate forwards each request with the path that the caller sent, and adds nothing to it";
    const SOCKET: &str = "expected the absolute path of a socket, such as unix:/run/service.sock";

    #[test]
    fn each_form_is_read_and_shown_in_its_shortest_form() {
        use Protocol::{Http1, Http2, Negotiated};
        for (text, shown, protocol, is_tls) in [
            ("127.0.0.1:5000", "127.0.0.1:5000", Http1, false),
            ("[::1]:5000", "[::1]:5000", Http1, false),
            ("[0:0:0:0:0:0:0:1]:5000", "[::1]:5000", Http1, false),
            ("models_2.internal:5000/", "models_2.internal:5000", Http1, false),
            ("Models:5000", "models:5000", Http1, false),
            ("models:80", "models:80", Http1, false),
            ("unix:5000", "unix:5000", Http1, false),
            ("http:5000", "http:5000", Http1, false),
            ("http://models", "http://models", Http1, false),
            ("http://models:80/", "http://models", Http1, false),
            ("HTTP://Models:8080", "http://models:8080", Http1, false),
            ("https://models.example.com", "https://models.example.com", Negotiated, true),
            ("https://models.example.com:443", "https://models.example.com", Negotiated, true),
            ("Https://[::1]:8443/", "https://[::1]:8443", Negotiated, true),
            ("https://[::1]", "https://[::1]", Negotiated, true),
            ("h2c://models:8001", "h2c://models:8001", Http2, false),
            ("grpc://127.0.0.1:8001", "grpc://127.0.0.1:8001", Http2, false),
            ("grpcs://models.example.com/", "grpcs://models.example.com", Http2, true),
            ("grpcs://models.example.com:8001", "grpcs://models.example.com:8001", Http2, true),
            ("unix:/run/service.sock", "unix:/run/service.sock", Http1, false),
            ("unix:///run/service.sock", "unix:/run/service.sock", Http1, false),
            ("UNIX:/run/Service.sock", "unix:/run/Service.sock", Http1, false),
            // No character of a file's name has a meaning.
            ("unix:/run/a b@c?d#e%20", "unix:/run/a b@c?d#e%20", Http1, false),
        ] {
            let upstream: Upstream = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((upstream.to_string().as_str(), upstream.protocol()), (shown, protocol), "{text}");
            assert_eq!(upstream.is_tls(), is_tls, "{text}");
            assert_eq!(shown.parse(), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_upstream_is_refused_with_the_reason_and_the_fix() {
        let path = |what: &str, fix: &str| format!("a {what} is not allowed, {PATH}: use {fix}");
        let user = "user and password are not allowed, because the gate does not send them to the service: remove \
                    everything up to the @";
        let unknown = |name: &str| format!("unknown scheme {name:?}: expected http, https, h2c, grpc, grpcs or unix");
        let port = |name: &str| {
            format!("{name}:// has no default port: add the port of the service, as in {name}://HOST:8001")
        };
        for (text, message) in [
            ("http://models/v1", path("path", "http://models")),
            ("https://models.example.com:443/v1/?key=x", path("path", "https://models.example.com")),
            ("https://models.example.com//", path("path", "https://models.example.com")),
            ("grpc://models:8001/pkg.Service", path("path", "grpc://models:8001")),
            ("models:5000/v1", path("path", "models:5000")),
            ("models:5000/?next=http://x", path("query", "models:5000")),
            ("https://models?key=x", path("query", "https://models")),
            ("https://models/?", path("query", "https://models")),
            ("https://models#top", path("fragment", "https://models")),
            ("[::1]:5000/#", path("fragment", "[::1]:5000")),
            ("https://ci:hunter2@models", user.to_owned()),
            ("https://ci@models/v1", user.to_owned()),
            ("ci:hunter2@models:5000", user.to_owned()),
            ("h2c://ci:hunter2@models", user.to_owned()),
            ("ftp://models", unknown("ftp")),
            ("wss://models:1", unknown("wss")),
            ("my_scheme://models:1", unknown("my_scheme")),
            ("://models:1", unknown("")),
            ("http+unix:///run/service.sock", unknown("http+unix")),
            ("h2c://models", port("h2c")),
            ("grpc://[::1]/", port("grpc")),
            ("unix:run/service.sock", SOCKET.to_owned()),
            ("unix://run/service.sock", SOCKET.to_owned()),
            ("unix:", SOCKET.to_owned()),
            ("unix:///", SOCKET.to_owned()),
            ("unix:/run/", SOCKET.to_owned()),
            ("unix:/run/a\nb", SOCKET.to_owned()),
            (
                &format!("unix:/{}", "a".repeat(107)),
                "the path of a socket has at most 107 bytes: move it to a shorter path".to_owned(),
            ),
            ("", FORMS.to_owned()),
            ("models", FORMS.to_owned()),
            ("127.0.0.1", FORMS.to_owned()),
            ("5000", FORMS.to_owned()),
            (":5000", FORMS.to_owned()),
            ("/run/service.sock", FORMS.to_owned()),
            ("::1:5000", FORMS.to_owned()),
            ("[::1]", FORMS.to_owned()),
            ("[fe80::1%25eth0]:5000", FORMS.to_owned()),
            ("models:0", FORMS.to_owned()),
            ("models:65536", FORMS.to_owned()),
            ("models:+80", FORMS.to_owned()),
            ("models:5000:5000", FORMS.to_owned()),
            ("mod els:5000", FORMS.to_owned()),
            ("mödels:5000", FORMS.to_owned()),
            ("mod%41ls:5000", FORMS.to_owned()),
            ("http://", FORMS.to_owned()),
            ("http:///v1", FORMS.to_owned()),
            ("https://models:", FORMS.to_owned()),
            ("https://models:99999", FORMS.to_owned()),
            ("https://mod*els", FORMS.to_owned()),
            ("http://[127.0.0.1]:80", FORMS.to_owned()),
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(message), "{text}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_without_the_dot_at_its_end_or_for_an_address() {
        assert_eq!(certified_name("models.example.com."), Ok("models.example.com"));
        assert_eq!(certified_name("::1"), Err("::1".parse().unwrap()));
        assert_eq!(certified_name("127.0.0.1"), Err("127.0.0.1".parse().unwrap()));
    }
}

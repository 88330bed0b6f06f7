//! A request, and the questions that a decision asks about its headers.

/// The header pairs of a request, names in lower case.
#[derive(Debug, Clone, Default)]
pub struct Request(pub Vec<(String, Vec<u8>)>);

/// Headers from which some backends take the method.
const METHODS: [&str; 4] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-payload-http-method-override"];

/// Query parameters from which some backends take the method, besides these headers' names.
const PARAMETERS: [&str; 5] = ["_method", "__method", "alf_method", "_method_override", "x-tunneled-method"];

/// Headers from which some backends take the URL.
const URLS: [&str; 5] = ["x-original-url", "x-rewrite-url", "x-ms-original-url", "x-matched-path", "x-invoke-path"];

/// Headers that some backends cut off the path, or put before it; and those with a second URL, because COPY and MOVE
/// affect whole trees.
const ROOTS: [&str; 21] = [
    "script-name",
    "daphne-root-path",
    "x-vhm-root",
    "x-vhm-host",
    "x-script-name",
    "x-forwarded-script-name",
    "path-info",
    "destination",
    "new-uri",
    "next-action",
    "rsc-action-id",
    "x-qrl",
    "x-single-flight",
    "dapr-app-id",
    "seldon-internal-model",
    "x-accel-mapping",
    "x-traversal-path",
    "x-orpc-batch",
    "x-service-method",
    "spring.cloud.function.definition",
    "spring.cloud.function.routing-expression",
];

/// Headers from which some backends build the beginning of the URL.
const HOSTS: [&str; 7] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-host",
];

/// How many items of a query, and cookies, are checked.
pub const MAX_ITEMS: usize = 512;

/// How many bytes of the names of all parameters, if they have an escape or a colon, are checked.
const MAX_NAMES: usize = 8192;

/// How many blanks before the name of a parameter are skipped.
const MAX_BLANKS: usize = 64;

/// The maximum number of bytes of all URLs in override headers.
pub const MAX_URL_BYTES: usize = 1024;

/// How many parts of `Authorization`, and options of `Connection`, are checked.
pub const MAX_PARTS: usize = 64;

/// Headers that name another client.
const NAMES_A_CLIENT: [&str; 21] = [
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "client-ip",
    "forwarded-for",
    "x-forwarded",
    "x-forwarded-context",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-original-forwarded-for",
    "cf-connecting-ipv6",
    "fly-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-proxyuser-ip",
    "x-remote-addr",
];

/// A name in the view of a backend that ignores letter case, and all characters except letters and digits.
pub fn folded(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' }).collect()
}

/// Without blanks and tabs at both ends (RFC 9110, section 5.5).
pub fn trimmed(value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    while matches!(value.first(), Some(b' ' | b'\t')) {
        value.remove(0);
    }
    while matches!(value.last(), Some(b' ' | b'\t')) {
        value.pop();
    }
    value
}

/// A host that is empty, or a port alone.
fn is_no_host(host: &[u8]) -> bool {
    let host = trimmed(host);
    host.is_empty() || host[0] == b':'
}

/// The parts between separators.
pub fn split(bytes: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for byte in bytes {
        match parts.last_mut() {
            Some(part) if *byte != separator => part.push(*byte),
            _ => parts.push(Vec::new()),
        }
    }
    parts
}

/// Name and value of `name=value`; without `=`, the value is empty.
pub fn pair(text: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(middle) => (text[..middle].to_vec(), text[middle + 1..].to_vec()),
        None => (text.to_vec(), Vec::new()),
    }
}

/// Whether a method is in a list, in which GET includes HEAD; `folded`: in any letter case.
pub fn lists(methods: &[String], method: &[u8], folded: bool) -> bool {
    let same = |one: &[u8]| if folded { one.eq_ignore_ascii_case(method) } else { one == method };
    methods.iter().any(|one| same(one.as_bytes()) || (one == "GET" && same(b"HEAD")))
}

impl Request {
    /// The values of a header, trimmed.
    pub fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(header, _)| header == name).map(|(_, value)| trimmed(value)).collect()
    }

    /// The values of every header that a backend may treat as this one, as sent.
    fn alike(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(header, _)| folded(header) == folded(name)).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a pseudo-header, as sent.
    fn pseudo(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value.as_slice())
    }

    /// The method.
    pub fn method(&self) -> Vec<u8> {
        self.pseudo(":method").unwrap_or_default().to_vec()
    }

    /// The request target; none for CONNECT.
    pub fn path(&self) -> Option<&[u8]> {
        self.pseudo(":path")
    }

    /// Whether there is another header that a backend may treat as `name`.
    pub fn has_look_alike(&self, name: &str) -> bool {
        self.0.iter().any(|(header, _)| header != name && folded(header) == folded(name))
    }

    /// Whether some backends may take the method, the URL or its root from another place: a header, a path in the
    /// query, or the query parameter `_method`, which PHP also finds after blanks, before a NUL and as `.method`. If
    /// the query is too long to check, the answer is yes.
    pub fn is_overridden(&self) -> bool {
        let in_query = self.parameters().iter().any(|name| {
            let name = split(&super::path::decode(name), 0).swap_remove(0);
            let blanks = name.iter().take_while(|byte| b"+ ".contains(byte)).count();
            let name = String::from_utf8(name[blanks..].to_vec());
            blanks > MAX_BLANKS || name.is_ok_and(|name| self.is_method_parameter(&folded(&name)))
        });
        let headers = METHODS.iter().chain(&URLS).chain(&ROOTS);
        in_query
            || self.url_in_query().is_some()
            || self.has_path_parameter()
            || self.has_host_with_path()
            || self.chooses_by_host_or_credentials()
            || headers.into_iter().any(|name| !self.alike(name).is_empty())
    }

    /// The names of the query's parameters, as sent.
    fn parameters(&self) -> Vec<Vec<u8>> {
        let items = split(&self.query(), b'&').into_iter().flat_map(|part| split(&part, b';'));
        items.map(|item| pair(&item).0).collect()
    }

    /// Whether some backend adds a parameter's name to the path (Zope), or takes one with a slash for a path (SvelteKit).
    /// Also if there are too many to check.
    fn has_path_parameter(&self) -> bool {
        let names = self.parameters();
        let long = names.iter().filter(|name| name.iter().any(|byte| b":%".contains(byte)));
        let bytes: usize = long.map(Vec::len).sum();
        let is_path = |name: &Vec<u8>| {
            let decoded = super::path::decode(name);
            let text = String::from_utf8_lossy(&decoded);
            let of_zope = [":method", ":action", ":default_"].iter().any(|kind| text.contains(kind));
            of_zope || text == "/remote" || name.to_ascii_lowercase().starts_with(b"%2f")
        };
        names.len() > MAX_ITEMS || bytes > MAX_NAMES || names.iter().any(is_path)
    }

    /// Whether some framework takes the method from a query parameter of that name: Laravel; Plack; ASP.NET MVC, whose
    /// names are those of the headers; Masonite, Alfresco, wai-extra; and, for POST, Restlet.
    fn is_method_parameter(&self, name: &str) -> bool {
        let is_post = self.method().eq_ignore_ascii_case(b"post");
        let mut names = METHODS.iter().chain(&PARAMETERS).copied();
        names.any(|known| folded(known) == name) || (is_post && name == "method")
    }

    /// Whether a header for a host, a port or a scheme contains a path.
    fn has_host_with_path(&self) -> bool {
        let values = HOSTS.iter().flat_map(|name| self.alike(name));
        let is_a_path = |value: &[u8]| value.iter().any(|byte| b"/?#\\@".contains(byte));
        // Some backends use the first of several as the host, and some the last.
        let lacks_a_host = |value: &[u8]| {
            let hosts = split(value, b',');
            [hosts.first(), hosts.last()].into_iter().flatten().any(|host| is_no_host(host))
        };
        values.into_iter().any(|value| is_a_path(&value) || lacks_a_host(&value))
    }

    /// Whether the request has a valid host, without user information.
    pub fn names_a_host(&self) -> bool {
        let authority = self.pseudo(":authority").unwrap_or_default();
        !is_no_host(authority) && !authority.contains(&b'@')
    }

    /// The URLs in override headers, and that in the query.
    pub fn override_urls(&self) -> Vec<Vec<u8>> {
        let in_headers = URLS.iter().flat_map(|name| self.alike(name)).map(|url| trimmed(&url));
        in_headers.chain(self.url_in_query()).collect()
    }

    /// The query from the first item that begins like a path, up to the next `?`.
    fn url_in_query(&self) -> Option<Vec<u8>> {
        let items = split(&self.query(), b'&');
        let at = items.iter().position(|item| item.starts_with(b"/"))?;
        Some(super::path::path(&items[at..].join(&b'&')).to_vec())
    }

    /// The part after the first `?` of the target.
    fn query(&self) -> Vec<u8> {
        super::path::query(self.path().unwrap_or_default()).unwrap_or_default()
    }

    /// Whether some backends may cut off a part of the path, or put one before it.
    pub fn has_another_root(&self) -> bool {
        ROOTS.iter().any(|name| !self.alike(name).is_empty())
            || self.has_path_parameter()
            || self.has_host_with_path()
            || self.chooses_by_host_or_credentials()
    }

    /// Whether Hono passes over the first name of the path, because of a short host; or a Dapr sidecar takes its
    /// application from the credentials.
    fn chooses_by_host_or_credentials(&self) -> bool {
        let authority = self.pseudo(":authority").unwrap_or_default();
        let is_short = authority.len() < 6 && [1, 2].iter().any(|at| authority.get(*at) == Some(&b':'));
        let is_an_application = |value: &Vec<u8>| {
            value.len() > 6 && value[..6].eq_ignore_ascii_case(b"basic ") && value[6..].starts_with(b"ZGFwci1hcHAtaWQ6")
        };
        is_short || self.values("authorization").iter().any(is_an_application)
    }

    /// Whether `Connection` names one of these headers or one that names the client, in any spelling, or is too long to
    /// check.
    pub fn connection_names(&self, names: &[&str]) -> bool {
        let options: Vec<_> = self.values("connection").into_iter().flat_map(|value| split(&value, b',')).collect();
        // Characters that are not allowed in a name (RFC 9110, section 5.6.2) separate two names.
        let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let mut parts = options.iter().map(|option| option.split(|byte| !is_in_name(byte)).collect::<Vec<_>>());
        let client = ["x-forwarded-for", "x-envoy-external-address"].iter().chain(&NAMES_A_CLIENT);
        let names: Vec<&str> = names.iter().chain(client).copied().collect();
        let is_one = |part: &[u8]| names.iter().any(|name| folded(&String::from_utf8_lossy(part)) == folded(name));
        options.len() > MAX_PARTS || parts.any(|parts| parts.len() > 16 || parts.into_iter().any(is_one))
    }

    /// OPTIONS with `Origin` and `Access-Control-Request-Method`.
    pub fn is_cors_preflight(&self) -> bool {
        self.method() == b"OPTIONS"
            && !self.values("origin").is_empty()
            && !self.values("access-control-request-method").is_empty()
    }

    /// Whether a header names another client than this peer.
    pub fn names_another(&self, peer: std::net::IpAddr) -> bool {
        let only_the_peer = |value: &[u8]| super::address::plain(value) == Some(peer);
        let elsewhere = |name: &&str| match self.alike(name).as_slice() {
            [] => false,
            [value] => !only_the_peer(value),
            _ => true,
        };
        ["x-forwarded-for", "x-envoy-external-address"].iter().any(elsewhere)
            || NAMES_A_CLIENT.iter().any(|name| !self.alike(name).is_empty())
    }

    /// Whether a browser sent this for a page of another site.
    pub fn is_cross_site(&self) -> bool {
        let (sites, origins) = (self.values("sec-fetch-site"), self.values("origin"));
        let own_site = |site: &[u8]| site == b"same-origin" || site == b"none";
        let one = |values: &[Vec<u8>], own: &dyn Fn(&[u8]) -> bool| match values {
            [] => true,
            [value] => own(value),
            _ => false,
        };
        !one(&sites, &own_site) || !one(&origins, &|origin| self.is_own_origin(origin))
    }

    /// `scheme://host[:port]` of the requested host; the default port of the scheme is optional.
    fn is_own_origin(&self, origin: &[u8]) -> bool {
        let authority = self.pseudo(":authority").unwrap_or_default().to_ascii_lowercase();
        let Some(origin) = std::str::from_utf8(origin).ok() else {
            // Bytes that are not text are not a host either, unless they are identical.
            return [&b"http://"[..], b"https://"].iter().zip([&b":80"[..], b":443"]).any(|(scheme, port)| {
                let bare = |host: &[u8]| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
                origin.strip_prefix(*scheme).is_some_and(|host| bare(host) == bare(&authority))
            });
        };
        [("http://", ":80"), ("https://", ":443")].iter().any(|(scheme, port)| {
            let Some(host) = origin.strip_prefix(scheme) else { return false };
            let host = host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
            let asked = authority.strip_suffix(port.as_bytes()).unwrap_or(&authority);
            !host.is_empty() && host.as_bytes() == asked
        })
    }
}

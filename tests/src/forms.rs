//! Requests that some servers, frameworks or file systems treat as another one, because of the form of the path or of a
//! header.

use std::fmt;

/// A request for a path, possibly with a header in which some backends find another path, or a prefix to cut off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// The path, and the query.
    pub path: String,
    /// The name and the value of the header.
    pub header: Option<(&'static str, &'static str)>,
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        self.header.map_or(Ok(()), |(name, value)| write!(formatter, " with {name}: {value}"))
    }
}

impl From<String> for Probe {
    fn from(path: String) -> Self {
        Self { path, header: None }
    }
}

/// Other names of a place (the place is at the `*`), for servers that parse a path as a URL, drop some bytes of it,
/// pass the rest of the path to scripts, or add file extensions.
const FORMS: [&str; 83] = [
    "/index.php/*",
    "/INDEX.PHP/*",
    "/index.php//*",
    "/index.php;a=b/*",
    "/index.php%2f*",
    "/index%2ephp/*",
    "/index.php%20/*",
    "/index.php/index.php/*",
    "/index.php/x/../*",
    "//index.php/*",
    "/index.php?/*",
    "/?/*",
    "/?/*?a=b",
    "/?/pub/../*",
    "/?//h/*",
    "/index.php/?/*",
    "/index.php*",
    "/index.phpx/*",
    "/h/index.php/*",
    "/x.php/*",
    "/x.php/index.php/*",
    "/pub/app.php/*",
    "/pub/app.php//*",
    "/pub/app%2ephp/*",
    "/docs/x.php/*",
    "/app.cgi/*",
    "/cgi-bin/app.pl/*",
    "/app.fcgi/*",
    "/app.aspx/*",
    "/app.asp/*",
    "/app.jsp/*",
    "/app.do/*",
    "/h/*",
    "//h/*",
    "///h/*",
    "//h//*",
    "//h:80/*",
    "//h@/*",
    "//u:p@h/*",
    "//[::1]/*",
    "//h%2f*",
    "//h@%2f*",
    "//h%3a80/*",
    "//h%252f*",
    "/%2fh/*",
    "/%2Fh/*",
    "/%2fh%2f*",
    "/%2f%2fh/*",
    "/%252fh/*",
    "/%09/h/*",
    "/%0a/h/*",
    "/%0d%0a/h/*",
    "/%09%2fh/*",
    "//%09h/*",
    "//%ffh/*",
    "/docs/.%09./*",
    "/docs/%2e%0a%2e/*",
    "/docs/.%250d./*",
    "/docs/%252%09e%252%09e/*",
    "/docs/.%ff./*",
    "/*%c2%a0",
    "/*%ef%bb%bf",
    "/*%1f",
    "/%e2%80%8b*",
    "/pub%2f/h/../*",
    "/(S(x))/*",
    "/(S(x)F(y))/*",
    "/pub/(S(x))/*",
    "/*::$DATA",
    "/*:$i30:$INDEX_ALLOCATION",
    "/*~1",
    "/*/index.html",
    "/*/index.htm",
    "/*/INDEX.HTML",
    "/*/index%2ehtml",
    "/*/index.php",
    "/*/default.aspx",
    "/*/Default.htm",
    "/*.html",
    "/*.json",
    "/*.php",
    "/*?/pub/x",
    "/*%3f/pub/x",
];
/// The places to which the forms lead.
const FORMED: [&str; 6] = ["admin", "admin/x", "%61dmin/x", "adm%09in/x", "v/x/p", "v/d/p"];
/// Short (8.3) names, which Windows keeps beside each long name.
const SHORT: [&str; 5] = ["/ADMIN~1", "/ADMIN~1/x", "/admin~1.htm", "/ADMINI~1/x", "/v/x/P~1"];

/// Headers whose value some servers cut off the path.
const ROOTS: [&str; 8] = [
    "SCRIPT_NAME",
    "script-name",
    "Script.Name",
    "Daphne-Root-Path",
    "daphne_root_path",
    "X-Script-Name",
    "X-Forwarded-Prefix",
    "PATH_INFO",
];
/// Their values, and the path after them.
const CUT: [&str; 6] = ["/pub", "/pub/x", "/docs", "/p", "/", "/pub/"];
const KEPT: [&str; 7] = ["/admin", "/admin/x", "/v/x/p", "//admin/x", "/%61dmin/x", "/;a=b/admin/x", "/docs/x"];

/// Headers that some servers take a path or a URL from.
const URLS: [&str; 8] = [
    "X-Original-URL",
    "x_original_url",
    "X-Rewrite-URL",
    "X-Original-URI",
    "X-Forwarded-Uri",
    "REQUEST_URI",
    "SCRIPT_URL",
    "REDIRECT_URL",
];
/// Their values.
const NAMED: [&str; 9] = [
    "/admin",
    "/admin/x",
    "/admin/x?a=b",
    "/%61dmin/x",
    "/index.php/admin/x",
    "//h/admin/x",
    "http://@HOST@/admin/x",
    "/v/x/p",
    "/docs/x",
];
/// The paths that are sent with them.
const CARRIERS: [&str; 2] = ["/", "/pub/x"];

/// The forms of all places.
pub(crate) fn formed() -> impl Iterator<Item = String> {
    let forms = FORMS.iter().flat_map(|form| FORMED.map(|place| form.replace('*', place)));
    forms.chain(SHORT.map(str::to_owned))
}

/// Paths, each with a header.
pub(crate) fn with_headers() -> impl Iterator<Item = Probe> {
    let cut = CUT.iter().flat_map(|root| KEPT.map(|rest| (format!("{}{rest}", root.trim_end_matches('/')), *root)));
    let roots = cut.flat_map(|(path, root)| ROOTS.map(|name| (path.clone(), name, root)));
    let named = CARRIERS.iter().flat_map(|path| NAMED.map(|url| ((*path).to_owned(), url)));
    let urls = named.flat_map(|(path, url)| URLS.map(|name| (path.clone(), name, url)));
    roots.chain(urls).map(|(path, name, value)| Probe { path, header: Some((name, value)) })
}

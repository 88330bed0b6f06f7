//! The shapes of hostile requests. A shape is a row of a table here: what is repeated until it is as long as asked for, and
//! what stands before and behind it. Who finds a worse one adds a row.

use super::Request;
use super::policies::Under;

/// One kind of hostile request.
#[derive(Debug)]
pub struct Shape {
    /// The name.
    pub name: &'static str,
    /// Whether it comes in every length.
    pub has_length: bool,
    /// The policies under which it is measured.
    pub under: &'static [Under],
    /// How it is made.
    pub make: Make,
}

/// Where the key goes, in a request that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`.
    Bearer,
    /// `X-API-Key`.
    Header,
    /// Last in the query.
    Query,
    /// Last in the last `Cookie`.
    Cookie,
}

/// How a request of a length is made. Texts are what stands before, what is repeated, and what stands behind.
#[derive(Debug, Clone, Copy)]
pub enum Make {
    /// The path.
    Path(&'static str, &'static str, &'static str),
    /// Path and query.
    Query(&'static str, &'static str, &'static str, Place),
    /// A header of that name, and the others beside it, so often as they all fit into the longest.
    Header(&'static str, usize, [&'static str; 3], Place),
    /// Anything else.
    Own(fn(usize) -> Request),
}

impl Make {
    /// The request of that length.
    pub fn request(&self, length: usize) -> Request {
        let mut request = Request::usual();
        match *self {
            Self::Path(head, unit, tail) => request.target = fill(head, unit, tail, length),
            Self::Query(head, unit, tail, place) => {
                request.target = fill(head, unit, tail, length);
                request.place = place;
            }
            Self::Header(name, count, [head, unit, tail], place) => {
                let value = fill(head, unit, tail, length.min(LONGEST / count));
                request.headers.extend(std::iter::repeat_n((name.to_owned(), value), count));
                request.place = place;
            }
            Self::Own(make) => request = make(length),
        }
        request
    }
}

/// What fits into the headers that Envoy takes.
const LONGEST: usize = 58_000;

/// Whole units, and no more bytes than asked for; one unit at least.
fn fill(head: &str, unit: &str, tail: &str, length: usize) -> String {
    let room = length.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", unit.repeat((room / unit.len()).max(1)))
}

/// Where paths are compared with patterns.
const PATHS: &[Under] = &[Under::Public, Under::Protected, Under::Rules, Under::Cased, Under::ManyRules];
/// And with many patterns at many levels.
const DEEP: &[Under] = &[
    Under::Public,
    Under::Protected,
    Under::Rules,
    Under::Cased,
    Under::ManyRules,
    Under::WidePublic,
    Under::WideProtected,
    Under::WideRules,
];
/// Where a header may override the path.
const OVERRIDES: &[Under] = &[Under::Rules, Under::Cased, Under::ManyRules, Under::WideRules, Under::Narrowed];
const SOURCES: &[Under] = &[Under::Usual, Under::Sources];
const NETWORKS: &[Under] = &[Under::Networks];

/// Path shapes: name, what stands before, what is repeated, what stands behind.
const PATH: &[(&str, &[Under], &str, &str, &str)] = &[
    // Letter case.
    ("capitals, one segment", PATHS, "/", "A", ""),
    ("capitals, deep", DEEP, "", "/A", ""),
    ("capitals, deep, slash last", DEEP, "", "/A", "/"),
    ("capitals, deep, escapes last", DEEP, "", "/A", "%41%41"),
    ("small letters, one segment", PATHS, "/", "a", ""),
    ("small letters, deep", DEEP, "", "/a", ""),
    ("small letters, deep, below a rule", PATHS, "/v2/models", "/a", ""),
    ("small letters, one segment below a rule", PATHS, "/v2/models/", "a", "/predict"),
    ("small letters, one segment below 12", DEEP, "/a/a/a/a/a/a/a/a/a/a/a/a/", "a", ""),
    ("capitals, one segment below 12", DEEP, "/A/A/A/A/A/A/A/A/A/A/A/A/", "A", ""),
    ("capitals in escapes, one segment below 12", DEEP, "/%41/A/A/A/A/A/A/A/A/A/A/A/", "%41", ""),
    // Escapes.
    ("escaped capitals", PATHS, "/", "%41", ""),
    ("escaped capitals, deep", DEEP, "", "/%41", ""),
    ("escaped small letters, deep", DEEP, "", "/%61", ""),
    ("escapes four deep", PATHS, "/", "%25252541", ""),
    ("escapes four deep, deep", DEEP, "", "/%25252541", ""),
    ("escapes of every depth", PATHS, "/", "%41%2541%252541%25252541", ""),
    ("escaped slashes of every depth", PATHS, "/a", "%2fa%252fa%25252fa%2525252fa", ""),
    ("escapes too deep at the end", PATHS, "/", "%25252541", "%2525252541"),
    ("a dot segment at the end", PATHS, "/", "%25252541", "/%2525252e%2525252e"),
    ("escaped semicolons", PATHS, "", "/a%3bb%253bc", ""),
    ("escaped question marks", PATHS, "", "/a%3fb%253fc", ""),
    ("escaped number signs", PATHS, "", "/a%2523b", ""),
    ("not UTF-8", PATHS, "/", "%ff", ""),
    ("not UTF-8, deep", DEEP, "", "/%ff", ""),
    ("not UTF-8 in the end", PATHS, "/", "%C3%89", "%C3"),
    // Letters.
    ("Cyrillic small letters", PATHS, "/", "%D0%B0", ""),
    ("Cyrillic capitals", PATHS, "/", "%D0%90", ""),
    ("Cyrillic capitals, deep", PATHS, "", "/%D0%90", ""),
    ("combining dots above", PATHS, "/", "%CC%87", ""),
    ("combining dots above, deep", PATHS, "", "/%CC%87", ""),
    ("full-width letters", PATHS, "/", "%EF%BC%A1", ""),
    ("dotted I", PATHS, "/", "%C4%B0", ""),
    ("Kelvin signs", PATHS, "/", "%E2%84%AA", ""),
    ("ligatures", PATHS, "/", "%EF%AC%83", ""),
    ("sharp S", PATHS, "/", "%E1%BA%9E", ""),
    ("Deseret capitals", PATHS, "/", "%F0%90%90%80", ""),
    ("emoji", PATHS, "/", "%F0%9F%98%80", ""),
    ("zero-width spaces", PATHS, "/", "%E2%80%8B", ""),
    ("zero-width spaces, deep", PATHS, "", "/%E2%80%8B", ""),
    // Slashes, parameters, blanks, dots.
    ("slashes", PATHS, "", "/", ""),
    ("slashes, path last", PATHS, "", "/", "v2/models/a"),
    ("slashes in pairs", DEEP, "", "//a", ""),
    ("slashes and escapes", PATHS, "", "//%c3%a9%253b%2f", ""),
    ("slashes and escapes, once", PATHS, "", "//%c3%a9", "%253b%2f"),
    ("hosts", PATHS, "", "//h", "/v2/models/a"),
    ("escaped hosts", PATHS, "", "/%2fh", ""),
    ("escaped slashes", PATHS, "/", "%2f", ""),
    ("parameters", DEEP, "", "/a;b", ""),
    ("parameters alone", PATHS, "/", ";", ""),
    ("empty parameters", PATHS, "", "/;", ""),
    ("dots at ends of names", DEEP, "", "/a.", ""),
    ("dots at beginnings of names", PATHS, "", "/.a", ""),
    ("names of dots", PATHS, "", "/...", ""),
    ("dots, one segment", PATHS, "/a", ".", ""),
    ("dots, one segment before an escape", PATHS, "/", ".", "%41"),
    ("suffixes", PATHS, "/v2/models/a", ".a", ""),
    ("suffixes and escapes", PATHS, "/v2/models/%41", ".A", ""),
    ("blanks", PATHS, "/", "%20", ""),
    ("blanks around names", DEEP, "", "/%20a%20", ""),
    ("names of blanks", PATHS, "", "/%20", ""),
    ("no-break spaces", PATHS, "/", "%C2%A0", ""),
    ("tabs", PATHS, "/", "%09", ""),
    ("tabs in names", DEEP, "", "/a%09", ""),
    ("tabs, CR and LF of every depth", PATHS, "/", "%09%250d%25250a", ""),
    // What some servers read into names.
    ("front controllers", PATHS, "", "/a.php", ""),
    ("front controllers of many kinds", PATHS, "", "/a.php/b.cgi/c.aspx/d.jsp", ""),
    ("front controllers, escaped", PATHS, "", "/%41.p%68p", ""),
    ("index names", PATHS, "", "/index.a", ""),
    ("index names, one segment", PATHS, "/v2/index", ".a", ""),
    ("short names", PATHS, "", "/a~1", ""),
    ("nearly short names", PATHS, "", "/abcdefg~1", ""),
    ("tildes", PATHS, "/", "~1", ""),
    ("streams", PATHS, "", "/a::$DATA", ""),
    ("nearly streams", PATHS, "/", ":", ""),
    ("sessions", PATHS, "", "/(S(x))", ""),
    ("nearly sessions", PATHS, "", "/(S(x", ""),
    // Several steps at once, each of which makes another variant.
    ("every step, then capitals", DEEP, "//h%2541;x/b.php%09/", "A", ""),
    ("every step, then capitals, deep", DEEP, "//h%2541;x/b.php%09", "/A", ""),
    ("every step, then Cyrillic", PATHS, "//h%2541;x/b.php%09/", "%D0%90", ""),
    ("every step, then combining dots", PATHS, "//h%2541;x/b.php%09/", "%CC%87", ""),
    ("every step, then dots", DEEP, "//h%2541;x/b.php%09", "/a.", ""),
    ("every step, then slashes", PATHS, "//h%2541;x/b.php%09", "/", "v2"),
    ("every step, then blanks", PATHS, "//h%2541;x/b.php%09", "/%20a%20", ""),
    ("two steps, then capitals, deep", DEEP, "/v2/models;x//%41", "/A", ""),
    ("three steps, then capitals, deep", DEEP, "/v2/models;x//%41/b.php", "/A", ""),
    ("every step, again and again", PATHS, "", "//%2541;a%2509/B.php/%c3%89./", "c"),
    // The query is no part of the path.
    ("a long query behind capitals", PATHS, "/A/A/A/A?", "a", ""),
];

/// Query shapes: name, what stands before, what is repeated, what stands behind, where the key is.
const QUERY: &[(&str, &str, &str, &str, Place)] = &[
    ("query: one value", "/v2/models?a=", "a", "", Place::Bearer),
    ("query: one name", "/v2/models?", "a", "", Place::Bearer),
    ("query: one escaped name", "/v2/models?", "%5f", "=x", Place::Bearer),
    ("query: one escaped name, key in it", "/v2/models?", "%5f", "=x", Place::Query),
    ("query: ampersands", "/v2/models?", "&", "", Place::Bearer),
    ("query: semicolons", "/v2/models?", ";", "", Place::Bearer),
    ("query: a=1", "/v2/models?", "a=1&", "", Place::Bearer),
    ("query: a=1, key in it", "/v2/models?", "a=1&", "b=2", Place::Query),
    ("query: like _method", "/v2/models?", "%5Fmethoe=1&", "", Place::Bearer),
    ("query: like _method, in place", "/v2/models?", "_methoe=1&", "", Place::Bearer),
    ("query: blanks before _method", "/v2/models?", "+++++++_methoe&", "", Place::Bearer),
    ("query: blanks", "/v2/models?", "+", "_methoe", Place::Bearer),
    ("query: like api_key", "/v2/models?", "api%5Fkez=1&", "", Place::Bearer),
    ("query: like api_key, key in it", "/v2/models?", "%61pi_kez=1&", "b=2", Place::Query),
    ("query: malformed escapes, key in it", "/v2/models?", "%5Fa%&", "b=2", Place::Query),
    ("query: _method in every item", "/v2/models?", "_method=1&", "", Place::Bearer),
    ("query: keys in every item", "/v2/models?", "api_key=1&", "", Place::Bearer),
    ("query: question marks", "/v2/models?", "?", "", Place::Bearer),
];

/// Header shapes: name, policies, header, how often it comes, what stands before, is repeated, stands behind, where the key is.
const HEADER: &[(&str, &[Under], &str, usize, [&str; 3], Place)] = &[
    ("cookie: semicolons", SOURCES, "cookie", 1, ["", ";", ""], Place::Bearer),
    ("cookie: semicolons, key in it", SOURCES, "cookie", 1, ["", ";", ""], Place::Cookie),
    ("cookie: a=b", SOURCES, "cookie", 1, ["", "a=b; ", "c=d"], Place::Bearer),
    ("cookie: a=b, key in it", SOURCES, "cookie", 1, ["", "a=b; ", "c=d"], Place::Cookie),
    ("cookie: one value", SOURCES, "cookie", 1, ["a=", "a", ""], Place::Bearer),
    ("cookie: one value, key in it", SOURCES, "cookie", 1, ["a=", "a", ""], Place::Cookie),
    ("cookie: blanks", SOURCES, "cookie", 1, ["a", " ", ";b"], Place::Bearer),
    ("cookie: like api_key", SOURCES, "cookie", 1, ["", "api_kez=;", ""], Place::Bearer),
    ("cookie: keys", SOURCES, "cookie", 1, ["", "api_key=a;", ""], Place::Bearer),
    ("cookie: 60 lines", SOURCES, "cookie", 60, ["", ";", "a=b"], Place::Cookie),
    ("authorization: a,a,a", SOURCES, "authorization", 1, ["", "a,", ""], Place::Header),
    ("authorization: commas", SOURCES, "authorization", 1, ["a", ",", "a"], Place::Header),
    ("authorization: like bearer", SOURCES, "authorization", 1, ["", "beareq,", ""], Place::Header),
    ("authorization: bearers", SOURCES, "authorization", 1, ["", "bearer a,", ""], Place::Header),
    ("authorization: a bearer last", SOURCES, "authorization", 1, ["", "a,", "bearer a"], Place::Header),
    ("authorization: bearer, long", SOURCES, "authorization", 1, ["Bearer ", "a", ""], Place::Header),
    ("authorization: bearer, signs of equality", SOURCES, "authorization", 1, ["Bearer a", "=", ""], Place::Header),
    ("authorization: bearer, commas", SOURCES, "authorization", 1, ["Bearer ", "a,", ""], Place::Header),
    ("authorization: bearer, blanks", SOURCES, "authorization", 1, ["Bearer", " ", "a"], Place::Header),
    ("authorization: blanks and commas", SOURCES, "authorization", 1, ["a", " ,\t", "a"], Place::Header),
    ("authorization: basic", SOURCES, "authorization", 1, ["Basic ", "a", ""], Place::Header),
    ("authorization: digest", SOURCES, "authorization", 1, ["Digest ", "a=\"b\", ", "c=d"], Place::Header),
    ("authorization: 60 lines", SOURCES, "authorization", 60, ["a,", "a,", "a"], Place::Header),
    ("x-api-key: long", SOURCES, "x-api-key", 1, ["", "a", ""], Place::Bearer),
    ("x-api-key: 60 lines", SOURCES, "x-api-key", 60, ["", "a", ""], Place::Bearer),
    ("x_api_key: 60 lines", SOURCES, "x_api_key", 60, ["", "a", ""], Place::Header),
    ("original URL: capitals", OVERRIDES, "x-original-url", 1, ["/", "A", ""], Place::Bearer),
    ("original URL: capitals, deep", OVERRIDES, "x-original-url", 1, ["", "/A", ""], Place::Bearer),
    ("original URL: small letters, deep", OVERRIDES, "x-original-url", 1, ["", "/a", ""], Place::Bearer),
    ("original URL: slashes and escapes", OVERRIDES, "x-original-url", 1, ["", "//%c3%a9%253b%2f", ""], Place::Bearer),
    ("original URL: every step", OVERRIDES, "x-original-url", 1, ["//h%2541;x/b.php%09", "/A", ""], Place::Bearer),
    ("original URL: host", OVERRIDES, "x-original-url", 1, ["https://", "a", "/A"], Place::Bearer),
    ("original URL: host without scheme", OVERRIDES, "x-original-url", 1, ["//h", "/A", ""], Place::Bearer),
    ("original URL: escapes", OVERRIDES, "x-original-url", 1, ["/", "%25252541", ""], Place::Bearer),
    (
        "original URL: a dot segment at the end",
        OVERRIDES,
        "x-original-url",
        1,
        ["/", "%25252541", "/.."],
        Place::Bearer,
    ),
    ("original URL: query", OVERRIDES, "x-original-url", 1, ["/A?", "&", ""], Place::Bearer),
    ("original URL: blanks", OVERRIDES, "x-original-url", 1, ["/A", " ", "a"], Place::Bearer),
    ("four original URLs: capitals, deep", OVERRIDES, "x-original-url", 4, ["", "/A", ""], Place::Bearer),
    ("four original URLs: small letters, deep", OVERRIDES, "x-original-url", 4, ["", "/a", ""], Place::Bearer),
    (
        "four original URLs: slashes and escapes",
        OVERRIDES,
        "x-original-url",
        4,
        ["", "//%c3%a9%253b%2f", ""],
        Place::Bearer,
    ),
    (
        "four original URLs: every step",
        OVERRIDES,
        "x-original-url",
        4,
        ["//h%2541;x/b.php%09", "/A", ""],
        Place::Bearer,
    ),
    ("four original URLs: hosts", OVERRIDES, "x-original-url", 4, ["//h", "/A", ""], Place::Bearer),
    ("60 original URLs", OVERRIDES, "x-original-url", 60, ["", "/A", ""], Place::Bearer),
    ("rewrite URL: capitals, deep", OVERRIDES, "x_rewrite.url", 1, ["", "/A", ""], Place::Bearer),
    ("script name", OVERRIDES, "script_name", 1, ["", "/A", ""], Place::Bearer),
    ("method override: long", OVERRIDES, "x-http-method-override", 1, ["", "A", ""], Place::Bearer),
    ("forwarded for: addresses", NETWORKS, "x-forwarded-for", 1, ["", "10.0.0.1, ", "10.0.0.1"], Place::Bearer),
    ("forwarded for: commas", NETWORKS, "x-forwarded-for", 1, ["10.0.0.1", ",", "10.0.0.1"], Place::Bearer),
    ("forwarded for: one long", NETWORKS, "x-forwarded-for", 1, ["", "1", ""], Place::Bearer),
    ("forwarded for: colons", NETWORKS, "x-forwarded-for", 1, ["", ":", "1"], Place::Bearer),
    ("forwarded for: 60 lines", NETWORKS, "x_forwarded_for", 60, ["", "10.0.0.1,", "10.0.0.1"], Place::Bearer),
    ("external address: long", NETWORKS, "x_envoy_external_address", 1, ["", "10.0.0.1, ", "10.0.0.1"], Place::Bearer),
    ("forwarded: long", NETWORKS, "forwarded", 1, ["", "for=10.0.0.1, ", "for=10.0.0.1"], Place::Bearer),
    ("origin: long", NETWORKS, "origin", 1, ["https://", "a", ""], Place::Bearer),
    ("origin: ports", NETWORKS, "origin", 1, ["https://a", ":443", ""], Place::Bearer),
    ("sec-fetch-site: long", NETWORKS, "sec-fetch-site", 1, ["", "none, ", "none"], Place::Bearer),
    ("sec-fetch-site: 60 lines", NETWORKS, "sec-fetch-site", 60, ["", "none, ", "none"], Place::Bearer),
    ("content-type: long", SOURCES, "content-type", 1, ["application/grpc+", "a", ""], Place::Bearer),
    ("content-type: 60 lines", SOURCES, "content-type", 60, ["application/grpc", "a", ""], Place::Bearer),
    ("an unknown header: long", SOURCES, "x-a", 1, ["", "a", ""], Place::Bearer),
];

/// What no row of texts can say.
const OWN: &[(&str, bool, &[Under], fn(usize) -> Request)] = &[
    ("connection: a,a,a", true, SOURCES, |length| connection("a,", length)),
    ("connection: commas", true, SOURCES, |length| connection(",", length)),
    ("connection: like an identity header", true, SOURCES, |length| connection("x_portcullis.consumeq,", length)),
    ("connection: blanks", true, SOURCES, |length| connection(" \t,", length)),
    ("connection: one long", true, SOURCES, |length| connection("a", length)),
    ("90 forged identity headers", false, SOURCES, |_| forged(90)),
    ("90 forged identity headers, public path", false, &[Under::Public], |_| Request {
        target: "/health".to_owned(),
        ..forged(90)
    }),
    ("90 times one forged identity header", false, SOURCES, |_| {
        with(std::iter::repeat_n(("x-portcullis-roles".to_owned(), "admin".to_owned()), 90))
    }),
    ("90 small headers", false, SOURCES, |_| with((0..90).map(|number| (format!("x-{number}"), "a".to_owned())))),
    ("90 headers of long names", true, SOURCES, |length| {
        with((0..90).map(|number| (format!("x-{number:02}-{}", "a".repeat(length / 90)), "a".to_owned())))
    }),
    ("90 headers like those looked for", false, NETWORKS, |_| {
        with((0..90).map(|number| {
            let name = ["x-http-method-overridE", "true-client-iq", "x-original-urk", "cf-connecting-iq"][number % 4];
            (name.to_ascii_lowercase(), "a".to_owned())
        }))
    }),
    ("90 override headers", false, OVERRIDES, |_| {
        with((0..90).map(|number| {
            let name =
                ["x-http-method-override", "x_http.method_override", "x-original-url", "x-rewrite-url"][number % 4];
            (name.to_owned(), "/v2/models".to_owned())
        }))
    }),
    ("host: long", true, NETWORKS, |length| Request {
        headers: with([("origin".to_owned(), format!("https://{}", "A".repeat(length / 2)))].into_iter()).headers,
        host: "a".repeat(length / 2),
        ..Request::usual()
    }),
    ("a method that rules do not know", false, OVERRIDES, |_| Request { method: "OPTIONS", ..Request::usual() }),
];

fn with(headers: impl Iterator<Item = (String, String)>) -> Request {
    let mut request = Request::usual();
    request.headers.extend(headers);
    request
}

/// A request for an upgrade, whose `Connection` Envoy passes on.
fn connection(unit: &str, length: usize) -> Request {
    let options = fill("", unit, "upgrade", length);
    with([("connection".to_owned(), options), ("upgrade".to_owned(), "websocket".to_owned())].into_iter())
}

/// Spellings of an identity header, each of which has to be removed by its name.
fn forged(count: usize) -> Request {
    let names = ["consumer", "roles", "key-id"];
    let between = b"-_.!#$%&'*+^`|~";
    let separator = |number: usize| char::from(between[number % between.len()]);
    with((0..count).map(|number| {
        let (name, number) = (names[number % names.len()], number / names.len());
        let name = name.replace('-', &separator(number / 3).to_string());
        (format!("x{}portcullis{}{name}", separator(number), separator(number / between.len() + 1)), "admin".to_owned())
    }))
}

/// Every shape.
pub fn all() -> Vec<Shape> {
    let path = |&(name, under, head, unit, tail): &_| Shape {
        name,
        has_length: true,
        under,
        make: Make::Path(head, unit, tail),
    };
    let query = |&(name, head, unit, tail, place): &_| Shape {
        name,
        has_length: true,
        under: SOURCES,
        make: Make::Query(head, unit, tail, place),
    };
    let header = |&(name, under, header, count, texts, place): &_| Shape {
        name,
        has_length: true,
        under,
        make: Make::Header(header, count, texts, place),
    };
    let own = |&(name, has_length, under, make): &_| Shape { name, has_length, under, make: Make::Own(make) };
    let (paths, queries) = (PATH.iter().map(path), QUERY.iter().map(query));
    paths.chain(queries).chain(HEADER.iter().map(header)).chain(OWN.iter().map(own)).collect()
}

/// Those whose name contains one of `only`; all, if that is empty.
pub fn named(only: &[String]) -> Vec<Shape> {
    let asked = |shape: &Shape| only.is_empty() || only.iter().any(|text| shape.name.contains(text.as_str()));
    all().into_iter().filter(asked).collect()
}

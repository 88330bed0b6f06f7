//! Hostile headers.

use super::Request;
use super::policies::Under;
use super::shapes::{Place, Shape, header, other, text};

/// Policies for which a header may override the path.
const OVERRIDES: &[Under] = &[Under::Rules, Under::Cased, Under::ManyRules, Under::WideRules, Under::Narrowed];
/// Policies with a key in the query and in a cookie, and without.
const SOURCES: &[Under] = &[Under::Usual, Under::Sources];
const NETWORKS: &[Under] = &[Under::Networks];

/// Hostile values of headers.
pub(super) const HEADERS: &[Shape] = &[
    header("cookie: semicolons", SOURCES, ("cookie", 1), text("", ";", "")),
    header("cookie: semicolons, key in it", SOURCES, ("cookie", 1), text("", ";", "").key_in(Place::Cookie)),
    header("cookie: a=b", SOURCES, ("cookie", 1), text("", "a=b; ", "c=d")),
    header("cookie: a=b, key in it", SOURCES, ("cookie", 1), text("", "a=b; ", "c=d").key_in(Place::Cookie)),
    header("cookie: one value", SOURCES, ("cookie", 1), text("a=", "a", "")),
    header("cookie: one value, key in it", SOURCES, ("cookie", 1), text("a=", "a", "").key_in(Place::Cookie)),
    header("cookie: blanks", SOURCES, ("cookie", 1), text("a", " ", ";b")),
    header("cookie: like api_key", SOURCES, ("cookie", 1), text("", "api_kez=;", "")),
    header("cookie: keys", SOURCES, ("cookie", 1), text("", "api_key=a;", "")),
    header("cookie: 60 lines", SOURCES, ("cookie", 60), text("", ";", "a=b").key_in(Place::Cookie)),
    header("authorization: a,a,a", SOURCES, ("authorization", 1), text("", "a,", "").key_in(Place::Header)),
    header("authorization: commas", SOURCES, ("authorization", 1), text("a", ",", "a").key_in(Place::Header)),
    header("authorization: like bearer", SOURCES, ("authorization", 1), text("", "beareq,", "").key_in(Place::Header)),
    header("authorization: bearers", SOURCES, ("authorization", 1), text("", "bearer a,", "").key_in(Place::Header)),
    header(
        "authorization: a bearer last",
        SOURCES,
        ("authorization", 1),
        text("", "a,", "bearer a").key_in(Place::Header),
    ),
    header(
        "authorization: bearer, long",
        SOURCES,
        ("authorization", 1),
        text("Bearer ", "a", "").key_in(Place::Header),
    ),
    header(
        "authorization: bearer, signs of equality",
        SOURCES,
        ("authorization", 1),
        text("Bearer a", "=", "").key_in(Place::Header),
    ),
    header(
        "authorization: bearer, commas",
        SOURCES,
        ("authorization", 1),
        text("Bearer ", "a,", "").key_in(Place::Header),
    ),
    header(
        "authorization: bearer, blanks",
        SOURCES,
        ("authorization", 1),
        text("Bearer", " ", "a").key_in(Place::Header),
    ),
    header(
        "authorization: blanks and commas",
        SOURCES,
        ("authorization", 1),
        text("a", " ,\t", "a").key_in(Place::Header),
    ),
    header("authorization: basic", SOURCES, ("authorization", 1), text("Basic ", "a", "").key_in(Place::Header)),
    header(
        "authorization: digest",
        SOURCES,
        ("authorization", 1),
        text("Digest ", "a=\"b\", ", "c=d").key_in(Place::Header),
    ),
    header("authorization: 60 lines", SOURCES, ("authorization", 60), text("a,", "a,", "a").key_in(Place::Header)),
    header("x-api-key: long", SOURCES, ("x-api-key", 1), text("", "a", "")),
    header("x-api-key: 60 lines", SOURCES, ("x-api-key", 60), text("", "a", "")),
    header("x_api_key: 60 lines", SOURCES, ("x_api_key", 60), text("", "a", "").key_in(Place::Header)),
    header("original URL: capitals", OVERRIDES, ("x-original-url", 1), text("/", "A", "")),
    header("original URL: capitals, deep", OVERRIDES, ("x-original-url", 1), text("", "/A", "")),
    header("original URL: small letters, deep", OVERRIDES, ("x-original-url", 1), text("", "/a", "")),
    header("original URL: slashes and escapes", OVERRIDES, ("x-original-url", 1), text("", "//%c3%a9%253b%2f", "")),
    header("original URL: every step", OVERRIDES, ("x-original-url", 1), text("//h%2541;x/b.php%09", "/A", "")),
    header("original URL: host", OVERRIDES, ("x-original-url", 1), text("https://", "a", "/A")),
    header("original URL: host without scheme", OVERRIDES, ("x-original-url", 1), text("//h", "/A", "")),
    header("original URL: escapes", OVERRIDES, ("x-original-url", 1), text("/", "%25252541", "")),
    header("original URL: a dot segment at the end", OVERRIDES, ("x-original-url", 1), text("/", "%25252541", "/..")),
    header("original URL: query", OVERRIDES, ("x-original-url", 1), text("/A?", "&", "")),
    header("original URL: blanks", OVERRIDES, ("x-original-url", 1), text("/A", " ", "a")),
    header("four original URLs: capitals, deep", OVERRIDES, ("x-original-url", 4), text("", "/A", "")),
    header("four original URLs: small letters, deep", OVERRIDES, ("x-original-url", 4), text("", "/a", "")),
    header(
        "four original URLs: slashes and escapes",
        OVERRIDES,
        ("x-original-url", 4),
        text("", "//%c3%a9%253b%2f", ""),
    ),
    header("four original URLs: every step", OVERRIDES, ("x-original-url", 4), text("//h%2541;x/b.php%09", "/A", "")),
    header("four original URLs: hosts", OVERRIDES, ("x-original-url", 4), text("//h", "/A", "")),
    header("60 original URLs", OVERRIDES, ("x-original-url", 60), text("", "/A", "")),
    header("rewrite URL: capitals, deep", OVERRIDES, ("x_rewrite.url", 1), text("", "/A", "")),
    header("script name", OVERRIDES, ("script_name", 1), text("", "/A", "")),
    header("method override: long", OVERRIDES, ("x-http-method-override", 1), text("", "A", "")),
    header("forwarded for: addresses", NETWORKS, ("x-forwarded-for", 1), text("", "10.0.0.1, ", "10.0.0.1")),
    header("forwarded for: commas", NETWORKS, ("x-forwarded-for", 1), text("10.0.0.1", ",", "10.0.0.1")),
    header("forwarded for: one long", NETWORKS, ("x-forwarded-for", 1), text("", "1", "")),
    header("forwarded for: colons", NETWORKS, ("x-forwarded-for", 1), text("", ":", "1")),
    header("forwarded for: 60 lines", NETWORKS, ("x_forwarded_for", 60), text("", "10.0.0.1,", "10.0.0.1")),
    header("external address: long", NETWORKS, ("x_envoy_external_address", 1), text("", "10.0.0.1, ", "10.0.0.1")),
    header("forwarded: long", NETWORKS, ("forwarded", 1), text("", "for=10.0.0.1, ", "for=10.0.0.1")),
    header("origin: long", NETWORKS, ("origin", 1), text("https://", "a", "")),
    header("origin: ports", NETWORKS, ("origin", 1), text("https://a", ":443", "")),
    header("sec-fetch-site: long", NETWORKS, ("sec-fetch-site", 1), text("", "none, ", "none")),
    header("sec-fetch-site: 60 lines", NETWORKS, ("sec-fetch-site", 60), text("", "none, ", "none")),
    header("content-type: long", SOURCES, ("content-type", 1), text("application/grpc+", "a", "")),
    header("content-type: 60 lines", SOURCES, ("content-type", 60), text("application/grpc", "a", "")),
    header("an unknown header: long", SOURCES, ("x-a", 1), text("", "a", "")),
];

/// Requests that are not a repeated text. The limits on items are 512 for queries and cookies, 64 for options and
/// credentials: as many as allowed, each as long as possible.
pub(super) const OTHERS: &[Shape] = &[
    other("query: 500 escaped names", true, SOURCES, |length| Request {
        target: format!("/v2/models?{}", items(500, "%5f", "=1", "&", length)),
        ..Request::usual()
    }),
    other("query: 500 escaped names, key in it", true, SOURCES, |length| Request {
        target: format!("/v2/models?{}", items(500, "%61", "=1", "&", length)),
        place: Place::Query,
        ..Request::usual()
    }),
    other("query: 500 names of blanks", true, SOURCES, |length| Request {
        target: format!("/v2/models?{}", items(500, "+", "_methoe", "&", length)),
        ..Request::usual()
    }),
    other("cookie: 500 items, key in it", true, SOURCES, |length| Request {
        place: Place::Cookie,
        ..with(std::iter::once(("cookie".to_owned(), items(500, "a", "=b", "; ", length))))
    }),
    other("cookie: 500 items of blanks, key in it", true, SOURCES, |length| Request {
        place: Place::Cookie,
        ..with(std::iter::once(("cookie".to_owned(), items(500, " ", "a=b", ";", length))))
    }),
    other("authorization: 60 parts", true, SOURCES, |length| Request {
        place: Place::Header,
        ..with(std::iter::once(("authorization".to_owned(), items(60, " ", "beareq a", ",", length))))
    }),
    other("connection: 60 options", true, SOURCES, |length| {
        let options = items(60, " ", "x_portcullis.consumeq", ",", length);
        with(
            [("connection".to_owned(), format!("{options},upgrade")), ("upgrade".to_owned(), "websocket".to_owned())]
                .into_iter(),
        )
    }),
    other("connection: a,a,a", true, SOURCES, |length| connection("a,", length)),
    other("connection: commas", true, SOURCES, |length| connection(",", length)),
    other("connection: like an identity header", true, SOURCES, |length| connection("x_portcullis.consumeq,", length)),
    other("connection: blanks", true, SOURCES, |length| connection(" \t,", length)),
    other("connection: one long", true, SOURCES, |length| connection("a", length)),
    other("90 forged identity headers", false, SOURCES, |_| forged(90)),
    other("90 forged identity headers, public path", false, &[Under::Public], |_| Request {
        target: "/health".to_owned(),
        ..forged(90)
    }),
    other("90 times one forged identity header", false, SOURCES, |_| {
        with(std::iter::repeat_n(("x-portcullis-roles".to_owned(), "admin".to_owned()), 90))
    }),
    other("90 small headers", false, SOURCES, |_| with((0..90).map(|number| (format!("x-{number}"), "a".to_owned())))),
    other("90 headers of long names", true, SOURCES, |length| {
        with((0..90).map(|number| (format!("x-{number:02}-{}", "a".repeat(length / 90)), "a".to_owned())))
    }),
    other("90 headers like those looked for", false, NETWORKS, |_| {
        with((0..90).map(|number| {
            let name = ["x-http-method-overridE", "true-client-iq", "x-original-urk", "cf-connecting-iq"][number % 4];
            (name.to_ascii_lowercase(), "a".to_owned())
        }))
    }),
    other("90 override headers", false, OVERRIDES, |_| {
        with((0..90).map(|number| {
            let name =
                ["x-http-method-override", "x_http.method_override", "x-original-url", "x-rewrite-url"][number % 4];
            (name.to_owned(), "/v2/models".to_owned())
        }))
    }),
    other("host: long", true, NETWORKS, |length| Request {
        headers: with([("origin".to_owned(), format!("https://{}", "A".repeat(length / 2)))].into_iter()).headers,
        host: "a".repeat(length / 2),
        ..Request::usual()
    }),
    other("a method that rules do not know", false, OVERRIDES, |_| Request { method: "OPTIONS", ..Request::usual() }),
];

fn with(headers: impl Iterator<Item = (String, String)>) -> Request {
    let mut request = Request::usual();
    request.headers.extend(headers);
    request
}

/// This number of items, or fewer if no more fit: each is a repeated text, followed by a terminator.
fn items(most: usize, text: &str, end: &str, between: &str, length: usize) -> String {
    let least = text.len() + end.len() + between.len();
    let count = most.min(length / least).max(1);
    let times = (length / count).saturating_sub(end.len() + between.len()) / text.len();
    vec![format!("{}{end}", text.repeat(times.max(1))); count].join(between)
}

/// A request for an upgrade, whose `Connection` Envoy forwards.
fn connection(unit: &'static str, length: usize) -> Request {
    let options = text("", unit, "upgrade").of(length);
    with([("connection".to_owned(), options), ("upgrade".to_owned(), "websocket".to_owned())].into_iter())
}

/// Spellings of an identity header, each of which must be removed by its name.
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

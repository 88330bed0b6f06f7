//! Hostile targets.

use super::policies::Under;
use super::shapes::{Place, Shape, target, text};

/// Where paths are compared with patterns.
const USUAL: &[Under] = &[Under::Public, Under::Protected, Under::Rules, Under::Cased, Under::ManyRules];
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
/// Where a key may stand in the query, and where not.
const SOURCES: &[Under] = &[Under::Usual, Under::Sources];

/// Hostile paths.
pub(super) const PATHS: &[Shape] = &[
    // Letter case.
    target("capitals, one segment", USUAL, text("/", "A", "")),
    target("capitals, deep", DEEP, text("", "/A", "")),
    target("capitals, deep, slash last", DEEP, text("", "/A", "/")),
    target("capitals, deep, escapes last", DEEP, text("", "/A", "%41%41")),
    target("small letters, one segment", USUAL, text("/", "a", "")),
    target("small letters, deep", DEEP, text("", "/a", "")),
    target("small letters, deep, below a rule", USUAL, text("/v2/models", "/a", "")),
    target("small letters, one segment below a rule", USUAL, text("/v2/models/", "a", "/predict")),
    target("small letters, one segment below 12", DEEP, text("/a/a/a/a/a/a/a/a/a/a/a/a/", "a", "")),
    target("capitals, one segment below 12", DEEP, text("/A/A/A/A/A/A/A/A/A/A/A/A/", "A", "")),
    target("capitals in escapes, one segment below 12", DEEP, text("/%41/A/A/A/A/A/A/A/A/A/A/A/", "%41", "")),
    // Escapes.
    target("escaped capitals", USUAL, text("/", "%41", "")),
    target("escaped capitals, deep", DEEP, text("", "/%41", "")),
    target("escaped small letters, deep", DEEP, text("", "/%61", "")),
    target("escapes four deep", USUAL, text("/", "%25252541", "")),
    target("escapes four deep, deep", DEEP, text("", "/%25252541", "")),
    target("escapes of every depth", USUAL, text("/", "%41%2541%252541%25252541", "")),
    target("escaped slashes of every depth", USUAL, text("/a", "%2fa%252fa%25252fa%2525252fa", "")),
    target("escapes too deep at the end", USUAL, text("/", "%25252541", "%2525252541")),
    target("a dot segment at the end", USUAL, text("/", "%25252541", "/%2525252e%2525252e")),
    target("escaped semicolons", USUAL, text("", "/a%3bb%253bc", "")),
    target("escaped question marks", USUAL, text("", "/a%3fb%253fc", "")),
    target("escaped number signs", USUAL, text("", "/a%2523b", "")),
    target("not UTF-8", USUAL, text("/", "%ff", "")),
    target("not UTF-8, deep", DEEP, text("", "/%ff", "")),
    target("not UTF-8 in the end", USUAL, text("/", "%C3%89", "%C3")),
    // Letters.
    target("Cyrillic small letters", USUAL, text("/", "%D0%B0", "")),
    target("Cyrillic capitals", USUAL, text("/", "%D0%90", "")),
    target("Cyrillic capitals, deep", USUAL, text("", "/%D0%90", "")),
    target("combining dots above", USUAL, text("/", "%CC%87", "")),
    target("combining dots above, deep", USUAL, text("", "/%CC%87", "")),
    target("full-width letters", USUAL, text("/", "%EF%BC%A1", "")),
    target("dotted I", USUAL, text("/", "%C4%B0", "")),
    target("Kelvin signs", USUAL, text("/", "%E2%84%AA", "")),
    target("ligatures", USUAL, text("/", "%EF%AC%83", "")),
    target("sharp S", USUAL, text("/", "%E1%BA%9E", "")),
    target("Deseret capitals", USUAL, text("/", "%F0%90%90%80", "")),
    target("emoji", USUAL, text("/", "%F0%9F%98%80", "")),
    target("zero-width spaces", USUAL, text("/", "%E2%80%8B", "")),
    target("zero-width spaces, deep", USUAL, text("", "/%E2%80%8B", "")),
    // Slashes, parameters, blanks, dots.
    target("slashes", USUAL, text("", "/", "")),
    target("slashes, path last", USUAL, text("", "/", "v2/models/a")),
    target("slashes in pairs", DEEP, text("", "//a", "")),
    target("slashes and escapes", USUAL, text("", "//%c3%a9%253b%2f", "")),
    target("slashes and escapes, once", USUAL, text("", "//%c3%a9", "%253b%2f")),
    target("hosts", USUAL, text("", "//h", "/v2/models/a")),
    target("escaped hosts", USUAL, text("", "/%2fh", "")),
    target("escaped slashes", USUAL, text("/", "%2f", "")),
    target("parameters", DEEP, text("", "/a;b", "")),
    target("parameters alone", USUAL, text("/", ";", "")),
    target("empty parameters", USUAL, text("", "/;", "")),
    target("dots at ends of names", DEEP, text("", "/a.", "")),
    target("dots at beginnings of names", USUAL, text("", "/.a", "")),
    target("names of dots", USUAL, text("", "/...", "")),
    target("dots, one segment", USUAL, text("/a", ".", "")),
    target("dots, one segment before an escape", USUAL, text("/", ".", "%41")),
    target("suffixes", USUAL, text("/v2/models/a", ".a", "")),
    target("suffixes and escapes", USUAL, text("/v2/models/%41", ".A", "")),
    target("blanks", USUAL, text("/", "%20", "")),
    target("blanks around names", DEEP, text("", "/%20a%20", "")),
    target("names of blanks", USUAL, text("", "/%20", "")),
    target("no-break spaces", USUAL, text("/", "%C2%A0", "")),
    target("tabs", USUAL, text("/", "%09", "")),
    target("tabs in names", DEEP, text("", "/a%09", "")),
    target("tabs, CR and LF of every depth", USUAL, text("/", "%09%250d%25250a", "")),
    // What some servers read into names.
    target("front controllers", USUAL, text("", "/a.php", "")),
    target("front controllers of many kinds", USUAL, text("", "/a.php/b.cgi/c.aspx/d.jsp", "")),
    target("front controllers, escaped", USUAL, text("", "/%41.p%68p", "")),
    target("index names", USUAL, text("", "/index.a", "")),
    target("index names, one segment", USUAL, text("/v2/index", ".a", "")),
    target("short names", USUAL, text("", "/a~1", "")),
    target("nearly short names", USUAL, text("", "/abcdefg~1", "")),
    target("tildes", USUAL, text("/", "~1", "")),
    target("streams", USUAL, text("", "/a::$DATA", "")),
    target("nearly streams", USUAL, text("/", ":", "")),
    target("sessions", USUAL, text("", "/(S(x))", "")),
    target("nearly sessions", USUAL, text("", "/(S(x", "")),
    // Several steps at once, each of which makes another variant.
    target("every step, then capitals", DEEP, text("//h%2541;x/b.php%09/", "A", "")),
    target("every step, then capitals, deep", DEEP, text("//h%2541;x/b.php%09", "/A", "")),
    target("every step, then Cyrillic", USUAL, text("//h%2541;x/b.php%09/", "%D0%90", "")),
    target("every step, then combining dots", USUAL, text("//h%2541;x/b.php%09/", "%CC%87", "")),
    target("every step, then dots", DEEP, text("//h%2541;x/b.php%09", "/a.", "")),
    target("every step, then slashes", USUAL, text("//h%2541;x/b.php%09", "/", "v2")),
    target("every step, then blanks", USUAL, text("//h%2541;x/b.php%09", "/%20a%20", "")),
    target("two steps, then capitals, deep", DEEP, text("/v2/models;x//%41", "/A", "")),
    target("three steps, then capitals, deep", DEEP, text("/v2/models;x//%41/b.php", "/A", "")),
    target("every step, again and again", USUAL, text("", "//%2541;a%2509/B.php/%c3%89./", "c")),
    // The query is no part of the path.
    target("a long query behind capitals", USUAL, text("/A/A/A/A?", "a", "")),
    // What the search has found.
    target("names of dots behind deep escapes", DEEP, text("/%25252541%2525", "/...", "")),
    target("names of dots behind deep escapes, letters last", USUAL, text("/%E2%80%8B%253f", "/...", "%E1%BA%9E~~")),
    target(
        "names of dots and every other step",
        USUAL,
        text("/%25C3%2589%3b", "/...", "%D0%90~~(a%2e%2541%2541%2541%2541%2541%2541%2541%2541%2541%2541/%2fh"),
    ),
    target("names of dots between steps", USUAL, text("/%252525412525..a%3b", "/...", "./report.html..%2F%2541%2541")),
    target(
        "names of blanks and every other step",
        USUAL,
        text("/%25252541%25252541", "/%20", "%2525252f%2525252f(~~%C4%B0;;;%23%C4%B0%C4%B0%C4%B0"),
    ),
    target("names of dots behind a blank", USUAL, text("/~%2e%D0%B0%2520%2520", "/...", "")),
    target(
        "names that begin with a dot behind question marks",
        DEEP,
        text("/%D0%90~~/V2/Models%25%253f%253f", "/.a", ""),
    ),
    target(
        "names of tabs and dots and every other step, then a query",
        USUAL,
        text(
            "/%E2%80%8B%E2%80%8B%E2%80%8B~~~~~~~~/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09\
             /%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/%09/.../.../.../index.php/index.php/index.php?a=b&a=b&",
            "%3f",
            "",
        ),
    ),
    target("hosts, then every depth", DEEP, text("", "//h", "/v2/models%252f%2f%0a.json")),
];

/// Hostile queries, which are no part of the path.
pub(super) const QUERIES: &[Shape] = &[
    target("query: one value", SOURCES, text("/v2/models?a=", "a", "")),
    target("query: one name", SOURCES, text("/v2/models?", "a", "")),
    target("query: one escaped name", SOURCES, text("/v2/models?", "%5f", "=x")),
    target("query: one escaped name, key in it", SOURCES, text("/v2/models?", "%5f", "=x").key_in(Place::Query)),
    target("query: ampersands", SOURCES, text("/v2/models?", "&", "")),
    target("query: semicolons", SOURCES, text("/v2/models?", ";", "")),
    target("query: a=1", SOURCES, text("/v2/models?", "a=1&", "")),
    target("query: a=1, key in it", SOURCES, text("/v2/models?", "a=1&", "b=2").key_in(Place::Query)),
    target("query: like _method", SOURCES, text("/v2/models?", "%5Fmethoe=1&", "")),
    target("query: like _method, in place", SOURCES, text("/v2/models?", "_methoe=1&", "")),
    target("query: blanks before _method", SOURCES, text("/v2/models?", "+++++++_methoe&", "")),
    target("query: blanks", SOURCES, text("/v2/models?", "+", "_methoe")),
    target("query: like api_key", SOURCES, text("/v2/models?", "api%5Fkez=1&", "")),
    target("query: like api_key, key in it", SOURCES, text("/v2/models?", "%61pi_kez=1&", "b=2").key_in(Place::Query)),
    target("query: malformed escapes, key in it", SOURCES, text("/v2/models?", "%5Fa%&", "b=2").key_in(Place::Query)),
    target("query: _method in every item", SOURCES, text("/v2/models?", "_method=1&", "")),
    target("query: keys in every item", SOURCES, text("/v2/models?", "api_key=1&", "")),
    target("query: question marks", SOURCES, text("/v2/models?", "?", "")),
];

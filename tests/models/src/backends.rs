//! Slow and simple models of how a backend may interpret a path.

use serde_json::{Value, json};

/// How a backend interprets a path: the resource that it serves, or nothing.
pub type Model = fn(&[u8]) -> Option<String>;

/// The models, by name.
pub const MODELS: [(&str, Model); 13] = [
    ("RFC 3986: split, decode each segment, remove dot segments", rfc3986),
    ("nginx: decode, merge slashes, resolve", nginx),
    ("a servlet container: drop parameters, decode, resolve", servlet),
    ("decoding twice, then resolving", twice),
    ("Windows: backslash is a slash, case does not count, names lose dots and blanks at their end", windows),
    ("merging slashes first, then decoding", merged_first),
    ("WSGI: decode, and take bytes for Latin-1", latin_1),
    ("Bottle: decode, drop slashes at the beginning and bytes that are not UTF-8", bottle),
    ("Node: new URL(decodeURIComponent(url))", node),
    ("Python: urlsplit(unquote(path))", python),
    ("PHP: the path behind a script", php),
    ("Symfony: what stands behind .php", symfony),
    ("IIS with ASP.NET: Windows, and sessions, streams and short names", asp_net),
];

/// Models of a backend that serves one file under several names. A file that is public under one name may be served
/// under another one, so these models define what is restricted, and not what is public.
pub const BY_OTHER_NAMES: [(&str, Model); 4] = [
    ("DirectoryIndex: the index of a folder", index),
    ("MultiViews and routers: a name with a suffix", suffix),
    ("SvelteKit, Nuxt and React Router: the data of a page", page_data),
    ("Next: the data of a page", next_data),
];

fn decode(text: &[u8]) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        let byte = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Segments with dot segments resolved; `None` above the root.
fn resolve(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." => kept.extend(last.then_some("")),
            ".." => {
                kept.pop()?;
                kept.extend(last.then_some(""));
            }
            other => kept.push(other),
        }
    }
    Some(format!("/{}", kept.join("/")))
}

fn merge(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn without_parameters(path: &str) -> String {
    path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
}

fn rfc3986(path: &[u8]) -> Option<String> {
    let resolved = resolve(&text(path))?;
    // An escaped slash stays within its segment: U+2215 stands for it.
    let segments = resolved.split('/').map(|segment| text(&decode(segment.as_bytes())).replace('/', "\u{2215}"));
    Some(segments.collect::<Vec<_>>().join("/"))
}

fn nginx(path: &[u8]) -> Option<String> {
    let decoded = decode(path);
    if decoded.contains(&0) {
        return None;
    }
    resolve(&merge(&text(&decoded)))
}

fn servlet(path: &[u8]) -> Option<String> {
    resolve(&merge(&text(&decode(without_parameters(&text(path)).as_bytes()))))
}

fn twice(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(&decode(path))))
}

fn windows(path: &[u8]) -> Option<String> {
    let path = merge(&text(&decode(path)).replace('\\', "/")).to_lowercase();
    let resolved = resolve(&path)?;
    let names = resolved.split('/').map(|name| name.trim_end_matches(['.', ' ']));
    Some(names.collect::<Vec<_>>().join("/"))
}

fn merged_first(path: &[u8]) -> Option<String> {
    resolve(&text(&decode(merge(&text(path)).as_bytes())))
}

fn latin_1(path: &[u8]) -> Option<String> {
    Some(decode(path).into_iter().map(char::from).collect())
}

fn bottle(path: &[u8]) -> Option<String> {
    let path: String = decode(path).utf8_chunks().map(|chunk| chunk.valid()).collect();
    Some(format!("/{}", path.trim_start_matches('/')))
}

/// Like the URL parsers of browsers and of Python, as far as these agree.
fn without_lines(text: &str) -> String {
    text.trim_start_matches(|letter| letter <= ' ').replace(['\t', '\r', '\n'], "")
}

fn before(text: &str, marks: [char; 2]) -> &str {
    text.split(marks).next().unwrap_or_default()
}

/// The WHATWG URL of `http:`: more than two slashes also begin a host, and without a slash there is no URL.
fn node(path: &[u8]) -> Option<String> {
    let text = without_lines(&String::from_utf8(decode(path)).ok()?);
    let text = before(text.trim_end_matches(|letter| letter <= ' '), ['?', '#']).replace('\\', "/");
    if !text.starts_with("//") {
        return resolve(&text);
    }
    let (host, path) = text.trim_start_matches('/').split_once('/').unwrap_or((text.trim_start_matches('/'), ""));
    let host = host.rsplit('@').next().unwrap_or_default();
    if host.is_empty() { None } else { resolve(&format!("/{path}")) }
}

/// Exactly two slashes begin a host, which may be empty.
fn python(path: &[u8]) -> Option<String> {
    let text = without_lines(&text(&decode(path)));
    let text = before(&text, ['?', '#']);
    let path = match text.strip_prefix("//") {
        None => text.to_owned(),
        Some(rest) => format!("/{}", rest.split_once('/').map_or("", |(_, path)| path)),
    };
    Some(path)
}

fn php(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let names: Vec<&str> = path.split('/').collect();
    let script = names.iter().position(|name| name.to_ascii_lowercase().ends_with(".php"));
    Some(script.map_or(path.clone(), |at| format!("/{}", names[at + 1..].join("/"))))
}

/// A base URL is everything up to the name of the script; the rest need not begin with a slash.
fn symfony(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let Some((_, rest)) = path.split_once(".php") else { return Some(path) };
    Some(format!("/{}", rest.strip_prefix('/').unwrap_or(rest)))
}

fn asp_net(path: &[u8]) -> Option<String> {
    let path = windows(path)?;
    let is_a_session = |name: &&str| name.starts_with("(s(") && name.ends_with("))");
    let names = path.split('/').filter(|name| !is_a_session(name)).map(|name| {
        let file = name.split_once(":$").map_or(name, |(file, _)| file.trim_end_matches(':'));
        // The long name of `admin~1` begins with `admin`, and here it is `admin`.
        let long = file.strip_suffix("~1").filter(|long| (1..=6).contains(&long.len()));
        long.unwrap_or(file)
    });
    Some(names.collect::<Vec<_>>().join("/"))
}

fn index(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let (folder, file) = path.rsplit_once('/')?;
    let file = file.to_ascii_lowercase();
    let is_one = file.starts_with("index.") || file.starts_with("default.");
    Some(if is_one { format!("{folder}/") } else { path })
}

fn page_data(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let names = ["/__data.json", "/__route.js", "/_payload.json", "/_.data"];
    let page = names.iter().find_map(|name| path.strip_suffix(name)).map(str::to_owned);
    Some(page.unwrap_or(path))
}

fn next_data(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let page = path.strip_prefix("/_next/data/").and_then(|rest| rest.split_once('/'));
    let page = page.map(|(_, page)| format!("/{}", page.strip_suffix(".json").unwrap_or(page)));
    Some(page.unwrap_or(path))
}

fn suffix(path: &[u8]) -> Option<String> {
    let path = nginx(path)?;
    let (folder, file) = path.rsplit_once('/')?;
    Some(format!("{folder}/{}", file.split('.').next().unwrap_or_default()))
}

/// The key of a consumer without the role that [`policy`] requires.
pub const GUEST: &str = "areas-guest-key";
/// The key of a consumer with that role.
pub const ADMIN: &str = "areas-admin-key";

/// The policy for comparing the models with the gate.
pub fn policy() -> Value {
    json!({
        "consumers": [
            {"name": "guest", "roles": ["guest"], "keys": [{"plaintext": GUEST}]},
            {"name": "admin", "roles": ["admin"], "keys": [{"plaintext": ADMIN}]},
        ],
        "public_paths": ["/", "/pub/**", "/docs/*"],
        "rules": [{"path": "/admin/**", "roles": ["admin"]}, {"path": "/v/{item}/p", "roles": ["admin"]}],
    })
}

/// Public in a model: by the patterns of [`policy`], written in another way.
pub fn is_public(resource: &str) -> bool {
    let file = resource.strip_prefix("/docs/").is_some_and(|name| !name.is_empty() && !name.contains('/'));
    matches!(resource, "/" | "/pub") || resource.starts_with("/pub/") || file
}

/// Restricted in a model that ignores a slash at the end.
pub fn is_restricted(resource: &str) -> bool {
    let resource = resource.trim_end_matches('/');
    let item = resource.strip_prefix("/v/").and_then(|rest| rest.strip_suffix("/p"));
    resource == "/admin"
        || resource.starts_with("/admin/")
        || item.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

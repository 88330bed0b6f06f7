//! The gate with many keys and many patterns, and all contenders with many headers and many routes.

use std::fmt::Write as _;

use indicatif::HumanCount;
use portcullis::keys::Digest;
use portcullis_tests::proxy_wasm::Program;
use serde_json::{Value, json};

use super::gate::Case;
use super::lua::{self, LUA_KEY};
use super::wasm::{self, Workshop, filter};
use super::{BEARER, IDENTITY, KEY, bearer, gate};
use crate::contender::{Contender, Kind, NOTHING, Outcome, Routes};
use crate::options::Module;

/// The sizes.
#[derive(Debug)]
pub struct Sizes {
    /// How many keys.
    pub keys: &'static [usize],
    /// The numbers of patterns, of public paths and of rules.
    pub patterns: &'static [usize],
}

/// The sizes to measure.
pub const FULL: Sizes = Sizes { keys: &[1, 1_000, 100_000], patterns: &[10, 1_000, 10_000] };
/// Small sizes, for tests.
pub const SMALL: Sizes = Sizes { keys: &[1, 1_000], patterns: &[10, 100] };
/// Sizes to find the limits.
pub const MILLION: Sizes = Sizes { keys: &[1, 1_000, 100_000, 1_000_000], ..FULL };

/// The numbers of headers that the client sends, including the host, and the baseline and the Lua contender with as
/// many. Five is the usual request. A filter reads six more: three pseudo-headers, and three that Envoy adds.
const HEADERS: [(usize, &str, &str); 3] = [
    (5, NOTHING, LUA_KEY),
    (20, "nothing, 20 headers", "lua: key, 20 headers"),
    (60, "nothing, 60 headers", "lua: key, 60 headers"),
];
/// Routes, of which the last matches, with their baseline and Lua contender.
const ROUTES: [(Routes, &str, &str, &str); 2] = [
    (Routes::List(1_000), "1,000 routes", "nothing, 1,000 routes", "lua: key, 1,000 routes"),
    (
        Routes::Tree(1_000),
        "1,000 routes in a tree",
        "nothing, 1,000 routes in a tree",
        "lua: key, 1,000 routes in a tree",
    ),
];
/// The number of keys that alternate.
const USED: usize = 64;
/// So many that each has left the caches, and on some virtual machines the memory, before its next use.
const COLD: usize = 1_024;

/// All contenders, the baselines first.
///
/// # Errors
/// If a file cannot be written.
pub fn all(modules: &[Module], shop: &Workshop, sizes: &Sizes) -> Result<Vec<Contender>, String> {
    let nothing = bearer(Contender::new(NOTHING, Kind::Nothing, Vec::new()), KEY);
    let nothing = nothing.so(Outcome::Seen(vec![("authorization", BEARER)]));
    let lua = lua::all().into_iter().find(|one| one.name == LUA_KEY).ok_or("no Lua")?;
    let mut all = vec![nothing.clone(), lua.clone()];
    // Those with five headers already exist.
    for (count, baseline, like) in HEADERS.into_iter().skip(1) {
        all.push(padded(named(&nothing, baseline, baseline), count));
        all.push(padded(named(&lua, like, baseline), count));
    }
    for (routes, _, baseline, like) in ROUTES {
        all.push(Contender { routes, ..named(&nothing, baseline, baseline) });
        all.push(Contender { routes, ..named(&lua, like, baseline) });
    }
    for module in modules {
        let program = Program::read(&module.file, false);
        let own = |name: &str| format!("{}: {name}", module.name);
        let plain = |name: &str| -> Contender {
            let filters = vec![filter(&own(name), &module.file, &gate::policy().to_string())];
            bearer(Contender::new(&own(name), Kind::Gate, filters), KEY).so(Outcome::Seen(IDENTITY.to_vec()))
        };
        let discovered = |name: &str, policy: &str| -> Result<Contender, String> {
            Ok(Contender { filters: vec![shop.discovered(&own(name), &module.file, policy)?], ..plain(name) })
        };
        for &count in sizes.keys {
            let name = format!("key of {}", grouped(count));
            let spread = |used: usize| (0..count).step_by((count / used).max(1)).map(token).collect();
            let gate = discovered(&name, &keys(count))?;
            if count > 64 * COLD {
                let cold = format!("{name}, {} in turn", grouped(COLD));
                all.push(Contender { tokens: spread(COLD), ..named(&gate, &cold, NOTHING) });
            }
            all.push(Contender { tokens: spread(USED), ..gate });
        }
        for &count in sizes.patterns {
            all.push(discovered(&format!("key, {} public patterns", grouped(count)), &public(count).to_string())?);
            all.push(discovered(&format!("key, {} rules", grouped(count)), &rules(count).to_string())?);
        }
        for (count, baseline, like) in HEADERS {
            let keyed =
                named(&nothing, &format!("key, {count} headers"), baseline).so(Outcome::Seen(IDENTITY.to_vec()));
            let contender = padded(Contender { kind: Kind::Gate, ..keyed }, count);
            let case = Case { policy: gate::policy(), contender, lua: Some(like) };
            if module.name == modules[0].name {
                all.push(wasm::floor(shop, &program, &case)?);
            }
            all.push(gate::contender(module, &case));
        }
        for (routes, name, baseline, like) in ROUTES {
            all.push(Contender { routes, baseline, lua: Some(like), ..plain(&format!("key, {name}")) });
        }
    }
    Ok(all)
}

fn named(contender: &Contender, name: &str, baseline: &'static str) -> Contender {
    Contender { name: name.to_owned(), baseline, ..contender.clone() }
}

/// With this number of headers.
fn padded(contender: Contender, headers: usize) -> Contender {
    let missing = headers.saturating_sub(contender.headers.len() + 1);
    (0..missing).fold(contender, |contender, number| {
        contender.with(&format!("x-field-{number:02}"), "a-value-of-24-characters")
    })
}

/// A policy with that many consumers of one key each. The first one is the consumer of every contender.
pub fn keys(count: usize) -> String {
    let mut document =
        String::from(r#"{"version":1,"name":"bench","public_paths":["/","/health","/docs/**"],"consumers":["#);
    for number in 0..count {
        let (name, digest) = (consumer(number), Digest::of(token(number).as_bytes()).to_hex());
        let id = if number == 0 { format!(r#""id":"{}","#, IDENTITY[2].1) } else { String::new() };
        let comma = if number == 0 { "" } else { "," };
        let _ =
            write!(document, r#"{comma}{{"name":"{name}","roles":["predict"],"keys":[{{{id}"sha256":"{digest}"}}]}}"#);
    }
    document.push_str("]}");
    document
}

fn consumer(number: usize) -> String {
    if number == 0 { IDENTITY[0].1.to_owned() } else { format!("consumer-{number:07}") }
}

/// The key of a consumer of [`keys`].
fn token(number: usize) -> String {
    if number == 0 { KEY.to_owned() } else { format!("pk_benchmark{number:028}_5kXaEq") }
}

/// That many public patterns, none of which matches.
pub fn public(count: usize) -> Value {
    let mut policy = gate::policy();
    policy["public_paths"] = (0..count).map(|number| format!("/service-{number}/docs/**")).collect();
    policy
}

/// That many rules, of which the last matches.
pub fn rules(count: usize) -> Value {
    let others =
        (1..count).map(|number| json!({"path": format!("/service-{number}/{{name}}/run"), "roles": ["admin"]}));
    let ours = json!({"path": "/v2/models/**", "roles": ["predict"]});
    let mut policy = gate::policy();
    policy["rules"] = others.chain([ours]).collect();
    policy
}

/// `100,000`.
pub fn grouped(number: usize) -> String {
    HumanCount(number as u64).to_string()
}

//! The requests of the soak, and their expected results.

use fastrand::Rng;
use portcullis_tests::message::{Pair, pairs};
use portcullis_tests::streaming::{ENDLESS, NUMBER};

use crate::policies::{ADMIN, STEADY, key};

/// A request, and the reply that it must get.
pub(crate) struct Request {
    pub(crate) fields: Vec<Pair>,
    pub(crate) body: Option<&'static [u8]>,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    /// The consumer that the upstream must get.
    pub(crate) consumer: &'static str,
}

/// Invalid request targets.
const HOSTILE: [&str; 8] = [
    "/docs/../admin",
    "/docs/%2e%2e/admin",
    "/docs/..;x=y/admin",
    "/docs/%2525252e%2525252e/admin",
    "/docs/..%5cadmin",
    "/docs/%zz",
    "/admin%00.html",
    "/a/%252e%252e%252fadmin",
];
/// Paths that some backend interprets as one below `/admin`.
const DISGUISED: [&str; 5] = ["/admin/x", "//ADMIN//x", "/%61dmin/x", "/admin;a=b/x", "/%2fadmin/x"];

/// A random request; it contains its number. The keys of policies before the one with the number `current` are revoked.
pub(crate) fn any(random: &mut Rng, number: usize, current: usize) -> Request {
    let unknown = format!("soak-stranger-{}", random.usize(..50));
    let revoked = key(random.usize(..current.max(1)));
    let (get, post, delete) = ("GET", "POST", "DELETE");
    let (model, models) = ("/v2/models/iris/predict", "/v2/models");
    let bearer = format!("Bearer {STEADY}");
    let good = ("x-api-key", STEADY);
    let forged = ("x-portcullis-consumer", "admin");
    match random.usize(..100) {
        0..15 => ok(get, "/docs/a.html", &[], "public_path", "-"),
        15..20 => ok(get, "/docs/", &[forged], "public_path", "-"),
        20..40 => ok(get, models, &[good], "key", "ci"),
        40..45 => ok(get, models, &[good, forged], "key", "ci"),
        45..52 => Request { body: Some(b"{\"x\": 1}"), ..ok(post, model, &[("authorization", &bearer)], "key", "ci") },
        52..55 => ok(delete, models, &[("x-api-key", ADMIN)], "key", "admin"),
        55..62 => no(get, models, &[("x-api-key", &unknown)], 401, "unknown_key"),
        // Before the first update, no key is revoked.
        62..70 if current > 0 => no(get, models, &[("x-api-key", &revoked)], 401, "unknown_key"),
        62..76 => no(get, models, &[], 401, "no_credential"),
        76..78 => no(post, model, &[("authorization", "Bearer not=a token")], 401, "malformed_credential"),
        78..81 => no(get, models, &[good, ("authorization", "Bearer soak-stranger")], 400, "multiple_credentials"),
        81..83 => no(delete, models, &[good], 403, "missing_role"),
        83..90 => no(get, DISGUISED[random.usize(..DISGUISED.len())], &[good], 403, "missing_role"),
        90..95 => no(get, HOSTILE[random.usize(..HOSTILE.len())], &[], 400, "bad_request_target"),
        95..99 => no(get, HOSTILE[random.usize(..HOSTILE.len())], &[good], 400, "bad_request_target"),
        _ => no(get, &format!("/{}admin", "%2541%C3%A9//".repeat(60)), &[], 401, "no_credential"),
    }
    .numbered(number)
}

/// One with an endless reply.
pub(crate) fn endless(number: usize) -> Request {
    ok("GET", ENDLESS, &[("x-api-key", STEADY)], "key", "ci").numbered(number)
}

fn ok(method: &str, path: &str, headers: &[(&str, &str)], reason: &'static str, consumer: &'static str) -> Request {
    Request { consumer, ..no(method, path, headers, 200, reason) }
}

fn no(method: &str, path: &str, headers: &[(&str, &str)], status: u16, reason: &'static str) -> Request {
    let usual = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "gate.test")];
    Request { fields: pairs(&[&usual, headers].concat()), body: None, status, reason, consumer: "" }
}

impl Request {
    fn numbered(mut self, number: usize) -> Self {
        self.fields.push((NUMBER.into(), number.to_string().into_bytes()));
        self
    }
}

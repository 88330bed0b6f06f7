//! The credential of a request, compared with the reference; and a token that is changed.
//!
//! Input: header [lines](crate::lines). Keys may be in `Authorization`, `X-API-Key`, the query parameter `api_key`, the
//! cookie `session` and, after `gate`, in a subprotocol. The bytes of `X-Change` are added to a token, from the place that
//! its first byte names.

use std::sync::LazyLock;

use portcullis::request::{MAX_KEY_LENGTH, Presented, find};
use portcullis::{HeaderBlock, Host, Outcome, Policy, Reason, Request, Timestamp};
use portcullis_models::reference::{self, credential, document::Document, path, request};
use serde_json::{Value, json};

use crate::lines::Lines;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    json!({"key_sources": [
        "bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "session"}, {"websocket_protocol": "gate"},
    ]})
});
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::load(DOCUMENT.to_string().as_bytes(), &|_| None).expect("the policy stands").policy);
static REFERENCE: LazyLock<Document> =
    LazyLock::new(|| reference::document::Document::read(&DOCUMENT).expect("the reference reads the policy"));

static TOKENS: LazyLock<Policy> = LazyLock::new(|| {
    let document = json!({
        "endpoints": {"token": "/token"}, "tokens": {"secrets": [{"env": "SECRET"}]},
        "consumers": [{"name": "ci", "roles": ["a", "b"], "keys": [{"id": "one", "plaintext": "key"}]}],
    });
    let secret = |_: &str| Some(b"a secret of the fuzz target, 32 bytes".to_vec());
    Policy::load(document.to_string().as_bytes(), &secret).expect("the policy stands").policy
});
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let block =
        HeaderBlock::new(&[(":method", "POST"), (":path", "/token"), (":authority", "a"), ("x-api-key", "key")]);
    let request = Request::new(block.headers());
    let decision = TOKENS.decide(&request, &Frozen, &mut ());
    let Outcome::Reply(reply) = TOKENS.outcome(&request, &decision) else { panic!("the gate answers") };
    let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
    answer["token"].as_str().expect("a token").to_owned()
});

/// A host whose clock stands.
struct Frozen;

impl Host for Frozen {
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(1_800_000_000))
    }

    fn random(&self) -> Option<[u8; 16]> {
        Some([1; 16])
    }
}

/// The reason for a request with this bearer credential.
fn reason(bearer: &[u8]) -> Reason {
    let value = [b"Bearer ", bearer].concat();
    let pairs: [(&str, &[u8]); 3] = [(":path", b"/"), (":authority", b"a"), ("authorization", &value)];
    let block = HeaderBlock::new(&pairs);
    TOKENS.decide(&Request::new(block.headers()), &Frozen, &mut ()).reason
}

/// One input.
///
/// # Panics
/// If the gate and the reference differ, or if a changed token is accepted.
pub fn run(input: &[u8]) {
    let headers = Lines::read(input).headers;
    let change = headers.iter().find(|(name, _)| name == "x-change").map(|(_, value)| value.as_slice());
    if let Some((start, change)) = change.and_then(<[u8]>::split_first) {
        let mut token = TOKEN.clone().into_bytes();
        let bytes = token.iter_mut().skip(usize::from(*start).saturating_mul(2));
        bytes.zip(change).for_each(|(byte, add)| *byte = byte.wrapping_add(*add));
        assert_eq!(reason(&token) == Reason::Token, token == TOKEN.as_bytes(), "{}", token.escape_ascii());
    }
    let bearer = headers.iter().find(|(name, _)| name == "x-token").map(|(_, value)| value.as_slice());
    if let Some(bearer) = bearer.filter(|bearer| *bearer != TOKEN.as_bytes()) {
        assert_ne!(reason(bearer), Reason::Token, "{}", bearer.escape_ascii());
    }
    let block = HeaderBlock::new(&headers);
    let request = Request::new(block.headers());
    let target = request.path.unwrap_or_default();
    let query = target.iter().position(|byte| *byte == b'?').map(|mark| &target[mark + 1..]);
    let presented = match find(&request, query, POLICY.key_sources(), MAX_KEY_LENGTH) {
        Presented::Nothing => credential::Presented::Nothing,
        Presented::Several => credential::Presented::Several,
        Presented::Empty(source) | Presented::Malformed(source) => credential::Presented::Malformed(source),
        Presented::Key(source, key) => credential::Presented::Key(source, key.into_owned()),
    };
    let expected = credential::present(&REFERENCE.key_sources, &request::Request(headers.clone()), path::query(target));
    assert_eq!(presented, expected, "the gate is on the left");
}

//! The credential of a request, compared with the reference.
//!
//! Input: header [lines](crate::lines). Keys may be in `Authorization`, `X-API-Key`, the query parameter `api_key` and
//! the cookie `session`.

use std::sync::LazyLock;

use portcullis::request::{Presented, find};
use portcullis::{HeaderBlock, Policy, Request};
use portcullis_models::reference::{self, credential, document::Document, path, request};
use serde_json::{Value, json};

use crate::lines::Lines;

static DOCUMENT: LazyLock<Value> = LazyLock::new(
    || json!({"key_sources": ["bearer", {"header": "x-api-key"}, {"query": "api_key"}, {"cookie": "session"}]}),
);
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::load(DOCUMENT.to_string().as_bytes(), &|_| None).expect("the policy stands").policy);
static REFERENCE: LazyLock<Document> =
    LazyLock::new(|| reference::document::Document::read(&DOCUMENT).expect("the reference reads the policy"));

/// One input.
///
/// # Panics
/// If the gate and the reference differ.
pub fn run(input: &[u8]) {
    let headers = Lines::read(input).headers;
    let block = HeaderBlock::new(&headers);
    let request = Request::new(block.headers());
    let target = request.path.unwrap_or_default();
    let query = target.iter().position(|byte| *byte == b'?').map(|mark| &target[mark + 1..]);
    let presented = match find(&request, query, POLICY.key_sources()) {
        Presented::Nothing => credential::Presented::Nothing,
        Presented::Several => credential::Presented::Several,
        Presented::Malformed { source } => credential::Presented::Malformed(source),
        Presented::Key { source, key } => credential::Presented::Key(source, key.into_owned()),
    };
    let expected = credential::present(&REFERENCE.key_sources, &request::Request(headers.clone()), path::query(target));
    assert_eq!(presented, expected, "the gate is on the left");
}

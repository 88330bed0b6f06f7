//! The line for each request: from Envoy's access log to the output, as text or as JSON.
//!
//! It contains no query, which may contain a key, no header, which may contain anything, and no generated key in a path.

use std::io::{BufRead as _, BufReader, Read, Write as _};

use serde::Serialize;

use crate::log::{self, Format};
use crate::mask::masked;
use crate::output::{GREEN, RED, YELLOW};

/// The format of Envoy's access log. Fields that the caller controls are last, so that they cannot imitate other
/// fields.
pub(super) const FORMAT: &str = "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%\t%RESPONSE_CODE%\t\
    %FILTER_STATE(wasm.portcullis.decision:PLAIN)%\t%FILTER_STATE(wasm.portcullis.reason:PLAIN)%\t\
    %FILTER_STATE(wasm.portcullis.consumer:PLAIN)%\t%FILTER_STATE(wasm.portcullis.key_id:PLAIN)%\t\
    %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%\t%DURATION%\t%RESPONSE_CODE_DETAILS%\t%REQ(:METHOD)%\t%PATH(NQ:PATH)%\n";

/// A request and its reply. What the gate did not decide or find is `None`.
#[derive(Debug, Serialize)]
struct Entry {
    time: String,
    status: Option<u16>,
    /// `allow`, `deny` or `report`.
    decision: Option<String>,
    reason: Option<String>,
    consumer: Option<String>,
    key_id: Option<String>,
    method: String,
    path: String,
    peer: String,
    duration_ms: Option<u64>,
    /// Where Envoy has the reply from.
    details: String,
}

/// Prints every request until Envoy ends, even if the output is closed.
pub(super) fn print(log: impl Read, quiet: bool) {
    let format = log::format();
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok).filter(|_| !quiet) {
        if let Some(entry) = Entry::read(&line) {
            let line = match format {
                Format::Text => entry.to_text(),
                Format::Json => serde_json::to_string(&entry).unwrap_or_default(),
            };
            let _ = writeln!(anstream::stdout(), "{line}");
        }
    }
}

impl Entry {
    fn read(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(11, |byte| *byte == b'\t').map(shown);
        let mut next = || fields.next();
        let some = |field: String| Some(field).filter(|field| !field.is_empty() && field != "-");
        Some(Self {
            time: next()?,
            status: next()?.parse().ok(),
            decision: some(next()?),
            reason: some(next()?),
            consumer: some(next()?),
            key_id: some(next()?),
            peer: next()?,
            duration_ms: next()?.parse().ok(),
            details: next()?,
            method: next()?,
            path: masked(&next()?).into_owned(),
        })
    }

    fn to_text(&self) -> String {
        let Self { time, method, path, peer, details, .. } = self;
        let status = self.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let style = match status.as_bytes() {
            [b'2' | b'3', ..] | b"101" => GREEN,
            [b'4', ..] => YELLOW,
            _ => RED,
        };
        let decision = self.decision.as_deref();
        // Without a decision of the gate, the reply and its reason are Envoy's.
        let reason = match (decision, &self.reason) {
            (_, None) => details.clone(),
            (Some("report"), Some(reason)) => format!("report:{reason}"),
            (_, Some(reason)) => reason.clone(),
        };
        let [consumer, key_id] = [&self.consumer, &self.key_id].map(|one| one.as_deref().unwrap_or("-"));
        let duration = self.duration_ms.map_or_else(|| "-".to_owned(), |milliseconds| milliseconds.to_string());
        // The request was allowed, but the upstream did not answer.
        let is_failed = decision == Some("allow") && details != "via_upstream";
        let failure = if is_failed { format!(" ({details})") } else { String::new() };
        format!(
            "{time} {style}{status}{style:#} {reason:<20} {consumer:<12} {key_id:<16} {method} {path} {peer} \
             {duration}ms{failure}"
        )
    }
}

/// Escapes control characters and blanks, so that a line always has the same number of words.
fn shown(field: &[u8]) -> String {
    field
        .iter()
        .map(|byte| if byte.is_ascii_graphic() { char::from(*byte).to_string() } else { format!("\\x{byte:02x}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &[u8]) -> String {
        anstream::adapter::strip_str(&Entry::read(line).expect("a line").to_text()).to_string()
    }

    fn json(line: &[u8]) -> String {
        serde_json::to_string(&Entry::read(line).expect("a line")).unwrap()
    }

    #[test]
    fn a_request_is_a_line_of_words() {
        assert_eq!(
            plain(b"T\t200\tallow\tkey\tci\tci-1\t127.0.0.1:5\t12\tvia_upstream\tGET\t/v2"),
            "T 200 key                  ci           ci-1             GET /v2 127.0.0.1:5 12ms"
        );
        assert_eq!(
            plain(b"T\t503\tallow\tkey\tci\tci-1\t[::1]:5\t12\tupstream_reset\tGET\t/v2"),
            "T 503 key                  ci           ci-1             GET /v2 [::1]:5 12ms (upstream_reset)"
        );
        assert_eq!(
            plain(b"T\t400\t-\t-\t-\t-\t127.0.0.1:5\t0\tpath_normalization_failed\tGET\t/a%2fb"),
            "T 400 path_normalization_failed -            -                GET /a%2fb 127.0.0.1:5 0ms"
        );
        assert!(
            plain(b"T\t200\treport\tno_credential\t\t\tp\t0\tvia_upstream\tGET\t/").contains(" report:no_credential ")
        );
    }

    #[test]
    fn a_request_is_an_object_in_json() {
        assert_eq!(
            json(b"T\t200\tallow\tkey\tci\tci-1\t127.0.0.1:5\t12\tvia_upstream\tGET\t/v2"),
            r#"{"time":"T","status":200,"decision":"allow","reason":"key","consumer":"ci","key_id":"ci-1","#.to_owned()
                + r#""method":"GET","path":"/v2","peer":"127.0.0.1:5","duration_ms":12,"details":"via_upstream"}"#
        );
        assert_eq!(
            json(b"T\t400\t-\t-\t-\t-\t127.0.0.1:5\t-\tpath_normalization_failed\tGET\t/a\x1b\"b"),
            r#"{"time":"T","status":400,"decision":null,"reason":null,"consumer":null,"key_id":null,"method":"GET","#
                .to_owned()
                + r#""path":"/a\\x1b\"b","peer":"127.0.0.1:5","duration_ms":null,"details":"path_normalization_failed"}"#
        );
    }

    #[test]
    fn nothing_that_a_caller_sends_can_pass_for_something_else() {
        let line = b"T\t401\tdeny\tno_credential\t\t\tp\t0\tx\tGET\t/\x1b[2J\t200\tallow x";
        let text = plain(line);
        assert!(text.starts_with("T 401 no_credential") && text.contains(r"/\x1b[2J\x09200\x09allow\x20x p"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&json(line)).unwrap();
        assert_eq!((&json["status"], &json["path"]), (&401.into(), &r"/\x1b[2J\x09200\x09allow\x20x".into()));
        assert!(Entry::read(b"anything else").is_none());
        let key = format!("pk_{}_000000", "a".repeat(32));
        let line = format!("T\t401\tdeny\tno_credential\t\t\tp\t0\tx\tGET\t/{key}/x");
        assert!(plain(line.as_bytes()).contains(" /pk_…/x "), "{}", plain(line.as_bytes()));
    }
}

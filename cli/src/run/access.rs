//! The line for each request: from Envoy's access log to the output.
//!
//! It contains no query, which may contain a key, and no header, which may contain anything.

use std::io::{BufRead as _, BufReader, Read, Write as _};

use crate::output::{GREEN, RED, YELLOW};

/// The format of Envoy's access log. Fields that the caller controls are last, so that they cannot imitate other
/// fields.
pub(super) const FORMAT: &str = "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%\t%RESPONSE_CODE%\t\
    %FILTER_STATE(wasm.portcullis.decision:PLAIN)%\t%FILTER_STATE(wasm.portcullis.reason:PLAIN)%\t\
    %FILTER_STATE(wasm.portcullis.consumer:PLAIN)%\t%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%\t%DURATION%\t\
    %RESPONSE_CODE_DETAILS%\t%REQ(:METHOD)%\t%PATH(NQ:PATH)%\n";

/// Prints every request until Envoy ends, even if the output is closed.
pub(super) fn print(log: impl Read, quiet: bool) {
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok).filter(|_| !quiet) {
        if let Some(line) = readable(&line) {
            let _ = writeln!(anstream::stdout(), "{line}");
        }
    }
}

fn readable(line: &[u8]) -> Option<String> {
    let fields: Vec<String> = line.splitn(10, |byte| *byte == b'\t').map(shown).collect();
    let [time, status, decision, reason, consumer, peer, duration, details, method, path] = fields.as_slice() else {
        return None;
    };
    let style = match status.as_bytes() {
        [b'2' | b'3', ..] | b"101" => GREEN,
        [b'4', ..] => YELLOW,
        _ => RED,
    };
    // Without a decision of the gate, the reply and its reason are Envoy's.
    let reason = match (decision.as_str(), reason.as_str()) {
        (_, "-") => details.clone(),
        ("report", reason) => format!("report:{reason}"),
        (_, reason) => reason.to_owned(),
    };
    let consumer = if consumer.is_empty() { "-" } else { consumer };
    // The request was allowed, but the upstream did not answer.
    let failure =
        if decision == "allow" && details != "via_upstream" { format!(" ({details})") } else { String::new() };
    Some(format!(
        "{time} {style}{status}{style:#} {reason:<20} {consumer:<12} {method} {path} {peer} {duration}ms{failure}"
    ))
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
        anstream::adapter::strip_str(&readable(line).expect("a line")).to_string()
    }

    #[test]
    fn a_request_is_a_line_of_words() {
        assert_eq!(
            plain(b"T\t200\tallow\tkey\tci\t127.0.0.1:5\t12\tvia_upstream\tGET\t/v2"),
            "T 200 key                  ci           GET /v2 127.0.0.1:5 12ms"
        );
        assert_eq!(
            plain(b"T\t503\tallow\tkey\tci\t[::1]:5\t12\tupstream_reset\tGET\t/v2"),
            "T 503 key                  ci           GET /v2 [::1]:5 12ms (upstream_reset)"
        );
        assert_eq!(
            plain(b"T\t400\t-\t-\t-\t127.0.0.1:5\t0\tpath_normalization_failed\tGET\t/a%2fb"),
            "T 400 path_normalization_failed -            GET /a%2fb 127.0.0.1:5 0ms"
        );
        assert!(
            plain(b"T\t200\treport\tno_credential\t\tp\t0\tvia_upstream\tGET\t/").contains(" report:no_credential ")
        );
    }

    #[test]
    fn nothing_that_a_caller_sends_can_pass_for_something_else() {
        let line = plain(b"T\t401\tdeny\tno_credential\t\tp\t0\tx\tGET\t/\x1b[2J\t200\tallow x");
        assert!(line.starts_with("T 401 no_credential") && line.contains(r"/\x1b[2J\x09200\x09allow\x20x p"), "{line}");
        assert!(readable(b"anything else").is_none());
    }
}

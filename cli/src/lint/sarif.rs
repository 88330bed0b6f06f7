//! Findings as SARIF 2.1.0, which code scanning reads.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Examined;
use super::code::Code;
use super::explain::Explanation;
use super::finding::Finding;
use super::report::relative;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What a path in a URI needs to escape: everything but the unreserved characters of RFC 3986, and the slash.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A log with one run. Its rules are the codes that were found.
pub(super) fn log(examined: &[Examined]) -> Value {
    let findings: Vec<&Finding> = examined.iter().flat_map(|one| &one.findings).collect();
    let mut codes: Vec<Code> = Vec::new();
    for finding in &findings {
        if !codes.contains(&finding.code) {
            codes.push(finding.code);
        }
    }
    let files: Vec<String> = examined.iter().map(|one| uri(&one.file)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "portcullis lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().copied().map(rule).collect::<Vec<_>>(),
            }},
            // Code scanning compares a run with the earlier ones of the same id: those of the same files.
            "automationDetails": {"id": format!("portcullis-lint/{}/", files.join("+"))},
            "columnKind": "unicodeCodePoints",
            "results": findings.into_iter().map(|finding| result(finding, &codes)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(code: Code) -> Value {
    let Explanation { summary, body } = Explanation::of(code);
    json!({
        "id": code.name(),
        "shortDescription": {"text": summary},
        "fullDescription": {"text": summary},
        "help": {"text": body},
        "defaultConfiguration": {"level": code.severity()},
    })
}

fn result(finding: &Finding, codes: &[Code]) -> Value {
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.place.file)}});
    if let (Some(at), Some(place)) = (finding.place.at, place.as_object_mut()) {
        place.insert("region".to_owned(), json!({"startLine": at.line, "startColumn": at.column}));
    }
    json!({
        "ruleId": finding.code.name(),
        "ruleIndex": codes.iter().position(|code| *code == finding.code),
        "level": finding.code.severity(),
        "message": {"text": finding.text()},
        "locations": [{"physicalLocation": place}],
    })
}

/// A relative reference for a file below the working directory, a URL for another one.
fn uri(file: &str) -> String {
    let path = relative(file);
    let scheme = if path.is_absolute() { "file://" } else { "" };
    format!("{scheme}{}", utf8_percent_encode(&path.to_string_lossy(), ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_uri() {
        let here = std::env::current_dir().unwrap().join("a/b.yaml");
        for (file, expected) in [
            ("policy.yaml", "policy.yaml"),
            ("./a//b.yaml", "a/b.yaml"),
            (here.to_str().unwrap(), "a/b.yaml"),
            ("../b.yaml", "../b.yaml"),
            ("/dev/stdin", "file:///dev/stdin"),
            ("a b:ü%.yaml", "a%20b%3A%C3%BC%25.yaml"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}

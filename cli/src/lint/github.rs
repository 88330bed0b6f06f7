//! Findings as annotations of GitHub Actions: a workflow command on a line of its own.

use super::finding::Finding;
use super::report::relative;

/// The command that annotates the line of a finding.
pub(super) fn annotation(finding: &Finding) -> String {
    let (level, file) = (finding.code.severity(), property(&relative(&finding.place.file).to_string_lossy()));
    let at = finding.place.at.map_or(String::new(), |at| format!(",line={},col={}", at.line, at.column));
    let message = data(&finding.text());
    format!("::{level} file={file}{at},title={}::{message}\n", finding.code.name())
}

/// Escapes a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property, which ends at a comma or colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::code::Code;
    use crate::yaml::{Place, Position};

    #[test]
    fn what_ends_a_message_or_a_property_is_escaped() {
        let at = Some(Position { line: 7, column: 3 });
        let place = Place { file: "./a,b:c%\n::error::.yaml".to_owned(), at };
        let finding = Finding::new(Code::FailOpen, place, "100 %: a, b", "close it");
        assert_eq!(
            annotation(&finding),
            "::error file=a%2Cb%3Ac%25%0A%3A%3Aerror%3A%3A.yaml,line=7,col=3,title=fail-open::100 %25: a, b%0Afix: \
             close it\n"
        );
        let finding = Finding::new(Code::NoGate, Place { file: "a".to_owned(), at: None }, "none", "add one");
        assert_eq!(annotation(&finding), "::error file=a,title=no-gate::none%0Afix: add one\n");
    }
}

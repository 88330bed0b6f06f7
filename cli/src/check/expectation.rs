//! The expected outcome of a case.

use anyhow::{Result, bail};
use portcullis::{Outcome, Reason};
use portcullis_explain::Explanation;

use super::cases::InFile;
use crate::yaml::{Node, Tree};

/// An expected outcome. Fields that are not given are not compared.
#[derive(Default)]
pub(super) struct Expectation {
    decision: Option<String>,
    reason: Option<String>,
    status: Option<u64>,
    consumer: Option<String>,
    key_id: Option<String>,
}

impl Expectation {
    /// Reads `deny`, `no_credential` or `{reason: no_credential, status: 401}`.
    ///
    /// # Errors
    /// Anything else, with its place.
    pub(super) fn read(place: InFile<'_>, node: &Node) -> Result<Self> {
        let mut expected = Self::default();
        if let Some(text) = node.text() {
            let slot = if is_decision(text) { &mut expected.decision } else { &mut expected.reason };
            *slot = Some(known(place, node, text)?);
            return Ok(expected);
        }
        for (name, value) in place.members(node, &["decision", "reason", "status", "consumer", "key_id"])? {
            let text = |value| place.text(value, name).map(str::to_owned);
            match name {
                "decision" if !value.text().is_some_and(is_decision) => {
                    bail!("{}: invalid decision: expected allow, deny or report", place.of(value))
                }
                "reason" if value.text().is_some_and(is_decision) => {
                    bail!("{}: invalid reason: it is a decision, write it as `decision`", place.of(value))
                }
                "decision" => expected.decision = Some(text(value)?),
                "reason" => expected.reason = Some(known(place, value, &text(value)?)?),
                "consumer" => expected.consumer = Some(text(value)?),
                "key_id" => expected.key_id = Some(text(value)?),
                _ => {
                    let status = if let Tree::Number(number) = &value.tree { number.as_u64() } else { None };
                    if status.is_none() {
                        bail!("{}: invalid status: expected a number such as 401", place.of(value));
                    }
                    expected.status = status;
                }
            }
        }
        if node.members().is_empty() {
            bail!("{}: empty expectation: write a reason, allow, deny or report", place.of(node));
        }
        Ok(expected)
    }

    /// The expected and the actual outcome, if they differ.
    pub(super) fn miss(&self, got: &Explanation<'_>) -> Option<(String, String)> {
        let caller = got.decision.caller.as_ref();
        let status = match &got.outcome {
            Outcome::Reply(reply) => reply.status.to_string(),
            Outcome::Forward(_) => "none: forwarded".to_owned(),
        };
        let rows = [
            ("", self.decision.clone(), Some(got.verdict.to_owned())),
            ("", self.reason.clone(), Some(got.decision.reason.name().to_owned())),
            ("status ", self.status.map(|status| status.to_string()), Some(status)),
            ("consumer ", self.consumer.clone(), caller.map(|caller| caller.consumer.name.to_owned())),
            ("key ", self.key_id.clone(), caller.as_ref().map(|caller| caller.key.id().to_owned())),
        ];
        let wrong = rows.iter().any(|(_, expected, got)| expected.is_some() && expected != got);
        let mut expected = Vec::new();
        let mut came = vec![got.verdict.to_owned(), got.decision.reason.name().to_owned()];
        for (what, wanted, had) in &rows {
            if let Some(wanted) = wanted {
                expected.push(format!("{what}{wanted}"));
                if !what.is_empty() {
                    came.push(format!("{what}{}", had.as_deref().unwrap_or("none")));
                }
            }
        }
        wrong.then(|| (expected.join(", "), came.join(", ")))
    }
}

fn is_decision(text: &str) -> bool {
    matches!(text, "allow" | "deny" | "report")
}

fn known(place: InFile<'_>, node: &Node, text: &str) -> Result<String> {
    if is_decision(text) || Reason::ALL.iter().any(|reason| reason.name() == text) {
        return Ok(text.to_owned());
    }
    let names = Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
    bail!("{}: invalid expectation {text:?}: expected allow, deny, report, or one of {names}", place.of(node))
}

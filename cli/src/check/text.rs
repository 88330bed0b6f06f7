//! An explanation as text.

use http::StatusCode;
use portcullis::{HeaderMutation, Outcome, Request};
use portcullis_explain::Explanation;
use portcullis_explain::trace::{Step, StepResult};
use portcullis_explain::wire::Wire;

use crate::output::{GREEN, RED, YELLOW};

/// The decision, and what is sent to the caller or the upstream, without any credential.
pub(super) fn decision(explanation: &Explanation<'_>) -> String {
    let style = match explanation.verdict {
        "allow" => GREEN,
        "deny" => RED,
        _ => YELLOW,
    };
    let mut text = format!("{style}{}{style:#} {}\n", explanation.verdict, explanation.decision.reason.name());
    if let Some(caller) = &explanation.decision.caller {
        text.push_str(&format!("consumer {}, key {}\n", caller.consumer.name, caller.key.id()));
    }
    format!("{text}\n{}", outcome(&explanation.outcome, &explanation.request))
}

/// All steps.
pub(super) fn steps(steps: &[Step]) -> String {
    steps.iter().map(|one| format!("{:>2}  {}\n", one.number, step(one))).collect()
}

/// A step as one line, without its number.
pub(super) fn step(step: &Step) -> String {
    let style = match step.result {
        StepResult::Allowed => GREEN,
        StepResult::Denied => RED,
        StepResult::Continued | StepResult::Skipped => anstyle::Style::new(),
    };
    let place = step.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{:<18}  {style}{}{style:#}: {}{place}", step.name, step.result.name(), step.why)
}

/// The reply, or the header mutations, as text.
fn outcome(outcome: &Outcome<'_>, request: &Request<'_>) -> String {
    match outcome {
        Outcome::Forward(mutations) if mutations.list().is_empty() => {
            "forwarded to the upstream, unchanged\n".to_owned()
        }
        Outcome::Forward(mutations) => {
            let mut text = "forwarded to the upstream, with these changes\n".to_owned();
            for mutation in mutations.list() {
                text.push_str(&match mutation {
                    HeaderMutation::Remove(name) => format!("  remove  {}\n", name.escape_ascii()),
                    HeaderMutation::Add(name, value) | HeaderMutation::Set(name, value) => {
                        format!("  set     {}: {}\n", name.escape_ascii(), value.escape_ascii())
                    }
                });
            }
            text
        }
        Outcome::Reply(reply) => {
            let Wire { status, headers, body } = Wire::new(reply, request);
            let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let version = if request.is_grpc { "HTTP/2" } else { "HTTP/1.1" };
            let mut text = format!("{version} {status} {}\n", reason.unwrap_or_default());
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\n"));
            }
            if !body.is_empty() {
                text.push_str(&format!("\n{body}\n"));
            }
            text
        }
    }
}

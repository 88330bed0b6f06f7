//! Where a refusal of the gate is in a policy, and what was probably meant.

use portcullis::document::{Problem, Refusal};

use crate::similar::did_you_mean;
use crate::yaml::{Node, Position};

/// `: did you mean NAME?` for an unknown field, if one is like it.
pub fn meant(problem: &Problem) -> String {
    match problem {
        Problem::UnknownField { name: Some(name), known } => did_you_mean(name, known.iter().copied()),
        _ => String::new(),
    }
}

/// The position of what the gate refuses, if `path` of the refusal is at `otherwise`: an unknown field has one of its own. Of a
/// field of the whole document whose name is not shown, there is none.
pub fn refused_at(policy: &Node, refusal: &Refusal, otherwise: Option<Position>) -> Option<Position> {
    match &refusal.problem {
        Problem::UnknownField { name: Some(name), .. } => policy.name_position(&refusal.path, name).or(otherwise),
        Problem::UnknownField { name: None, .. } if refusal.path.is_empty() => None,
        _ => otherwise,
    }
}

//! The answer to a policy and a request.

use portcullis::HeaderBlock;
use portcullis::document::Mode;
use portcullis_explain::Explanation;
use portcullis_explain::stand_ins::StandIns;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::policy::{Pasted, notes};
use crate::request::{Described, given};

/// Decides a request, and explains the decision. In the other modes: also what `enforce` would decide.
pub(crate) fn explain(policy: &str, request: &str) -> Result<Value, Fault> {
    let mut pasted = Pasted::parse(policy)?;
    let loaded = pasted.compile()?;
    let described = Described::parse(request)?;
    let mut spec = described.spec()?;
    if let Some(id) = given(&described.key) {
        let document = pasted.document()?;
        let mut stand_ins = StandIns::new(&mut pasted.node, document, &loaded.refused_entries);
        stand_ins.present(id, &mut spec).map_err(Fault::field("key"))?;
    }
    let loaded = pasted.compile()?;
    let block = HeaderBlock::new(&spec.pairs);
    let mut answer = Explanation::of(&loaded.policy, &pasted, &spec, &block).as_json();
    if let Value::Object(members) = &mut answer {
        if loaded.policy.mode() != Mode::Enforce {
            let enforced = pasted.enforced();
            let policy = enforced.compile()?.policy;
            let explanation = Explanation::of(&policy, &enforced, &spec, &block).as_json();
            members.insert("enforced".to_owned(), explanation);
        }
        members.insert("notes".to_owned(), json!(notes(&loaded)));
    }
    Ok(answer)
}

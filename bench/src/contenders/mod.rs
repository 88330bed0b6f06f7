//! Who takes part.

pub mod built_in;
pub mod gate;
pub mod lua;
pub mod scale;
pub mod wasm;

use portcullis_tests::proxy_wasm::Program;

use crate::contender::{Contender, Kind, NOTHING, Outcome};
use crate::options::Module;
use wasm::Workshop;

/// The key that callers present.
pub const KEY: &str = "pk_benchmark7Jx2mQ9vLw4TzR8cYdN1sKpFhB_3k5XaE";
/// A key that nobody has.
pub const STRANGER: &str = "pk_strangerX7Jx2mQ9vLw4TzR8cYdN1sKpFhBo_2m4YbC";
/// What the upstream sees of the caller.
pub const IDENTITY: [(&str, &str); 3] =
    [("x-portcullis-consumer", "ci"), ("x-portcullis-roles", "predict"), ("x-portcullis-key-id", "ci-1")];

/// How the key stands in a request.
pub fn bearer(contender: Contender, key: &str) -> Contender {
    contender.with("authorization", &format!("Bearer {key}"))
}

/// The contenders of the comparison, the baseline first; the hand-written modules are made on the way.
///
/// # Errors
/// A module that does not do what it is asked.
pub fn all(modules: &[Module], sdk: Option<&std::path::Path>, shop: &Workshop) -> Result<Vec<Contender>, String> {
    let nothing = bearer(Contender::new(NOTHING, Kind::Nothing, Vec::new()), KEY);
    let nothing = nothing.so(Outcome::Seen(vec![("authorization", BEARER)]));
    let mut all = vec![nothing];
    all.extend(built_in::all());
    all.extend(lua::all());
    all.extend(wasm::bare(shop, sdk)?);
    for module in modules {
        let program = Program::read(&module.file, false);
        for case in gate::cases() {
            // The floor makes the calls of the first module: the others are compared with the same.
            if module.name == modules[0].name && case.lua.is_some() {
                all.push(wasm::floor(shop, &program, &case)?);
            }
            all.push(gate::contender(module, &case));
        }
    }
    Ok(all)
}

/// [`KEY`] as a bearer token.
pub const BEARER: &str = "Bearer pk_benchmark7Jx2mQ9vLw4TzR8cYdN1sKpFhB_3k5XaE";

//! The contenders.

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
/// An unknown key.
pub const STRANGER: &str = "pk_strangerX7Jx2mQ9vLw4TzR8cYdN1sKpFhBo_2m4YbC";
/// The consumer that the upstream gets.
pub const IDENTITY: [(&str, &str); 3] =
    [("x-portcullis-consumer", "ci"), ("x-portcullis-roles", "predict"), ("x-portcullis-key-id", "ci-1")];

/// The place of the key in a request.
pub fn bearer(contender: Contender, key: &str) -> Contender {
    contender.with("authorization", &format!("Bearer {key}"))
}

/// The contenders of the comparison, the baseline first; also makes the hand-written modules.
///
/// # Errors
/// If a module does not give the expected answer.
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
            // The floor makes the hostcalls of the first module: the other modules are compared with the same floor.
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

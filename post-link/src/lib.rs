//! The last step of the filter's build, after the linker: takes out of the module what its host need not call.
//!
//! The SDK exports every callback of the ABI. Envoy enters the VM for each one that is there (proxy-wasm-cpp-host asks
//! `if (!wasm_->on_response_headers_...)` before each), so a callback that does nothing costs as much as one that works:
//!
//! 1. exports that are not [`KEPT`] go;
//! 2. then what nothing calls any more, imports too: neither by name, nor through the table with a call of its type;
//! 3. entries of the table that no call can reach are left empty. Such a call traps, as it did.
//!
//! Code that stays is not changed: V8 optimizes it once more anyway.

mod reach;
mod rewrite;
#[cfg(test)]
mod tests;

use core::fmt;

use wasm_encoder::Module;
use wasm_encoder::reencode::{self, Reencode as _};
use wasmparser::{BinaryReaderError, Parser};

use reach::Reach;
use rewrite::Rewrite;

/// What a host finds in the module. Each must be there.
///
/// Not there, and what proxy-wasm-cpp-host does without it: `proxy_on_done` (done at once), `proxy_on_log`, the body and
/// the response (goes on). The SDK drops a request's state in `proxy_on_delete`, so that one stays; `proxy_on_vm_start` is
/// called once a VM, and a host may want it.
pub const KEPT: [&str; 10] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_vm_start",
];

/// Why a module cannot be rewritten.
#[derive(Debug)]
pub enum Error {
    /// It is no wasm module, or one with an extension that the parser does not know.
    Malformed(BinaryReaderError),
    /// It does not export one of [`KEPT`].
    NotExported(&'static str),
    /// It does what makes unknown which functions can be called: the compiler of today does not.
    Unforeseen(&'static str),
    /// The rewritten module would refer to what is gone: a mistake of this step.
    Rewrite(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "no wasm module that can be read: {error}"),
            Self::NotExported(name) => write!(f, "the module does not export {name}"),
            Self::Unforeseen(what) => write!(f, "the module has {what}, which the post-link step does not follow"),
            Self::Rewrite(why) => write!(f, "the module cannot be rewritten: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<BinaryReaderError> for Error {
    fn from(error: BinaryReaderError) -> Self {
        Self::Malformed(error)
    }
}

impl From<reencode::Error<Error>> for Error {
    fn from(error: reencode::Error<Error>) -> Self {
        match error {
            reencode::Error::UserError(error) => error,
            reencode::Error::ParseError(error) => Self::Malformed(error),
            other => Self::Rewrite(other.to_string()),
        }
    }
}

/// Rewrites a module. The same module gives the same bytes.
///
/// # Errors
/// It is not a module of the filter, or one that the step does not understand.
pub fn post_link(module: &[u8]) -> Result<Vec<u8>, Error> {
    let reach = Reach::of(module)?;
    let mut rewritten = Module::new();
    Rewrite::new(&reach).parse_core_module(&mut rewritten, Parser::new(0), module)?;
    Ok(rewritten.finish())
}

//! The filter, embedded in the command.

/// The wasm module, as `make module` builds it.
pub(crate) const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/portcullis.wasm"));

/// Its SHA-256, as 64 hex digits.
pub(crate) fn sha256() -> String {
    portcullis::keys::Digest::of(BYTES).to_hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_module_of_webassembly() {
        assert!(BYTES.starts_with(b"\0asm"), "{} bytes", BYTES.len());
        assert_eq!(sha256().len(), 64);
    }
}

//! The plugin's configuration, as Envoy hands it over: piece by piece, so that a large one never lies in linear memory as a
//! whole, which would stay as large as that.

use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

/// The configuration, and how much of it was read.
pub(super) struct Configuration {
    at: usize,
    size: usize,
    /// Whether Envoy did not hand a piece over.
    pub(super) has_failed: bool,
}

impl Configuration {
    pub(super) fn new(size: usize) -> Self {
        Self { at: 0, size, has_failed: false }
    }

    /// Reads the next piece.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        let most = into.len().min(self.size.saturating_sub(self.at));
        if most == 0 {
            return Some(0);
        }
        let piece = hostcalls::get_buffer(BufferType::PluginConfiguration, self.at, most);
        // Nothing, before the end, is no end: a `Struct` that is cut between two fields would be another policy.
        let Ok(Some(piece @ [_, ..])) = piece.as_ref().map(Option::as_deref) else {
            self.has_failed = true;
            return None;
        };
        let length = piece.len().min(most);
        for (to, from) in into.iter_mut().zip(piece) {
            *to = *from;
        }
        self.at = self.at.saturating_add(length);
        Some(length)
    }
}

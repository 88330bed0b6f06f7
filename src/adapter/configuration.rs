//! The plugin's configuration, as Envoy hands it over: piece by piece, so that a large one never lies in linear memory as a
//! whole, which would stay as large as that.

use portcullis_abi::{self as abi, Status};

/// The configuration, and how much of it was read.
pub(super) struct Configuration {
    at: usize,
    size: usize,
    /// What Envoy said when it did not hand a piece over.
    pub(super) failed: Option<Status>,
}

impl Configuration {
    pub(super) fn new(size: usize) -> Self {
        Self { at: 0, size, failed: None }
    }

    /// Reads the next piece.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Option<usize> {
        let most = into.len().min(self.size.saturating_sub(self.at));
        if most == 0 {
            return Some(0);
        }
        // Nothing, before the end, is no end: a `Struct` that is cut between two fields would be another policy.
        let piece = abi::configuration(self.at, most);
        let piece = piece.and_then(|piece| if piece.is_empty() { Err(Status::EMPTY) } else { Ok(piece) });
        let piece = piece.map_err(|status| self.failed = Some(status)).ok()?;
        let length = piece.len().min(most);
        for (to, from) in into.iter_mut().zip(piece.iter()) {
            *to = *from;
        }
        self.at = self.at.saturating_add(length);
        Some(length)
    }
}

//! Reads the plugin's configuration in pieces. Reading a large one as a whole would grow linear memory, which never
//! shrinks.

use std::io::{self, Read};

use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

/// A reader of the configuration, with its position.
pub(super) struct Configuration {
    at: usize,
    size: usize,
}

impl Configuration {
    pub(super) fn new(size: usize) -> Self {
        Self { at: 0, size }
    }
}

impl Read for Configuration {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.size.saturating_sub(self.at));
        if most == 0 {
            return Ok(0);
        }
        let piece = hostcalls::get_buffer(BufferType::PluginConfiguration, self.at, most);
        // An empty read before the end is an error: a `Struct` that is cut between two fields would be a different, valid
        // policy.
        let piece = piece.ok().flatten().filter(|piece| !piece.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let read = piece.as_slice().read(into)?;
        self.at = self.at.saturating_add(read);
        Ok(read)
    }
}

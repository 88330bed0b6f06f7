//! A host with the attributes of an input.

use portcullis::Timestamp;
use portcullis_models::reference;

use crate::lines::Lines;

/// The filter state key that hosts use.
pub const STATE: &str = "portcullis.peer";

/// The same host for the gate and for the reference.
#[derive(Debug)]
pub struct Host(pub reference::Host);

impl Host {
    /// The attributes in the input.
    #[must_use]
    pub fn of(lines: &Lines) -> Self {
        let state = lines.told("@state").map(|state| (STATE.to_owned(), state.to_vec()));
        Self(reference::Host {
            now: lines.text("@now").and_then(|now| now.parse().ok()).unwrap_or(0),
            source: lines.told("@source").map(<[u8]>::to_vec),
            state: state.into_iter().collect(),
            identity: lines.told("@identity").map(<[u8]>::to_vec),
        })
    }
}

impl portcullis::Host for Host {
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp(self.0.now))
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.0.source.clone()
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.0.state.get(key).cloned()
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.0.identity.clone()
    }
}

//! Writes decisions to filter state, where access logs read them as `%FILTER_STATE(wasm.portcullis.NAME.reason:PLAIN)%`.

use proxy_wasm::hostcalls::set_property;

use crate::decision::Decision;

/// The names of what a decision writes.
const NAMES: [&str; 4] = ["decision", "reason", "consumer", "key_id"];

/// The names of a gate's filter state.
pub(super) struct AccessLog {
    /// With the gate's name, so that two gates in one filter chain can be told apart.
    names: [String; 4],
    /// Without it, for an access log of gates with different names, such as that of a mesh: the last gate that writes
    /// is the one that is read.
    shared_names: [String; 4],
}

impl AccessLog {
    pub(super) fn new(gate: &str) -> Self {
        Self {
            names: NAMES.map(|name| format!("portcullis.{gate}.{name}")),
            shared_names: NAMES.map(|name| format!("portcullis.{name}")),
        }
    }

    /// Writes a decision, whose verdict is `allow`, `deny` or `report`. Used if the policy has `access_log`, and for
    /// requests that `report` mode would have denied.
    #[cold]
    pub(super) fn write(&self, verdict: &str, decision: &Decision<'_>) {
        let caller = decision.caller;
        let consumer = caller.map_or("", |caller| caller.consumer.name);
        let key_id = caller.as_ref().map_or("", |caller| caller.key.id());
        // All are written even if empty: a gate before this one may have written another consumer.
        let values = [verdict, decision.reason.name(), consumer, key_id];
        for names in [&self.names, &self.shared_names] {
            for (name, value) in names.iter().zip(values) {
                // The SDK ends the VM if the host rejects the call.
                let _ = set_property(vec![name], Some(value.as_bytes()));
            }
        }
    }
}

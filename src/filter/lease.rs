//! Counts the loaded gates of one name in an Envoy: the gauge `instances`.
//!
//! Every worker's VM has one, and so has the main thread's. A plain counter would stay too high after a VM has trapped: it
//! cannot take itself off the count, and counts again when it is restarted. So each gate has a lease in the shared data of
//! all VMs with the same `vm_id`, and renews it by a timer. A lease that is not renewed ends.

use std::cell::RefCell;
use std::time::Duration;

use proxy_wasm::hostcalls::{get_shared_data, record_metric, set_shared_data};

use super::host::Envoy;
use crate::decision::Host as _;
use crate::value::Timestamp;

/// How often a lease is renewed.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// The length of a lease in seconds: two late renewals do not end it.
const LENGTH: i64 = 15;
/// That of a new one. The VM that only validates a configuration neither renews nor ends it.
const FIRST_LENGTH: i64 = 8;
/// Attempts to write while others write too. A renewal that fails is repeated a period later.
const ATTEMPTS: usize = 64;
/// The size of a row of the shared data: an id, and the end of the lease in seconds since 1970.
const ROW: usize = 16;

thread_local! {
    /// The gates whose lease ended here while others were still counted, at most one for each name. If the last lease is
    /// that of a VM that has trapped, another gate's timer must end it.
    static LEFT: RefCell<Vec<Count>> = const { RefCell::new(Vec::new()) };
}

/// A gate's lease. It ends when it is dropped.
pub(super) struct Lease {
    id: [u8; 8],
    count: Option<Count>,
}

/// The leases of all gates of one name.
struct Count {
    /// The key of the shared data.
    key: String,
    /// The gauge.
    instances: u32,
}

/// A change of the leases.
enum Change {
    None,
    /// For so many seconds from now.
    Hold([u8; 8], i64),
    End([u8; 8]),
}

impl Lease {
    /// Takes a lease for a gate with this name. `None` if the host has no random numbers.
    pub(super) fn take(gate: &str, instances: u32) -> Option<Self> {
        let id = *Envoy.random()?.first_chunk()?;
        let lease = Self { id, count: Some(Count { key: format!("portcullis.{gate}.instances"), instances }) };
        lease.count.as_ref().map(|count| count.write(Change::Hold(id, FIRST_LENGTH)));
        Some(lease)
    }

    /// Renews the lease, and drops those that have ended.
    pub(super) fn renew(&self) {
        let Some(own) = &self.count else { return };
        own.write(Change::Hold(self.id, LENGTH));
        LEFT.with(|left| {
            if let Ok(mut left) = left.try_borrow_mut() {
                left.retain(|count| count.key != own.key && count.write(Change::None) > 0);
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(count) = self.count.take().filter(|count| count.write(Change::End(self.id)) > 0) else { return };
        LEFT.with(|left| {
            if let Ok(mut left) = left.try_borrow_mut()
                && !left.iter().any(|other| other.key == count.key)
            {
                left.push(count);
            }
        });
    }
}

impl Count {
    /// Writes the leases that have not ended, with a change, and sets the gauge. Returns their number.
    fn write(&self, change: Change) -> usize {
        let Some(Timestamp(now)) = Envoy.now() else { return 0 };
        let (id, until) = match change {
            Change::None => (None, None),
            Change::Hold(id, length) => (Some(id), Some(now.saturating_add(length))),
            Change::End(id) => (Some(id), None),
        };
        let own: Vec<u8> = id.zip(until).map(|(id, until)| [id, until.to_le_bytes()].concat()).unwrap_or_default();
        for _ in 0..ATTEMPTS {
            let (rows, version) = self.read();
            let others = living(&rows, now).filter(|row| id.is_none_or(|id| !row.starts_with(&id)));
            let next: Vec<u8> = others.chain([own.as_slice()]).flatten().copied().collect();
            if next == rows || set_shared_data(&self.key, Some(&next), version).is_ok() {
                break;
            }
        }
        self.record(now)
    }

    /// Sets the gauge, again if another VM has written meanwhile: the last write must not be the one with older data.
    fn record(&self, now: i64) -> usize {
        let (mut rows, mut version) = self.read();
        for _ in 0..ATTEMPTS {
            let _ = record_metric(self.instances, living(&rows, now).count() as u64);
            let before = version;
            (rows, version) = self.read();
            if version == before {
                break;
            }
        }
        living(&rows, now).count()
    }

    fn read(&self) -> (Vec<u8>, Option<u32>) {
        let (rows, version) = get_shared_data(&self.key).unwrap_or_default();
        (rows.unwrap_or_default(), version)
    }
}

/// Returns the rows of the leases that have not ended.
fn living(rows: &[u8], now: i64) -> impl Iterator<Item = &[u8]> {
    rows.chunks_exact(ROW).filter(move |row| {
        row.last_chunk().is_some_and(|until| {
            // A clock that was set back would leave leases that end late.
            (now..=now.saturating_add(LENGTH)).contains(&i64::from_le_bytes(*until))
        })
    })
}

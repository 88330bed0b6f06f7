//! The memory use of an Envoy, and whether it grows.

use std::fmt::{self, Display, Formatter};

use portcullis_tests::envoy::Envoy;
use procfs::process::{MMPermissions, MemoryMap};
use serde_json::Value;

/// How much the linear memories of all VMs may grow from the second third of a soak to the last, in KiB. A gate without
/// leaks does not grow. Memories grow by pages of 64 KiB, and this is one page for each VM: a leak of 3 bytes for each
/// request exceeds it, and so does a policy of this suite that each update leaks.
const VMS: u64 = 256;
/// The same for the memory that Envoy's allocator has allocated; running requests make it vary. Envoy itself, with a
/// filter that does nothing, leaks 0.9 KiB for each update.
const ALLOCATED: u64 = 1024;
/// The same for resident memory. It keeps rising, by about 10 KiB for each update and less over time, while the
/// allocator's heap keeps its size: more of its pages are used for the first time.
const RESIDENT: u64 = 2 * 1024;

/// In KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident memory of the process.
    resident: u64,
    /// The bytes that its allocator has allocated, without the VMs.
    allocated: u64,
    /// The linear memories of the VMs.
    vms: u64,
}

impl Memory {
    /// The memory use of `envoy` now.
    pub(crate) fn of(envoy: &Envoy) -> Self {
        let reply = envoy.admin().get("/memory").expect("the admin interface answers");
        let page: Value = serde_json::from_slice(&reply.body).expect("it is JSON");
        let allocated = page["allocated"].as_str().and_then(|bytes| bytes.parse::<u64>().ok());
        let maps: Vec<MemoryMap> = envoy.process().maps().expect("Envoy runs").into_iter().collect();
        let vms = linear_memories(&maps) / 1024;
        assert!(vms > 0, "a control: no linear memory is found in:\n{maps:?}");
        Self { resident: envoy.resident(), allocated: allocated.expect("a number of bytes") / 1024, vms }
    }

    /// Checks that none grows after the warm-up.
    pub(crate) fn is_flat(all: &[Self]) {
        assert!(all.len() >= 3, "a soak of at least 30 updates has thirds");
        let (second, last) = all[all.len() / 3..].split_at(all.len() / 3);
        let (second, last) = (Self::mean(second), Self::mean(last));
        eprintln!("in the second third: {second}; in the last: {last}");
        assert!(last.vms <= second.vms + VMS, "the linear memories of the VMs grow: {all:?}");
        assert!(last.allocated <= second.allocated + ALLOCATED, "what Envoy allocates grows: {all:?}");
        assert!(last.resident <= second.resident + RESIDENT, "resident memory grows: {all:?}");
    }

    fn mean(all: &[Self]) -> Self {
        let of = |which: fn(&Self) -> u64| all.iter().map(which).sum::<u64>() / all.len() as u64;
        Self { resident: of(|one| one.resident), allocated: of(|one| one.allocated), vms: of(|one| one.vms) }
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { resident, allocated, vms } = self;
        write!(f, "{resident} KiB resident, {allocated} KiB allocated, {vms} KiB in VMs")
    }
}

/// The linear memories among the mappings of a process, in bytes: V8 puts each in front of an inaccessible range, as
/// large as the VM's address space.
fn linear_memories(maps: &[MemoryMap]) -> u64 {
    let size = |map: &MemoryMap| map.address.1 - map.address.0;
    let writable = MMPermissions::READ | MMPermissions::WRITE | MMPermissions::PRIVATE;
    let is_memory = |memory: &MemoryMap, guard: &MemoryMap| {
        let is_guard = guard.perms == MMPermissions::PRIVATE && size(guard) >= 4 << 30;
        is_guard && memory.perms == writable && memory.address.1 == guard.address.0
    };
    maps.windows(2).filter(|pair| is_memory(&pair[0], &pair[1])).map(|pair| size(&pair[0])).sum()
}

//! The cost of loading a policy: the time of a VM to load it, its memory, and how long requests on the same worker
//! wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::envoy::{Envoy, Options, V4};
use portcullis_tests::http1::{Client, get};
use portcullis_tests::net::connect;
use portcullis_tests::poll;
use portcullis_tests::proxy_wasm::{Program, Vm};
use serde::Serialize;

use crate::contender::{Contender, Kind, NOTHING};
use crate::contenders::scale::{grouped, keys};
use crate::contenders::wasm::Workshop;
use crate::options::Module;
use crate::stage::document;

/// The cost of a policy of one size.
#[derive(Debug, Serialize)]
pub struct Reload {
    /// The module.
    pub module: String,
    /// The number of keys.
    pub keys: usize,
    /// The size of the policy as JSON, in bytes.
    pub document: usize,
    /// Instructions of `proxy_on_configure`, as the interpreter counts them.
    pub instructions: u64,
    /// The linear memory of a VM that has loaded it once, in bytes.
    pub memory: usize,
    /// The linear memory of a VM that has loaded it and then another policy of the same size, in bytes; it never
    /// shrinks.
    pub memory_after_update: usize,
    /// The time in `proxy_on_configure`, in milliseconds: the median over the VMs of Envoy's start and update.
    pub load_ms: f64,
    /// The longest latency of a request on the same worker while the policy was replaced, in milliseconds.
    pub stall_ms: f64,
    /// The same without a replacement.
    pub calm_ms: f64,
    /// The resident memory of Envoy with the policy loaded, including its own copy and two VMs with it, in KiB.
    pub resident_kib: u64,
}

/// Measures one module with so many keys.
///
/// # Errors
/// If a policy is refused.
pub fn reload(module: &Module, count: usize, shop: &Workshop) -> Result<Reload, String> {
    let policy = keys(count);
    let (instructions, memory, memory_after_update) = interpreted(module, &policy)?;
    let name = format!("{}: {} keys, replaced", module.name, grouped(count));
    let gate = Contender::new(&name, Kind::Gate, vec![shop.discovered(&name, &module.file, &policy)?]);
    let probe = Contender::new(NOTHING, Kind::Nothing, Vec::new());
    let document = document(&[probe.clone(), gate], ([127, 0, 0, 1], 9).into());
    // One line for each call into and out of a VM, with the time: there are few while a policy is loaded.
    let envoy = Envoy::start_with(&document, Options { wasm_log: "trace", ..Options::default() });
    let reloads = || envoy.admin().stats("config_reload").unwrap_or_default().values().sum::<u64>();
    let before = reloads();
    let waiting = Probe::begin(envoy.address(NOTHING, V4), &probe);
    // As long as a replacement may take, so that both maxima are of the same number of requests.
    thread::sleep(Duration::from_millis(500));
    let calm_ms = waiting.end();
    let resident_kib = envoy.resident();
    let replaced = policy.replacen("\"/health\"", "\"/health\",\"/ready\"", 1);
    let waiting = Probe::begin(envoy.address(NOTHING, V4), &probe);
    shop.replace(&name, 2, &module.file, &replaced)?;
    poll::until("Envoy has the other policy", || (reloads() > before).then_some(()));
    let stall_ms = waiting.end();
    let times = configure_times(&envoy.log());
    let load_ms = crate::statistics::median(&mut times.clone());
    Ok(Reload {
        module: module.name.clone(),
        keys: count,
        document: policy.len(),
        instructions,
        memory,
        memory_after_update,
        load_ms,
        stall_ms,
        calm_ms,
        resident_kib,
    })
}

fn interpreted(module: &Module, policy: &str) -> Result<(u64, usize, usize), String> {
    let program = Program::read(&module.file, true);
    let mut vm = Vm::start_on(&program, policy.as_bytes(), &BTreeMap::new(), None)?;
    let (instructions, memory) = (vm.spent().unwrap_or_default(), vm.memory());
    vm.update(policy.as_bytes())?;
    Ok((instructions, memory, vm.memory()))
}

/// The duration of each `proxy_on_configure`, in milliseconds, from the times in Envoy's log.
fn configure_times(log: &str) -> Vec<f64> {
    let mut begun = BTreeMap::new();
    let mut times = Vec::new();
    for line in log.lines().filter(|line| line.contains("proxy_on_configure")) {
        let mut fields = line.trim_start_matches('[').split("][");
        let (Some(time), Some(thread)) = (fields.next().and_then(milliseconds), fields.next()) else { continue };
        if line.contains("[host->vm]") {
            begun.insert(thread.to_owned(), time);
        } else if let Some(begin) = begun.remove(thread) {
            times.push(time - begin);
        }
    }
    times
}

/// `2026-11-24 20:30:11.123`, in milliseconds since midnight.
fn milliseconds(time: &str) -> Option<f64> {
    let mut parts = time.split_once(' ')?.1.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1_000.0)
}

/// Sends one request after the other to a listener without a gate, and returns the longest latency.
struct Probe {
    stop: Arc<AtomicBool>,
    asking: thread::JoinHandle<Duration>,
}

impl Probe {
    fn begin(address: std::net::SocketAddr, contender: &Contender) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, request) = (Arc::clone(&stop), get(contender.path, &[]));
        let asking = thread::spawn(move || {
            let mut client = Client::new(connect(V4, address).expect("the listener is there"));
            let mut longest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client.send(&request).expect("the listener answers");
                longest = longest.max(asked.elapsed());
            }
            longest
        });
        Self { stop, asking }
    }

    fn end(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().expect("the probe does not panic").as_secs_f64() * 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::configure_times;

    #[test]
    fn the_time_of_a_call_is_between_the_lines_of_one_thread() {
        let log = "[2026-11-24 23:59:58.900][7][trace][wasm] [host->vm] proxy_on_configure(1, 300)\n\
                   [2026-11-24 23:59:58.950][8][trace][wasm] [host->vm] proxy_on_configure(1, 300)\n\
                   [2026-11-24 23:59:58.960][7][trace][wasm] [vm->host] env.proxy_get_buffer_bytes(7, 0, 300)\n\
                   [2026-11-24 23:59:59.150][7][trace][wasm] [host<-vm] proxy_on_configure return: 1\n\
                   [2026-11-24 23:59:59.050][8][trace][wasm] [host<-vm] proxy_on_configure return: 1\n";
        let times: Vec<i64> = configure_times(log).into_iter().map(|time| time.round() as i64).collect();
        assert_eq!(times, [250, 100]);
    }
}

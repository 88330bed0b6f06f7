//! A host for a proxy-wasm module, in an interpreter: ABI 0.2.1 of <https://github.com/proxy-wasm/spec>, as in Envoy.
//! It implements the hostcalls that the gate makes; any other import ends the VM with its name.
//!
//! It shows what Envoy does not show: each hostcall in order, the size of the memory, and traps. It can also make any
//! hostcall fail.

mod hostcalls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use wasmi::{Caller, Config, Engine, Error, ExternType, Instance, Linker, Memory, Module, Store, Val};

use crate::message::{Pair, Reply};
use crate::paths;

/// The hostcall statuses of the proxy-wasm ABI, except 0, which is success.
pub const FAILURES: std::ops::RangeInclusive<u32> = 1..=12;

/// The clock while a VM starts, in seconds since 1970.
pub const START: u64 = 1_800_000_000;

const CONTINUE: u32 = 0;
/// The first root context. Requests and later roots get the following ids.
const ROOT: u32 = 1;

/// A request, and the attributes that Envoy has for it.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// The header lines, including pseudo-headers.
    pub headers: Vec<Pair>,
    /// Whether a body follows the headers.
    pub has_body: bool,
    /// The trailers, if there are any.
    pub trailers: Vec<Pair>,
    /// Attributes by their path, such as `source.address`.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// The clock, in seconds since 1970.
    pub now: u64,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was forwarded to the upstream.
    Continue,
    /// The module answered it.
    Reply,
    /// It was paused without an answer: it would hang.
    Stuck,
    /// The module trapped. The caller gets a 5xx from Envoy (`FAIL_CLOSED`, `FAIL_RELOAD`).
    Trap(String),
}

/// Everything that the module did for one request.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The outcome.
    pub verdict: Verdict,
    /// The headers and trailers for the next filter.
    pub stream: Stream,
    /// The module's own answer.
    pub reply: Option<Reply>,
    /// What the module wrote to filter state.
    pub filter_state: BTreeMap<String, String>,
    /// Each hostcall in order, with its subject.
    pub calls: Vec<String>,
    /// The log lines.
    pub log: Vec<String>,
}

/// A hostcall that fails.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The index of the hostcall, from 0.
    pub call: usize,
    /// The status that it returns.
    pub status: u32,
}

/// The host's side of a VM.
#[derive(Debug, Default)]
struct Host {
    configuration: Vec<u8>,
    /// The maximum size of a returned configuration buffer, if it is limited.
    piece: Option<usize>,
    environment: Vec<u8>,
    variables: u32,
    /// The names and values of the metrics; an id is an index here.
    metrics: Vec<(String, u64)>,
    /// The data that all VMs share, with its version.
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    stream: Stream,
    reply: Option<Reply>,
    filter_state: BTreeMap<String, String>,
    calls: Vec<String>,
    log: Vec<String>,
    fault: Option<Fault>,
    /// How many configurations were loaded after the first: each has its own random numbers.
    updates: u8,
}

/// A compiled module, and its imports.
#[derive(Debug)]
pub struct Program {
    module: Module,
    linker: Linker<Host>,
    counts: bool,
}

impl Program {
    /// Compiles a module; with `counts`, its VMs count instructions ([`Vm::spent`]), which slows them down.
    ///
    /// # Panics
    /// If the file is missing or not a proxy-wasm module.
    pub fn read(file: &Path, counts: bool) -> Self {
        let bytes = std::fs::read(file).expect("the module can be read");
        let engine = Engine::new(Config::default().consume_fuel(counts));
        let module = Module::new(&engine, &bytes).expect("the module is valid");
        let mut linker = Linker::new(&engine);
        hostcalls::define(&mut linker).expect("each name is defined once");
        for import in module.imports() {
            let name = format!("{}.{}", import.module(), import.name());
            let ExternType::Func(of) = import.ty() else { panic!("an import that is no function: {name}") };
            let unknown = move |_: Caller<'_, Host>, _: &[Val], _: &mut [Val]| {
                Err(Error::new(format!("the module called {name}, which this host does not have")))
            };
            // The first definition of a name is kept.
            let _ = linker.func_new(import.module(), import.name(), of.clone(), unknown);
        }
        Self { module, linker, counts }
    }
}

/// A VM with one configured plugin.
#[derive(Debug)]
pub struct Vm {
    store: Store<Host>,
    instance: Instance,
    memory: Memory,
    root: u32,
    /// Older roots that are still there.
    old: Vec<u32>,
    last: u32,
}

type Answer = Result<u32, Error>;

impl Vm {
    /// Starts the module under test as Envoy does, with this configuration and environment.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    ///
    /// # Panics
    /// If the file is missing or not a proxy-wasm module.
    pub fn start(
        configuration: &[u8],
        environment: &BTreeMap<String, String>,
        fault: Option<Fault>,
    ) -> Result<Self, String> {
        static MODULE: OnceLock<Program> = OnceLock::new();
        let program = MODULE.get_or_init(|| Program::read(&paths::module(), false));
        Self::start_on(program, configuration, environment, fault)
    }

    /// As [`Vm::start`], with a given module.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    ///
    /// # Panics
    /// If it is not a proxy-wasm module.
    pub fn start_on(
        program: &Program,
        configuration: &[u8],
        environment: &BTreeMap<String, String>,
        fault: Option<Fault>,
    ) -> Result<Self, String> {
        let variables = environment.iter().map(|(name, value)| format!("{name}={value}\0"));
        let host = Host {
            configuration: configuration.to_vec(),
            environment: variables.collect::<String>().into_bytes(),
            variables: u32::try_from(environment.len()).expect("few variables"),
            fault,
            stream: Stream { now: START, ..Stream::default() },
            ..Host::default()
        };
        let mut store = Store::new(program.module.engine(), host);
        if program.counts {
            store.set_fuel(u64::MAX).expect("the engine counts");
        }
        let instance =
            program.linker.instantiate_and_start(&mut store, &program.module).expect("the module has its imports");
        let memory = instance.get_memory(&store, "memory").expect("the module exports its memory");
        let mut vm = Self { store, instance, memory, root: ROOT, old: Vec::new(), last: ROOT };
        let size = u32::try_from(configuration.len()).expect("a configuration below 4 GiB");
        let configured = vm.call::<(), ()>("_initialize", ()).and_then(|()| {
            vm.call::<_, ()>("proxy_on_context_create", (ROOT, 0_u32))?;
            vm.call::<_, u32>("proxy_on_vm_start", (ROOT, 0_u32))?;
            vm.call::<_, u32>("proxy_on_configure", (ROOT, size))
        });
        vm.store.data_mut().fault = None;
        let log = vm.log().join("\n");
        match configured {
            Ok(0) => Err(format!("refused: {log}")),
            Ok(_) => Ok(vm),
            Err(error) => Err(format!("trap: {error}: {log}")),
        }
    }

    /// Limits the number of configuration bytes that the host returns at once.
    pub fn hand_over_at_most(&mut self, piece: usize) {
        self.store.data_mut().piece = Some(piece);
    }

    /// Loads another configuration as Envoy does: in a new root context, then it deletes the old one.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    ///
    /// # Panics
    /// If the configuration is larger than the memory of a VM.
    pub fn update(&mut self, configuration: &[u8]) -> Result<(), String> {
        self.add(configuration)?;
        self.end_old()
    }

    /// Loads another configuration in a new root context, beside the old one, which still has connections.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    ///
    /// # Panics
    /// If the configuration is larger than the memory of a VM.
    pub fn add(&mut self, configuration: &[u8]) -> Result<(), String> {
        let host = self.store.data_mut();
        (host.configuration, host.updates) = (configuration.to_vec(), host.updates.wrapping_add(1));
        let size = u32::try_from(configuration.len()).expect("a configuration below 4 GiB");
        let root = self.last.checked_add(1).expect("fewer than 2^32 contexts");
        self.old.push(self.root);
        (self.root, self.last) = (root, root);
        let configured = self
            .call::<_, ()>("proxy_on_context_create", (root, 0_u32))
            .and_then(|()| self.call::<_, u32>("proxy_on_configure", (root, size)));
        match configured {
            Ok(0) => Err(format!("refused: {}", self.log().join("\n"))),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("trap: {error}: {}", self.log().join("\n"))),
        }
    }

    /// Deletes the older root contexts.
    ///
    /// # Errors
    /// If there is a trap; with the log.
    pub fn end_old(&mut self) -> Result<(), String> {
        for root in std::mem::take(&mut self.old) {
            let ended =
                self.call::<_, u32>("proxy_on_done", root).and_then(|_| self.call::<_, ()>("proxy_on_delete", root));
            ended.map_err(|error| format!("trap: {error}: {}", self.log().join("\n")))?;
        }
        Ok(())
    }

    /// Calls the timer of every root context at a time, in seconds since 1970.
    ///
    /// # Errors
    /// If there is a trap.
    pub fn tick(&mut self, now: u64) -> Result<(), String> {
        self.store.data_mut().stream.now = now;
        self.store.data_mut().calls.clear();
        let roots: Vec<u32> = self.old.iter().copied().chain([self.root]).collect();
        roots
            .into_iter()
            .try_for_each(|root| self.call::<_, ()>("proxy_on_tick", root).map_err(|error| error.to_string()))
    }

    /// The value of a metric, if it is defined.
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.store.data().metrics.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// The log lines since the VM was started, or since the last request began.
    pub fn log(&self) -> &[String] {
        &self.store.data().log
    }

    /// The hostcalls since the VM was started, or since the last request began.
    pub fn calls(&self) -> &[String] {
        &self.store.data().calls
    }

    /// The size of the linear memory, in bytes. It never shrinks.
    pub fn memory(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// The number of instructions that the VM has executed since the start, as the interpreter counts them (1 for a
    /// basic operation, and 1 for each 64 bytes of a copy); `None` if it does not count ([`Program::read`]).
    pub fn spent(&self) -> Option<u64> {
        self.store.get_fuel().ok().map(|left| u64::MAX - left)
    }

    /// Serves one request from its first callback to its last; `fault` fails. After a trap, the VM cannot be used any
    /// more.
    pub fn serve(&mut self, stream: Stream, fault: Option<Fault>) -> Exchange {
        let has_trailers = !stream.trailers.is_empty();
        let host = self.store.data_mut();
        (host.stream, host.fault, host.reply) = (stream, fault, None);
        host.filter_state.clear();
        host.calls.clear();
        host.log.clear();
        let ended = self.run(has_trailers);
        let host = self.store.data();
        let verdict = match ended {
            Err(error) => Verdict::Trap(error.to_string()),
            Ok(_) if host.reply.is_some() => Verdict::Reply,
            Ok(CONTINUE) => Verdict::Continue,
            Ok(_) => Verdict::Stuck,
        };
        Exchange {
            verdict,
            stream: host.stream.clone(),
            reply: host.reply.clone(),
            filter_state: host.filter_state.clone(),
            calls: host.calls.clone(),
            log: host.log.clone(),
        }
    }

    /// The callbacks of one request; the action of the first that does not continue.
    fn run(&mut self, has_trailers: bool) -> Answer {
        self.last = self.last.checked_add(1).expect("fewer than 2^32 requests");
        let id = self.last;
        self.call::<_, ()>("proxy_on_context_create", (id, self.root))?;
        let fields = u32::try_from(self.store.data().stream.headers.len()).expect("few headers");
        let end_of_stream = u32::from(!self.store.data().stream.has_body && !has_trailers);
        let mut action = self.call::<_, u32>("proxy_on_request_headers", (id, fields, end_of_stream))?;
        if action == CONTINUE && has_trailers {
            let fields = u32::try_from(self.store.data().stream.trailers.len()).expect("few trailers");
            action = self.call::<_, u32>("proxy_on_request_trailers", (id, fields))?;
        }
        // Envoy would call `proxy_on_done` and `proxy_on_log` before, but the module exports neither.
        self.call::<_, ()>("proxy_on_delete", id)?;
        Ok(action)
    }

    /// Skips a callback that the module does not export, as Envoy does.
    fn call<P, R>(&mut self, name: &str, parameters: P) -> Result<R, Error>
    where
        P: wasmi::WasmParams,
        R: wasmi::WasmResults + Default,
    {
        if self.instance.get_export(&self.store, name).is_none() {
            return Ok(R::default());
        }
        self.instance.get_typed_func::<P, R>(&self.store, name)?.call(&mut self.store, parameters)
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).expect("at least 32 bits")
}

/// The serialized form of a header map: the count, the sizes of all names and values, then names and values, each
/// followed by a NUL.
///
/// # Panics
/// If a name, a value or their number is 4 GiB.
pub fn serialize(fields: &[Pair]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).expect("less than 4 GiB").to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend([number(name.len()), number(value.len())].concat());
    }
    for (name, value) in fields {
        bytes.extend([name.as_slice(), b"\0", value, b"\0"].concat());
    }
    bytes
}

fn deserialize(bytes: &[u8]) -> Vec<Pair> {
    let number = |at: usize| index(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
    let (count, mut at) = (number(0), 4 + number(0) * 8);
    let mut take = |length: usize| {
        at += length + 1;
        bytes[at - length - 1..at - 1].to_vec()
    };
    (0..count).map(|place| (take(number(4 + place * 8)), take(number(8 + place * 8)))).collect()
}

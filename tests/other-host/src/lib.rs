//! The module under test in a third-party proxy-wasm host: the crate `proxy-wasm-host`, on wasmtime. It gets the same
//! input as the engine `wasm`, and its answers are compared with those of the other engines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use portcullis_tests::message::Reply;
use portcullis_tests::paths;
use portcullis_tests::proxy_wasm::{Exchange, Stream, Verdict};
use portcullis_tests::wasm_engine::Machine;
use proxy_wasm_host::abi::v0_2_1::types::{Action, LogLevel, MapType, MetricType, Status};
use proxy_wasm_host::abi::v0_2_1::{
    Access, Clock, ContextId, Guest, GuestError, Host, InMemoryStore, Invocation, LocalResponse, LogContext, LogSink,
    PluginConfig, SharedServices as _, Started, StreamState, VmServices,
};
use proxy_wasm_host::{EngineConfig, HeaderMap, HeaderMapExt as _, Limits, Module, VecHeaderMap};

/// What the host needs to run a module.
#[derive(Debug)]
pub struct Loaded {
    host: Host,
    module: Module,
}

/// The module with one configuration.
#[derive(Debug)]
pub struct OtherHost {
    guest: Guest,
    root: ContextId,
    /// The number of roots: each has its own name.
    roots: u32,
    services: Arc<Services>,
    metrics: Arc<InMemoryStore>,
}

/// What the module asks the host for, apart from its request.
#[derive(Debug, Default)]
struct Services {
    now: AtomicU64,
    log: Mutex<Vec<String>>,
}

/// One request, as the host passes it to the module.
struct Request {
    headers: VecHeaderMap,
    trailers: VecHeaderMap,
    properties: BTreeMap<String, Vec<u8>>,
    reply: Option<Reply>,
    written: BTreeMap<String, String>,
}

impl Loaded {
    /// Compiles a module.
    ///
    /// # Panics
    /// If it is not a module.
    pub fn new(bytes: &[u8]) -> Self {
        // No time limit for a call: on a busy machine, the default second may not be enough.
        let engine = EngineConfig::new().with_external_ticks(true).build().expect("the host has a runtime");
        let module = Module::new(&engine, bytes).expect("the module is valid");
        Self { host: Host::new(&engine).expect("the host has its calls"), module }
    }

    /// The module under test, read and compiled once.
    ///
    /// # Panics
    /// If the file is missing or not a module.
    pub fn module_under_test() -> &'static Self {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        LOADED.get_or_init(|| Self::new(&std::fs::read(paths::module()).expect("the module can be read")))
    }

    /// A VM with this configuration and environment.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    ///
    /// # Panics
    /// If the module does not use ABI 0.2.
    pub fn start(&self, configuration: &[u8], environment: &BTreeMap<String, String>) -> Result<OtherHost, String> {
        let (services, metrics) = (Arc::new(Services::default()), Arc::new(InMemoryStore::new()));
        let (log, clock) = (Arc::clone(&services), Arc::clone(&services));
        let variables = environment.iter().map(|(name, value)| (name.clone().into(), value.clone().into()));
        let vm = VmServices::new(log).with_clock(clock).with_environment(variables.collect());
        let vm = vm.with_shared(Arc::clone(&metrics) as _);
        let guest = Guest::new(&self.host, &self.module, vm, &Limits::default()).expect("the host takes the module");
        let root = ContextId::try_from(1).expect("the first context");
        let mut host = OtherHost { guest, root, roots: 0, services, metrics };
        host.configure(configuration)?;
        Ok(host)
    }
}

impl OtherHost {
    /// Gives the module a configuration, in a new root context. If it accepts it, it decides the following requests.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    pub fn configure(&mut self, configuration: &[u8]) -> Result<(), String> {
        self.roots += 1;
        let plugin = PluginConfig::new().with_root_id(self.roots.to_string()).with_configuration(configuration);
        match self.guest.start(plugin) {
            Ok(Started::Serving(root)) => {
                self.root = root;
                Ok(())
            }
            Ok(Started::Refused { .. }) => Err(format!("refused: {}", self.log().join("\n"))),
            Err(error) => Err(format!("trap: {error}: {}", self.log().join("\n"))),
        }
    }

    /// A counter of the module.
    ///
    /// # Panics
    /// If a metric of another kind has the name.
    pub fn counted(&self, name: &str) -> u64 {
        let call = Invocation::new(self.guest.id(), self.root);
        let id = self.metrics.define_metric(call, b"", MetricType::Counter, name.as_bytes()).expect("a counter");
        self.metrics.get_metric(call, id).expect("a value")
    }
}

impl Machine for OtherHost {
    const NAME: &'static str = "host";

    fn start(configuration: &[u8], environment: &BTreeMap<String, String>) -> Result<Self, String> {
        Loaded::module_under_test().start(configuration, environment)
    }

    fn log(&self) -> Vec<String> {
        self.services.lines().clone()
    }

    fn serve(&mut self, stream: Stream) -> Exchange {
        self.services.now.store(stream.now.saturating_mul(1_000_000_000), Ordering::Relaxed);
        self.services.lines().clear();
        let (headers, trailers) = (VecHeaderMap::from(stream.headers), VecHeaderMap::from(stream.trailers));
        let (properties, now) = (stream.properties, stream.now);
        let lent = Request { headers, trailers, properties, reply: None, written: BTreeMap::new() };
        let root = self.root;
        let (ended, back) = self.guest.with(lent, |scope| {
            let count = |map: &VecHeaderMap| u32::try_from(map.len()).expect("few fields");
            let (fields, trailers) = (count(&scope.stream().headers), count(&scope.stream().trailers));
            let context = scope.on_context_create(Some(root))?;
            let mut action = scope.on_request_headers(context, fields, trailers == 0)?;
            if action == Action::Continue && trailers > 0 {
                action = scope.on_request_trailers(context, trailers)?;
            }
            scope.on_done(context)?;
            scope.on_log(context)?;
            scope.on_delete(context)?;
            Ok::<_, GuestError>(action)
        });
        let verdict = match ended {
            Err(error) => Verdict::Trap(error.to_string()),
            Ok(_) if back.reply.is_some() => Verdict::Reply,
            Ok(Action::Continue) => Verdict::Continue,
            Ok(Action::Pause) => Verdict::Stuck,
        };
        let Request { headers, trailers, properties, reply, written } = back;
        let stream =
            Stream { headers: headers.pairs(), trailers: trailers.pairs(), properties, now, ..Stream::default() };
        Exchange { verdict, stream, reply, filter_state: written, calls: Vec::new(), log: self.log() }
    }
}

impl Services {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogSink for Services {
    fn log(&self, _: LogContext<'_>, _: LogLevel, message: &[u8]) {
        self.lines().push(String::from_utf8_lossy(message).into_owned());
    }
}

impl Clock for Services {
    fn realtime_nanos(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.realtime_nanos()
    }
}

impl StreamState for Request {
    fn header_map(&mut self, _: Invocation, _: Access, map: MapType) -> Result<&mut dyn HeaderMap, Status> {
        match map {
            MapType::HttpRequestHeaders => Ok(&mut self.headers),
            MapType::HttpRequestTrailers => Ok(&mut self.trailers),
            _ => Err(Status::BadArgument),
        }
    }

    fn send_local_response(&mut self, _: Invocation, response: LocalResponse<'_>) -> Result<(), Status> {
        let status = u16::try_from(response.status_code).map_err(|_| Status::BadArgument)?;
        let headers = response.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        self.reply = Some(Reply { status, headers, body: response.body.to_vec() });
        Ok(())
    }

    fn property(&mut self, _: Invocation, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        let value = self.properties.get(&name(path)).ok_or(Status::NotFound)?;
        out.extend_from_slice(value);
        Ok(())
    }

    fn set_property(&mut self, _: Invocation, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        self.written.insert(name(path), String::from_utf8_lossy(value).into_owned());
        Ok(())
    }
}

/// The path of a property in the notation of rows.
fn name(path: &[&[u8]]) -> String {
    String::from_utf8_lossy(&path.join(&b'.')).into_owned()
}

//! The engine `wasm`: the built module in the host of [`proxy_wasm`](crate::proxy_wasm), or in another host that
//! accepts the same input as the core. Each policy is loaded from JSON text and from a `Struct`.

use std::collections::BTreeMap;

use crate::cases::{Cases, EngineName, Row};
use crate::listener::PEER_KEY;
use crate::observation::Observation;
use crate::proxy_wasm::{Exchange, Stream, Verdict, Vm};
use crate::secrets;
use crate::told::{self, Told};
use crate::wire_engine::{Form, with_access_log};

/// The module with one configuration in a host.
pub trait Machine: Send + Sized {
    /// The name of the engine for such hosts.
    const NAME: &'static str;

    /// Loads the module under test, with this configuration and environment.
    ///
    /// # Errors
    /// If there is a trap, or the module refuses the configuration; with the log.
    fn start(configuration: &[u8], environment: &BTreeMap<String, String>) -> Result<Self, String>;

    /// The log lines of the start.
    fn log(&self) -> Vec<String>;

    /// Serves one request from its first callback to its last.
    fn serve(&mut self, stream: Stream) -> Exchange;
}

impl Machine for Vm {
    const NAME: &'static str = EngineName::Wasm.name();

    fn start(configuration: &[u8], environment: &BTreeMap<String, String>) -> Result<Self, String> {
        Self::start(configuration, environment, None)
    }

    fn log(&self) -> Vec<String> {
        self.log().to_vec()
    }

    fn serve(&mut self, stream: Stream) -> Exchange {
        self.serve(stream, None)
    }
}

/// The hosts of one file, by the name of the policy and its form.
#[derive(Debug)]
pub struct WasmEngine<M> {
    machines: BTreeMap<String, Vec<(Form, M)>>,
}

impl<M: Machine> WasmEngine<M> {
    /// Starts a host for each policy of `cases` in each form.
    ///
    /// # Errors
    /// If a policy is refused, the module traps, or a secret is in the log.
    pub fn start(cases: &Cases) -> Result<Self, String> {
        let mut machines = BTreeMap::new();
        cases.env.values().for_each(|value| secrets::in_value(value));
        for (name, document) in &cases.policies {
            let document = with_access_log(document);
            secrets::in_document(&document);
            let start = |form: Form| {
                let machine = M::start(&form.bytes(&document), &cases.env)
                    .map_err(|error| format!("policy `{name}` of {} as {}: {error}", cases.name, form.name()))?;
                match secrets::found_in(machine.log().join("\n").as_bytes()) {
                    Some(leak) => Err(format!("the log of policy `{name}` holds {leak}")),
                    None => Ok((form, machine)),
                }
            };
            machines.insert(name.clone(), Form::ALL.into_iter().map(start).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { machines })
    }

    /// Runs the request of a row under both forms of its policy.
    ///
    /// # Errors
    /// What no row may cause: a trap, a request that is neither answered nor forwarded, a log line.
    pub fn run(&mut self, cases: &Cases, row: &Row) -> Result<Vec<Observation>, String> {
        let told = Told::by(cases, row);
        let machines = self.machines.get_mut(&row.policy).into_iter().flatten();
        let asked = machines.map(|(form, machine)| (form.name(), machine.serve(stream(&told))));
        asked.map(|(form, exchange)| observe(&format!("{} {form}", M::NAME), &told, exchange)).collect()
    }
}

/// A row as input of the host.
pub fn stream(told: &Told) -> Stream {
    let mut properties = BTreeMap::from([("source.address".to_owned(), told.source.clone().into_bytes())]);
    properties.insert("connection.mtls".to_owned(), vec![u8::from(told.identity.is_some())]);
    if let Some(identity) = &told.identity {
        properties.insert("connection.uri_san_peer_certificate".to_owned(), identity.clone().into_bytes());
    }
    if let Some(state) = &told.state {
        properties.insert(format!("filter_state.{PEER_KEY}"), state.clone().into_bytes());
    }
    let now = u64::try_from(told.now.0).expect("a time after 1970");
    Stream { headers: told.headers.clone(), properties, now, ..Stream::default() }
}

fn observe(engine: &str, told: &Told, exchange: Exchange) -> Result<Observation, String> {
    if let Some(line) = exchange.log.first() {
        return Err(format!("a request makes the module log: {line}"));
    }
    let (reply, seen) = match (exchange.verdict, exchange.reply) {
        (Verdict::Continue, _) => (told::upstream_reply(), Some(told::forwarded(exchange.stream.headers))),
        (Verdict::Reply, Some(reply)) => (told.sent_by_envoy(reply), None),
        (verdict, _) => return Err(format!("the module in {engine} ends with {verdict:?}")),
    };
    let mut written = exchange.filter_state;
    let mut take = |name: &str| written.remove(&format!("portcullis.{name}"));
    Ok(Observation {
        engine: engine.to_owned(),
        on_wire: false,
        reason: take("reason"),
        decision: take("decision"),
        consumer: take("consumer"),
        key_id: take("key_id"),
        source: None,
        reply: Ok(reply),
        seen,
    })
}

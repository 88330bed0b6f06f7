//! The engine `wasm`: the built module in the host of [`proxy_wasm`](crate::proxy_wasm), told of a row what the core is told.
//! Each policy is loaded from JSON text and from a `Struct`.

use std::collections::BTreeMap;

use crate::cases::{Cases, Row};
use crate::listener::PEER_KEY;
use crate::observation::Observation;
use crate::proxy_wasm::{Exchange, Stream, Verdict, Vm};
use crate::secrets;
use crate::told::{self, Told};
use crate::wire_engine::{Form, with_access_log};

/// The VMs of one file, by the name of the policy and its form.
#[derive(Debug)]
pub struct WasmEngine {
    vms: BTreeMap<String, Vec<(Form, Vm)>>,
}

impl WasmEngine {
    /// Starts a VM for each policy of `cases` in each form.
    ///
    /// # Errors
    /// A policy that is refused, a trap, a secret in the log.
    pub fn start(cases: &Cases) -> Result<Self, String> {
        let mut vms = BTreeMap::new();
        cases.env.values().for_each(|value| secrets::in_value(value));
        for (name, document) in &cases.policies {
            let document = with_access_log(document);
            secrets::in_document(&document);
            let start = |form: Form| {
                let vm = Vm::start(&form.bytes(&document), &cases.env, None)
                    .map_err(|error| format!("policy `{name}` of {} as {}: {error}", cases.name, form.name()))?;
                match secrets::found_in(vm.log().join("\n").as_bytes()) {
                    Some(leak) => Err(format!("the log of policy `{name}` holds {leak}")),
                    None => Ok((form, vm)),
                }
            };
            vms.insert(name.clone(), Form::ALL.into_iter().map(start).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { vms })
    }

    /// Gives the request of a row to both forms of its policy.
    ///
    /// # Errors
    /// What no row may do: a trap, a request that is neither answered nor let through, a log line.
    pub fn run(&mut self, cases: &Cases, row: &Row) -> Result<Vec<Observation>, String> {
        let told = Told::by(cases, row);
        let vms = self.vms.get_mut(&row.policy).into_iter().flatten();
        vms.map(|(form, vm)| observe(*form, &told, vm.serve(stream(&told), None))).collect()
    }
}

/// A row as the host tells it.
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
    Stream { headers: told.headers.clone(), trailers: Vec::new(), properties, now }
}

fn observe(form: Form, told: &Told, exchange: Exchange) -> Result<Observation, String> {
    if let Some(line) = exchange.log.first() {
        return Err(format!("a request makes the module log: {line}"));
    }
    let (reply, seen) = match (exchange.verdict, exchange.reply) {
        (Verdict::Continue, _) => (told::upstream_reply(), Some(told::forwarded(exchange.stream.headers))),
        (Verdict::Reply, Some(reply)) => (told.sent_by_envoy(reply), None),
        (verdict, _) => return Err(format!("the module as {} ends with {verdict:?}", form.name())),
    };
    let mut written = exchange.filter_state;
    let mut take = |name: &str| written.remove(&format!("portcullis.{name}"));
    Ok(Observation {
        engine: format!("wasm {}", form.name()),
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

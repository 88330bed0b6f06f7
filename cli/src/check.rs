//! `portcullis check`: one request against a policy, decided by the same core as in the filter.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use clap::Args;
use portcullis::network::Peer;
use portcullis::{Decision, Edit, Host, Outcome, Request, Timestamp};
use serde_json::{Value, json};

use crate::files::PolicyFile;
use crate::output::Output;

const EXAMPLES: &str = "Examples:
  portcullis check --path /v2/models
  portcullis check policy.yaml --path /v2/models -H 'X-API-Key: my-secret'
  portcullis check policy.yaml --method DELETE --path /v2/models/iris
  portcullis check --path /v2 --peer 10.0.0.7:1234 --output json

Exit status: 0 the request goes on (in mode report too), 1 it is denied, 2 usage or input error.";

/// Decide about one request with a policy, as the gate would
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Check {
    #[command(flatten)]
    policy: PolicyFile,
    /// The method, as sent
    #[arg(long, default_value = "GET")]
    method: String,
    /// The request target, as sent, with its query
    #[arg(long)]
    path: String,
    /// The host that is asked for
    #[arg(long, default_value = "localhost")]
    authority: String,
    /// A header, as `Name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// What Envoy shows as source.address (port 0: taken from X-Forwarded-For)
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer: Option<String>,
    /// An address that the listener recorded in filter state, as `KEY=ADDRESS`
    #[arg(long, value_name = "KEY=ADDRESS")]
    filter_state: Option<String>,
    /// The peer's mTLS identity (a URI SAN), verified
    #[arg(long, value_name = "URI")]
    identity: Option<String>,
    /// The time, instead of now
    #[arg(long, value_name = "RFC3339")]
    now: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Check {
    pub(crate) fn run(self) -> Result<bool> {
        let (_, loaded) = self.policy.load()?;
        let headers = self.header_pairs()?;
        let host = self.host()?;
        let request = Request::new(&headers);
        let decision = loaded.policy.decide(&request, &host, &mut ());
        let outcome = loaded.policy.outcome(&request, &decision);
        let verdict = loaded.policy.verdict(&decision);
        for entry in &loaded.refused_entries {
            anstream::eprintln!("portcullis: key entry refused: {entry}");
        }
        if self.output == Output::Json {
            anstream::println!("{:#}", as_json(verdict, &decision, &outcome));
        } else {
            anstream::print!("{}", as_text(verdict, &decision, &outcome));
        }
        Ok(verdict != "deny")
    }

    fn header_pairs(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let pseudo = [(":method", &self.method), (":path", &self.path), (":authority", &self.authority)];
        let mut pairs: Vec<_> =
            pseudo.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        for (index, header) in self.headers.iter().enumerate() {
            // The header itself is not shown: it may be one without its colon that holds a key.
            let (name, value) = header.split_once(':').ok_or_else(|| {
                anyhow!("--header number {} has no colon: write it as 'Name: value'", index.saturating_add(1))
            })?;
            pairs.push((name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec()));
        }
        Ok(pairs)
    }

    fn host(&self) -> Result<Given> {
        let now = match &self.now {
            Some(text) => Timestamp::from_rfc3339(text)
                .ok_or_else(|| anyhow!("--now {text}: is no date-time: write one such as 2027-02-01T00:00:00Z"))?,
            None => Timestamp(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().try_into()?),
        };
        let filter_state = match &self.filter_state {
            Some(text) => {
                let (key, value) =
                    text.split_once('=').ok_or_else(|| anyhow!("--filter-state {text}: write it as KEY=ADDRESS"))?;
                Some((key.to_owned(), value.to_owned()))
            }
            None => None,
        };
        if let Some(peer) = &self.peer
            && Peer::parse(peer.as_bytes()).is_none()
        {
            return Err(anyhow!("--peer {peer}: write it as ADDRESS:PORT, such as 10.0.0.7:1234 or [::1]:1234"));
        }
        if !self.path.starts_with('/') {
            return Err(anyhow!("--path {}: begin it with /", self.path));
        }
        Ok(Given { now, peer: self.peer.clone(), filter_state, identity: self.identity.clone() })
    }
}

/// What the command line says of the connection.
struct Given {
    now: Timestamp,
    peer: Option<String>,
    filter_state: Option<(String, String)>,
    identity: Option<String>,
}

impl Host for Given {
    fn now(&self) -> Option<Timestamp> {
        Some(self.now)
    }

    fn source_address(&self) -> Option<Vec<u8>> {
        self.peer.clone().map(String::into_bytes)
    }

    fn filter_state(&self, key: &str) -> Option<Vec<u8>> {
        self.filter_state.as_ref().filter(|(name, _)| name == key).map(|(_, value)| value.clone().into_bytes())
    }

    fn mtls_identity(&self) -> Option<Vec<u8>> {
        self.identity.clone().map(String::into_bytes)
    }
}

/// What the decision is called, and what becomes of the request. No credential is in either.
fn as_text(verdict: &str, decision: &Decision<'_>, outcome: &Outcome<'_>) -> String {
    let green = anstyle::AnsiColor::Green.on_default().bold();
    let red = anstyle::AnsiColor::Red.on_default().bold();
    let style = if verdict == "allow" { green } else { red };
    let mut text = format!("{style}{verdict}{style:#} {}\n", decision.reason());
    if let Some(caller) = decision.caller() {
        text.push_str(&format!("  consumer  {}\n  key id    {}\n", caller.consumer.name.as_str(), caller.key.id()));
    }
    match outcome {
        Outcome::Forward(edits) => {
            for edit in edits {
                text.push_str(&match edit {
                    Edit::Remove(name) => format!("  remove    {name}\n"),
                    Edit::Set(name, value) => format!("  set       {name}: {}\n", value.escape_ascii()),
                });
            }
        }
        Outcome::Reply(reply) => {
            text.push_str(&format!("  status    {}\n", reply.status));
            for (name, value) in &reply.headers {
                text.push_str(&format!("  header    {name}: {value}\n"));
            }
            text.push_str(&format!("  body      {}\n", reply.body));
        }
    }
    text
}

fn as_json(verdict: &str, decision: &Decision<'_>, outcome: &Outcome<'_>) -> Value {
    let caller = decision.caller();
    let outcome = match outcome {
        Outcome::Forward(edits) => json!({"forward": edits.iter().map(|edit| match edit {
            Edit::Remove(name) => json!({"remove": name}),
            Edit::Set(name, value) => json!({"set": name, "value": value.escape_ascii().to_string()}),
        }).collect::<Vec<_>>()}),
        Outcome::Reply(reply) => json!({"reply": {
            "status": reply.status,
            "headers": reply.headers.iter().map(|(name, value)| json!([name, value])).collect::<Vec<_>>(),
            "body": reply.body,
        }}),
    };
    json!({
        "decision": verdict,
        "reason": decision.reason(),
        "consumer": caller.map(|caller| caller.consumer.name.as_str()),
        "key_id": caller.map(|caller| caller.key.id()),
        "outcome": outcome,
    })
}

//! The harness of the suites: a real Envoy with generated listeners, a recording upstream, clients that send any bytes,
//! and the table of cases, which runs through the policy core and through Envoy.
//!
//! Rules: no fixed ports (everything binds port 0 and reads the port back), no sleep as synchronisation ([`poll`] waits
//! for a condition with a deadline), nothing left running (child processes end with their owner, see [`leash`]).

pub mod admin;
pub mod agreement;
pub mod areas;
pub mod backends;
pub mod bootstrap;
pub mod bytes;
pub mod cases;
pub mod console;
pub mod core_engine;
pub mod crd;
pub mod envoy;
pub mod expect;
pub mod fleet;
pub mod follow;
pub mod forms;
pub mod front;
pub mod gateway;
pub mod grpc_program;
pub mod http1;
pub mod http2;
pub mod issued;
pub mod istio;
pub mod leash;
pub mod listener;
pub mod load;
pub mod machine;
pub mod mesh;
pub mod message;
pub mod monitored;
pub mod net;
pub mod observation;
pub mod packed;
pub mod paths;
pub mod poll;
pub mod prometheus;
pub mod proxy_wasm;
pub mod registry;
pub mod report;
pub mod secrets;
mod servers;
pub mod session;
pub mod sites;
pub mod spellings;
pub mod stage;
pub mod streaming;
pub use portcullis_models::structs;
pub mod table;
pub mod tls;
pub mod told;
pub mod upstream;
pub mod wasm_engine;
pub mod waypoint;
pub mod websocket;
pub mod wire_engine;
pub mod yaml;

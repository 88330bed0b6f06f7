//! The reply that the caller would get, or the changes that the upstream would see.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use portcullis::{HeaderMutation, Outcome, Reply, Request};
use serde_json::{Value, json};

/// The characters that `grpc-message` encodes (gRPC over HTTP/2, "Responses"), in addition to all that are not ASCII.
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// A reply as Envoy sends it, without `date` and `server`.
pub struct Wire {
    /// The HTTP status: 200 for gRPC.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body; a token is not shown.
    pub body: String,
}

impl Wire {
    /// Creates the reply to a request.
    pub fn new(reply: &Reply<'_>, request: &Request<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let pairs = reply.headers.headers().iter();
        let mut headers: Vec<_> = pairs.map(|(name, value)| (text(name), text(value))).collect();
        if !request.is_grpc {
            headers.push(("content-length".to_owned(), reply.body.len().to_string()));
            if reply.status == 400 {
                // Envoy closes the connection after a 400 (measured, HTTP/1).
                headers.push(("connection".to_owned(), "close".to_owned()));
            }
            let body = match request.method {
                b"HEAD" => String::new(),
                // A token is as good as the key.
                _ if reply.details == "portcullis_token_issued" => "(a token, not shown)".to_owned(),
                _ => reply.body.clone().into_owned(),
            };
            return Self { status: reply.status, headers, body };
        }
        // The grpc-status of Envoy's local replies (Grpc::Utility::httpToGrpcStatus).
        let status = match reply.status {
            401 => "16",
            403 => "7",
            _ => "13",
        };
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
        if !headers.iter().any(|(name, _)| name == "grpc-status") {
            headers.push(("grpc-status".to_owned(), status.to_owned()));
        }
        headers.push(("grpc-message".to_owned(), utf8_percent_encode(&reply.body, GRPC_MESSAGE).to_string()));
        Self { status: 200, headers, body: String::new() }
    }
}

/// The reply, or the header mutations, as JSON.
pub fn as_json(outcome: &Outcome<'_>, request: &Request<'_>) -> Value {
    match outcome {
        Outcome::Forward(mutations) => {
            let edit = |mutation: HeaderMutation<'_>| match mutation {
                HeaderMutation::Remove(name) => json!({"remove": name.escape_ascii().to_string()}),
                HeaderMutation::Add(name, value) | HeaderMutation::Set(name, value) => {
                    json!({"set": name.escape_ascii().to_string(), "value": value.escape_ascii().to_string()})
                }
            };
            json!({"forward": mutations.list().into_iter().map(edit).collect::<Vec<_>>()})
        }
        Outcome::Reply(reply) => {
            let Wire { status, headers, body } = Wire::new(reply, request);
            json!({"reply": {"status": status, "headers": headers, "body": body}})
        }
    }
}

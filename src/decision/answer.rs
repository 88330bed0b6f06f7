//! The endpoints, and what they answer.

use crate::keys::token::IssuedToken;
use crate::request::message::Request;
use crate::value::timestamp::Timestamp;

/// An endpoint of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// Tells callers who they are to the gate.
    Whoami,
    /// Issues a token for a key.
    Token,
}

impl Endpoint {
    /// Returns the methods, as in `Allow` (RFC 9110, section 10.2.1).
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Whoami => "GET, HEAD",
            Self::Token => "POST",
        }
    }

    /// Whether a request has one of the methods. For gRPC there is none: its replies would carry the answer in a header.
    pub(super) fn includes(self, request: &Request<'_>) -> bool {
        let mut methods = self.methods().split(", ");
        !request.is_grpc && methods.any(|method| method.as_bytes() == request.method)
    }
}

/// What an endpoint tells a caller.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(super) endpoint: Endpoint,
    /// The name of the reason for which the caller is allowed.
    pub(super) via: &'static str,
    /// When the credential expires.
    pub(super) expires: Option<Timestamp>,
    pub(super) token: Option<IssuedToken>,
}

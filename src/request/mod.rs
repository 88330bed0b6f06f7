//! The request: its header pairs, query, peer and credential.

pub(crate) mod credential;
pub(crate) mod header_names;
pub(crate) mod headers;
pub(crate) mod key_source;
pub(crate) mod message;
mod overrides;
pub(crate) mod peer;
pub(crate) mod query;
pub(crate) mod spiffe;

pub use credential::{MAX_KEY_LENGTH, Presented, find, is_presentable, is_token68};
pub use header_names::{
    ADDED_BY_A_PROXY, CLIENT_ADDRESSES, HOLDS_THE_CLIENT, METHOD_OVERRIDES, ROOT_OVERRIDES, URL_BEGINNINGS,
    URL_OVERRIDES,
};
pub use headers::{HeaderBlock, Headers};
pub use key_source::KeySource;
pub use message::Request;
pub use peer::{IpRange, Peer};
pub use spiffe::SpiffeIdPattern;

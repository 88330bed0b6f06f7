//! Step 5: allows callers without a key, by the address or the mTLS identity of their peer.

use super::host::Host;
use super::policy::Policy;
use super::reason::Reason;
use super::trace::{Event, Observer, Unidentified, Untrusted};
use crate::document::access::ClientAddress;
use crate::request::message::Request;
use crate::request::peer::{Peer, parse_address};

/// Returns the reason for which the caller is trusted, if it is.
pub(super) fn caller(
    policy: &Policy,
    request: &Request<'_>,
    host: &impl Host,
    observer: &mut impl Observer,
) -> Option<Reason> {
    let range = network(policy, request, host);
    observer.observe(|| Event::TrustedNetwork(range));
    if range.is_ok() {
        return Some(Reason::TrustedNetwork);
    }
    let identity = identity(policy, host);
    observer.observe(|| Event::TrustedIdentity(identity));
    identity.is_ok().then_some(Reason::TrustedIdentity)
}

/// Returns the index of the trusted range that contains the peer.
fn network(policy: &Policy, request: &Request<'_>, host: &impl Host) -> Result<usize, Untrusted> {
    if policy.trusted_networks.ranges.is_empty() {
        return Err(Untrusted::NoRange);
    }
    range_of_peer(policy, request, host)
}

#[inline(never)]
fn range_of_peer(policy: &Policy, request: &Request<'_>, host: &impl Host) -> Result<usize, Untrusted> {
    let networks = &policy.trusted_networks;
    let is_vouched_for = networks.client_address == ClientAddress::RemoteIp;
    // Any web page can make a trusted browser send a request.
    if defence!("cross-site-pages") && request.is_cross_site() {
        return Err(Untrusted::CrossSite);
    }
    if defence!("headers-that-name-a-client") && !is_vouched_for && request.names_a_client {
        return Err(Untrusted::Forwarded);
    }
    let in_range = |address| networks.ranges.iter().position(|range| range.contains(address));
    // The client must be the peer. For a caller from outside, Envoy itself writes the client's address
    // (X-Envoy-External-Address). Such a caller is rejected here, without reading the attribute, which costs as much as all
    // header mutations together.
    let counts = defence!("headers-that-hold-the-client") && !is_vouched_for;
    let client = if counts { request.held_client() } else { None };
    match client {
        Some(None) => return Err(Untrusted::Forwarded),
        Some(Some(client)) if in_range(&client).is_none() => return Err(Untrusted::ClientOutside),
        _ => {}
    }
    let peer = host.source_address().and_then(|address| Peer::parse(address.as_ref())).ok_or(Untrusted::NoPeer)?;
    if defence!("passthrough-addresses") && peer.stands_for_another() {
        return Err(Untrusted::StandsForAnother);
    }
    let range = in_range(&peer.address).ok_or(Untrusted::Outside)?;
    if defence!("client-is-the-peer") && client.is_some_and(|client| client != Some(peer.address)) {
        return Err(Untrusted::Forwarded);
    }
    match &networks.client_address {
        ClientAddress::RemoteIp => Ok(range),
        // Port 0: Envoy took the address from a header.
        ClientAddress::Direct => {
            (peer.port != 0 || !defence!("addresses-from-headers")).then_some(range).ok_or(Untrusted::FromHeader)
        }
        ClientAddress::FilterState(key) => {
            let recorded = host.filter_state(key.as_str()).and_then(|address| parse_address(address.as_ref()));
            (recorded == Some(peer.address)).then_some(range).ok_or(Untrusted::NotRecorded)
        }
    }
}

/// Returns the index of the trusted identity that matches the peer.
fn identity(policy: &Policy, host: &impl Host) -> Result<usize, Unidentified> {
    if policy.trusted_identities.is_empty() {
        return Err(Unidentified::NoneTrusted);
    }
    identity_of_peer(policy, host)
}

#[inline(never)]
fn identity_of_peer(policy: &Policy, host: &impl Host) -> Result<usize, Unidentified> {
    let uri = host.mtls_identity().ok_or(Unidentified::NoIdentity)?;
    policy.trusted_identities.iter().position(|one| one.matches(uri.as_ref())).ok_or(Unidentified::Outside)
}

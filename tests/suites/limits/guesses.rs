//! Callers who guess keys: the filter of the guide counts failed requests alone.

use std::net::{IpAddr, Ipv4Addr};

use portcullis_tests::grpc_program::GrpcProgram;
use portcullis_tests::poll;

use super::guide::{add_cluster, file, patient};
use super::rate_limits;
use super::{Limited, filters, key};

/// Another caller.
const ANOTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// An Envoy that asks the service before the gate.
fn guarded(service: &GrpcProgram) -> Limited {
    Limited::changed(&[], |document| {
        filters(document).insert(0, patient(file("guesses.yaml")[0].take()));
        add_cluster(document, service.address);
    })
}

#[test]
fn an_address_that_fails_too_often_gets_429_and_others_do_not() {
    let service = rate_limits(&["failed:true=3"]);
    let limited = guarded(&service);
    assert_eq!(limited.ask("alice", 8), [200; 8], "requests with a valid key do not count");
    for (path, expected) in [("/healthz", 200), ("/v2", 401)] {
        let statuses: Vec<u16> = (0..8).map(|_| limited.send(path, &[]).status).collect();
        assert_eq!(statuses, [expected; 8], "nor those without a key: {path}");
    }
    // Envoy counts when a request has ended, and does not wait for the service.
    let guess = || limited.send("/v2", &[("x-api-key", "limits-suite-guess")]).status;
    assert_eq!([guess(), guess(), guess()], [401; 3]);
    poll::until("the address has failed too often", || match guess() {
        429 => Some(()),
        status => {
            assert_eq!(status, 401);
            None
        }
    });
    assert_eq!(limited.ask("alice", 1), [429], "also with a valid key");
    assert_eq!(limited.send("/healthz", &[]).status, 429, "also on a public path");
    let from_another = |headers: &[(&str, &str)]| limited.send_from(ANOTHER, "/v2", headers).status;
    assert_eq!(from_another(&[("x-api-key", &key("alice"))]), 200);
    assert_eq!(from_another(&[("x-api-key", "limits-suite-guess")]), 401);
    // What a caller says about its address does not count.
    assert_eq!(limited.send("/v2", &[("x-forwarded-for", "192.0.2.1")]).status, 429);
}

#[test]
fn guesses_of_grpc_callers_count_too() {
    let service = rate_limits(&["failed:true=1"]);
    let limited = guarded(&service);
    let guess = [("x-api-key", "limits-suite-guess"), ("content-type", "application/grpc")];
    poll::until("the address has failed too often", || {
        let status = limited.send("/v2", &guess).header("grpc-status");
        assert!(matches!(status.as_deref(), Some("8" | "16")), "{status:?}");
        (status.as_deref() == Some("8")).then_some(())
    });
    assert_eq!(limited.ask("alice", 1), [429]);
}

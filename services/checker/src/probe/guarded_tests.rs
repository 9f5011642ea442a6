//! The guard stands before every type of probe.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

use watchkeeper_store::{ConnectOptions, Endpoint, Origin};

use super::Probers;
use super::testing::{every_type, message};
use crate::guard::{GuardRules, Trust};
use crate::testing::endpoint;

const TIMEOUT: Duration = Duration::from_secs(2);

const LOOPBACK: &str = "refused: the target's address is loopback, which may not be probed";

fn probers(rules: GuardRules, ip: [u8; 4]) -> Probers {
    Probers::told(rules, move |_| vec![IpAddr::from(ip)])
}

/// What each type says of a host, for an author in namespace `shop`.
async fn all_say(probers: &Probers, trust: Trust, host: &str, port: u16, expected: &str) {
    for probe in every_type(host, port, ConnectOptions::default()) {
        let outcome = probers.probe(trust, "shop", &probe, &[], TIMEOUT).await;
        assert_eq!((outcome.ok, message(&outcome)), (false, expected), "{probe:?}");
        assert!(!outcome.seen.connected);
    }
}

#[tokio::test]
async fn a_stranger_reaches_nothing_inside_by_any_type() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let udp = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    let inside = probers(GuardRules::default(), [127, 0, 0, 1]);
    for host in ["inside.test", "127.0.0.1", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"] {
        all_say(&inside, Trust::Stranger, host, port, LOOPBACK).await;
    }
    let monitor = endpoint(1, &format!("https://inside.test:{port}/"));
    let monitor = Endpoint { origin: Origin::Monitor, ..monitor };
    assert_eq!(inside.certificate(&monitor, TIMEOUT).await, Err(LOOPBACK.to_owned()));

    tcp.set_nonblocking(true).expect("an option");
    udp.set_nonblocking(true).expect("an option");
    let nothing = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
    assert!(tcp.accept().is_err_and(nothing), "somebody connected");
    assert!(udp.recv_from(&mut [0; 512]).is_err_and(nothing), "somebody sent something");
}

#[tokio::test]
async fn where_the_network_is_allowed_a_stranger_gets_through_by_every_type() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port();
    let rules =
        GuardRules { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..GuardRules::default() };
    let allowed = probers(rules, [127, 0, 0, 1]);
    for probe in every_type("inside.test", port, ConnectOptions::default()) {
        let outcome = allowed.probe(Trust::Stranger, "", &probe, &[], Duration::from_millis(100)).await;
        assert!(!message(&outcome).starts_with("refused"), "{probe:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn metadata_and_denied_networks_are_closed_to_manifests_by_every_type() {
    let metadata = "refused: the target's address is link-local or metadata, which may not be probed";
    let probers_of_metadata = probers(GuardRules::default(), [169, 254, 169, 254]);
    for host in ["metadata.test", "169.254.169.254", "2852039166"] {
        all_say(&probers_of_metadata, Trust::Operator, host, 80, metadata).await;
    }
    let denied = "refused: the target's address is denied by this installation, which may not be probed";
    let rules = GuardRules { deny: vec!["127.0.0.0/8".parse().expect("a network")], ..GuardRules::default() };
    all_say(&probers(rules, [127, 0, 0, 1]), Trust::Operator, "inside.test", 80, denied).await;
}

#[tokio::test]
async fn a_namespace_with_hosts_asks_no_other_by_any_type() {
    let limited =
        GuardRules { hosts: vec!["shop=ok.test".parse().expect("a limit")], ..GuardRules::default() };
    let refused = "refused: the endpoint's namespace may not probe this host";
    let limited = probers(limited, [127, 0, 0, 1]);
    for host in ["other.test", "127.0.0.1"] {
        all_say(&limited, Trust::Operator, host, 80, refused).await;
    }
}

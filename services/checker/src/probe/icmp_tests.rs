//! Echoes that are really sent, each test in a network of its own: over either kind of socket, answered,
//! missed and forged.

use watchkeeper_store::{ConnectOptions, Probe};

use super::*;
use crate::Outcome;
use crate::probe::testing::{ask, in_own_network, message};

/// What lets a process have both kinds of sockets, raw ones alone, or neither.
const DATAGRAMS: &str = "echo 0 0 > /proc/sys/net/ipv4/ping_group_range";
const RAW_ALONE: &str = "echo 1 0 > /proc/sys/net/ipv4/ping_group_range";
const NEITHER: &str = "echo 1 0 > /proc/sys/net/ipv4/ping_group_range
    exec setpriv --bounding-set=-net_raw \"$@\"";

const LOOPBACK: [&str; 2] = ["127.0.0.1", "::1"];

async fn ping(host: &str, count: u32, payload_bytes: u32, condition: &[&str], timeout_ms: u64) -> Outcome {
    let connect = ConnectOptions::default();
    let probe = Probe::Icmp(IcmpProbe { host: host.into(), count, payload_bytes, connect });
    ask(&probe, condition, Duration::from_millis(timeout_ms)).await
}

/// Makes the kernel of this network answer echo requests, or not.
fn answers(set: bool) {
    for setting in ["ipv4/icmp_echo_ignore_all", "ipv6/icmp/echo_ignore_all"] {
        let ignored = if set { "0" } else { "1" };
        std::fs::write(format!("/proc/sys/net/{setting}"), ignored).expect("root of this network");
    }
}

/// How many requests this network has taken, of the version of IP of `host`.
fn requests(host: &str) -> u64 {
    let read = |file: &str| std::fs::read_to_string(file).expect("the kernel's counters");
    let count = if host.contains(':') {
        let counters = read("/proc/net/snmp6");
        let line = counters.lines().find(|line| line.starts_with("Icmp6InEchos ")).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
    } else {
        let counters = read("/proc/net/snmp");
        let mut lines = counters.lines().filter(|line| line.starts_with("Icmp: "));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let at = names.split_whitespace().position(|name| name == "InEchos");
        at.and_then(|at| values.split_whitespace().nth(at)?.parse().ok())
    };
    count.expect("a counter of requests")
}

/// What holds over either kind of socket.
async fn echoes_are_exchanged(is_raw: bool) {
    for host in ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.1", "own.test"] {
        for payload in [0, 13, 1_400] {
            let outcome = ping(host, 1, payload, &["[CONNECTED] == true"], 5_000).await;
            assert!(outcome.ok && outcome.seen.connected, "{host}: {outcome:?}");
        }
    }
    for host in LOOPBACK {
        let ip: IpAddr = host.parse().expect("an address");
        assert_eq!(Echoes::open(ip).expect("a socket").is_raw, is_raw, "{host}");
        let before = requests(host);
        assert!(ping(host, 5, 56, &[], 5_000).await.ok);
        assert_eq!(requests(host), before + 1, "one that is answered is enough");

        answers(false);
        let before = requests(host);
        let silent = ping(host, 3, 56, &[], 1_500).await;
        assert_eq!((silent.ok, message(&silent)), (false, "no answer within 1.5s"));
        assert_eq!(requests(host), before + 3);
        let expected = ping(host, 1, 56, &["[CONNECTED] == false"], 300).await;
        assert!(expected.ok, "{expected:?}");

        // It is there again while it is asked.
        let before = requests(host);
        let wakes = async {
            while requests(host) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            answers(true);
        };
        let (late, ()) = tokio::join!(ping(host, 10, 56, &[], 5_000), wakes);
        assert!(late.ok, "{late:?}");
        assert!(requests(host) > before + 1, "the first one stays without an answer");
    }
}

/// A socket of somebody who makes up messages.
fn forger(ip: [u8; 4]) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("a raw socket");
    socket.set_nonblocking(true).expect("an option");
    socket.bind(&SocketAddr::from((ip, 0)).into()).expect("an address");
    UdpSocket::from_std(socket.into()).expect("a socket")
}

/// What is no answer of the host to a request of the check does not end the wait.
async fn nothing_forged_is_taken_for_an_answer() {
    answers(false);
    let (host, stranger) = (forger([127, 0, 0, 1]), forger([127, 0, 0, 2]));
    let mut asked = tokio::spawn(async { ping("127.0.0.1", 1, 8, &[], 20_000).await });
    let mut buffer = [0; 200];
    let (identifier, sequence) = loop {
        let (length, _) = host.recv_from(&mut buffer).await.expect("a message");
        // After 20 bytes of IP.
        if let [8, 0, _, _, a, b, c, d, ..] = &buffer[20..length] {
            break (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        }
    };
    let right = echo(0, identifier, sequence, 8);
    let mut damaged = right.clone();
    damaged[10] ^= 1;
    let to = SocketAddr::from(([127, 0, 0, 1], 0));
    for forged in [
        echo(0, identifier.wrapping_add(1), sequence, 8),
        echo(0, identifier, sequence.wrapping_add(1), 8),
        echo(0, identifier, sequence.wrapping_sub(1), 8),
        echo(3, identifier, sequence, 8),
        right[..7].to_vec(),
        damaged,
    ] {
        host.send_to(&forged, to).await.expect("sent");
    }
    stranger.send_to(&right, to).await.expect("sent");
    // Loopback delivers while it is sent: what counted would be seen at once.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut asked).await;
    assert!(early.is_err(), "{early:?}");
    host.send_to(&right, to).await.expect("sent");
    let outcome = asked.await.expect("no panic");
    assert!(outcome.ok, "{outcome:?}");
}

#[tokio::test]
async fn echoes_over_a_datagram_socket_are_answered_counted_and_missed() {
    let name = "probe::icmp::tests::echoes_over_a_datagram_socket_are_answered_counted_and_missed";
    if in_own_network(name, DATAGRAMS) {
        echoes_are_exchanged(false).await;
    }
}

#[tokio::test]
async fn echoes_over_a_raw_socket_are_answered_counted_and_missed() {
    let name = "probe::icmp::tests::echoes_over_a_raw_socket_are_answered_counted_and_missed";
    if in_own_network(name, RAW_ALONE) {
        echoes_are_exchanged(true).await;
    }
}

#[tokio::test]
async fn a_datagram_socket_takes_nothing_forged_for_an_answer() {
    let name = "probe::icmp::tests::a_datagram_socket_takes_nothing_forged_for_an_answer";
    if in_own_network(name, DATAGRAMS) {
        nothing_forged_is_taken_for_an_answer().await;
    }
}

#[tokio::test]
async fn a_raw_socket_takes_nothing_forged_for_an_answer() {
    let name = "probe::icmp::tests::a_raw_socket_takes_nothing_forged_for_an_answer";
    if in_own_network(name, RAW_ALONE) {
        nothing_forged_is_taken_for_an_answer().await;
    }
}

#[tokio::test]
async fn who_may_send_no_echoes_is_told_what_to_do_and_never_up() {
    let name = "probe::icmp::tests::who_may_send_no_echoes_is_told_what_to_do_and_never_up";
    if in_own_network(name, NEITHER) {
        for host in LOOPBACK {
            let outcome = ping(host, 1, 8, &["[CONNECTED] == false"], 5_000).await;
            let told = message(&outcome);
            assert!(!outcome.ok && told.contains("ping_group_range to its group, or give it CAP_NET_RAW"));
        }
    }
}

#[test]
fn a_message_with_its_checksum_sums_up_to_nothing() {
    let message = echo(8, 0x5678, 0x1234, 13);
    assert_eq!(message.len(), 8 + 13);
    assert_eq!(checksum(&message), 0);
}

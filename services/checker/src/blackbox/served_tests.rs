//! Every module as Prometheus asks it: which series there are, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::response::Redirect;
use axum::routing::post;
use hickory_resolver::proto::rr::rdata::{NS, SOA};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use rcgen::date_time_ymd;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::guard::GuardRules;
use crate::probe::testing::{Behind, Own, acceptor, health, in_own_network, listen, name_server};

/// Series by name and labels.
type Series = BTreeMap<String, f64>;

/// Probers of an installation that lets strangers ask this machine, which has all names.
fn probers() -> Probers {
    let allow = vec!["127.0.0.0/8".parse().expect("a network")];
    let rules = GuardRules { allow, ..GuardRules::default() };
    Probers::told(rules, |_| vec![IpAddr::from([127, 0, 0, 1])])
}

/// Scrapes a target by a module, as `module=…&target=…` and what else the module takes.
async fn scrape(probers: &Probers, query: &str) -> Series {
    let (listener, port) = listen().await;
    let router = router(probers.clone(), Modules::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    let request = format!(
        "GET /probe?{query} HTTP/1.0\r\nHost: checker\r\nX-Prometheus-Scrape-Timeout-Seconds: 5.5\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 200 ") && head.contains("text/plain; version=0.0.4"), "{answer}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series: Series = lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        })
        .collect();
    assert_eq!(series["probe_timeout_seconds"], 5.0);
    assert!(series["probe_duration_seconds"] > 0.0);
    series
}

const COMMON: [&str; 7] = [
    "probe_success",
    "probe_degraded",
    "probe_duration_seconds",
    "probe_dns_lookup_time_seconds",
    "probe_ip_protocol",
    "probe_ip_addr_hash",
    "probe_timeout_seconds",
];

const TLS: [&str; 5] = [
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_ssl_last_chain_info",
    "probe_tls_version_info",
    "probe_tls_cipher_info",
];

/// That there are the common names and these, and no others.
#[track_caller]
fn are_named(series: &Series, own: &[&str]) {
    let found: BTreeSet<&str> = series.keys().map(|key| key.split('{').next().unwrap_or(key)).collect();
    let expected: BTreeSet<&str> = COMMON.into_iter().chain(own.iter().copied()).collect();
    assert_eq!(found, expected);
}

#[track_caller]
fn say(series: &Series, expected: &[(&str, f64)]) {
    for (name, value) in expected {
        assert_eq!(series.get(*name), Some(value), "{name} of {series:#?}");
    }
}

/// The values of a label that a name has, in order.
fn labels(series: &Series, name: &str, label: &str) -> BTreeSet<String> {
    let start = format!("{name}{{{label}=\"");
    series.keys().filter_map(|key| Some(key.strip_prefix(&start)?.strip_suffix("\"}")?.to_owned())).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn server_certificate() -> Own {
    Own::with("own.test", |params| params.not_after = date_time_ymd(2099, 1, 1))
}

/// What is known about the certificate of `own`, which is trusted.
#[track_caller]
fn tell_of(series: &Series, own: &Own) {
    let end = 4_070_908_800.0;
    say(
        series,
        &[
            ("probe_ssl_earliest_cert_expiry", end),
            ("probe_ssl_last_chain_expiry_timestamp_seconds", end),
            ("probe_tls_version_info{version=\"TLS 1.3\"}", 1.0),
        ],
    );
    let fingerprint: String =
        Sha256::digest(&own.certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    let (info, value) =
        series.iter().find(|(key, _)| key.starts_with("probe_ssl_last_chain_info{")).expect("it is there");
    let fields = ["fingerprint_sha256=", "issuer=", "serialnumber=", "subject=", "subjectalternative="];
    assert!(fields.iter().all(|field| info.contains(field)) && *value == 1.0, "{info}");
    assert!(info.contains(&fingerprint) && info.contains("subjectalternative=\"own.test\""), "{info}");
    let ciphers = labels(series, "probe_tls_cipher_info", "cipher");
    assert!(ciphers.len() == 1 && ciphers.iter().all(|name| name.starts_with("TLS_")), "{ciphers:?}");
}

const HTTP: [&str; 8] = [
    "probe_http_status_code",
    "probe_http_redirects",
    "probe_http_ssl",
    "probe_http_version",
    "probe_http_content_length",
    "probe_http_uncompressed_body_length",
    "probe_http_duration_seconds",
    "probe_failed_due_to_regex",
];

#[tokio::test]
async fn http_2xx_tells_of_redirects_version_lengths_phases_and_certificate() {
    let own = server_certificate();
    let router = Router::new()
        .route("/", get(|| async { Redirect::temporary("/new") }))
        .route("/new", get(|| async { ([("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")], "hello") }));
    let (listener, port) = listen().await;
    let behind = Behind(listener, acceptor(&own, None, &["h2", "http/1.1"]));
    tokio::spawn(async move { axum::serve(behind, router).await });
    let series =
        scrape(&probers().trusting(&own.pem), &format!("module=http_2xx&target=https://own.test:{port}/"))
            .await;
    let names = [&HTTP[..], &TLS[..], &["probe_http_last_modified_timestamp_seconds"][..]].concat();
    are_named(&series, &names);
    say(
        &series,
        &[
            ("probe_success", 1.0),
            ("probe_degraded", 0.0),
            ("probe_ip_protocol", 4.0),
            ("probe_http_status_code", 200.0),
            ("probe_http_redirects", 1.0),
            ("probe_http_ssl", 1.0),
            ("probe_http_version", 2.0),
            ("probe_http_content_length", 5.0),
            ("probe_http_uncompressed_body_length", 5.0),
            ("probe_http_last_modified_timestamp_seconds", 1_445_412_480.0),
            ("probe_failed_due_to_regex", 0.0),
        ],
    );
    let phases = labels(&series, "probe_http_duration_seconds", "phase");
    assert_eq!(phases, set(&["resolve", "connect", "tls", "processing", "transfer"]));
    tell_of(&series, &own);

    // Nobody vouches for it: what it says is told, but no trust.
    let unknown = scrape(&probers(), &format!("module=http_2xx&target=https://own.test:{port}/")).await;
    say(&unknown, &[("probe_success", 0.0), ("probe_http_status_code", 0.0), ("probe_http_version", 0.0)]);
    say(&unknown, &[("probe_ssl_earliest_cert_expiry", 4_070_908_800.0)]);
    assert!(!unknown.contains_key("probe_ssl_last_chain_expiry_timestamp_seconds"));
}

#[tokio::test]
async fn http_post_2xx_posts_and_what_is_not_good_tells_its_status() {
    let unbounded =
        || async { Body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from("abc"))])) };
    let router = Router::new().route("/", post(unbounded));
    let (listener, port) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    let posted = scrape(&probers(), &format!("module=http_post_2xx&target=own.test:{port}")).await;
    are_named(&posted, &HTTP);
    say(
        &posted,
        &[
            ("probe_success", 1.0),
            ("probe_http_status_code", 200.0),
            ("probe_http_redirects", 0.0),
            ("probe_http_ssl", 0.0),
            ("probe_http_version", 1.1),
            ("probe_http_content_length", -1.0),
            ("probe_http_uncompressed_body_length", 3.0),
        ],
    );
    let got = scrape(&probers(), &format!("module=http_2xx&target=own.test:{port}")).await;
    say(&got, &[("probe_success", 0.0), ("probe_http_status_code", 405.0)]);
}

/// A server that greets, behind TLS where there is a certificate; its port.
async fn greeter(own: Option<&Own>, greeting: &'static str) -> u16 {
    let acceptor = own.map(|own| acceptor(own, None, &[]));
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Some(acceptor) = acceptor else {
                    let _ = socket.write_all(greeting.as_bytes()).await;
                    let _ = socket.read(&mut [0]).await;
                    return;
                };
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let _ = stream.write_all(greeting.as_bytes()).await;
                let _ = stream.flush().await;
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn modules_over_tcp_tell_of_what_was_said_and_of_certificates() {
    let own = server_certificate();
    let probers = probers().trusting(&own.pem);
    let ssh = greeter(None, "SSH-2.0-OpenSSH_10\r\n").await;
    for module in ["tcp_connect", "ssh_banner"] {
        let series = scrape(&probers, &format!("module={module}&target=own.test:{ssh}")).await;
        are_named(&series, &["probe_failed_due_to_regex"]);
        say(&series, &[("probe_success", 1.0), ("probe_failed_due_to_regex", 0.0)]);
    }
    let other = greeter(None, "220 mail\r\n").await;
    let other = scrape(&probers, &format!("module=ssh_banner&target=own.test:{other}")).await;
    say(&other, &[("probe_success", 0.0), ("probe_failed_due_to_regex", 1.0)]);

    let pop = greeter(Some(&own), "+OK ready\r\n").await;
    let banner = scrape(&probers, &format!("module=pop3s_banner&target=own.test:{pop}")).await;
    are_named(&banner, &[&TLS[..], &["probe_failed_due_to_regex"][..]].concat());
    say(&banner, &[("probe_success", 1.0)]);
    tell_of(&banner, &own);
    // The name for TLS in place of the target's.
    let target = format!("target=127.0.0.1:{pop}&hostname=own.test");
    let handshake = scrape(&probers, &format!("module=tls_connect&{target}")).await;
    are_named(&handshake, &TLS);
    say(&handshake, &[("probe_success", 1.0)]);
    tell_of(&handshake, &own);
}

#[tokio::test]
async fn modules_of_dns_tell_of_sections_serial_and_phases() {
    let name = |text: &str| Name::from_ascii(text).expect("a name");
    let at = name_server("127.0.0.1:0", Duration::ZERO, move |asked, kind| match (asked, kind) {
        ("all.test.", RecordType::SOA) => {
            let soa = SOA::new(name("ns1.all.test."), name("admin.all.test."), 2_026_113_001, 2, 3, 4, 5);
            Some(vec![RData::SOA(soa)])
        }
        (".", RecordType::NS) => Some(vec![RData::NS(NS(name("a.test."))), RData::NS(NS(name("b.test.")))]),
        _ => Some(Vec::new()),
    })
    .await;
    let names = [
        "probe_dns_duration_seconds",
        "probe_dns_answer_rrs",
        "probe_dns_authority_rrs",
        "probe_dns_additional_rrs",
        "probe_dns_query_succeeded",
    ];
    for module in ["dns_udp", "dns_tcp", "dns"] {
        let root = scrape(&probers(), &format!("module={module}&target={at}")).await;
        are_named(&root, &names);
        say(
            &root,
            &[
                ("probe_success", 1.0),
                ("probe_dns_answer_rrs", 2.0),
                ("probe_dns_authority_rrs", 0.0),
                ("probe_dns_additional_rrs", 0.0),
                ("probe_dns_query_succeeded", 1.0),
            ],
        );
        let phases = labels(&root, "probe_dns_duration_seconds", "phase");
        assert_eq!(phases, set(&["resolve", "connect", "request"]));
        let zone = scrape(&probers(), &format!("module={module}&target={at}&name=all.test&type=SOA")).await;
        say(&zone, &[("probe_success", 1.0), ("probe_dns_serial", 2_026_113_001.0)]);
        let none = scrape(&probers(), &format!("module={module}&target={at}&name=all.test&type=A")).await;
        say(&none, &[("probe_success", 0.0), ("probe_dns_query_succeeded", 1.0)]);
    }
    let (listener, port) = listen().await;
    drop(listener);
    let away = scrape(&probers(), &format!("module=dns_tcp&target=127.0.0.1:{port}")).await;
    say(&away, &[("probe_success", 0.0), ("probe_dns_query_succeeded", 0.0)]);
}

#[tokio::test]
async fn modules_of_grpc_tell_of_status_and_state() {
    let own = server_certificate();
    let probers = probers().trusting(&own.pem);
    let (plain, port) = listen().await;
    tokio::spawn(async move { axum::serve(plain, health()).await });
    let (secure, secure_port) = listen().await;
    let behind = Behind(secure, acceptor(&own, None, &["h2"]));
    tokio::spawn(async move { axum::serve(behind, health()).await });
    let names = [
        "probe_grpc_ssl",
        "probe_grpc_status_code",
        "probe_grpc_healthcheck_response",
        "probe_grpc_duration_seconds",
    ];
    let state = |state: &str| format!("probe_grpc_healthcheck_response{{serving_status=\"{state}\"}}");
    for (module, port, ssl) in [("grpc_plain", port, 0.0), ("grpc", secure_port, 1.0)] {
        let target = format!("module={module}&target=own.test:{port}");
        let good = scrape(&probers, &target).await;
        let of_tls = if ssl > 0.0 { &TLS[..] } else { &TLS[..0] };
        are_named(&good, &[&names[..], of_tls].concat());
        say(&good, &[("probe_success", 1.0), ("probe_grpc_ssl", ssl), ("probe_grpc_status_code", 0.0)]);
        say(
            &good,
            &[
                (state("SERVING").as_str(), 1.0),
                (state("NOT_SERVING").as_str(), 0.0),
                (state("UNKNOWN").as_str(), 0.0),
            ],
        );
        assert_eq!(labels(&good, "probe_grpc_duration_seconds", "phase"), set(&["resolve", "check"]));
        let bad = scrape(&probers, &format!("{target}&service=n")).await;
        say(
            &bad,
            &[("probe_success", 0.0), (state("SERVING").as_str(), 0.0), (state("NOT_SERVING").as_str(), 1.0)],
        );
        let unknown = scrape(&probers, &format!("{target}&service=x")).await;
        say(
            &unknown,
            &[("probe_success", 0.0), ("probe_grpc_status_code", 5.0), (state("SERVING").as_str(), 0.0)],
        );
    }
}

#[tokio::test]
async fn the_module_of_websockets_tells_of_the_handshake() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Holds it until the other side goes.
                if let Ok(mut socket) = tokio_tungstenite::accept_async(socket).await {
                    while let Some(Ok(_)) = futures::StreamExt::next(&mut socket).await {}
                }
            });
        }
    });
    let names =
        ["probe_websocket_status_code", "probe_websocket_connection_upgraded", "probe_failed_due_to_regex"];
    let open = scrape(&probers(), &format!("module=websocket&target=ws://own.test:{port}/")).await;
    are_named(&open, &names);
    let (status, upgraded) = ("probe_websocket_status_code", "probe_websocket_connection_upgraded");
    say(&open, &[("probe_success", 1.0), (status, 101.0), (upgraded, 1.0)]);
    let (web, port) = listen().await;
    tokio::spawn(async move { axum::serve(web, Router::new()).await });
    let other = scrape(&probers(), &format!("module=websocket&target=ws://own.test:{port}/")).await;
    are_named(&other, &names);
    say(&other, &[("probe_success", 0.0), (status, 404.0), (upgraded, 0.0)]);
}

#[tokio::test]
async fn the_module_of_icmp_tells_of_the_round_trip() {
    let test = "blackbox::served_tests::the_module_of_icmp_tells_of_the_round_trip";
    if !in_own_network(test, "echo 0 0 > /proc/sys/net/ipv4/ping_group_range") {
        return;
    }
    let series = scrape(&probers(), "module=icmp&target=127.0.0.1").await;
    are_named(&series, &["probe_icmp_duration_seconds"]);
    say(&series, &[("probe_success", 1.0), ("probe_ip_protocol", 4.0)]);
    assert_eq!(labels(&series, "probe_icmp_duration_seconds", "phase"), set(&["resolve", "setup", "rtt"]));
    let took = series["probe_icmp_duration_seconds{phase=\"rtt\"}"];
    assert!(took > 0.0 && took < 5.0, "{took}");
}

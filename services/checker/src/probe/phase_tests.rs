//! Time is counted in the phase in which it went by.

use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchkeeper_store::{Assertion, HttpProbe, Probe, Severity};

use super::resolver::Resolver;
use super::seen::Stage;
use super::testing::{Own, acceptor, black_hole, listen, name_server};
use crate::Outcome;
use crate::exposition::samples;
use crate::guard::{GuardRules, Trust};
use crate::probe::Probers;

/// How long a slow server waits.
const PAUSE: Duration = Duration::from_millis(600);

/// A web server behind TLS that waits in one stage; its port.
async fn server(own: &Own, slow: Stage) -> u16 {
    let acceptor = acceptor(own, None, &[]);
    let (listener, port) = listen().await;
    let pause = move |stage: Stage| if stage == slow { PAUSE } else { Duration::ZERO };
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                tokio::time::sleep(pause(Stage::Tls)).await;
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head).await;
                tokio::time::sleep(pause(Stage::Processing)).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
                let _ = stream.flush().await;
                tokio::time::sleep(pause(Stage::Transfer)).await;
                let _ = stream.write_all(b"hi").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

/// Asks the server at `port`, and says which phase took longest, and how long.
async fn longest(probers: Probers, own: &Own, port: u16) -> (&'static str, Duration) {
    let probe =
        Probe::Http(HttpProbe { tls: own.trusted(), ..HttpProbe::new(format!("https://slow.test:{port}/")) });
    let whole = [Assertion { condition: "[BODY] == hi".into(), severity: Severity::Down }];
    let outcome = probers.probe(Trust::Operator, "", &probe, &whole, Duration::from_secs(20)).await;
    assert!(outcome.ok, "{outcome:?}");
    let found = of_check(&outcome);
    assert_eq!(shown(&probe, &outcome), found.0, "the metrics say the same");
    found
}

fn of_check(outcome: &Outcome) -> (&'static str, Duration) {
    let phases = outcome.clone().into_check(0).phases.expect("phases");
    let all = [
        ("resolve", phases.resolve_us),
        ("connect", phases.connect_us),
        ("tls", phases.tls_us),
        ("processing", phases.processing_us),
        ("transfer", phases.transfer_us),
    ];
    let (name, us) = all.into_iter().max_by_key(|(_, us)| *us).expect("five");
    (name, Duration::from_micros(u64::try_from(us).expect("no time goes backwards")))
}

fn shown(probe: &Probe, outcome: &Outcome) -> String {
    let samples = samples(probe, outcome);
    let phases = samples.iter().filter(|sample| sample.name == "probe_http_duration_seconds");
    let longest = phases.max_by(|a, b| a.value.total_cmp(&b.value)).expect("five");
    longest.labels[0].1.clone()
}

fn told(names: Vec<IpAddr>) -> Probers {
    Probers::told(GuardRules::default(), move |_| names.clone())
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_slow_server_is_slow_in_the_phase_in_which_it_is() {
    let own = Own::new("slow.test");
    for (stage, name) in
        [(Stage::Tls, "tls"), (Stage::Processing, "processing"), (Stage::Transfer, "transfer")]
    {
        let port = server(&own, stage).await;
        let (phase, time) = longest(told(vec![HERE]), &own, port).await;
        assert_eq!(phase, name);
        assert!(time >= PAUSE / 2, "{name}: {time:?}");
    }
}

#[tokio::test]
async fn an_address_that_does_not_answer_costs_time_of_the_connection() {
    let own = Own::new("slow.test");
    let port = server(&own, Stage::Connect).await;
    let hole = black_hole(port).await;
    let (phase, time) = longest(told(vec![hole.ip(), HERE]), &own, port).await;
    assert_eq!(phase, "connect");
    assert!(time >= Duration::from_millis(250), "{time:?}");
}

#[tokio::test]
async fn a_slow_name_server_costs_time_of_the_resolution() {
    let own = Own::new("slow.test");
    let port = server(&own, Stage::Resolve).await;
    let names = name_server("127.0.0.1:0", PAUSE, |_, kind| {
        Some(if kind == RecordType::A { vec![RData::A(A::new(127, 0, 0, 1))] } else { Vec::new() })
    })
    .await;
    let probers = Probers::with(GuardRules::default(), Resolver::asking(names), None);
    let (phase, time) = longest(probers, &own, port).await;
    assert_eq!(phase, "resolve");
    assert!(time >= PAUSE, "{time:?}");
}

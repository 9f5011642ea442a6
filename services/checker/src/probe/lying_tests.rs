//! Servers that lie in every way: each lie is told as what it is, within the
//! timeout and a tenth of it.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DistinguishedName, DnType, date_time_ymd};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watchkeeper_store::{
    AddressPolicy, Assertion, ConnectOptions, HttpProbe, Probe, Severity, TlsOptions, TlsProbe,
};

use super::resolver::Resolver;
use super::seen::Stage;
use super::testing::{Own, acceptor, black_hole, name_server};
use crate::Outcome;
use crate::guard::{GuardRules, Trust};
use crate::probe::Probers;

/// So long that a tenth of it is more than what a busy machine adds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A server that does `lie` with every connection.
async fn server<F>(lie: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(lie(socket));
        }
    });
    address
}

/// A server that reads a request's head, says this, and keeps the connection.
async fn says(answer: &'static [u8]) -> SocketAddr {
    server(move |mut socket| async move {
        head(&mut socket).await;
        let _ = socket.write_all(answer).await;
        std::future::pending::<()>().await;
    })
    .await
}

async fn head(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1_024];
    while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
}

fn assertion(condition: &str, severity: Severity) -> Assertion {
    Assertion { condition: condition.into(), severity }
}

async fn ask_with(probe: Probe, assertions: &[Assertion], names: Vec<IpAddr>) -> Outcome {
    in_time(&Probers::told(GuardRules::default(), move |_| names.clone()), &probe, assertions).await
}

async fn in_time(probers: &Probers, probe: &Probe, assertions: &[Assertion]) -> Outcome {
    let start = Instant::now();
    let outcome = probers.probe(Trust::Operator, "", probe, assertions, TIMEOUT).await;
    assert!(start.elapsed() <= TIMEOUT + TIMEOUT / 10, "{:?}", start.elapsed());
    outcome
}

async fn ask(url: String, assertions: &[Assertion]) -> Outcome {
    ask_with(Probe::Http(HttpProbe::new(url)), assertions, vec![IpAddr::from([127, 0, 0, 1])]).await
}

#[track_caller]
fn is_down(outcome: &Outcome, message: &str) {
    assert_eq!((outcome.ok, outcome.message.as_deref()), (false, Some(message)), "{outcome:?}");
}

#[tokio::test]
async fn a_head_that_drips_is_no_answer() {
    let at = server(|mut socket| async move {
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'a')) {
            if socket.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "no answer within 5s");
}

#[tokio::test]
async fn a_body_that_does_not_end_fails_who_reads_it_and_nobody_else() {
    let at = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let wants = [assertion("[BODY] == pat(*whole*)", Severity::Down)];
    is_down(&ask(format!("http://{at}/"), &wants).await, "the answer did not end within 5s");
}

#[tokio::test]
async fn an_endless_body_is_read_to_its_limit() {
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while socket.write_all(&[b'a'; 4_096]).await.is_ok() {}
    })
    .await;
    let mut probe = HttpProbe::new(format!("http://{at}/"));
    probe.max_body_bytes = 10_000;
    let wants = [assertion("[BODY_SIZE] == 10000", Severity::Down)];
    let outcome = ask_with(Probe::Http(probe), &wants, Vec::new()).await;
    assert!(outcome.ok && outcome.seen.body_cut && outcome.seen.body_bytes == 10_000, "{outcome:?}");
    let plain = ask(format!("http://{at}/"), &[]).await;
    assert!(plain.ok, "{plain:?}");
}

#[tokio::test]
async fn a_reset_and_a_connection_closed_too_early_are_told() {
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ = socket.set_zero_linger();
    })
    .await;
    let outcome = ask(format!("http://{at}/"), &[]).await;
    is_down(&outcome, "the server reset the connection");
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ = socket.shutdown().await;
        std::future::pending::<()>().await;
    })
    .await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "the server closed the connection too early");
}

#[tokio::test]
async fn a_bad_chunk_and_a_body_cut_short_break_off() {
    let at = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n").await;
    let outcome = ask(format!("http://{at}/"), &[]).await;
    assert!(!outcome.ok, "{outcome:?}");
    let told = outcome.message.as_deref().unwrap_or_default();
    assert!(told == "the answer broke off" || told == "the answer is not valid HTTP", "{told}");
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    })
    .await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "the answer broke off");
}

#[tokio::test]
async fn a_redirect_loop_and_a_huge_head_have_their_bounds() {
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ =
            socket.write_all(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "more than 10 redirects");
    let at = server(|mut socket| async move {
        head(&mut socket).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nX-Huge: ").await;
        while socket.write_all(&[b'a'; 4_096]).await.is_ok() {}
    })
    .await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "the answer's head is too large");
    let at = says(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    is_down(&ask(format!("http://{at}/"), &[]).await, "the answer is not valid HTTP");
}

/// A server of TLS with a certificate of its own authority.
async fn tls_server(adjust: impl FnOnce(&mut CertificateParams)) -> (SocketAddr, String) {
    tls_server_with(Vec::new(), adjust).await
}

/// [`tls_server`] that sends others along.
async fn tls_server_with(
    others: Vec<CertificateDer<'static>>,
    adjust: impl FnOnce(&mut CertificateParams),
) -> (SocketAddr, String) {
    let mut own = Own::with("good.test", |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a lying server");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 1, 1);
        adjust(params);
    });
    own.others = others;
    let acceptor = acceptor(&own, None, &[]);
    let at = server(move |socket| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let mut buffer = [0; 4_096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    (at, own.pem)
}

fn https(host: &str, at: SocketAddr, ca: Option<&str>) -> Probe {
    let mut probe = HttpProbe::new(format!("https://{host}:{}/", at.port()));
    probe.tls.ca = ca.map(str::to_owned);
    Probe::Http(probe)
}

fn here() -> Vec<IpAddr> {
    vec![IpAddr::from([127, 0, 0, 1])]
}

#[tokio::test]
async fn certificates_that_are_wrong_are_told_apart_and_their_expiry_is_known_all_the_same() {
    let (at, pem) = tls_server(|_| ()).await;
    let good = ask_with(
        https("good.test", at, Some(&pem)),
        &[assertion("[CERTIFICATE_EXPIRATION] > 48h", Severity::Down)],
        here(),
    )
    .await;
    assert!(good.ok, "{good:?}");
    assert_eq!(good.clone().into_check(0).certificate_expires_at, Some(4_070_908_800_000));
    assert!(good.into_check(0).phases.is_some_and(|phases| phases.tls_us > 0));

    let unknown = ask_with(https("good.test", at, None), &[], here()).await;
    is_down(&unknown, "TLS: the certificate's issuer is not trusted");
    assert!(unknown.seen.chain.is_some());
    let mismatch = ask_with(https("other.test", at, Some(&pem)), &[], here()).await;
    is_down(&mismatch, "TLS: the certificate is for another name");
    let mut named = HttpProbe::new(format!("https://other.test:{}/", at.port()));
    named.tls = TlsOptions { ca: Some(pem), server_name: Some("good.test".into()), ..TlsOptions::default() };
    assert!(ask_with(Probe::Http(named), &[], here()).await.ok);

    let (at, pem) = tls_server(|params| params.not_after = date_time_ymd(2021, 1, 1)).await;
    let expired = ask_with(https("good.test", at, Some(&pem)), &[], here()).await;
    is_down(&expired, "TLS: the certificate has expired");
    assert!(expired.seen.chain.is_some_and(|chain| chain.expires_at == 1_609_459_200_000));
    let mut blind = HttpProbe::new(format!("https://good.test:{}/", at.port()));
    blind.tls.skip_verification = true;
    let blind = ask_with(Probe::Http(blind), &[], here()).await;
    assert!(blind.ok && blind.seen.chain.is_some_and(|chain| chain.trusted_until.is_none()));

    let (at, pem) = tls_server(|params| params.not_before = date_time_ymd(2090, 1, 1)).await;
    let early = ask_with(https("good.test", at, Some(&pem)), &[], here()).await;
    is_down(&early, "TLS: the certificate is not valid yet");
}

#[tokio::test]
async fn an_expired_certificate_that_nobody_needs_is_shown_and_makes_nothing_fail() {
    let old = Own::with("old.test", |params| params.not_after = date_time_ymd(2021, 1, 1));
    let (at, pem) = tls_server_with(vec![old.certificate], |_| ()).await;
    let probe = Probe::Tls(TlsProbe {
        address: format!("good.test:{}", at.port()),
        starttls: None,
        options: TlsOptions { ca: Some(pem), ..TlsOptions::default() },
        names: Vec::new(),
        valid_for: Duration::from_secs(24 * 3_600),
        connect: ConnectOptions::default(),
    });
    let asserted = [assertion("[CERTIFICATE_EXPIRATION] > 48h", Severity::Down)];
    let outcome = ask_with(probe.clone(), &asserted, here()).await;
    assert!(outcome.ok, "{outcome:?}");
    let shown = crate::exposition::samples(&probe, &outcome);
    let earliest = shown.iter().find(|sample| sample.name == "probe_ssl_earliest_cert_expiry");
    assert_eq!(earliest.map(|sample| sample.value), Some(1_609_459_200.0));
    let named = |name: &str| shown.iter().find(|sample| sample.name == name);
    let last = named("probe_ssl_last_chain_expiry_timestamp_seconds").map(|sample| sample.value);
    assert_eq!(last, Some(4_070_908_800.0), "trust does not rest on it");
    let cipher = named("probe_tls_cipher_info").map(|sample| sample.labels[0].1.as_str());
    assert!(cipher.is_some_and(|cipher| cipher.starts_with("TLS_")), "{cipher:?}");
    assert_eq!(outcome.into_check(0).certificate_expires_at, Some(4_070_908_800_000));
}

#[tokio::test]
async fn a_tls_probe_judges_names_and_time_left() {
    let (at, pem) = tls_server(|_| ()).await;
    let probe = |names: &[&str], hours: u64| {
        Probe::Tls(TlsProbe {
            address: format!("good.test:{}", at.port()),
            starttls: None,
            options: TlsOptions { ca: Some(pem.clone()), ..TlsOptions::default() },
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            valid_for: Duration::from_secs(hours * 3_600),
            connect: ConnectOptions::default(),
        })
    };
    assert!(ask_with(probe(&["good.test"], 24), &[], here()).await.ok);
    let other = ask_with(probe(&["www.good.test"], 0), &[], here()).await;
    is_down(&other, "the certificate is not valid for www.good.test");
    let soon = ask_with(probe(&[], 1_000_000), &[], here()).await;
    assert!(
        soon.message.as_deref().is_some_and(|text| text.starts_with("the certificate expires in ")),
        "{soon:?}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_or_hangs_in_the_handshake_is_told() {
    let at = says(b"").await;
    let hanging = ask_with(https("good.test", at, None), &[], here()).await;
    assert!(!hanging.ok);
    let at = server(|mut socket| async move {
        let mut buffer = [0; 1];
        let _ = socket.read(&mut buffer).await;
        let _ = socket.write_all(b"220 smtp.test ESMTP\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    is_down(
        &ask_with(https("good.test", at, None), &[], here()).await,
        "TLS: the server does not answer with TLS",
    );
    let at = server(|socket| async move {
        let _socket = socket;
        std::future::pending::<()>().await;
    })
    .await;
    is_down(&ask_with(https("good.test", at, None), &[], here()).await, "no TLS handshake within 5s");
}

#[tokio::test]
async fn of_several_addresses_dead_ones_are_passed_over_or_told() {
    let at = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    // Nothing listens on 127.0.0.2 and 127.0.0.3.
    let names =
        || vec![IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 3]), IpAddr::from([127, 0, 0, 1])];
    let mut probe = HttpProbe::new(format!("http://many.test:{}/", at.port()));
    let any = ask_with(Probe::Http(probe.clone()), &[], names()).await;
    assert!(any.ok, "{any:?}");
    assert_eq!(any.seen.ip, Some(IpAddr::from([127, 0, 0, 1])));
    probe.connect.addresses = AddressPolicy::All;
    let all = ask_with(Probe::Http(probe), &[], names()).await;
    is_down(&all, "2 of 3 addresses take no connection: connection refused");
}

#[tokio::test]
async fn a_name_that_is_not_resolved_is_told() {
    let probe = || Probe::Http(HttpProbe::new("http://nowhere.test/"));
    is_down(&ask_with(probe(), &[], Vec::new()).await, "the name cannot be resolved");
}

#[tokio::test]
async fn a_name_server_that_is_silent_is_told() {
    let server = name_server("127.0.0.1:0", Duration::ZERO, |_, _| None).await;
    let probers = Probers::with(GuardRules::default(), Resolver::asking(server), None);
    let outcome = in_time(&probers, &Probe::Http(HttpProbe::new("http://silent.test/")), &[]).await;
    is_down(&outcome, "the name was not resolved within 5s");
}

#[tokio::test]
async fn an_address_that_swallows_connections_is_passed_over_or_told() {
    let at = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let hole = black_hole(at.port()).await;
    let probe = HttpProbe::new(format!("http://many.test:{}/", at.port()));
    let names = || vec![hole.ip(), IpAddr::from([127, 0, 0, 1])];
    let any = ask_with(Probe::Http(probe.clone()), &[], names()).await;
    assert!(any.ok, "{any:?}");
    assert_eq!(any.seen.ip, Some(IpAddr::from([127, 0, 0, 1])));
    let connected = any.seen.time(Stage::Connect);
    assert!((Duration::from_millis(250)..Duration::from_secs(2)).contains(&connected), "{connected:?}");

    let mut all = probe.clone();
    all.connect.addresses = AddressPolicy::All;
    is_down(&ask_with(Probe::Http(all), &[], names()).await, "no connection within 5s");
    is_down(&ask_with(Probe::Http(probe), &[], vec![hole.ip()]).await, "no connection within 5s");
}

#[tokio::test]
async fn redirects_rebinding_and_spellings_reach_nothing_inside() {
    let at = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = at.port();
    // The name is public when it is looked up first, and internal from then on.
    let lookups = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = lookups.clone();
    let probers = Probers::told(
        GuardRules { allow: vec!["127.0.0.2/32".parse().expect("a network")], ..GuardRules::default() },
        move |_| match counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => vec![IpAddr::from([127, 0, 0, 2])],
            _ => vec![IpAddr::from([127, 0, 0, 1])],
        },
    );
    let ask = |url: String| {
        let probers = probers.clone();
        async move { probers.probe(Trust::Stranger, "", &Probe::Http(HttpProbe::new(url)), &[], TIMEOUT).await }
    };
    // The allowed address answers by a redirect to the same name, which then is another.
    let listener = TcpListener::bind(("127.0.0.2", 0)).await.expect("a port");
    let outside = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            head(&mut socket).await;
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://rebind.test:{port}/\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    let rebound = ask(format!("http://rebind.test:{outside}/")).await;
    is_down(&rebound, "refused: the target's address is loopback, which may not be probed");
    assert_eq!(lookups.load(std::sync::atomic::Ordering::SeqCst), 2);

    for host in
        ["127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "[::ffff:127.0.0.1]", "[::1]"]
    {
        let outcome = ask(format!("http://{host}:{port}/")).await;
        is_down(&outcome, "refused: the target's address is loopback, which may not be probed");
    }
    let nat64 = ask("http://[64:ff9b::a9fe:a9fe]/".into()).await;
    is_down(&nat64, "refused: the target's address is link-local or metadata, which may not be probed");
}

#[tokio::test]
async fn a_manifest_reaches_no_metadata_by_a_redirect() {
    let at =
        says(b"HTTP/1.1 307 Moved\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n")
            .await;
    let outcome = ask(format!("http://{at}/"), &[]).await;
    is_down(&outcome, "refused: the target's address is link-local or metadata, which may not be probed");
}

#[tokio::test]
async fn assertions_decide_between_down_degraded_and_up() {
    let at = says(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"UP\"}").await;
    let url = format!("http://{at}/");
    let good = [
        assertion("[STATUS] == 404", Severity::Down),
        assertion("[BODY].status == UP", Severity::Down),
        assertion("[HEADER].content-type == pat(*json)", Severity::Down),
        assertion("[CONNECTED] == true", Severity::Down),
        assertion("[IP] == 127.0.0.1", Severity::Down),
    ];
    let outcome = ask(url.clone(), &good).await;
    assert!(outcome.ok && !outcome.degraded, "{outcome:?}");
    let slow = [good[0].clone(), assertion("[BODY].status == DOWN", Severity::Degraded)];
    let outcome = ask(url.clone(), &slow).await;
    assert!(outcome.ok && outcome.degraded, "{outcome:?}");
    assert_eq!(outcome.message.as_deref(), Some("[BODY].status (UP) == DOWN"));
    let bad = [good[0].clone(), assertion("len([BODY].status) > 2", Severity::Down)];
    is_down(&ask(url.clone(), &bad).await, "len([BODY].status) (2) > 2");
    // Without an assertion on the status the default expectation stands.
    is_down(&ask(url, &[]).await, "status 404, expected 2xx");
}

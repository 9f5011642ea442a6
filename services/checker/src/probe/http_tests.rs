use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderMap as Headers;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use watchkeeper_store::Probe;

use super::*;
use crate::guard::{GuardRules, Trust};
use crate::probe::Probers;
use crate::probe::testing::message;
use crate::result::Outcome;

const TIMEOUT: Duration = Duration::from_secs(5);

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Probes by HTTP for one kind of author.
struct HttpProber {
    trust: Trust,
    probers: Probers,
}

impl HttpProber {
    async fn probe(&self, probe: &HttpProbe, timeout: Duration) -> Outcome {
        self.probers.probe(self.trust, "", &Probe::Http(probe.clone()), &[], timeout).await
    }
}

fn prober(trust: Trust) -> HttpProber {
    HttpProber { trust, probers: Probers::new(GuardRules::default(), None).expect("probers") }
}

async fn operator(probe: &HttpProbe) -> Outcome {
    prober(Trust::Operator).probe(probe, TIMEOUT).await
}

async fn stranger(probe: &HttpProbe) -> Outcome {
    prober(Trust::Stranger).probe(probe, TIMEOUT).await
}

#[tokio::test]
async fn a_good_answer_is_up_with_status_and_duration() {
    let at = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert!(outcome.ok, "{outcome:?}");
    assert_eq!((outcome.status, outcome.message), (Some(200), None));
    assert!(outcome.duration > Duration::ZERO && outcome.duration < TIMEOUT);
}

#[tokio::test]
async fn a_500_is_down_with_its_status_and_what_was_expected() {
    let at = serve(Router::new().route("/", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))).await;
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!((outcome.ok, outcome.status), (false, Some(500)));
    assert_eq!(message(&outcome), "status 500, expected 2xx");
}

#[tokio::test]
async fn an_expected_404_is_up() {
    let at = serve(Router::new()).await;
    let mut probe = HttpProbe::new(format!("http://{at}/nothing"));
    probe.expected_status = vec!["404".into()];
    assert!(operator(&probe).await.ok);
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let outcome = prober(Trust::Operator)
        .probe(&HttpProbe::new(format!("http://{at}/")), Duration::from_millis(200))
        .await;
    assert_eq!((outcome.ok, outcome.status), (false, None));
    assert_eq!(message(&outcome), "no answer within 200ms");
    assert!(outcome.duration >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    drop(listener);
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!((outcome.status, message(&outcome)), (None, "connection refused"));
}

#[tokio::test]
async fn an_unknown_name_says_so() {
    let outcome = operator(&HttpProbe::new("http://no-such-host.invalid/")).await;
    assert_eq!(message(&outcome), "the name cannot be resolved");
}

#[tokio::test]
async fn a_server_without_tls_is_told_as_such() {
    let at = serve(Router::new()).await;
    let outcome = operator(&HttpProbe::new(format!("https://{at}/"))).await;
    assert_eq!(message(&outcome), "TLS: the server does not answer with TLS");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    });
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!((outcome.ok, outcome.status), (false, None));
    assert_eq!(message(&outcome), "the answer is not valid HTTP");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_down() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let _ = socket.read(&mut [0; 1024]).await;
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    });
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!((outcome.ok, outcome.status), (false, Some(200)));
    assert_eq!(message(&outcome), "the answer broke off");
}

#[tokio::test]
async fn of_a_huge_body_only_a_little_is_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = move || {
        let counted = Arc::clone(&counted);
        async move {
            Body::from_stream(futures_stream(move || {
                counted.fetch_add(16 * 1024, Ordering::SeqCst);
                Bytes::from(vec![0; 16 * 1024])
            }))
        }
    };
    let at = serve(Router::new().route("/", get(endless))).await;
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert!(outcome.ok, "{outcome:?}");
    // What the sockets' buffers hold on top of it is the system's choice.
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 32 << 20, "{sent} bytes were taken");
}

/// An endless stream of what `chunk` makes.
fn futures_stream(
    mut chunk: impl FnMut() -> Bytes + Send + 'static,
) -> impl futures::Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
    futures::stream::repeat_with(move || Ok(chunk()))
}

#[tokio::test]
async fn a_body_that_never_ends_does_not_make_an_answer_bad() {
    let silent = || async { Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()) };
    let at = serve(Router::new().route("/", get(silent))).await;
    let outcome = prober(Trust::Operator)
        .probe(&HttpProbe::new(format!("http://{at}/")), Duration::from_millis(500))
        .await;
    assert!(outcome.ok, "{outcome:?}");
}

#[tokio::test]
async fn method_headers_body_and_agent_are_sent() {
    let echo = |request: Request| async move {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1024).await.unwrap_or_default();
        let good = head.method == "PUT"
            && head.headers.get("x-key").is_some_and(|value| value == "k")
            && head
                .headers
                .get("user-agent")
                .is_some_and(|agent| agent.as_bytes() == watchkeeper_runtime::USER_AGENT.as_bytes())
            && !head.headers.contains_key("cookie")
            && body == "data";
        if good { StatusCode::OK } else { StatusCode::BAD_REQUEST }
    };
    let at = serve(Router::new().route("/", any(echo))).await;
    let mut probe = HttpProbe::new(format!("http://{at}/"));
    probe.method = "PUT".into();
    probe.headers = vec![("X-Key".into(), "k".into())];
    probe.body = Some("data".into());
    assert_eq!(operator(&probe).await.status, Some(200));
}

#[tokio::test]
async fn redirects_are_followed_or_judged_as_they_are() {
    let router = Router::new()
        .route("/old", get(|| async { Redirect::temporary("/new") }))
        .route("/new", get(|| async { "here" }));
    let at = serve(router).await;
    let mut probe = HttpProbe::new(format!("http://{at}/old"));
    assert_eq!(operator(&probe).await.status, Some(200));
    probe.follow_redirects = false;
    let outcome = operator(&probe).await;
    assert_eq!((outcome.ok, outcome.status), (false, Some(307)));
}

#[tokio::test]
async fn a_post_becomes_a_get_on_303_and_stays_one_on_307() {
    let router = Router::new()
        .route("/see", post(|| async { Redirect::to("/get") }))
        .route("/get", get(|| async { "got" }))
        .route("/keep", post(|| async { Redirect::temporary("/post") }))
        .route("/post", post(|body: String| async move { assert_eq!(body, "data") }));
    let at = serve(router).await;
    for path in ["see", "keep"] {
        let mut probe = HttpProbe::new(format!("http://{at}/{path}"));
        probe.method = "POST".into();
        probe.body = Some("data".into());
        assert_eq!(operator(&probe).await.status, Some(200), "{path}");
    }
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let again = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Redirect::temporary("/") }
    };
    let at = serve(Router::new().route("/", get(again))).await;
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!(message(&outcome), "more than 10 redirects");
    assert_eq!(count.load(Ordering::SeqCst), 11);
}

#[tokio::test]
async fn a_redirect_to_the_metadata_address_is_refused_even_for_operators() {
    for target in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://0xA9FEA9FE/",
        "http://2852039166/",
    ] {
        let away = move || async move { Redirect::temporary(target) };
        let at = serve(Router::new().route("/", get(away))).await;
        let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
        assert!(message(&outcome).starts_with("refused: "), "{target}: {outcome:?}");
        assert_eq!(outcome.status, None);
    }
}

#[tokio::test]
async fn a_redirect_to_a_file_is_refused() {
    let away = || async { (StatusCode::FOUND, [("location", "file:///etc/passwd")]) };
    let at = serve(Router::new().route("/", get(away))).await;
    let outcome = operator(&HttpProbe::new(format!("http://{at}/"))).await;
    assert_eq!(message(&outcome), "a redirect leads to a URL that is not http or https");
}

#[tokio::test]
async fn configured_headers_and_bodies_do_not_follow_to_another_origin() {
    let seen = |headers: Headers, body: String| async move {
        let told = headers.contains_key("x-key") || !body.is_empty();
        if told { StatusCode::IM_A_TEAPOT } else { StatusCode::OK }
    };
    let other = serve(Router::new().route("/", post(seen))).await;
    let away = move || async move { Redirect::temporary(&format!("http://{other}/")) };
    let at = serve(Router::new().route("/", post(away))).await;
    let mut probe = HttpProbe::new(format!("http://{at}/"));
    probe.method = "POST".into();
    probe.body = Some("s3cret".into());
    probe.headers = vec![("X-Key".into(), "s3cret".into())];
    assert_eq!(operator(&probe).await.status, Some(200));
}

#[tokio::test]
async fn credentials_of_the_url_follow_a_redirect_within_its_server() {
    let away = |headers: Headers| async move {
        let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
        Redirect::temporary(&format!("http://{host}/in"))
    };
    let within = |headers: Headers| async move {
        let known = headers.get("authorization").is_some_and(|value| value == "Basic YW5uOnA=");
        if known { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    };
    let at = serve(Router::new().route("/", get(away)).route("/in", get(within))).await;
    let outcome = operator(&HttpProbe::new(format!("http://ann:p@{at}/"))).await;
    assert_eq!(outcome.status, Some(200), "{outcome:?}");
}

#[tokio::test]
async fn strangers_reach_neither_loopback_addresses_nor_names_of_them() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hits);
    let at = serve(Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "inside" }
    }))
    .await;
    let port = at.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0x7f000001"] {
        let outcome = stranger(&HttpProbe::new(format!("http://{host}:{port}/"))).await;
        assert_eq!(
            message(&outcome),
            "refused: the target's address is loopback, which may not be probed",
            "{host}"
        );
        assert!(operator(&HttpProbe::new(format!("http://{}:{port}/", "127.0.0.1"))).await.ok);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 5, "only the operator's probes arrived");
}

#[tokio::test]
async fn an_allowed_network_is_open_to_strangers() {
    let at = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let allow = ["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")];
    let rules = GuardRules { allow: allow.to_vec(), ..GuardRules::default() };
    let prober = HttpProber { trust: Trust::Stranger, probers: Probers::new(rules, None).expect("probers") };
    let probe = HttpProbe::new(format!("http://localhost:{}/", at.port()));
    assert!(prober.probe(&probe, TIMEOUT).await.ok);
}

#[tokio::test]
async fn a_target_that_refuses_head_is_asked_by_get_when_so_configured() {
    let router = Router::new().route(
        "/",
        any(|request: Request| async move {
            match request.method().as_str() {
                "GET" => StatusCode::OK.into_response(),
                _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
            }
        }),
    );
    let at = serve(router).await;
    let mut probe = HttpProbe::new(format!("http://{at}/"));
    probe.method = "HEAD".into();
    assert_eq!(operator(&probe).await.status, Some(405));
    probe.head_falls_back_to_get = true;
    assert_eq!(operator(&probe).await.status, Some(200));
}

#[tokio::test]
async fn faults_of_the_specification_are_told_without_values() {
    let mut probe = HttpProbe::new("ftp://example.test/");
    assert!(message(&operator(&probe).await).contains("ftp"));
    probe.url = "http://".into();
    assert!(message(&operator(&probe).await).contains("URL"));
    probe.url = "http://127.0.0.1:1/".into();
    probe.headers = vec![("X-Key".into(), "s3cret\n".into())];
    let outcome = operator(&probe).await;
    assert!(message(&outcome).contains("X-Key") && !message(&outcome).contains("s3cret"));
    probe.headers.clear();
    probe.expected_status = vec!["fine".into()];
    assert!(message(&operator(&probe).await).contains("`fine`"));
}

#[tokio::test]
async fn secrets_of_urls_and_headers_reach_no_message() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    drop(listener);
    for url in [
        format!("http://user:s3cret@{at}/?token=s3cret"),
        "http://user:s3cret@no-such-host.invalid/?token=s3cret".into(),
        format!("https://user:s3cret@{at}/s3cret"),
        "ftp://user:s3cret@host/".into(),
        "http://user:s3cret@169.254.169.254/".into(),
        "http://user:s3cret@host:99999/".into(),
    ] {
        let mut probe = HttpProbe::new(&url);
        probe.headers = vec![("Authorization".into(), "Bearer s3cret".into())];
        let outcome = operator(&probe).await;
        assert!(!outcome.ok);
        assert!(!message(&outcome).contains("s3cret"), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_as_such() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("a server's configuration");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a connection");
        let session = rustls::ServerConnection::new(Arc::new(config)).expect("a session");
        let mut stream = rustls::StreamOwned::new(session, socket);
        // Ends when the client turns away from the certificate.
        let _ = std::io::Read::read(&mut stream, &mut [0; 1]);
    });
    let outcome = operator(&HttpProbe::new(format!("https://127.0.0.1:{port}/"))).await;
    assert_eq!(message(&outcome), "TLS: the certificate's issuer is not trusted");
}

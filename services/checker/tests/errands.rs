//! Errands of an API as a checker does them: over a real store, of real servers.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use watchkeeper_checker::{GuardRules, Probers, run_errands};
use watchkeeper_store::{
    CertificateAnswer, EndpointSpec, Errand, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Probe,
    ProjectId, Store, now_ms,
};

const DAY: i64 = 24 * 3_600_000;

/// How long the API waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store with a project, and a checker that does its errands until it is dropped.
struct Installation {
    store: Store,
    project: ProjectId,
    shutdown: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Installation {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&Options::sqlite(directory.path().join("store.db"))).await.expect("a store");
        let project = store.register_key(Uuid::new_v4()).await.expect("a project").id;
        let shutdown = CancellationToken::new();
        let probers = Probers::new(GuardRules::default(), None).expect("probers");
        tokio::spawn(run_errands(store.clone(), probers, shutdown.clone()));
        Self { store, project, shutdown, _directory: directory }
    }

    /// The number of a new endpoint.
    async fn endpoint(&self, uid: &str, origin: Origin, url: String) -> i64 {
        let spec = EndpointSpec {
            interval: Duration::from_secs(3_600),
            timeout: Duration::from_secs(5),
            ..EndpointSpec::new(uid, Probe::Http(HttpProbe::new(url)))
        };
        let new = NewEndpoint {
            uid: uid.into(),
            origin,
            project: self.project,
            namespace: "shop".into(),
            name: uid.into(),
            generation: 1,
            spec,
        };
        self.store.put_endpoint(&new).await.expect("put");
        let all = self.store.endpoints().await.expect("endpoints");
        all.iter().find(|endpoint| endpoint.uid == uid).expect("the endpoint").id
    }

    async fn certificate(&self, endpoint: i64) -> CertificateAnswer {
        let errands = [Errand::Certificate { endpoint }];
        let answers = self.store.run_errands(&errands, PATIENCE).await.expect("the store");
        let answer = answers.into_iter().flatten().next().expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A server with a certificate that nobody vouches for and that expires on this day; its port, and the
/// certificate's SHA-256.
async fn server(expires: (i32, u8, u8)) -> (u16, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["shop.example".to_owned()]).expect("parameters");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(expires.0, expires.1, expires.2);
    let certificate = params.self_signed(&key).expect("a certificate").der().clone();
    let fingerprint = Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = acceptor.accept(socket).await;
        }
    });
    (port, fingerprint)
}

/// The day that is so many days from now, and its beginning, UTC milliseconds.
fn day(from_now: i64) -> ((i32, u8, u8), i64) {
    let start = (now_ms() / DAY + from_now) * DAY;
    let date =
        jiff::Timestamp::from_millisecond(start).expect("a time").to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |number: i8| u8::try_from(number).expect("a part of a date");
    ((date.year().into(), part(date.month()), part(date.day())), start)
}

#[tokio::test]
async fn a_certificate_is_told_whether_it_is_valid_or_expires_soon_or_has_expired() {
    let here = Installation::new().await;
    for (uid, from_now) in [("valid", 400), ("expiring", 10), ("expired", -10)] {
        let (expires, at) = day(from_now);
        let (port, fingerprint) = server(expires).await;
        let url = format!("https://127.0.0.1:{port}/health");
        let endpoint = here.endpoint(uid, Origin::Api, url).await;
        let asked = now_ms();
        let told = here.certificate(endpoint).await;
        assert_eq!((told.error.as_deref(), told.not_after), (None, Some(at)), "{uid}");
        assert_eq!(told.names, ["shop.example"]);
        assert_eq!(told.fingerprint_sha256, Some(fingerprint));
        assert!(told.at.is_some_and(|at| (asked..=now_ms()).contains(&at)), "{told:?}");
    }
}

#[tokio::test]
async fn where_there_is_no_certificate_it_is_told_why() {
    let here = Installation::new().await;
    let (port, _) = server((2099, 1, 1)).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let plain_port = plain.local_addr().expect("an address").port();
    let web = axum::Router::new();
    tokio::spawn(async move { axum::serve(plain, web).await });
    // Where nobody listens, whatever other tests do meanwhile.
    let closed_port = 1;
    for (uid, origin, port, why) in [
        ("plain", Origin::Api, plain_port, "TLS: the server does not answer with TLS"),
        ("closed", Origin::Api, closed_port, "connection refused"),
        (
            "stranger",
            Origin::Monitor,
            port,
            "refused: the target's address is loopback, which may not be probed",
        ),
    ] {
        let endpoint = here.endpoint(uid, origin, format!("https://127.0.0.1:{port}/")).await;
        let told = here.certificate(endpoint).await;
        assert_eq!((told.error.as_deref(), told.not_after), (Some(why), None), "{uid}");
        assert!(told.at.is_some());
    }
    let gone = [Errand::Certificate { endpoint: 999_999 }];
    let answers = here.store.run_errands(&gone, Duration::from_secs(1)).await.expect("the store");
    assert_eq!(answers, [None]);
}

#[tokio::test]
async fn a_check_that_is_asked_for_is_made_answered_and_kept() {
    let here = Installation::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let web = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
    tokio::spawn(async move { axum::serve(listener, web).await });
    let good = here.endpoint("good", Origin::Api, format!("http://{at}/")).await;
    let bad = here.endpoint("bad", Origin::Api, format!("http://{at}/nothing")).await;
    let errands = [good, bad].map(|endpoint| Errand::Check { endpoint, retries: false });
    let answers = here.store.run_errands(&errands, PATIENCE).await.expect("the store");
    let told: Vec<LastCheck> = answers
        .iter()
        .map(|answer| serde_json::from_str(answer.as_deref().expect("an answer")).expect("JSON"))
        .collect();
    assert_eq!(
        told.iter().map(|check| (check.ok, check.status)).collect::<Vec<_>>(),
        [(true, Some(200)), (false, Some(404))]
    );
    for (endpoint, told) in [good, bad].into_iter().zip(told) {
        let kept = here.store.checks(here.project, endpoint, 0).await.expect("checks");
        assert_eq!(kept.iter().map(|check| (check.at, check.ok)).collect::<Vec<_>>(), [(told.at, told.ok)]);
    }
}

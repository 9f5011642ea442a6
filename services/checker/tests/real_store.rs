//! The checker on a real store: states move, endpoints pass on, and no log
//! line of this process holds a secret. One test, because the log subscriber
//! belongs to the whole process.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::SubscriberInitExt;
use uuid::Uuid;
use watchkeeper_checker::{
    ChangeHandle, CheckerDeps, CheckerError, CheckerOptions, GuardRules, Probers, run,
};
use watchkeeper_store::{
    Endpoint, EndpointSpec, HttpProbe, NewEndpoint, Options, Origin, Probe, ProjectId, State, Store,
};

const SECRET: &str = "s3cret";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("lock")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A server whose health can be switched.
async fn server() -> (String, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&healthy);
    let answer = move || async move {
        match asked.load(Ordering::SeqCst) {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://user:{SECRET}@{address}/?token={SECRET}"), healthy)
}

fn new_endpoint(uid: &str, project: ProjectId, origin: Origin, url: &str) -> NewEndpoint {
    NewEndpoint {
        uid: uid.into(),
        origin,
        project,
        namespace: "shop".into(),
        name: uid.into(),
        generation: 1,
        spec: EndpointSpec {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            retries: 1,
            backoff: Duration::from_millis(10),
            ..EndpointSpec::new(
                uid,
                Probe::Http(HttpProbe {
                    headers: vec![("Authorization".into(), format!("Bearer {SECRET}"))],
                    body: Some(SECRET.into()),
                    expected_status: vec!["200".into()],
                    ..HttpProbe::new(url)
                }),
            )
        },
    }
}

fn checker(store: &Store, holder: &str) -> (CancellationToken, JoinHandle<Result<(), CheckerError>>) {
    let mut options = CheckerOptions::new(holder);
    options.poll = Duration::from_millis(100);
    options.heartbeat = Duration::from_secs(1);
    let deps = CheckerDeps {
        probers: Probers::new(GuardRules::default(), None).expect("probers"),
        backend: store.clone(),
        registry: Registry::new(),
        options,
        changes: ChangeHandle::new(),
    };
    let shutdown = CancellationToken::new();
    (shutdown.clone(), tokio::spawn(run(deps, shutdown)))
}

async fn endpoint(store: &Store, uid: &str) -> Endpoint {
    let all = store.endpoints().await.expect("endpoints");
    all.into_iter().find(|endpoint| endpoint.uid == uid).expect("the endpoint")
}

async fn becomes(store: &Store, uid: &str, state: State) -> Endpoint {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let endpoint = endpoint(store, uid).await;
        if endpoint.status.state == state {
            return endpoint;
        }
        assert!(Instant::now() < deadline, "{uid} is {:?}, not {state:?}", endpoint.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn states_move_endpoints_pass_on_and_no_log_line_holds_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .init();

    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&Options::sqlite(dir.path().join("store.db"))).await.expect("a store");
    let project = store.register_key(Uuid::new_v4()).await.expect("a project").id;
    let (url, healthy) = server().await;
    for new in [
        new_endpoint("site", project, Origin::Manifest, &url),
        new_endpoint("nowhere", project, Origin::Kubernetes, "http://user:s3cret@127.0.0.1:1/?s3cret"),
        new_endpoint("monitor", project, Origin::Monitor, &url),
    ] {
        store.put_endpoint(&new).await.expect("put");
    }

    let (stop_first, first) = checker(&store, "first");
    let site = becomes(&store, "site", State::Up).await;
    becomes(&store, "nowhere", State::Down).await;
    let monitor = becomes(&store, "monitor", State::Down).await;
    let why = monitor.status.last_check.and_then(|check| check.message).unwrap_or_default();
    assert!(why.starts_with("refused: "), "{why}");
    assert_eq!(site.status.last_check.and_then(|check| check.status), Some(200));

    healthy.store(false, Ordering::SeqCst);
    let site = becomes(&store, "site", State::Down).await;
    assert_eq!(site.status.last_check.and_then(|check| check.status), Some(503));

    // Another replica joins, and takes all over as soon as the first one ends.
    let (stop_second, second) = checker(&store, "second");
    stop_first.cancel();
    first.await.expect("no panic").expect("no error");
    healthy.store(true, Ordering::SeqCst);
    becomes(&store, "site", State::Up).await;
    stop_second.cancel();
    second.await.expect("no panic").expect("no error");

    let checks = store.checks(project, site.id, 0).await.expect("checks");
    assert!(checks.iter().any(|check| check.ok) && checks.iter().any(|check| !check.ok));
    for check in &checks {
        assert!(!check.message.as_deref().unwrap_or_default().contains(SECRET));
    }
    store.close().await;

    let text = log.text();
    assert!(text.contains("checked"), "the log was captured");
    let leaks: Vec<&str> = text.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
}

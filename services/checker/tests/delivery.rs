//! Checks and deliveries go each their own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use watchkeeper_checker::{ChangeHandle, CheckerDeps, CheckerOptions, GuardRules, Probers};
use watchkeeper_notifier::NotifierOptions;
use watchkeeper_store::alerts::{Channel, NoticeFilter, NoticeState};
use watchkeeper_store::{
    Endpoint, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Probe, ProjectId, State,
    Store, now_ms,
};

const PROJECT: ProjectId = ProjectId::INSTALLATION;

/// A web server that is well for as long as it is told so.
async fn server() -> (String, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&healthy);
    let answer = move || async move {
        if asked.load(Ordering::SeqCst) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(answer))).await });
    (format!("http://{at}/"), healthy)
}

/// A webhook that hears every message and answers none; how many there were.
async fn hanging_hook() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut socket, _)) = listener.accept().await {
            if socket.read(&mut [0; 1_024]).await.is_ok_and(|count| count > 0) {
                counted.fetch_add(1, Ordering::SeqCst);
                held.push(socket);
            }
        }
    });
    (format!("http://{at}/"), heard)
}

fn webhook(url: &str) -> Channel {
    let config = serde_json::json!({ "name": "hook", "webhook": { "url": { "value": url } } });
    Channel::new("hook", "webhook", config)
}

async fn endpoint(store: &Store) -> Endpoint {
    store.endpoints().await.expect("endpoints").remove(0)
}

async fn becomes(store: &Store, state: State) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while endpoint(store).await.status.state != state {
        assert!(Instant::now() < deadline, "it is not {state:?} in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The checks since then, as soon as there are so many.
async fn checks(store: &Store, since: i64, count: usize) -> Vec<LastCheck> {
    let id = endpoint(store).await.id;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = store.checks(PROJECT, id, since).await.expect("checks");
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "there are {} checks of {count}", found.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_go_on_in_time_while_a_channel_hangs() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&Options::sqlite(directory.path().join("store.db"))).await.expect("a store");
    let (url, healthy) = server().await;
    let (hook, heard) = hanging_hook().await;
    store.put_channels(&[webhook(&hook)]).await.expect("a channel");
    let new = NewEndpoint {
        uid: "site".into(),
        origin: Origin::Manifest,
        project: PROJECT,
        namespace: "shop".into(),
        name: "site".into(),
        generation: 1,
        spec: EndpointSpec {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            ..EndpointSpec::new("site", Probe::Http(HttpProbe::new(url)))
        },
    };
    store.put_endpoint(&new).await.expect("put");

    let shutdown = CancellationToken::new();
    let mut options = CheckerOptions::new("checker");
    // Not even a single room is held by a delivery.
    options.concurrency = 1;
    options.poll = Duration::from_millis(100);
    let deps = CheckerDeps {
        probers: Probers::new(GuardRules::default(), None).expect("probers"),
        backend: store.clone(),
        registry: Registry::new(),
        options,
        changes: ChangeHandle::new(),
    };
    tokio::spawn(watchkeeper_checker::run(deps, shutdown.clone()));
    // A message is waited for longer than the test takes.
    let options = NotifierOptions {
        poll: Duration::from_millis(50),
        patience: Duration::from_secs(50),
        ..Default::default()
    };
    tokio::spawn(watchkeeper_notifier::run(store.clone(), Registry::new(), options, shutdown.clone()));

    becomes(&store, State::Up).await;
    healthy.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(30);
    while heard.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "nobody was told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut found = checks(&store, now_ms(), 6).await;
    found.sort_by_key(|check| check.at);
    let pauses: Vec<i64> = found.windows(2).map(|two| two[1].at - two[0].at).collect();
    // A delivery that held them up would do so for its whole patience; a busy machine does not.
    assert!(pauses.iter().all(|pause| *pause < 10_000), "checks were held up: {pauses:?}");
    // It recovers meanwhile, and that is seen as well.
    healthy.store(true, Ordering::SeqCst);
    becomes(&store, State::Up).await;
    let notices = store.notices(&NoticeFilter::default(), 10).await.expect("notices");
    let sent = notices.iter().any(|notice| notice.state == NoticeState::Sent);
    assert!(!notices.is_empty() && !sent, "the channel still hangs: {notices:?}");
    shutdown.cancel();
}

//! The checker as a whole, against a store in memory and real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Endpoint, Origin, Probe};

use crate::hosts::PER_HOST;
use crate::testing::{Fake, endpoint, eventually};
use crate::{ChangeHandle, CheckerDeps, CheckerError, CheckerOptions, GuardRules, Probers, run};

struct Running {
    changes: ChangeHandle,
    registry: Registry,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), CheckerError>>,
}

impl Running {
    fn start(store: &Fake) -> Self {
        Self::start_with(store, |_| ())
    }

    fn start_with(store: &Fake, adjust: impl FnOnce(&mut CheckerOptions)) -> Self {
        let mut options = CheckerOptions::new("test");
        options.poll = Duration::from_millis(50);
        options.heartbeat = Duration::from_millis(400);
        adjust(&mut options);
        let (changes, registry) = (ChangeHandle::new(), Registry::new());
        let shutdown = CancellationToken::new();
        let deps = CheckerDeps {
            probers: Probers::new(GuardRules::default(), None).expect("probers"),
            backend: store.clone(),
            registry: registry.clone(),
            options,
            changes: changes.clone(),
        };
        let task = tokio::spawn(run(deps, shutdown.clone()));
        Self { changes, registry, shutdown, task }
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("metrics encode")
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.expect("it ends").expect("no panic").expect("no error");
    }
}

async fn server(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn good_and_bad() -> String {
    server(
        Router::new()
            .route("/good", get(|| async { "hello" }))
            .route("/bad", get(|| async { StatusCode::SERVICE_UNAVAILABLE })),
    )
    .await
}

/// A port that takes connections and never says a word.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

fn change(mut endpoint: Endpoint, url: &str) -> Endpoint {
    let Probe::Http(probe) = &mut endpoint.spec.probe else { panic!("not by HTTP") };
    probe.url = url.into();
    endpoint.revision += 1;
    endpoint
}

#[tokio::test]
async fn good_bad_and_unreachable_endpoints_are_all_stored() {
    let url = good_and_bad().await;
    let store = Fake::default();
    store.set(vec![
        endpoint(1, &format!("{url}/good")),
        endpoint(2, &format!("{url}/bad")),
        endpoint(3, "http://127.0.0.1:1/"),
    ]);
    let checker = Running::start(&store);
    eventually("each was checked", || (1..=3).all(|id| !store.checks_of(id).is_empty())).await;

    let result = |id| store.checks_of(id)[0].result.clone();
    assert_eq!((result(1).ok, result(1).status), (true, Some(200)));
    assert_eq!((result(2).ok, result(2).status), (false, Some(503)));
    assert_eq!((result(3).ok, result(3).status), (false, None));
    assert_eq!(result(3).message.as_deref(), Some("connection refused"));
    assert!(result(1).duration_us > 0 && result(1).at > 0);

    let metrics = checker.metrics();
    assert!(metrics.contains("watchkeeper_checker_endpoints 3"), "{metrics}");
    assert!(metrics.contains("watchkeeper_checker_alive 1"), "{metrics}");
    checker.stop().await;
    assert_eq!(store.left(), 1);
}

#[tokio::test]
async fn slow_endpoints_delay_no_other() {
    let (_listener, slow) = silent().await;
    let url = good_and_bad().await;
    let store = Fake::default();
    let mut endpoints: Vec<Endpoint> = (1..=50).map(|id| endpoint(id, &slow)).collect();
    endpoints.push(endpoint(100, &format!("{url}/good")));
    store.set(endpoints);
    let checker = Running::start(&store);
    eventually("it was checked three times", || store.checks_of(100).len() >= 3).await;
    let at: Vec<i64> = store.checks_of(100).iter().map(|check| check.result.at).collect();
    let last_gap = at[2] - at[1];
    assert!((800..1_200).contains(&last_gap), "{at:?}");
    checker.stop().await;
}

#[tokio::test]
async fn probes_under_way_are_bounded() {
    let (listener, slow) = silent().await;
    let store = Fake::default();
    store.set(
        (1..=20)
            .map(|id| {
                let mut endpoint = endpoint(id, &slow);
                endpoint.spec.timeout = Duration::from_secs(60);
                endpoint
            })
            .collect(),
    );
    let checker = Running::start_with(&store, |options| options.concurrency = 4);
    let mut open = Vec::new();
    // New endpoints all start within two seconds.
    let until = Instant::now() + Duration::from_millis(2_500);
    while let Ok(Ok((socket, _))) = tokio::time::timeout_at(until.into(), listener.accept()).await {
        open.push(socket);
    }
    assert_eq!(open.len(), 4);
    checker.stop().await;
}

#[tokio::test]
async fn pauses_between_attempts_hold_up_no_other_endpoint_of_the_host() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let bad = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(StatusCode::SERVICE_UNAVAILABLE)
    };
    let url = server(Router::new().route("/good", get(|| async { "hello" })).route("/bad", get(bad))).await;
    let store = Fake::default();
    let failing = |id| {
        let mut endpoint = endpoint(id, &format!("{url}/bad"));
        endpoint.spec.retries = 1;
        endpoint.spec.backoff = Duration::from_secs(3_600);
        endpoint
    };
    let mut endpoints: Vec<Endpoint> = (1..).take(PER_HOST).map(failing).collect();
    store.set(endpoints.clone());
    let checker = Running::start(&store);
    eventually("each has failed once", || asked.load(Ordering::SeqCst) == PER_HOST).await;
    endpoints.push(endpoint(1_000, &format!("{url}/good")));
    store.set(endpoints);
    eventually("the one that is well is checked", || !store.checks_of(1_000).is_empty()).await;
    assert_eq!(asked.load(Ordering::SeqCst), PER_HOST, "the others pause");
    checker.stop().await;
}

#[tokio::test]
async fn new_changed_suspended_and_deleted_endpoints_are_noticed() {
    let url = good_and_bad().await;
    let store = Fake::default();
    let checker = Running::start_with(&store, |options| options.poll = Duration::from_secs(3_600));

    let one = endpoint(1, &format!("{url}/good"));
    store.set(vec![one.clone()]);
    eventually("the new one is good", || {
        checker.changes.notify();
        store.checks_of(1).iter().any(|check| check.result.ok)
    })
    .await;

    let mut one = change(one, &format!("{url}/bad"));
    store.set(vec![one.clone()]);
    checker.changes.notify();
    eventually("the changed one is bad", || {
        store.checks_of(1).iter().any(|check| check.result.status == Some(503))
    })
    .await;

    one.spec.suspended = true;
    one.revision += 1;
    store.set(vec![one]);
    checker.changes.notify();
    eventually("the suspended one is not watched", || {
        checker.metrics().contains("watchkeeper_checker_endpoints 0")
    })
    .await;
    assert!(!checker.metrics().contains("probe_success{"));
    checker.stop().await;
}

#[tokio::test]
async fn without_a_term_nothing_is_probed_and_losing_it_stops_probes() {
    let url = good_and_bad().await;
    let store = Fake::default();
    store.set_taken(true);
    store.set(vec![endpoint(1, &format!("{url}/good"))]);
    let checker = Running::start(&store);
    // Longer than a heartbeat and the soonest first check together.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(store.checks().is_empty());

    store.set_taken(false);
    eventually("it is checked", || !store.checks().is_empty()).await;

    store.set_taken(true);
    eventually("it stops", || checker.metrics().contains("watchkeeper_checker_alive 0")).await;
    assert!(checker.metrics().contains("watchkeeper_checker_endpoints 0"));
    checker.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_for_longer_than_a_term_lasts_stops_probes_and_loses_no_result() {
    let url = good_and_bad().await;
    let store = Fake::default();
    store.set(vec![endpoint(1, &format!("{url}/good"))]);
    let checker = Running::start_with(&store, |options| options.heartbeat = Duration::from_secs(2));
    eventually("it is checked", || !store.checks().is_empty()).await;

    store.set_away(true);
    let before = store.checks().len();
    eventually("it gives up", || checker.metrics().contains("watchkeeper_checker_alive 0")).await;
    let made: u64 = counted(&checker.metrics());
    assert!(made > before as u64, "checks went on while the term lasted");

    store.set_away(false);
    eventually("what was found meanwhile is stored", || store.checks().len() as u64 >= made).await;
    checker.stop().await;
}

fn counted(metrics: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"watchkeeper_checker_checks_total{result="success"} "#));
    line.and_then(|count| count.parse().ok()).expect("a count")
}

#[tokio::test]
async fn attempts_are_repeated_and_told() {
    let store = Fake::default();
    let mut flaky = endpoint(1, "http://127.0.0.1:1/");
    flaky.spec.retries = 2;
    flaky.spec.backoff = Duration::from_millis(20);
    store.set(vec![flaky]);
    let checker = Running::start(&store);
    eventually("it was checked", || !store.checks().is_empty()).await;
    let message = store.checks()[0].result.message.clone();
    assert_eq!(message.as_deref(), Some("connection refused (after 3 attempts)"));
    checker.stop().await;
}

#[tokio::test]
async fn monitors_of_strangers_reach_nothing_inside() {
    let url = good_and_bad().await;
    let store = Fake::default();
    let mut monitor = endpoint(1, &format!("{url}/good"));
    monitor.origin = Origin::Monitor;
    store.set(vec![monitor]);
    let checker = Running::start(&store);
    eventually("it was checked", || !store.checks().is_empty()).await;
    let result = &store.checks()[0].result;
    assert_eq!((result.ok, result.status), (false, None));
    assert!(result.message.as_deref().is_some_and(|message| message.starts_with("refused: ")));
    checker.stop().await;
}

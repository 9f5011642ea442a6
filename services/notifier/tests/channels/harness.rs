//! A notifier at work on a store, and servers for its channels.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::notifications;
use watchkeeper_notifier::{NotifierOptions, run};
use watchkeeper_store::{
    Check, EndpointSpec, Escalation, FlappingSpec, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Probe,
    ProjectId, Store,
    alerts::{Channel, Kind, NoticeFilter, NoticeState},
    now_ms,
};
use watchkeeper_testkit::{
    postgres::Postgres,
    sink::{HttpSink, Taken},
    wait,
};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// A store with one channel, and a notifier at work on it.
pub struct Watch {
    pub store: Store,
    registry: Registry,
    stop: CancellationToken,
    clock: AtomicI64,
    _directory: Option<TempDir>,
}

/// Where a store is.
#[derive(Debug, Clone, Copy)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// A channel that all endpoints use.
pub fn channel(config: Value) -> Channel {
    let parsed: notifications::Channel = serde_json::from_value(config).unwrap();
    let config = serde_json::to_value(&parsed).unwrap();
    Channel { group_wait: Duration::from_millis(300), ..Channel::new(&parsed.name, parsed.kind(), config) }
}

impl Watch {
    pub async fn start(config: Value) -> Self {
        Self::start_with(config, |_| ()).await
    }

    pub async fn start_with(config: Value, adjust: impl FnOnce(&mut NotifierOptions)) -> Self {
        Self::start_on(Database::Sqlite, &[channel(config)], adjust).await
    }

    pub async fn start_on(
        database: Database,
        channels: &[Channel],
        adjust: impl FnOnce(&mut NotifierOptions),
    ) -> Self {
        let (options, directory) = match database {
            Database::Sqlite => {
                let directory = TempDir::new().unwrap();
                (Options::sqlite(directory.path().join("store.db")), Some(directory))
            }
            Database::Postgres => {
                let url = Postgres::shared().unwrap().database().unwrap();
                (Options::postgres(&url, None).unwrap(), None)
            }
        };
        let store = Store::open(&options).await.unwrap();
        store.put_channels(channels).await.unwrap();
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let mut options = NotifierOptions {
            poll: Duration::from_millis(20),
            pauses: (Duration::from_millis(20), Duration::from_millis(100)),
            ..NotifierOptions::default()
        };
        adjust(&mut options);
        tokio::spawn(run(store.clone(), registry.clone(), options, stop.clone()));
        Self { store, registry, stop, clock: AtomicI64::new(0), _directory: directory }
    }

    pub async fn endpoint(&self, name: &str) -> i64 {
        self.endpoint_with(name, |_| ()).await
    }

    pub async fn endpoint_with(&self, name: &str, change: impl FnOnce(&mut EndpointSpec)) -> i64 {
        let probe = Probe::Http(HttpProbe::new(format!("https://user:pw@shop.example/{name}?token=hidden")));
        let mut spec = EndpointSpec::new(format!("The {name} \"page\" <&>"), probe);
        spec.group = Some("front".into());
        spec.labels.insert("team".into(), "web".into());
        change(&mut spec);
        let new = NewEndpoint {
            uid: format!("uid/{name}"),
            origin: Origin::Kubernetes,
            project: ProjectId::INSTALLATION,
            namespace: "shop".into(),
            name: name.into(),
            generation: 1,
            spec,
        };
        self.store.put_endpoint(&new).await.unwrap();
        self.store.endpoints().await.unwrap().into_iter().find(|known| known.uid == new.uid).unwrap().id
    }

    pub async fn checked(&self, endpoints: &[i64], ok: bool) {
        self.found(endpoints, ok, false).await;
    }

    pub async fn found(&self, endpoints: &[i64], ok: bool, degraded: bool) {
        // Each later than the one before, however fast the test is.
        let at = self.clock.fetch_max(now_ms(), Ordering::SeqCst).max(now_ms()) + 1;
        self.clock.store(at, Ordering::SeqCst);
        let checks: Vec<Check> = endpoints
            .iter()
            .map(|endpoint| Check {
                project: ProjectId::INSTALLATION,
                endpoint: *endpoint,
                result: LastCheck {
                    at,
                    ok,
                    status: Some(if ok { 200 } else { 503 }),
                    duration_us: 12_345,
                    message: (!ok).then(|| "status 503, said \"no\"\nand more".into()),
                    degraded,
                    ..LastCheck::default()
                },
            })
            .collect();
        self.store.record_checks(&checks).await.unwrap();
    }

    /// One endpoint goes down and comes back, each told before the next.
    pub async fn down_and_up(&self) {
        let id = self.endpoint("cart").await;
        self.checked(&[id], true).await;
        self.checked(&[id], false).await;
        self.all_sent(1).await;
        self.checked(&[id], true).await;
        self.all_sent(2).await;
    }

    /// Has one endpoint slow, one down for so long that it is told again and to the deputy, and one that
    /// changes too often; waits until all of it was sent.
    pub async fn every_kind(&self) {
        let slow = self.endpoint("slow").await;
        let stuck = self.endpoint_with("stuck", |spec| {
            spec.alerts.reminder = Some(Duration::from_millis(200));
            spec.alerts.escalation =
                vec![Escalation { after: Duration::ZERO, channels: vec!["deputy".into()] }];
        });
        let stuck = stuck.await;
        let flaky = self.endpoint_with("flaky", |spec| {
            spec.alerts.flapping = Some(FlappingSpec { changes: 2, within: Duration::from_secs(3_600) });
        });
        let flaky = flaky.await;
        self.checked(&[slow, stuck, flaky], true).await;
        self.found(&[slow], true, true).await;
        self.checked(&[stuck, flaky], false).await;
        self.checked(&[flaky], true).await;
        let kinds = [Kind::Degraded, Kind::Down, Kind::Reminder, Kind::Escalation, Kind::Flapping];
        let told = async || {
            let filter = NoticeFilter { state: Some(NoticeState::Sent), ..NoticeFilter::default() };
            let sent = self.store.notices(&filter, 1_000).await.unwrap();
            let sent: BTreeSet<Kind> = sent.iter().map(|notice| notice.kind).collect();
            Ok(kinds.iter().all(|kind| sent.contains(kind)).then_some(()))
        };
        wait::until_async("every kind is told", PATIENCE, told).await.unwrap();
    }

    pub async fn notices(&self, state: NoticeState) -> usize {
        let filter = NoticeFilter { state: Some(state), ..NoticeFilter::default() };
        self.store.notices(&filter, 1_000).await.unwrap().len()
    }

    pub async fn all_sent(&self, count: usize) {
        let sent = async || Ok((self.notices(NoticeState::Sent).await >= count).then_some(()));
        wait::until_async("the notices are sent", PATIENCE, sent).await.unwrap();
    }

    pub fn metric(&self, line: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("nothing");
        value.trim().parse().unwrap_or_else(|_| panic!("{line} in {text}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a channel's server takes while an endpoint goes down and comes back.
pub async fn exchange(config: impl FnOnce(&str) -> Value) -> (Taken, Taken) {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(config(&sink.url())).await;
    watch.down_and_up().await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    for request in &taken {
        let text = format!("{request:?}");
        assert!(!text.contains("hidden") && !text.contains("user:pw"), "what may be secret is told: {text}");
    }
    (taken[0].clone(), taken[1].clone())
}

pub const NAME: &str = "The cart \"page\" <&>";

pub fn webhook(url: &str) -> Value {
    json!({"name": "c", "webhook": {"url": {"value": url}}})
}

pub fn pagerduty(url: &str) -> Value {
    json!({"name": "c", "pagerduty": {"routingKey": {"value": "rk"}, "apiUrl": url}})
}

pub fn opsgenie(url: &str) -> Value {
    json!({"name": "c", "opsgenie": {"apiKey": {"value": "k3y"}, "apiUrl": url}})
}

//! Notices of the real program to a real mail server and a real HTTP server: one for each
//! transition, whatever dies. `WATCHKEEPER_SOAK` makes it 100 rounds.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rand::Rng;
use serde_json::{Value, json};
use tempfile::TempDir;
use watchkeeper_e2e::sinks::Sinks;
use watchkeeper_store::{
    Options,
    alerts::{NoticeFilter, NoticeState},
};
use watchkeeper_testkit::{
    postgres::Postgres,
    sink::{Answer, HttpSink},
    wait,
    watchkeeper::{Local, Watchkeeper},
};

/// Longer than a claim lasts, which is the longest that a notice waits for a sender that died.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Store {
    Sqlite,
    Postgres,
}

/// A world to watch, two servers that notices go to, and the program.
struct World {
    target: HttpSink,
    sinks: Sinks,
    replicas: Vec<Watchkeeper>,
    http: reqwest::Client,
    database: Option<String>,
    _manifests: TempDir,
}

impl World {
    fn start(store: Store, replicas: usize) -> Self {
        // Two providers are linked in; without a default no client can be made. Another test may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (target, sinks) = (HttpSink::start().unwrap(), Sinks::start().unwrap());
        let manifests = tempfile::tempdir().unwrap();
        let secret = manifests.path().join("hook-url");
        std::fs::write(&secret, format!("{}/hook\n", sinks.hook.url())).unwrap();
        let instance = json!({
            "apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance", "metadata": {"name": "main"},
            "spec": {"notifications": {"groupWait": "0s", "channels": [
                {"name": "hook", "webhook": {"url": {"valueFrom": {"file": secret}}}},
                {"name": "mail", "email": {"host": "127.0.0.1", "port": sinks.mail.address().port(), "encryption": "None",
                    "from": "watch@own.example", "to": ["ops@team.example"]}},
            ]}},
        });
        let endpoint = json!({
            "apiVersion": "watchkeeper.dev/v1alpha1", "kind": "MonitoredEndpoint", "metadata": {"name": "shop"},
            "spec": {"instanceRef": {"name": "main"}, "interval": "1s", "timeout": "900ms", "http": {"url": target.url()}},
        });
        let file = manifests.path().join("watch.yaml");
        std::fs::write(&file, format!("{instance}\n---\n{endpoint}\n")).unwrap();
        let database = (store == Store::Postgres).then(|| Postgres::shared().unwrap().database().unwrap());
        let replica = || -> Local {
            let local = Watchkeeper::local().manifest(&file);
            match &database {
                Some(url) => local.database(url),
                None => local,
            }
        };
        let replicas = (0..replicas).map(|_| replica().start().unwrap()).collect();
        let http = reqwest::Client::new();
        Self { target, sinks, replicas, http, database, _manifests: manifests }
    }

    /// The messages that somebody may be sending, or was when he died.
    async fn claimed(&self) -> Vec<String> {
        let options = match &self.database {
            Some(url) => Options::postgres(url, None).unwrap(),
            None => Options::sqlite(self.replicas[0].data().join("watchkeeper.db")),
        };
        let store = watchkeeper_store::Store::open(&options).await.unwrap();
        let filter = NoticeFilter { state: Some(NoticeState::Sending), ..NoticeFilter::default() };
        let sending = store.notices(&filter, i64::MAX).await.unwrap();
        store.close().await;
        let mut claimed: Vec<String> = sending.into_iter().filter_map(|notice| notice.delivery).collect();
        claimed.dedup();
        claimed
    }

    fn answers(&self, status: u16) {
        self.target.answer(Answer::status(status));
    }

    async fn get(&self, path: &str) -> Value {
        let server = &self.replicas[0];
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let request = self.http.get(format!("{}{path}", server.base_url())).bearer_auth(token.trim());
        let response = request.send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.json().await.unwrap()
    }

    async fn becomes(&self, state: &str) {
        let reached = async || {
            let listed = self.get("/api/v1/endpoints?origin=all").await;
            Ok((listed["endpoints"][0]["state"] == state).then_some(()))
        };
        wait::until_async(&format!("the endpoint is {state}"), PATIENCE, reached).await.unwrap();
    }

    /// Waits for as many checks as prove that the program has looked again and changed nothing.
    async fn further_checks(&self, count: usize) {
        let before = self.target.taken().len();
        let checked = || Ok((self.target.taken().len() >= before + count).then_some(()));
        wait::until("further checks", PATIENCE, checked).unwrap();
    }

    /// Waits until this many notices of each channel were sent, and are known to be.
    async fn told(&self, count: usize) {
        let told = async || {
            let sent = |log: Vec<(String, String)>| log.iter().filter(|(_, state)| state == "sent").count();
            let (hook, mail) = (sent(self.log("hook").await), sent(self.log("mail").await));
            Ok((hook >= count && mail >= count).then_some(()))
        };
        wait::until_async("everybody is told", PATIENCE, told).await.unwrap();
    }

    /// The log of a channel, oldest first: kind and state.
    async fn log(&self, channel: &str) -> Vec<(String, String)> {
        let listed = self.get(&format!("/api/v1/notices?limit=1000&channel={channel}")).await;
        let text = |notice: &Value, key: &str| notice[key].as_str().unwrap().to_owned();
        let notices = listed["notices"].as_array().unwrap();
        notices.iter().rev().map(|notice| (text(notice, "kind"), text(notice, "state"))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_something_is_down_tells_nobody_again_and_the_recovery_is_told_on_sqlite() {
    a_restart_while_something_is_down_tells_nobody_again_and_the_recovery_is_told(Store::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_all_replicas_tells_nobody_again_and_the_recovery_is_told_on_postgres() {
    a_restart_while_something_is_down_tells_nobody_again_and_the_recovery_is_told(Store::Postgres, 2).await;
}

async fn a_restart_while_something_is_down_tells_nobody_again_and_the_recovery_is_told(
    store: Store,
    replicas: usize,
) {
    let world = World::start(store, replicas);
    world.becomes("Up").await;
    world.answers(503);
    world.told(1).await;
    for _ in 0..2 {
        for replica in &world.replicas {
            replica.kill9().unwrap();
        }
        for replica in &world.replicas {
            replica.restart().unwrap();
        }
        world.further_checks(3).await;
    }
    let World { sinks, .. } = &world;
    assert_eq!((sinks.hook.taken().len(), sinks.mail.taken().len()), (1, 1), "somebody was told again");
    world.answers(200);
    world.told(2).await;
    world.further_checks(3).await;
    assert_eq!((sinks.hook.taken().len(), sinks.mail.taken().len()), (2, 2));
    assert_eq!(sinks.hooked()[1].kind, "recovery");
    assert_eq!(sinks.mailed()[1].kind, "recovery");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_between_everything_leaves_one_notice_for_each_transition_on_sqlite() {
    kill_9_between_everything_leaves_one_notice_for_each_transition(Store::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_one_of_two_leaves_one_notice_for_each_transition_on_postgres() {
    kill_9_between_everything_leaves_one_notice_for_each_transition(Store::Postgres, 2).await;
}

async fn kill_9_between_everything_leaves_one_notice_for_each_transition(store: Store, replicas: usize) {
    let soak = std::env::var_os("WATCHKEEPER_SOAK").is_some();
    let rounds = if soak { 100 } else { 6 };
    let world = World::start(store, replicas);
    world.becomes("Up").await;
    let mut caught = Vec::new();
    // Servers that take their time are caught in the middle more often.
    world.sinks.hook.answer(Answer { after: Duration::from_millis(60), ..Answer::status(200) });
    for round in 0..rounds {
        world.answers(if round % 2 == 0 { 503 } else { 200 });
        // At any moment between the failure, its check, its notices, their claims and their marks.
        let victim = &world.replicas[round % replicas];
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..1_800))).await;
        victim.kill9().unwrap();
        caught.extend(world.claimed().await);
        victim.restart().unwrap();
        world.becomes(if round % 2 == 0 { "Down" } else { "Up" }).await;
    }
    let all_sent = async || {
        let (hook, mail) = (world.log("hook").await, world.log("mail").await);
        Ok(hook.iter().chain(&mail).all(|(_, state)| state == "sent").then_some(()))
    };
    wait::until_async("everything is sent", PATIENCE, all_sent).await.unwrap();
    for (name, told) in [("hook", world.sinks.hooked()), ("mail", world.sinks.mailed())] {
        let logged: Vec<String> = world.log(name).await.into_iter().map(|(kind, _)| kind).collect();
        // A check that this machine was too slow for may have been a transition as well.
        assert!(logged.len() >= rounds && (logged.len() - rounds).is_multiple_of(2), "{name}: {logged:?}");
        let alternating: Vec<&str> = ["down", "recovery"].into_iter().cycle().take(logged.len()).collect();
        assert_eq!(logged, alternating, "{name}: one notice for each transition");
        let kinds: Vec<&str> = told.iter().map(|told| told.kind.as_str()).collect();
        assert_eq!(kinds, alternating, "{name}: each was taken, in order");
    }
    // What was sent again carries its first identity; it happens only to what a sender had claimed when it
    // died, once.
    let [again, mailed_again] = world.sinks.repetitions();
    eprintln!(
        "{store:?}: {rounds} kills, {again} requests and {mailed_again} mails were sent again of {} messages \
         caught on their way",
        caught.len()
    );
    let repeated = world.sinks.repeated();
    assert!(repeated.iter().all(|delivery| caught.contains(delivery)), "{repeated:?}, {caught:?}");
    assert!(again + mailed_again <= caught.len(), "{again} requests and {mailed_again} mails repeated");
}

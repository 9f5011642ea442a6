//! Calls of endpoints that report by themselves, on each database.

#[macro_use]
mod common;

use std::time::Duration;

use common::{Fresh, execute, open};
use watchkeeper_store::{
    Endpoint, EndpointSpec, HeartbeatProbe, LastCheck, NewEndpoint, Origin, Probe, ProjectId, State, Store,
    now_ms,
};

on_both! {
    a_call_counts_whatever_the_clock_of_the_replica_that_takes_it
    calls_of_one_moment_keep_their_order
    a_call_of_a_clock_that_was_a_day_ahead_holds_up_none_after_it
}

const TOKEN: &str = "0123456789abcdef";

/// Something that calls every hour.
async fn job(store: &Store) {
    let probe = Probe::Heartbeat(HeartbeatProbe { token: TOKEN.into(), grace: Duration::ZERO });
    let spec = EndpointSpec { interval: Duration::from_secs(3_600), ..EndpointSpec::new("job", probe) };
    let new = NewEndpoint {
        uid: "job".into(),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: "default".into(),
        name: "job".into(),
        generation: 1,
        spec,
    };
    store.put_endpoint(&new).await.expect("put");
}

async fn found(store: &Store) -> Endpoint {
    store.endpoints().await.expect("endpoints").remove(0)
}

/// Calls through a replica whose clock is `ahead` milliseconds of the right one.
async fn call(store: &Store, ok: bool, ahead: i64) {
    let result = LastCheck { at: now_ms() + ahead, ok, ..LastCheck::default() };
    assert_eq!(store.push_heartbeat(TOKEN, &result).await.expect("push"), 1);
}

async fn a_call_counts_whatever_the_clock_of_the_replica_that_takes_it(fresh: Fresh) {
    let store = open(&fresh).await;
    job(&store).await;
    let before = now_ms();
    call(&store, true, 20_000).await;
    assert_eq!(found(&store).await.status.state, State::Up);
    call(&store, false, -20_000).await;
    let job = found(&store).await;
    assert_eq!(job.status.state, State::Down, "it said that it failed");
    let newest = store.heartbeats().await.expect("calls")[&job.id];
    assert!(!newest.ok);
    // Databases cut milliseconds off as they like.
    assert!((before - 1_000..=now_ms() + 1_000).contains(&newest.at), "{before} {}", newest.at);
}

async fn calls_of_one_moment_keep_their_order(fresh: Fresh) {
    let store = open(&fresh).await;
    job(&store).await;
    for number in 0..10 {
        call(&store, number % 2 == 0, 0).await;
    }
    let job = found(&store).await;
    let checks = store.checks(job.project, job.id, 0).await.expect("checks");
    let said: Vec<bool> = checks.iter().map(|check| check.ok).collect();
    assert_eq!(said, [true, false].repeat(5), "each is kept");
    assert!(checks.is_sorted_by(|one, next| one.at < next.at), "{checks:?}");
}

async fn a_call_of_a_clock_that_was_a_day_ahead_holds_up_none_after_it(fresh: Fresh) {
    let store = open(&fresh).await;
    job(&store).await;
    call(&store, true, 0).await;
    // As an earlier release noted it, which went by the clock of whoever took the call.
    execute(&fresh, &["UPDATE heartbeats SET pushed_at = pushed_at + 86400000"]).await;
    call(&store, false, 0).await;
    let job = found(&store).await;
    let newest = store.heartbeats().await.expect("calls")[&job.id];
    assert_eq!((newest.ok, job.status.state), (false, State::Down));
    assert!(newest.at <= now_ms() + 1_000, "{}", newest.at);
}

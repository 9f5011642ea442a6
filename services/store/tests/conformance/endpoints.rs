//! Endpoints, and what their checks make of them.

use std::time::Duration;

use watchkeeper_store::{Check, ProjectId, PutOutcome, State, now_ms};

use crate::{
    common::{Fresh, execute, open},
    harness::{endpoint, result},
};

on_both! {
    an_endpoint_put_twice_is_unchanged
    a_damaged_endpoint_hides_no_other_and_is_mended_by_putting_it
    suspending_and_resuming_are_transitions
    results_move_the_state_once_per_change
    a_late_result_is_dropped_and_moves_no_state
    results_of_gone_endpoints_are_dropped
    uptime_is_the_share_of_good_time
}

async fn an_endpoint_put_twice_is_unchanged(fresh: Fresh) {
    let store = open(&fresh).await;
    let mut new = endpoint("a", ProjectId::INSTALLATION);
    assert_eq!(store.put_endpoint(&new).await.expect("put"), PutOutcome::Created);
    let revision = store.endpoints_revision().await.expect("revision");
    assert_eq!(store.put_endpoint(&new).await.expect("put"), PutOutcome::Unchanged);
    assert_eq!(store.endpoints_revision().await.expect("revision"), revision);
    new.spec.timeout = Duration::from_secs(2);
    assert_eq!(store.put_endpoint(&new).await.expect("put"), PutOutcome::Updated);
    assert!(store.endpoints_revision().await.expect("revision") > revision);
    let stored = store.endpoints().await.expect("endpoints").remove(0);
    assert_eq!((stored.spec, stored.status.state), (new.spec, State::Unknown));
    assert!(store.delete_endpoint("a").await.expect("delete"));
    assert!(!store.delete_endpoint("a").await.expect("delete again"));
}

async fn a_damaged_endpoint_hides_no_other_and_is_mended_by_putting_it(fresh: Fresh) {
    let store = open(&fresh).await;
    for uid in ["a", "b"] {
        store.put_endpoint(&endpoint(uid, ProjectId::INSTALLATION)).await.expect("put");
    }
    execute(&fresh, &["UPDATE endpoints SET spec = '{' WHERE uid = 'a'"]).await;
    let uids =
        async || store.endpoints().await.expect("endpoints").into_iter().map(|e| e.uid).collect::<Vec<_>>();
    assert_eq!(uids().await, ["b"]);
    store.put_endpoint(&endpoint("a", ProjectId::INSTALLATION)).await.expect("put again");
    assert_eq!(uids().await, ["a", "b"]);
}

async fn suspending_and_resuming_are_transitions(fresh: Fresh) {
    let store = open(&fresh).await;
    let mut new = endpoint("a", ProjectId::INSTALLATION);
    store.put_endpoint(&new).await.expect("put");
    for (suspended, state) in [(true, State::Suspended), (false, State::Unknown)] {
        let before = store.last_transition().await.expect("transition");
        new.spec.suspended = suspended;
        store.put_endpoint(&new).await.expect("put");
        let changed = store.transitions_after(before).await.expect("transitions");
        assert_eq!(changed.iter().map(|e| e.status.state).collect::<Vec<_>>(), [state]);
    }
}

async fn results_move_the_state_once_per_change(fresh: Fresh) {
    let store = open(&fresh).await;
    store.put_endpoint(&endpoint("a", ProjectId::INSTALLATION)).await.expect("put");
    let id = store.endpoints().await.expect("endpoints")[0].id;
    let mut transitions = Vec::new();
    for (at, ok) in [(1, true), (2, true), (3, false), (4, false), (5, true)] {
        let before = store.last_transition().await.expect("transition");
        let check = Check { project: ProjectId::INSTALLATION, endpoint: id, result: result(at, ok) };
        store.record_checks(std::slice::from_ref(&check)).await.expect("record");
        // The same result again, as after a lost answer, stores and changes nothing.
        store.record_checks(&[check]).await.expect("record again");
        transitions.extend(
            store
                .transitions_after(before)
                .await
                .expect("transitions")
                .iter()
                .map(|e| (e.status.state, e.status.since)),
        );
    }
    assert_eq!(transitions, [(State::Up, 1), (State::Down, 3), (State::Up, 5)]);
    let stored = store.checks(ProjectId::INSTALLATION, id, 2).await.expect("checks");
    assert_eq!(stored, [result(2, true), result(3, false), result(4, false), result(5, true)]);
    let status = store.endpoints().await.expect("endpoints").remove(0).status;
    assert_eq!(status.last_check, Some(result(5, true)));
}

async fn a_late_result_is_dropped_and_moves_no_state(fresh: Fresh) {
    let store = open(&fresh).await;
    store.put_endpoint(&endpoint("a", ProjectId::INSTALLATION)).await.expect("put");
    let id = store.endpoints().await.expect("endpoints")[0].id;
    let check = |at, ok| Check { project: ProjectId::INSTALLATION, endpoint: id, result: result(at, ok) };
    store.record_checks(&[check(10, true)]).await.expect("record");
    // As from a replica that lost the database, and its lease, and came back.
    store.record_checks(&[check(5, false), check(9, true)]).await.expect("record");
    store.record_checks(&[check(8, false)]).await.expect("record");
    let status = store.endpoints().await.expect("endpoints").remove(0).status;
    assert_eq!((status.state, status.since, status.last_check), (State::Up, 10, Some(result(10, true))));
    assert_eq!(store.checks(ProjectId::INSTALLATION, id, 0).await.expect("checks").len(), 1);
}

async fn results_of_gone_endpoints_are_dropped(fresh: Fresh) {
    let store = open(&fresh).await;
    let check = Check { project: ProjectId::INSTALLATION, endpoint: 77, result: result(1, true) };
    store.record_checks(&[check]).await.expect("record");
    assert!(store.checks(ProjectId::INSTALLATION, 77, 0).await.expect("checks").is_empty());
}

async fn uptime_is_the_share_of_good_time(fresh: Fresh) {
    let store = open(&fresh).await;
    store.put_endpoint(&endpoint("a", ProjectId::INSTALLATION)).await.expect("put");
    let id = store.endpoints().await.expect("endpoints")[0].id;
    let now = now_ms();
    // Each holds for a minute and half a second, the newest only until now.
    let checks: Vec<_> = [(30, false), (3_600, true), (3 * 86_400, true), (40 * 86_400, false)]
        .map(|(seconds, ok)| Check {
            project: ProjectId::INSTALLATION,
            endpoint: id,
            result: result(now - seconds * 1_000, ok),
        })
        .into();
    store.record_checks(&checks).await.expect("record");
    let uptime = store.uptimes(now).await.expect("uptimes")[&id];
    assert_eq!(store.uptime(ProjectId::INSTALLATION, id, now).await.expect("uptime"), uptime);
    let share = |good: f64| Some(good / (good + 30.0));
    assert_eq!((uptime.day, uptime.week, uptime.month), (share(60.5), share(121.0), share(121.0)));
    assert_eq!(store.endpoints().await.expect("endpoints")[0].status.state, State::Down);
}

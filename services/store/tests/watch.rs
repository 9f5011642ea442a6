//! Checks on each database: who may store them, that each is there once, and
//! that sealing changes nothing that is read.

#[macro_use]
mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Fresh, open};
use sqlx::{Connection, Row};
use watchkeeper_store::{
    Check, DAY_MS, EndpointSpec, HeartbeatProbe, HttpProbe, LastCheck, NewEndpoint, Origin, PlannedCheck,
    Probe, ProjectId, Recording, Retention, SHARDS, State, Store, StoreError, now_ms, shard_of,
};

const TTL: Duration = Duration::from_secs(30);
const PROJECT: ProjectId = ProjectId::INSTALLATION;
const INTERVAL: i64 = 10_000;

on_both! {
    a_term_that_was_ended_stores_nothing_any_more
    a_living_term_keeps_its_shards_and_a_dead_one_loses_them
    results_of_shards_that_were_given_away_are_refused_one_by_one
    a_planned_check_is_stored_once_however_often_it_is_given
    an_earlier_release_that_probes_is_waited_for
    sealing_changes_nothing_that_is_read
    what_an_earlier_release_has_stored_is_taken_over
    results_take_at_most_eight_bytes_each
    retention_drops_old_results
    transitions_are_remembered_in_their_order
    whatever_a_target_says_is_stored
    a_check_beside_the_schedule_leaves_no_gap
    a_check_holds_until_the_next_is_overdue_however_long_that_is
    checks_are_read_by_their_project_alone_and_go_with_their_endpoint
}

/// A new endpoint, checked every ten seconds; its id.
async fn endpoint(store: &Store, uid: &str) -> i64 {
    endpoint_with(store, uid, |_| ()).await
}

async fn endpoint_with(store: &Store, uid: &str, change: impl FnOnce(&mut EndpointSpec)) -> i64 {
    let mut spec = EndpointSpec {
        interval: Duration::from_millis(INTERVAL.unsigned_abs()),
        timeout: Duration::from_secs(2),
        ..EndpointSpec::new(uid, Probe::Http(HttpProbe::new("http://example.com/")))
    };
    change(&mut spec);
    let new = NewEndpoint {
        uid: uid.into(),
        origin: Origin::Kubernetes,
        project: PROJECT,
        namespace: "default".into(),
        name: uid.into(),
        generation: 1,
        spec,
    };
    store.put_endpoint(&new).await.expect("put");
    let all = store.endpoints().await.expect("endpoints");
    all.iter().find(|endpoint| endpoint.uid == uid).expect("it is there").id
}

fn planned(endpoint: i64, due: i64, ok: bool) -> PlannedCheck {
    let result = LastCheck {
        at: due + 3,
        ok,
        status: Some(if ok { 200 } else { 500 }),
        duration_us: 1_000 + due % 977,
        message: (!ok).then(|| format!("status 500, {}", due % 3)),
        degraded: ok && due % 7 == 0,
        ..LastCheck::default()
    };
    PlannedCheck { due, check: Check { project: PROJECT, endpoint, result } }
}

async fn join_all(store: &Store, holder: &str) -> i64 {
    let term = store.join_checkers(holder, TTL).await.expect("join").expect("a term");
    store.claim_shards(term, (0..SHARDS).collect()).await.expect("claim");
    term
}

async fn dues(store: &Store, endpoint: i64) -> Vec<i64> {
    store.planned_between(PROJECT, endpoint, i64::MIN, i64::MAX).await.expect("planned")
}

async fn a_term_that_was_ended_stores_nothing_any_more(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let old = join_all(&store, "a").await;
    store.record_planned(old, vec![planned(id, 10, true)]).await.expect("record");

    // It comes back as another, as after a crash, and everything is its own at once.
    let new = join_all(&store, "a").await;
    assert!(new > old);
    let late = store.record_planned(old, vec![planned(id, 20, false)]).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert!(matches!(store.beat(old, TTL).await, Err(StoreError::Fenced)));
    assert!(matches!(store.claim_shards(old, vec![1]).await, Err(StoreError::Fenced)));
    store.record_planned(new, vec![planned(id, 20, true)]).await.expect("record");
    assert_eq!(dues(&store, id).await, [10, 20]);
    assert_eq!(store.endpoints().await.expect("endpoints")[0].status.state, State::Up);
}

async fn a_living_term_keeps_its_shards_and_a_dead_one_loses_them(fresh: Fresh) {
    let store = open(&fresh).await;
    let first = join_all(&store, "first").await;
    let second = store.join_checkers("second", TTL).await.expect("join").expect("a term");
    let all: Vec<i64> = (0..SHARDS).collect();
    assert_eq!(store.claim_shards(second, all.clone()).await.expect("claim"), 0);
    store.release_shards(first, vec![1, 2]).await.expect("release");
    assert_eq!(store.claim_shards(second, all.clone()).await.expect("claim"), 2);

    // A heartbeat that lasts no time at all: it is dead by the database's clock.
    let revision = store.checkers_revision().await.expect("revision");
    store.beat(first, Duration::ZERO).await.expect("beat");
    assert_eq!(store.claim_shards(second, all).await.expect("claim"), 254);
    assert!(store.checkers_revision().await.expect("revision") > revision);
    let view = store.checkers().await.expect("view");
    assert_eq!(view.replicas.iter().map(|replica| replica.term).collect::<Vec<_>>(), [second]);
    assert!(view.shards.iter().all(|owner| *owner == Some(second)));
    store.leave_checkers(second).await.expect("leave");
    assert!(store.checkers().await.expect("view").replicas.is_empty());
}

async fn results_of_shards_that_were_given_away_are_refused_one_by_one(fresh: Fresh) {
    let store = open(&fresh).await;
    let (a, b) = (endpoint(&store, "a").await, endpoint(&store, "b").await);
    let term = join_all(&store, "first").await;
    store.release_shards(term, vec![shard_of(a)]).await.expect("release");
    let done =
        store.record_planned(term, vec![planned(a, 10, true), planned(b, 10, true)]).await.expect("record");
    assert_eq!(done, Recording { stored: 1, refused: 1, ..Recording::default() });
    assert_eq!((dues(&store, a).await, dues(&store, b).await), (vec![], vec![10]));
}

async fn a_planned_check_is_stored_once_however_often_it_is_given(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let term = join_all(&store, "first").await;
    let batch: Vec<PlannedCheck> = (1..=20).map(|number| planned(id, number * 10, true)).collect();
    for part in [&batch[..10], &batch[5..], &batch[..]] {
        store.record_planned(term, part.to_vec()).await.expect("record");
    }
    // Several at once, as when an answer was lost and the first try still runs.
    let again = planned(id, 210, false);
    let racing = (0..6).map(|_| store.record_planned(term, vec![again.clone()]));
    let stored: usize =
        futures::future::join_all(racing).await.into_iter().map(|done| done.expect("record").stored).sum();
    assert_eq!(stored, 1);
    let found = dues(&store, id).await;
    assert_eq!(found.len(), 21);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 21);
    assert_eq!(store.newest_planned().await.expect("newest")[&id], 210);
}

async fn an_earlier_release_that_probes_is_waited_for(fresh: Fresh) {
    let store = open(&fresh).await;
    let lease = watchkeeper_store::Lease { name: "checker".into(), holder: "old-pod".into(), ttl: TTL };
    assert!(store.hold(&lease).await.expect("hold"));
    assert_eq!(store.join_checkers("new", TTL).await.expect("join"), None);
    store.release(&lease).await.expect("release");
    assert!(store.join_checkers("new", TTL).await.expect("join").is_some());
    assert!(!store.hold(&lease).await.expect("hold"), "an old one must wait for all new ones");
}

async fn sealing_changes_nothing_that_is_read(fresh: Fresh) {
    let store = open(&fresh).await;
    let ids = [endpoint(&store, "a").await, endpoint(&store, "b").await];
    let endpoints = store.endpoints().await.expect("endpoints");
    let term = join_all(&store, "first").await;
    // Across midnight, with gaps and with outages, in batches of both.
    let start = (now_ms() / DAY_MS - 1) * DAY_MS - 40 * INTERVAL;
    let read = async || {
        let mut found = Vec::new();
        for id in ids {
            let to = start + 140 * INTERVAL;
            for from in [start, start + 33 * INTERVAL + 5] {
                let oldest = store.checks_between(PROJECT, id, from, to, 7, false).await.expect("checks");
                let newest = store.checks_between(PROJECT, id, from, to, 1_000, true).await.expect("checks");
                let count = store.check_count(PROJECT, id, from, to).await.expect("count");
                assert_eq!(count, i64::try_from(newest.len()).expect("few"));
                let buckets = store.buckets(PROJECT, id, from, to, 9).await.expect("buckets");
                let outages = store.outages(PROJECT, id, from, to).await.expect("outages");
                let whole = store.availability(PROJECT, id, from, to).await.expect("availability");
                found.push(format!("{oldest:?} {newest:?} {buckets:?} {outages:?} {whole:?}"));
            }
            for (from, limit) in [(start, 5), (start + 33 * INTERVAL + 5, 1_000)] {
                let to = start + 140 * INTERVAL;
                let of: Vec<_> = endpoints.iter().map(|endpoint| (endpoint, from)).collect();
                let together = store.newest_checks(&of, to, limit).await.expect("checks");
                let alone = store.checks_between(PROJECT, id, from, to, limit, true).await.expect("checks");
                assert_eq!(together[&id], alone);
            }
            let all = store.availability_of_all(start, start + 140 * INTERVAL).await.expect("all");
            found.push(format!("{:?}", all[&id]));
        }
        found
    };
    for round in 0..10 {
        let numbers = (round * 12..round * 12 + 12).filter(|number| number % 31 > 3);
        let batch = numbers
            .flat_map(|number| ids.map(|id| planned(id, start + number * INTERVAL, (number + id) % 9 > 2)))
            .collect();
        store.record_planned(term, batch).await.expect("record");
        let before = read().await;
        assert!(store.seal_all_checks().await.expect("seal") > 0);
        let after = read().await;
        assert_eq!(before, after, "round {round}");
    }
    let found =
        store.availability(PROJECT, ids[0], start, start + 140 * INTERVAL).await.expect("availability");
    assert!(
        found.up_ms > 0 && found.down_ms > 0 && found.degraded_ms > 0 && found.unknown_ms > 0,
        "{found:?}"
    );
    assert_eq!(store.seal_all_checks().await.expect("seal"), 0);
}

async fn what_an_earlier_release_has_stored_is_taken_over(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let pool = sqlx::AnyPool::connect(fresh.options.url()).await.expect("connect");
    for at in [5, 7, DAY_MS + 9] {
        sqlx::query(
            "INSERT INTO checks (project_id, endpoint_id, at, ok, status, duration_us) VALUES ($1, $2, $3, TRUE, 200, 9)",
        )
        .bind(PROJECT.0)
        .bind(id)
        .bind(at)
        .execute(&pool)
        .await
        .expect("insert");
    }
    pool.close().await;
    assert_eq!(store.seal_checks().await.expect("seal"), 3);
    assert_eq!(dues(&store, id).await, [5, 7, DAY_MS + 9]);
    assert_eq!(store.seal_checks().await.expect("seal"), 0);
}

async fn results_take_at_most_eight_bytes_each(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let start = now_ms() / DAY_MS * DAY_MS - 6 * DAY_MS;
    let mut seed = 11_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((seed >> 33) % below).expect("small")
    };
    // A day of one endpoint, sealed each hour.
    for hour in 0..24 {
        let checks: Vec<Check> = (0..360)
            .map(|number| {
                let at = start + (hour * 360 + number) * INTERVAL + random(5);
                let spent = [random(400), 300 + random(800), 2_000 + random(3_000), 9_000 + random(60_000)];
                let [resolve_us, connect_us, tls_us, processing_us] = spent;
                let phases = watchkeeper_store::Phases {
                    resolve_us,
                    connect_us,
                    tls_us,
                    processing_us,
                    transfer_us: random(700),
                };
                let result = LastCheck {
                    at,
                    ok: true,
                    status: Some(200),
                    duration_us: spent.iter().sum(),
                    phases: Some(phases),
                    certificate_expires_at: Some(1_900_000_000_000),
                    ..LastCheck::default()
                };
                Check { project: PROJECT, endpoint: id, result }
            })
            .collect();
        store.record_checks(&checks).await.expect("record");
        store.seal_all_checks().await.expect("seal");
    }
    let mut connection = sqlx::AnyConnection::connect(fresh.options.url()).await.expect("connect");
    let row = sqlx::query(
        "SELECT CAST(COUNT(*) AS BIGINT), CAST(SUM(rows) AS BIGINT), \
                CAST(SUM(LENGTH(data) + LENGTH(summary)) AS BIGINT) FROM check_segments",
    )
    .fetch_one(&mut connection)
    .await
    .expect("sizes");
    let (segments, rows, bytes): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((segments, rows), (1, 24 * 360), "a day that is past is one segment");
    // With what the database itself keeps of a row and of its keys.
    assert!(bytes + segments * 160 <= 8 * rows, "{bytes} bytes for {rows} checks");
}

async fn retention_drops_old_results(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let now = now_ms();
    for (age, sealed) in [(50 * DAY_MS, true), (40 * DAY_MS, false), (3_600_000, true), (60_000, false)] {
        let check = planned(id, now - age, true).check;
        store.record_checks(&[check]).await.expect("record");
        if sealed {
            store.seal_all_checks().await.expect("seal");
        }
    }
    let retention = Retention { hits: None, checks: Some(Duration::from_secs(30 * 86_400)) };
    store.expire(retention).await.expect("expire");
    let left = store.checks_between(PROJECT, id, 0, i64::MAX, 10, false).await.expect("checks");
    assert_eq!(left.iter().map(|check| now - check.at).collect::<Vec<_>>(), [3_599_997, 59_997]);
}

async fn transitions_are_remembered_in_their_order(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let checks: Vec<Check> =
        [(8, true), (9, false), (15, false), (22, true)].map(|(due, ok)| planned(id, due, ok).check).into();
    store.record_checks(&checks).await.expect("record");
    let found = store.transitions_between(PROJECT, id, 0, i64::MAX).await.expect("transitions");
    let moves: Vec<_> = found.iter().map(|past| (past.from, past.to, past.at)).collect();
    assert_eq!(
        moves,
        [(State::Unknown, State::Up, 11), (State::Up, State::Down, 12), (State::Down, State::Up, 25)]
    );
    assert!(found.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert_eq!(found.last().map(|past| past.seq), Some(store.last_transition().await.expect("last")));
}

async fn checks_are_read_by_their_project_alone_and_go_with_their_endpoint(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let count = async |project| store.check_count(project, id, i64::MIN, i64::MAX).await.expect("count");
    store.record_checks(&[planned(id, 10, true).check]).await.expect("record");
    store.seal_all_checks().await.expect("seal");
    store.record_checks(&[planned(id, 20, true).check]).await.expect("record");
    assert_eq!(count(PROJECT).await, 2);
    let other = ProjectId(PROJECT.0 + 1);
    assert_eq!(count(other).await, 0);
    assert!(store.checks_between(other, id, 0, 100, 10, false).await.expect("checks").is_empty());
    store.delete_endpoint("a").await.expect("delete");
    assert_eq!(count(PROJECT).await, 0);
    assert!(dues(&store, id).await.is_empty());
    // Sealing keeps nothing of it either.
    store.seal_all_checks().await.expect("seal");
    assert_eq!(dues(&store, id).await, [0_i64; 0]);
}

async fn whatever_a_target_says_is_stored(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let term = join_all(&store, "a").await;
    let mut said = planned(id, 10, false);
    said.check.result.message = Some("[BODY] (\0\u{1}x) == y".into());
    let done = store.record_planned(term, vec![said.clone()]).await.expect("record");
    assert_eq!(done.stored, 1);
    let past = store.transitions_between(PROJECT, id, 0, i64::MAX).await.expect("transitions");
    assert_eq!(past[0].message.as_deref(), Some("[BODY] (  x) == y"));
    said.check.result.at += 1;
    store.record_manual_check(&said.check).await.expect("record");
    let found = store.checks(PROJECT, id, 0).await.expect("checks");
    assert!(found.iter().all(|check| check.message == past[0].message), "{found:?}");
}

async fn a_check_beside_the_schedule_leaves_no_gap(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let start = now_ms() - 60_000;
    store.record_checks(&[planned(id, start, true).check]).await.expect("record");
    store.record_manual_check(&planned(id, start + 4_000, true).check).await.expect("record");
    store.record_checks(&[planned(id, start + INTERVAL, true).check]).await.expect("record");
    let found = store.availability(PROJECT, id, start + 3, start + INTERVAL).await.expect("availability");
    assert_eq!((found.checks, found.unknown_ms), (2, 0), "{found:?}");
    let gone = planned(id + 1, start, true).check;
    store.record_manual_check(&gone).await.expect("there is nothing to store it for");
}

async fn a_check_holds_until_the_next_is_overdue_however_long_that_is(fresh: Fresh) {
    let store = open(&fresh).await;
    let day = Duration::from_secs(86_400);
    let weekly = endpoint_with(&store, "weekly", |spec| spec.interval = 7 * day).await;
    let nightly = endpoint_with(&store, "nightly", |spec| {
        spec.interval = day;
        spec.probe = Probe::Heartbeat(HeartbeatProbe { token: "t".into(), grace: day / 24 });
    })
    .await;
    let now = now_ms();
    let late = now - 2 * DAY_MS + DAY_MS / 30;
    let checks = [(weekly, now - 5 * DAY_MS), (nightly, now - 3 * DAY_MS), (nightly, late)];
    for (id, at) in checks {
        let mut check = planned(id, at, true).check;
        check.result.degraded = false;
        store.record_checks(&[check]).await.expect("record");
    }
    for sealed in [false, true] {
        if sealed {
            store.seal_all_checks().await.expect("seal");
            let all = store.availability_of_all(now - DAY_MS, now).await.expect("all");
            assert_eq!(all.get(&weekly).map(|found| found.up_ms), Some(DAY_MS));
            let found = store.availability(PROJECT, weekly, now - DAY_MS, now).await.expect("availability");
            assert_eq!((found.up_ms, found.checks), (DAY_MS, 0));
        }
        let found = store.availability(PROJECT, nightly, now - 3 * DAY_MS + 3, late).await.expect("found");
        assert_eq!(found.unknown_ms, 0, "a call within its grace comes in time: {found:?}");
    }
}

//! Checks on each database: who may store them, that each is there once, and
//! that sealing changes nothing that is read.

#[macro_use]
mod common;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use common::{Fresh, execute, open};
use watchkeeper_store::{
    Check, DAY_MS, DaySpent, EndpointSpec, HeartbeatProbe, HttpProbe, LastCheck, NewEndpoint, Origin,
    PlannedCheck, Probe, ProjectId, Recording, Retention, SHARDS, State, Store, StoreError, now_ms, shard_of,
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
    retention_drops_old_results
    transitions_are_remembered_in_their_order
    whatever_a_target_says_is_stored
    a_check_beside_the_schedule_leaves_no_gap
    a_check_beside_the_schedule_that_was_overtaken_is_not_the_last
    a_check_of_an_instant_that_is_sealed_already_is_sealed_as_well
    a_check_holds_until_the_next_is_overdue_however_long_that_is
    checks_are_read_by_their_project_alone_and_go_with_their_endpoint
    days_that_are_over_are_kept_as_their_checks_say_and_made_anew_when_late_ones_come
    a_day_that_is_damaged_is_made_of_its_checks
    an_outage_ends_where_nobody_looked_and_maintenance_is_none
    a_damaged_piece_is_put_aside_and_holds_up_no_other
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

async fn a_check_beside_the_schedule_that_was_overtaken_is_not_the_last(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let (early, late) = (now_ms() - INTERVAL, now_ms());
    store.record_checks(&[planned(id, late, true).check]).await.expect("record");
    store.record_manual_check(&planned(id, early, false).check).await.expect("record");
    let found = store.endpoints().await.expect("endpoints").remove(0);
    assert_eq!(found.status.last_check.map(|check| check.ok), Some(true));
    assert_eq!(dues(&store, id).await.len(), 2, "it is part of the past");
}

async fn a_check_of_an_instant_that_is_sealed_already_is_sealed_as_well(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let check = planned(id, now_ms() - INTERVAL, true).check;
    store.record_checks(std::slice::from_ref(&check)).await.expect("record");
    assert_eq!(store.seal_all_checks().await.expect("seal"), 1);
    // Somebody asked for it at the same moment.
    store.record_manual_check(&check).await.expect("record");
    assert_eq!(store.seal_all_checks().await.expect("seal"), 1);
    assert_eq!(dues(&store, id).await, [check.result.at, check.result.at]);
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

/// The days of which the endpoints' time is kept.
async fn kept_days(fresh: &Fresh) -> Vec<i64> {
    let pool = sqlx::AnyPool::connect(fresh.options.url()).await.expect("connect");
    let days = sqlx::query_scalar("SELECT day FROM check_days WHERE data IS NOT NULL ORDER BY day")
        .fetch_all(&pool)
        .await
        .expect("days");
    pool.close().await;
    days
}

/// What the checks say of days, each by itself.
async fn one_by_one(store: &Store, days: std::ops::Range<i64>) -> Vec<(i64, HashMap<i64, DaySpent>)> {
    let mut found = Vec::new();
    for day in days {
        let all = store.availability_of_all(day * DAY_MS, (day + 1) * DAY_MS).await.expect("all");
        found.push((day, all.iter().map(|(id, spent)| (*id, spent.into())).collect()));
    }
    found
}

/// Numbers that look random and are the same each time.
fn numbers() -> impl FnMut(i64) -> i64 {
    let mut seed = 7_u64;
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(seed >> 33).expect("31 bits") % below
    }
}

async fn days_that_are_over_are_kept_as_their_checks_say_and_made_anew_when_late_ones_come(fresh: Fresh) {
    let store = open(&fresh).await;
    let half_hourly = |spec: &mut EndpointSpec| spec.interval = Duration::from_secs(1_800);
    let early = endpoint_with(&store, "early", half_hourly).await;
    let late = endpoint_with(&store, "late", half_hourly).await;
    let week = Duration::from_secs(7 * 86_400);
    let weekly = endpoint_with(&store, "weekly", |spec| spec.interval = week).await;
    let today = now_ms() / DAY_MS;
    let first = today - 6;
    let mut random = numbers();
    let mut checks_of = |id: i64, days: std::ops::Range<i64>| -> Vec<Check> {
        (days.start * 48..days.end * 48)
            .filter_map(|step| {
                let due = step * 1_800_000 + random(60_000);
                (random(5) > 0).then(|| planned(id, due, random(4) > 0).check)
            })
            .collect()
    };
    let days = first - 1..today;
    let read = async || store.days_of_all(days.clone()).await.expect("days").into_iter().collect::<Vec<_>>();

    store.record_checks(&[planned(weekly, first * DAY_MS + 7, true).check]).await.expect("record");
    store.record_checks(&checks_of(early, first..today)).await.expect("record");
    store.record_checks(&checks_of(late, first..first + 2)).await.expect("record");
    assert_eq!(read().await, one_by_one(&store, days.clone()).await, "nothing is sealed yet");
    store.seal_all_checks().await.expect("seal");
    let kept = kept_days(&fresh).await;
    // Yesterday's last checks may not have arrived yet.
    assert_eq!(kept[..5], (first..first + 5).collect::<Vec<_>>());
    let before = read().await;
    assert_eq!(before, one_by_one(&store, days.clone()).await);
    assert!(before[0].1.is_empty() && before[6].1.contains_key(&weekly) && !before[6].1.contains_key(&late));

    // As after days without the database.
    store.record_checks(&checks_of(late, first + 3..today)).await.expect("record");
    store.seal_all_checks().await.expect("seal");
    let after = read().await;
    assert_eq!(after, one_by_one(&store, days.clone()).await);
    assert!(after[5].1.contains_key(&late));

    // They are read as they are kept, not from the checks.
    execute(&fresh, &["DELETE FROM check_segments"]).await;
    assert_eq!(read().await[..6], after[..6]);
    let retention = Retention { hits: None, checks: Some(Duration::from_secs(3 * 86_400)) };
    store.expire(retention).await.expect("expire");
    let kept = kept_days(&fresh).await;
    assert!(kept.iter().all(|day| *day >= today - 3) && !kept.is_empty(), "{kept:?}");
}

async fn a_day_that_is_damaged_is_made_of_its_checks(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let day = now_ms() / DAY_MS - 3;
    store.record_checks(&[planned(id, day * DAY_MS, true).check]).await.expect("record");
    store.seal_all_checks().await.expect("seal");
    let before = store.days_of_all(day..day + 1).await.expect("days");
    assert_eq!(before[&day].len(), 1);
    execute(&fresh, &["UPDATE check_days SET data = (SELECT data FROM check_segments)"]).await;
    assert_eq!(store.days_of_all(day..day + 1).await.expect("days"), before);
}

async fn an_outage_ends_where_nobody_looked_and_maintenance_is_none(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = endpoint(&store, "a").await;
    let start = now_ms() - 5 * DAY_MS;
    let bad = |at: i64| planned(id, at - 3, false).check;
    let checks = [bad(start), bad(start + INTERVAL), planned(id, start + 3 * DAY_MS, true).check];
    store.record_checks(&checks).await.expect("record");
    // While it is maintained, nothing that fails is an outage.
    execute(&fresh, &["UPDATE endpoints SET state = 'Maintenance'"]).await;
    let maintained = start + 3 * DAY_MS + INTERVAL;
    store.record_manual_check(&bad(maintained)).await.expect("record");
    execute(&fresh, &["UPDATE endpoints SET state = 'Down'"]).await;
    let last = maintained + INTERVAL;
    store.record_manual_check(&bad(last)).await.expect("record");
    let holds = INTERVAL + 2_000;
    for sealed in [false, true] {
        if sealed {
            store.seal_all_checks().await.expect("seal");
        }
        let read = async |to| store.outages(PROJECT, id, start - DAY_MS, to).await.expect("outages");
        let spans = |found: Vec<watchkeeper_store::Outage>| {
            found.iter().map(|outage| (outage.start, outage.end, outage.checks)).collect::<Vec<_>>()
        };
        let suspended = (start, Some(start + INTERVAL + holds), 2);
        // Nobody has looked since.
        assert_eq!(spans(read(now_ms()).await), [suspended, (last, Some(last + holds), 1)]);
        assert_eq!(spans(read(last + 1).await), [suspended, (last, None, 1)]);
    }
}

async fn a_damaged_piece_is_put_aside_and_holds_up_no_other(fresh: Fresh) {
    let store = open(&fresh).await;
    let ids = [endpoint(&store, "a").await, endpoint(&store, "b").await];
    let start = (now_ms() / DAY_MS - 5) * DAY_MS;
    for step in 0..2 {
        let checks = ids.map(|id| planned(id, start + step * INTERVAL, true).check);
        store.record_checks(&checks).await.expect("record");
        store.seal_all_checks().await.expect("one that is damaged is no reason to stop");
        if step == 0 {
            let damage = "UPDATE check_segments SET data = summary \
                          WHERE endpoint_id = (SELECT MIN(id) FROM endpoints)";
            execute(&fresh, &[damage]).await;
        }
    }
    let pool = sqlx::AnyPool::connect(fresh.options.url()).await.expect("connect");
    let mut pieces = Vec::new();
    for id in ids {
        let sql = "SELECT COUNT(*) FROM check_segments WHERE endpoint_id = $1";
        let count: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(&pool).await.expect("count");
        pieces.push(count);
    }
    pool.close().await;
    assert_eq!(pieces, [2, 1], "those of the other became one");
    assert_eq!(dues(&store, ids[1]).await.len(), 2);
}

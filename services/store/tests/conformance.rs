//! What every database behind the store must do, run on each of them.

#[macro_use]
mod common;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use common::{Fresh, open, project};
use uuid::Uuid;
use watchkeeper_store::{
    AddressFacts, AddressUpdate, Batch, BatchId, Check, DAY_MS, EndpointSpec, Hit, HttpProbe, Identity,
    LastCheck, Lease, NewEndpoint, Origin, Probe, ProjectId, PutOutcome, Retention, SiteAccess, State, Store,
    StoreError, now_ms,
};

on_both! {
    hits_are_read_as_they_were_written
    hits_come_oldest_first_and_in_order_of_arrival_within_a_millisecond
    sealing_changes_nothing_that_is_read
    a_week_of_single_posts_leaves_few_batches
    a_snapshot_does_not_see_what_happens_after_it
    writers_at_once_are_all_stored
    sealers_at_once_lose_and_double_nothing
    hits_of_a_deleted_project_are_refused
    a_batch_sent_again_under_its_key_is_stored_once
    one_key_stands_for_one_payload_of_one_project
    replicas_that_get_one_batch_at_once_store_it_once
    a_grown_buffer_is_stored_once_and_equal_batches_are_two
    one_key_is_one_project_whoever_registers_it_first
    a_named_project_changes_its_key_and_keeps_its_data
    a_key_of_another_project_is_not_given_away
    a_project_takes_in_the_nameless_one_that_used_its_new_key_first
    a_project_takes_in_what_another_knew_of_addresses_that_both_know
    what_is_known_of_addresses_goes_with_retention_and_project
    a_websites_project_is_made_once_and_opened_by_its_secret_or_by_keys
    a_new_user_id_replaces_the_old
    deleting_a_project_leaves_nothing_of_it
    an_endpoint_put_twice_is_unchanged
    a_damaged_endpoint_hides_no_other_and_is_mended_by_putting_it
    suspending_and_resuming_are_transitions
    results_move_the_state_once_per_change
    a_late_result_is_dropped_and_moves_no_state
    results_of_gone_endpoints_are_dropped
    uptime_is_the_share_of_good_time
    a_lease_has_one_holder_until_it_is_released_or_ends
    replicas_that_start_at_once_migrate_once
    a_newer_schema_is_refused
    the_installation_key_is_made_once
}

fn hit(ts: i64, path: &str) -> Hit {
    Hit { ts, path: Some(path.into()), status: Some(200), ..Hit::default() }
}

async fn read_all(store: &Store, project: ProjectId) -> Vec<Hit> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        let loaded = snapshot.load(day.day).await.expect("load");
        assert_eq!(loaded.len(), day.rows, "rows of day {}", day.day);
        hits.extend(loaded);
    }
    hits
}

async fn hits_are_read_as_they_were_written(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let full = Hit {
        ts: now_ms(),
        source: Some("api-analytics".into()),
        method: Some("GET".into()),
        host: Some("example.com".into()),
        path: Some("/it's 'quoted'; DROP TABLE".into()),
        query: Some("a=1".into()),
        route: Some("/{x}".into()),
        status: Some(-1),
        duration_us: Some(-40_000_000),
        request_bytes: Some(1),
        response_bytes: Some(i64::MAX),
        http_version: Some("1.1".into()),
        ip: Some("::1".into()),
        user_agent: Some("Ünïcode 🐘\u{0}".into()),
        user: Some("u".into()),
        referrer: Some("r".into()),
        country: Some("DE".into()),
        framework: Some("Gin".into()),
        visitor: Some(i64::MIN),
        client: Some("c".into()),
        os: Some("o".into()),
        device: Some("d".into()),
        bot: Some(false),
        home: Some(true),
        log: Some("l".into()),
    };
    store.append(project, vec![full.clone()]).await.expect("append");
    assert_eq!(read_all(&store, project).await, vec![full]);
}

async fn hits_come_oldest_first_and_in_order_of_arrival_within_a_millisecond(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    store
        .append(project, vec![hit(DAY_MS + 5, "b"), hit(3, "a"), hit(DAY_MS + 5, "c")])
        .await
        .expect("append");
    store.seal_all().await.expect("seal");
    store.append(project, vec![hit(DAY_MS + 5, "d"), hit(-1, "before 1970")]).await.expect("append");
    let paths: Vec<_> = read_all(&store, project).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(paths, ["before 1970", "a", "b", "c", "d"]);
}

async fn sealing_changes_nothing_that_is_read(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    for round in 0..20_i64 {
        for batch in 0..3_i64 {
            let hits = (0..10)
                .map(|i| hit((i * 7 + batch) % 3 * DAY_MS + round, &format!("{round}/{batch}/{i}")))
                .collect();
            store.append(project, hits).await.expect("append");
        }
        let before = read_all(&store, project).await;
        store.seal_all().await.expect("seal");
        assert_eq!(read_all(&store, project).await, before, "round {round}");
    }
    assert_eq!(store.stored().await.expect("stored").hits, 600);
}

async fn a_week_of_single_posts_leaves_few_batches(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let each = 10 * 60_000;
    let posts = 7 * DAY_MS / each;
    for number in 0..posts {
        store.append(project, vec![hit(number * each, "/")]).await.expect("append");
        // As often as a logger looks, or nearly.
        if number % 10 == 0 {
            store.seal().await.expect("seal");
        }
    }
    store.seal().await.expect("seal");
    let snapshot = store.batches(project, i64::MIN, i64::MAX).await.expect("batches");
    let unsealed = |batch: &&Batch| !matches!(batch.id, BatchId::Sealed(_));
    let (unsealed, sealed) = (snapshot.list().iter().filter(unsealed).count(), snapshot.list().len());
    assert!(unsealed <= 64, "{unsealed} unsealed batches");
    assert!(sealed - unsealed <= 7 * 8, "{} segments", sealed - unsealed);
    drop(snapshot);
    assert_eq!(read_all(&store, project).await.len() as i64, posts);
}

async fn a_snapshot_does_not_see_what_happens_after_it(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    store.append(project, vec![hit(1, "a")]).await.expect("append");
    let mut snapshot = store.snapshot(project, 0, DAY_MS).await.expect("snapshot");
    store.append(project, vec![hit(2, "b")]).await.expect("append");
    store.seal_all().await.expect("seal");
    assert_eq!(snapshot.load(0).await.expect("load"), vec![hit(1, "a")]);
}

async fn writers_at_once_are_all_stored(fresh: Fresh) {
    let store = open(&fresh).await;
    let projects = [project(&store).await, project(&store).await];
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let store = store.clone();
        tasks.spawn(
            async move { store.append(projects[writer % 2], vec![hit(1, &writer.to_string())]).await },
        );
    }
    for result in tasks.join_all().await {
        result.expect("append");
    }
    for (parity, project) in projects.into_iter().enumerate() {
        let paths: BTreeSet<_> = read_all(&store, project).await.into_iter().filter_map(|h| h.path).collect();
        let expected: BTreeSet<_> = (0..50).filter(|w| w % 2 == parity).map(|w| w.to_string()).collect();
        assert_eq!(paths, expected);
    }
}

async fn sealers_at_once_lose_and_double_nothing(fresh: Fresh) {
    let replicas = [open(&fresh).await, open(&fresh).await, open(&fresh).await];
    let project = project(&replicas[0]).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut sealers = tokio::task::JoinSet::new();
    for store in replicas.clone() {
        let stop = Arc::clone(&stop);
        sealers.spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Two that meet on Postgres: one may be told to try again.
                let _ = store.seal_all().await;
                tokio::task::yield_now().await;
            }
        });
    }
    for number in 0..200_i64 {
        let store = &replicas[usize::try_from(number % 3).expect("small")];
        store.append(project, vec![hit(number, &number.to_string())]).await.expect("append");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    sealers.join_all().await;
    let paths: Vec<_> = read_all(&replicas[0], project).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(paths, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

fn key(name: &str, payload: u8) -> Identity {
    Identity::Key { key: name.into(), payload: [payload; 32] }
}

async fn a_batch_sent_again_under_its_key_is_stored_once(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    for _ in 0..3 {
        store.append_once(project, vec![hit(1, "a"), hit(2, "b")], key("k", 1)).await.expect("append");
    }
    store.seal_all().await.expect("seal");
    store.append_once(project, vec![hit(1, "a"), hit(2, "b")], key("k", 1)).await.expect("after sealing");
    store.append_once(project, vec![hit(3, "c")], key("l", 2)).await.expect("another key");
    assert_eq!(read_all(&store, project).await, [hit(1, "a"), hit(2, "b"), hit(3, "c")]);
}

async fn one_key_stands_for_one_payload_of_one_project(fresh: Fresh) {
    let store = open(&fresh).await;
    let (one, other) = (project(&store).await, project(&store).await);
    store.append_once(one, vec![hit(1, "a")], key("k", 1)).await.expect("append");
    let reused = store.append_once(one, vec![hit(2, "b")], key("k", 2)).await;
    assert!(matches!(reused, Err(StoreError::KeyReused)), "{reused:?}");
    store.append_once(other, vec![hit(2, "b")], key("k", 2)).await.expect("another project");
    assert_eq!(read_all(&store, one).await, [hit(1, "a")]);
    assert_eq!(read_all(&store, other).await, [hit(2, "b")]);
}

async fn replicas_that_get_one_batch_at_once_store_it_once(fresh: Fresh) {
    let replicas = [open(&fresh).await, open(&fresh).await];
    let project = project(&replicas[0]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_usize {
        let store = replicas[number % 2].clone();
        tasks.spawn(async move {
            let name = (number / 8).to_string();
            let batch = vec![hit(i64::try_from(number / 8).expect("small"), &name)];
            store.append_once(project, batch, key(&name, 1)).await
        });
    }
    for result in tasks.join_all().await {
        result.expect("append");
    }
    let paths: Vec<_> = read_all(&replicas[1], project).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(paths, ["0", "1", "2", "3", "4"]);
}

async fn a_grown_buffer_is_stored_once_and_equal_batches_are_two(fresh: Fresh) {
    let store = open(&fresh).await;
    let buffer = |rows: i64| (0..rows).map(|n| hit(n, &n.to_string())).collect::<Vec<_>>();
    let grown = project(&store).await;
    for rows in [3, 5, 4, 7] {
        store.append_once(grown, buffer(rows), Identity::Buffer).await.expect("append");
    }
    assert_eq!(read_all(&store, grown).await, buffer(7));

    let equal = project(&store).await;
    for rows in [3, 3, 1, 1] {
        store.append_once(equal, buffer(rows), Identity::Buffer).await.expect("append");
    }
    assert_eq!(read_all(&store, equal).await.len(), 8);
}

async fn hits_of_a_deleted_project_are_refused(fresh: Fresh) {
    let store = open(&fresh).await;
    let gone = project(&store).await;
    store.delete_project(gone).await.expect("delete");
    let refused = store.append(gone, vec![hit(1, "a")]).await;
    assert!(matches!(refused, Err(StoreError::NoProject)), "{refused:?}");
}

async fn one_key_is_one_project_whoever_registers_it_first(fresh: Fresh) {
    let store = open(&fresh).await;
    let key = Uuid::new_v4();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { store.register_key(key).await.expect("register").id });
    }
    let ids: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    let found = store.project_by_key(key).await.expect("find").expect("is there");
    assert_eq!(store.project_by_user(found.user_id).await.expect("find"), Some(found));
    assert_eq!(store.project_by_key(Uuid::new_v4()).await.expect("find"), None);
}

async fn a_named_project_changes_its_key_and_keeps_its_data(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(store.put_project("shop", old).await.expect("put"));
    assert!(!store.put_project("shop", old).await.expect("put again"));
    let before = store.project_by_key(old).await.expect("find").expect("is there");
    assert!(store.put_project("shop", new).await.expect("rotate"));
    let after = store.project_by_key(new).await.expect("find").expect("is there");
    assert_eq!(after.id, before.id);
    assert_eq!(store.project_by_key(old).await.expect("find"), None);
    store.forget_project_name("shop").await.expect("forget");
    assert_eq!(store.project_by_key(new).await.expect("find").expect("is there").name, None);
}

async fn a_key_of_another_project_is_not_given_away(fresh: Fresh) {
    let store = open(&fresh).await;
    let [shop, blog, loose] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    store.put_project("shop", shop).await.expect("put");
    store.put_project("blog", blog).await.expect("put");
    let nameless = store.register_key(loose).await.expect("register").id;
    for (name, key) in [("shop", blog), ("new", shop)] {
        let refused = store.put_project(name, key).await;
        assert!(matches!(refused, Err(StoreError::KeyTaken)), "{name}: {refused:?}");
    }
    assert!(store.put_project("new", loose).await.expect("adopt"));
    let adopted = store.project_by_key(loose).await.expect("find").expect("is there");
    assert_eq!((adopted.id, adopted.name.as_deref()), (nameless, Some("new")));
}

async fn a_project_takes_in_the_nameless_one_that_used_its_new_key_first(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", old).await.expect("put");
    let shop = store.project_by_key(old).await.expect("find").expect("is there").id;
    store.append(shop, vec![hit(0, "before")]).await.expect("append");

    // A monitor with a past, sealed and not yet sealed.
    let nameless = store.register_key(new).await.expect("register").id;
    store.put_endpoint(&endpoint("monitor", nameless)).await.expect("put");
    let monitor = store.endpoints_of(nameless).await.expect("endpoints")[0].id;
    for (at, ok) in [(1, true), (2, false), (3, true)] {
        let check = Check { project: nameless, endpoint: monitor, result: result(at, ok) };
        store.record_checks(&[check]).await.expect("record");
        if at == 2 {
            store.seal_all_checks().await.expect("seal");
        }
    }

    // Clients use the new key before it is put, while it is put, and after it.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let path = format!("{writer}/{number}");
                let project = store.register_key(new).await.expect("register").id;
                match store.append(project, vec![hit(1, &path)]).await {
                    Ok(()) => acknowledged.push(path),
                    Err(StoreError::NoProject) => {}
                    Err(error) => panic!("{error}"),
                }
                if number >= 20 && stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return acknowledged;
                }
            }
            acknowledged
        });
    }
    store.register_key(new).await.expect("register");
    store.seal_all().await.expect("seal");
    assert!(store.put_project("shop", new).await.expect("rotate"));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);

    let mut expected: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    expected.insert("before".into());
    let found: Vec<_> = read_all(&store, shop).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(found.len(), expected.len(), "nothing is there twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(store.project_by_key(new).await.expect("find").map(|p| p.id), Some(shop));
    assert_eq!(store.stored().await.expect("stored").projects, 1);

    let watched = store.endpoints_of(shop).await.expect("endpoints");
    assert_eq!(watched.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), [monitor]);
    let past = [result(1, true), result(2, false), result(3, true)];
    assert_eq!(store.checks(shop, monitor, 0).await.expect("checks"), past);
    let changes = store.transitions_between(shop, monitor, 0, 10).await.expect("transitions");
    let changes: Vec<_> = changes.into_iter().map(|change| (change.at, change.to)).collect();
    assert_eq!(changes, [(1, State::Up), (2, State::Down), (3, State::Up)]);
    let check = Check { project: shop, endpoint: monitor, result: result(4, true) };
    store.record_checks(&[check]).await.expect("record");
    assert_eq!(store.checks(shop, monitor, 4).await.expect("checks"), [result(4, true)]);
}

async fn a_new_user_id_replaces_the_old(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = store.register_key(Uuid::new_v4()).await.expect("register");
    let new = store.regenerate_user_id(project.id).await.expect("regenerate");
    assert_eq!(store.project_by_user(project.user_id).await.expect("find"), None);
    assert_eq!(store.project_by_user(new).await.expect("find").map(|p| p.id), Some(project.id));
}

async fn deleting_a_project_leaves_nothing_of_it(fresh: Fresh) {
    let store = open(&fresh).await;
    let (gone, kept) = (project(&store).await, project(&store).await);
    for project in [gone, kept] {
        store.append(project, vec![hit(1, "sealed")]).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, vec![hit(1, "unsealed")]).await.expect("append");
        store.put_endpoint(&endpoint(&format!("e{}", project.0), project)).await.expect("put");
    }
    store.delete_project(gone).await.expect("delete");
    assert!(read_all(&store, gone).await.is_empty());
    assert!(store.endpoints_of(gone).await.expect("endpoints").is_empty());
    assert_eq!(read_all(&store, kept).await.len(), 2);
    assert_eq!(store.stored().await.expect("stored").hits, 2);
    assert_eq!(store.endpoints_of(kept).await.expect("endpoints").len(), 1);
}

fn endpoint(uid: &str, project: ProjectId) -> NewEndpoint {
    NewEndpoint {
        uid: uid.into(),
        origin: Origin::Kubernetes,
        project,
        namespace: "default".into(),
        name: uid.into(),
        generation: 1,
        spec: EndpointSpec {
            group: Some("g".into()),
            timeout: Duration::from_millis(500),
            retries: 1,
            backoff: Duration::from_secs(1),
            ..EndpointSpec::new(
                uid,
                Probe::Http(HttpProbe {
                    headers: vec![("X-A".into(), "b".into())],
                    ..HttpProbe::new("https://example.com/")
                }),
            )
        },
    }
}

fn result(at: i64, ok: bool) -> LastCheck {
    let status = ok.then_some(200);
    let message = (!ok).then(|| "connection refused".into());
    LastCheck { at, ok, status, duration_us: 1_500, message, ..LastCheck::default() }
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
    let pool = sqlx::AnyPool::connect(fresh.options.url()).await.expect("connect");
    sqlx::query("UPDATE endpoints SET spec = '{' WHERE uid = 'a'").execute(&pool).await.expect("damage");
    pool.close().await;
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

async fn a_lease_has_one_holder_until_it_is_released_or_ends(fresh: Fresh) {
    let store = open(&fresh).await;
    let lease = |holder: &str, ttl| Lease { name: "duty".into(), holder: holder.into(), ttl };
    let (a, b) = (lease("a", Duration::from_secs(60)), lease("b", Duration::ZERO));
    assert!(store.hold(&a).await.expect("hold"));
    assert!(!store.hold(&b).await.expect("hold"));
    assert!(store.hold(&a).await.expect("renew"));
    store.release(&a).await.expect("release");
    assert!(store.hold(&b).await.expect("hold"));
    // The grant of b ended at once.
    assert!(store.hold(&a).await.expect("hold"));
}

async fn replicas_that_start_at_once_migrate_once(fresh: Fresh) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let options = fresh.options.clone();
        tasks.spawn(async move { Store::open(&options).await.map(|_| ()) });
    }
    for opened in tasks.join_all().await {
        opened.expect("open");
    }
}

async fn a_newer_schema_is_refused(fresh: Fresh) {
    let store = open(&fresh).await;
    store.close().await;
    pretend_newer(&fresh).await;
    let refused = Store::open(&fresh.options).await.map(|_| ());
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 9_999, .. })), "{refused:?}");
}

/// Records a migration that only a later release could have made.
async fn pretend_newer(fresh: &Fresh) {
    let url = fresh.options.url();
    let pool = sqlx::AnyPool::connect(url).await.expect("connect");
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'from the future', success, checksum, execution_time FROM _sqlx_migrations LIMIT 1",
    )
    .execute(&pool)
    .await
    .expect("insert");
    pool.close().await;
}

async fn the_installation_key_is_made_once(fresh: Fresh) {
    let store = open(&fresh).await;
    let key = store.installation_key("visitor").await.expect("key");
    assert_eq!(store.installation_key("visitor").await.expect("key"), key);
    assert_ne!(store.installation_key("other").await.expect("key"), key);
}

fn learnt(ip: &str, host: Option<&str>, bot: bool, last_seen: i64) -> AddressUpdate {
    let facts = AddressFacts { host: host.map(str::to_owned), bot: Some(bot), ..AddressFacts::default() };
    AddressUpdate { ip: ip.into(), facts, asked: host.is_some(), last_seen }
}

async fn a_project_takes_in_what_another_knew_of_addresses_that_both_know(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", old).await.expect("put");
    let named = store.project_by_key(old).await.expect("find").expect("project").id;
    // A client was quicker with the new key.
    let nameless = store.register_key(new).await.expect("register").id;
    let known = [learnt("1.1.1.1", None, false, 5), learnt("2.2.2.2", Some("two"), true, 5)];
    assert!(store.put_addresses(named, 0, &known).await.expect("put"));
    let known = [learnt("1.1.1.1", Some("one"), true, 9), learnt("3.3.3.3", None, false, 9)];
    assert!(store.put_addresses(nameless, 0, &known).await.expect("put"));
    store.note_site(nameless).await.expect("note");
    store.put_processed_day(named, 1, 1).await.expect("day");
    assert!(store.put_project("shop", new).await.expect("put"));

    let facts = store.address_facts(named).await.expect("facts");
    let told = |ip: &str| facts.get(ip).map(|facts| (facts.host.as_deref(), facts.bot));
    assert_eq!(told("1.1.1.1"), Some((Some("one"), Some(true))));
    assert_eq!(told("2.2.2.2"), Some((Some("two"), Some(true))));
    assert_eq!(told("3.3.3.3"), Some((None, Some(false))));
    let states = store.address_states(named, &["1.1.1.1", "9.9.9.9"]).await.expect("states");
    assert_eq!((states["1.1.1.1"].last_seen, states["1.1.1.1"].asked), (9, true));
    assert_eq!(states.len(), 1, "of those that were asked for");
    assert!(store.address_facts(nameless).await.expect("facts").is_empty());
    assert_eq!(store.sites().await.expect("sites"), [named]);
    assert!(store.processed_days(named).await.expect("days").is_empty(), "its days have other hits now");
}

async fn what_is_known_of_addresses_goes_with_retention_and_project(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let now = now_ms();
    let old = now - 40 * DAY_MS;
    let known = [learnt("1.1.1.1", None, true, old), learnt("2.2.2.2", None, true, now)];
    assert!(store.put_addresses(project, 0, &known).await.expect("put"));
    // What is learnt later takes nothing away, and a bot stays one.
    let later = [learnt("2.2.2.2", Some("host"), false, 0)];
    assert!(store.put_addresses(project, 0, &later).await.expect("put"));
    let facts = store.address_facts(project).await.expect("facts");
    assert_eq!((facts["2.2.2.2"].host.as_deref(), facts["2.2.2.2"].bot), (Some("host"), Some(true)));
    let states = store.address_states(project, &["2.2.2.2"]).await.expect("states");
    assert_eq!(states["2.2.2.2"].last_seen, now);
    let retention = Retention { hits: Some(Duration::from_secs(30 * 86_400)), checks: None };
    store.expire(retention).await.expect("expire");
    let facts = store.address_facts(project).await.expect("facts");
    assert_eq!(facts.keys().collect::<Vec<_>>(), ["2.2.2.2"]);
    store.delete_project(project).await.expect("delete");
    assert!(!store.put_addresses(project, 0, &later).await.expect("put"), "it was being learnt meanwhile");
    assert!(store.address_facts(project).await.expect("facts").is_empty());
}

async fn a_websites_project_is_made_once_and_opened_by_its_secret_or_by_keys(fresh: Fresh) {
    let store = open(&fresh).await;
    let access = SiteAccess::new(Some("s3cret"), "www");
    let [one, other] = [open(&fresh).await, open(&fresh).await];
    let (one, other) =
        tokio::join!(one.site_project(&access, b"s3cret"), other.site_project(&access, b"s3cret"));
    let (one, other) = (one.expect("find").expect("project"), other.expect("find").expect("project"));
    assert_eq!(one, other);
    assert_eq!(store.project_by_name("www").await.expect("find").map(|project| project.id), Some(one));
    let key = Uuid::new_v4();
    let keyed = store.register_key(key).await.expect("register").id;
    assert_eq!(store.site_project(&access, key.to_string().as_bytes()).await.expect("find"), Some(keyed));
    let unknown = Uuid::new_v4().to_string();
    for wrong in [&b""[..], b"s3cre", b"s3cret ", b"Bearer s3cret", b"\xff", unknown.as_bytes()] {
        assert_eq!(store.site_project(&access, wrong).await.expect("find"), None);
        assert_eq!(store.site_project(&SiteAccess::new(None, "www"), wrong).await.expect("find"), None);
    }
}

//! Hits: written, sealed and read.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinSet;
use watchkeeper_store::{Batch, BatchId, DAY_MS, Hit, StoreError, now_ms};

use crate::{
    common::{Fresh, open, project},
    harness::{hit, read_all},
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
    let mut tasks = JoinSet::new();
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
    let stop = Arc::new(AtomicBool::new(false));
    let mut sealers = JoinSet::new();
    for store in replicas.clone() {
        let stop = Arc::clone(&stop);
        sealers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
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
    stop.store(true, Ordering::Relaxed);
    sealers.join_all().await;
    let paths: Vec<_> = read_all(&replicas[0], project).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(paths, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn hits_of_a_deleted_project_are_refused(fresh: Fresh) {
    let store = open(&fresh).await;
    let gone = project(&store).await;
    store.delete_project(gone).await.expect("delete");
    let refused = store.append(gone, vec![hit(1, "a")]).await;
    assert!(matches!(refused, Err(StoreError::NoProject)), "{refused:?}");
}

//! How much one seal takes, on each database.

#[macro_use]
mod common;

use std::time::Duration;

use common::{Fresh, open, project};
use watchkeeper_store::{BatchId, DAY_MS, Hit, ProjectId, Sealed, Store};

on_both! {
    a_seal_takes_a_portion_of_each_project
    a_seal_with_time_goes_on_until_nobody_has_more
    a_seal_ends_when_texts_are_enough_however_few_bytes_they_take
    batches_that_are_spread_over_the_same_years_are_sealed_together
}

fn hits(count: i64, path: &str) -> Vec<Hit> {
    (0..count).map(|ts| Hit { ts, path: Some(path.into()), ..Hit::default() }).collect()
}

async fn unsealed(store: &Store, project: ProjectId) -> usize {
    let batches = store.batches(project, i64::MIN, i64::MAX).await.expect("batches");
    batches.list().iter().filter(|batch| matches!(batch.id, BatchId::Unsealed(_))).count()
}

async fn a_seal_takes_a_portion_of_each_project(fresh: Fresh) {
    let store = open(&fresh).await;
    let (busy, other) = (project(&store).await, project(&store).await);
    for _ in 0..5 {
        store.append(busy, hits(50_000, "/")).await.expect("append");
    }
    store.append(other, hits(50_000, "/")).await.expect("append");
    let sealed = store.seal().await.expect("seal");
    assert_eq!(sealed, Sealed { hits: 150_000, more: true });
    assert_eq!((unsealed(&store, busy).await, unsealed(&store, other).await), (3, 0));
    while store.seal().await.expect("seal").more {}
    assert_eq!(unsealed(&store, busy).await, 0);
    assert_eq!(store.stored().await.expect("stored").hits, 300_000);
}

async fn a_seal_with_time_goes_on_until_nobody_has_more(fresh: Fresh) {
    let store = open(&fresh).await;
    for _ in 0..2 {
        let project = project(&store).await;
        for _ in 0..5 {
            store.append(project, hits(50_000, "/")).await.expect("append");
        }
    }
    let sealed = store.seal_for(Duration::from_secs(600)).await.expect("seal");
    assert_eq!(sealed, Sealed { hits: 500_000, more: false });
}

async fn a_seal_ends_when_texts_are_enough_however_few_bytes_they_take(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    for _ in 0..3 {
        store.append(project, hits(2_048, &"x".repeat(10 << 10))).await.expect("append");
    }
    store.append(project, hits(50_000, "/")).await.expect("append");
    assert!(store.stored().await.expect("stored").bytes < 2_000_000, "the texts are all the same");
    let sealed = store.seal().await.expect("seal");
    assert_eq!(sealed, Sealed { hits: 4_096, more: true });
    assert_eq!(unsealed(&store, project).await, 2);
    while store.seal().await.expect("seal").more {}
    assert_eq!(unsealed(&store, project).await, 0);
    assert_eq!(store.stored().await.expect("stored").hits, 3 * 2_048 + 50_000);
}

async fn batches_that_are_spread_over_the_same_years_are_sealed_together(fresh: Fresh) {
    const DAYS: i64 = 450;
    let store = open(&fresh).await;
    let project = project(&store).await;
    let post = async |n: i64| {
        let hits = (0..DAYS).map(|day| Hit { ts: day * DAY_MS + n, ..Hit::default() }).collect();
        store.append(project, hits).await.expect("append");
    };
    let segments = async || {
        let batches = store.batches(project, i64::MIN, i64::MAX).await.expect("batches");
        batches.list().iter().filter(|batch| matches!(batch.id, BatchId::Sealed(_))).count()
    };
    for n in 0..5 {
        post(n).await;
    }
    assert_eq!(store.seal_all().await.expect("seal"), 2_250);
    assert_eq!(segments().await, 450);
    // From eight of a day on they are merged.
    for n in 5..12 {
        post(n).await;
        store.seal_all().await.expect("seal");
    }
    assert_eq!(segments().await, 450);
    assert_eq!(store.stored().await.expect("stored").hits, 12 * DAYS);
}

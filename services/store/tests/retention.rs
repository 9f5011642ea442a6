//! What is dropped when its time is over, and nothing else, on each database.

#[macro_use]
mod common;

use std::time::Duration;

use common::{Fresh, execute, open, project};
use sqlx::{Connection, Row};
use watchkeeper_store::{DAY_MS, Hit, Identity, ProjectId, ProjectSettings, Retention, Store, now_ms};

on_both! {
    retention_drops_what_is_older_and_nothing_else
    what_was_noted_of_a_batch_is_forgotten_after_a_day
    a_project_that_is_of_use_to_nobody_is_forgotten_after_half_a_year
    a_project_whose_hits_have_expired_is_kept_for_half_a_year_from_then
}

mod on_postgres_alone {
    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_is_gone_for_months_is_forgotten() {
        super::a_writer_that_is_gone_for_months_is_forgotten(super::common::postgres()).await;
    }
}

fn hit(ts: i64, path: &str) -> Hit {
    Hit { ts, path: Some(path.into()), ..Hit::default() }
}

async fn paths(store: &Store, project: ProjectId) -> Vec<String> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    hits.into_iter().filter_map(|hit| hit.path).collect()
}

async fn rows(fresh: &Fresh, table: &'static str) -> i64 {
    let mut database = sqlx::AnyConnection::connect(fresh.options.url()).await.expect("connect");
    let row = sqlx::query(table).fetch_one(&mut database).await.expect("count");
    database.close().await.expect("close");
    row.get(0)
}

async fn retention_drops_what_is_older_and_nothing_else(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let now = now_ms();
    for sealed in [true, false] {
        store.append(project, vec![hit(now - 100 * DAY_MS, "old")]).await.expect("append");
        store.append(project, vec![hit(now - 2 * DAY_MS, "young")]).await.expect("append");
        if sealed {
            store.seal_all().await.expect("seal");
        }
    }
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(paths(&store, project).await.len(), 4);
    let retention = Retention { hits: Some(Duration::from_secs(90 * 86_400)), checks: None };
    store.expire(retention).await.expect("expire");
    assert_eq!(paths(&store, project).await, ["young", "young"]);
}

async fn what_was_noted_of_a_batch_is_forgotten_after_a_day(fresh: Fresh) {
    const BATCHES: &str = "SELECT COUNT(*) FROM batches";
    let store = open(&fresh).await;
    let project = project(&store).await;
    let send = async || {
        let key = Identity::Key { key: "k".into(), payload: [7; 32] };
        store.append_once(project, vec![hit(1, "a")], key).await.expect("append");
    };
    send().await;
    send().await;
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(rows(&fresh, BATCHES).await, 1, "it is remembered for a day");
    send().await;
    assert_eq!(paths(&store, project).await, ["a"]);
    execute(&fresh, &["UPDATE batches SET created_at = created_at - 86400001"]).await;
    assert_eq!(store.expire(Retention::default()).await.expect("expire"), 1);
    assert_eq!(rows(&fresh, BATCHES).await, 0);
    send().await;
    assert_eq!(paths(&store, project).await, ["a", "a"], "nobody sends a batch again after a day");
}

async fn a_project_that_is_of_use_to_nobody_is_forgotten_after_half_a_year(fresh: Fresh) {
    let store = open(&fresh).await;
    let (unused, filled, read, set) =
        (project(&store).await, project(&store).await, project(&store).await, project(&store).await);
    let named = store.project_named("shop").await.expect("named").id;
    for sealed in [true, false] {
        store.append(filled, vec![hit(1, "a")]).await.expect("append");
        if sealed {
            store.seal_all().await.expect("seal");
        }
    }
    let settings = ProjectSettings { privacy_level: Some(1), ..ProjectSettings::default() };
    store.set_project_settings(set, settings).await.expect("settings");
    execute(&fresh, &["UPDATE projects SET created_at = created_at - 15638400000"]).await;
    // One that was made just now, and one whose dashboard was read just now.
    let young = project(&store).await;
    store.touch_project(read).await.expect("touch");
    assert_eq!(store.expire(Retention::default()).await.expect("expire"), 1);
    let mut left = Vec::new();
    for project in [unused, filled, read, set, named, young] {
        left.push(store.project_by_id(project).await.expect("find").is_some());
    }
    assert_eq!(left, [false, true, true, true, true, true]);
}

async fn a_project_whose_hits_have_expired_is_kept_for_half_a_year_from_then(fresh: Fresh) {
    let store = open(&fresh).await;
    let used = project(&store).await;
    store.append(used, vec![hit(now_ms() - 5 * DAY_MS, "last week")]).await.expect("append");
    store.seal_all().await.expect("seal");
    execute(&fresh, &["UPDATE projects SET created_at = created_at - 15724800000"]).await;
    let short = Retention { hits: Some(Duration::from_secs(3 * 86_400)), checks: None };
    assert_eq!(store.expire(short).await.expect("expire"), 1, "its hits go");
    assert!(paths(&store, used).await.is_empty());
    assert_eq!(store.expire(short).await.expect("expire"), 0);
    assert!(store.project_by_id(used).await.expect("find").is_some(), "its key was in use until now");
    execute(&fresh, &["UPDATE projects SET hits_seen_at = hits_seen_at - 15724800000"]).await;
    assert_eq!(store.expire(short).await.expect("expire"), 1);
    assert!(store.project_by_id(used).await.expect("find").is_none());
}

async fn a_writer_that_is_gone_for_months_is_forgotten(fresh: Fresh) {
    const WRITERS: &str = "SELECT COUNT(*) FROM writers WHERE written_at = 1";
    let store = open(&fresh).await;
    let project = project(&store).await;
    store.append(project, vec![hit(1, "a")]).await.expect("append");
    execute(&fresh, &["INSERT INTO writers (id, sequence, written_at) VALUES ('\\x01', 1, 1)"]).await;
    assert_eq!(rows(&fresh, WRITERS).await, 1);
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(rows(&fresh, WRITERS).await, 0);
    store.append(project, vec![hit(2, "b")]).await.expect("the writers of today are still known");
    assert_eq!(paths(&store, project).await, ["a", "b"]);
}

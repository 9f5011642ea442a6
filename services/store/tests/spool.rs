//! While Postgres is away, hits wait on disk, and are there once when it is back.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use sqlx::Connection;
use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_store::{Hit, Identity, Options, ProjectId, Retention, SpoolOptions, Store, StoreError};
use watchkeeper_testkit::{
    postgres::{self, Postgres},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn server() -> (Postgres, String) {
    let server = Postgres::start(postgres::Options::default()).expect("Postgres");
    let url = server.database().expect("a database");
    (server, url)
}

async fn open(url: &str, spool: &Path, bytes: u64) -> Store {
    let mut options = Options::postgres(url, None).expect("options");
    options.spool = Some(SpoolOptions { directory: spool.to_owned(), bytes });
    Store::open(&options).await.expect("open")
}

async fn project(store: &Store) -> ProjectId {
    store.register_key(Uuid::new_v4()).await.expect("register").id
}

fn hit(ts: i64) -> Hit {
    Hit { ts, path: Some(format!("/{ts}")), ..Hit::default() }
}

async fn times(store: &Store, project: ProjectId) -> Vec<i64> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut times = Vec::new();
    for day in snapshot.days().to_vec() {
        times.extend(snapshot.load(day.day).await.expect("load").into_iter().map(|hit| hit.ts));
    }
    times
}

/// A copy of the files is what a crash leaves; the process itself goes on holding its own.
fn copy(spool: &Path) -> TempDir {
    let left = TempDir::new().expect("directory");
    for entry in std::fs::read_dir(spool).expect("spool") {
        let from = entry.expect("entry").path();
        std::fs::copy(&from, left.path().join(from.file_name().expect("name"))).expect("copy");
    }
    left
}

async fn replayed(store: &Store) {
    wait::until_async("the spool is empty", PATIENCE, async || {
        Ok(store.spool().is_some_and(|spool| spool.oldest.is_none() && spool.bytes == 0).then_some(()))
    })
    .await
    .expect("replay");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_postgres_was_stopped_or_frozen_is_there_once() {
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let project = project(&store).await;
    let mut number = 0;
    for round in 0..4 {
        store.append(project, vec![hit(number)]).await.expect("append");
        number += 1;
        if round % 2 == 0 { server.stop() } else { server.freeze() }.expect("away");
        for _ in 0..5 {
            let begin = Instant::now();
            store.append(project, vec![hit(number)]).await.expect("spooled");
            assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
            number += 1;
        }
        assert!(store.spool().is_some_and(|spool| spool.bytes > 0 && spool.oldest.is_some()));
        if round % 2 == 0 { server.resume() } else { server.thaw() }.expect("back");
        replayed(&store).await;
        assert_eq!(times(&store, project).await, (0..number).collect::<Vec<_>>(), "round {round}");
    }
    let status = store.spool().expect("a spool");
    assert_eq!(status.spooled, status.replayed);
    assert!(status.spooled >= 10, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spooled_before_a_crash_is_replayed_after_it_and_a_torn_end_is_passed_over() {
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let project = project(&store).await;
    store.append(project, vec![hit(0)]).await.expect("append");
    server.stop().expect("stop");
    for number in 1..8 {
        let identity = Identity::Key { key: number.to_string().into(), payload: [1; 32] };
        store.append_once(project, vec![hit(number)], identity).await.expect("spooled");
    }
    let again = |payload| Identity::Key { key: b"7".to_vec(), payload: [payload; 32] };
    store.append_once(project, vec![hit(7)], again(1)).await.expect("the same again");
    let reused = store.append_once(project, vec![hit(9)], again(2)).await;
    assert!(matches!(reused, Err(StoreError::KeyReused)), "{reused:?}");

    let left = copy(spool.path());
    store.close().await;
    let mut files: Vec<_> = std::fs::read_dir(left.path())
        .expect("spool")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
        .collect();
    files.sort();
    let last = files.last().expect("a file");
    let mut torn = std::fs::OpenOptions::new().append(true).open(last).expect("open");
    torn.write_all(&[0, 0, 1, 0, 9, 9, 9]).expect("write");
    server.resume().expect("resume");

    // Twice: the first may have been killed after its last group and before it removed the file.
    let copy = TempDir::new().expect("directory");
    for file in &files {
        std::fs::copy(file, copy.path().join(file.file_name().expect("name"))).expect("copy");
    }
    for directory in [left.path(), copy.path()] {
        let store = open(&url, directory, 10 << 20).await;
        replayed(&store).await;
        assert_eq!(times(&store, project).await, (0..8).collect::<Vec<_>>());
        store.append_once(project, vec![hit(7)], again(1)).await.expect("and again");
        assert_eq!(times(&store, project).await.len(), 8);
        store.close().await;
    }
}

/// The paths of what is stored, in the order in which they came: all of it is of one moment.
async fn paths(store: &Store, project: ProjectId) -> Vec<String> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let hits = snapshot.load(0).await.expect("load");
    hits.into_iter().filter_map(|hit| hit.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_replayed_in_the_order_in_which_it_came_also_after_a_crash() {
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let project = project(&store).await;
    // Neither times nor texts have this order.
    let came: Vec<String> = (0..40).map(|number| format!("/{:02}", number * 17 % 40)).collect();
    let of_one_moment = |path: &String| vec![Hit { ts: 1_000, path: Some(path.clone()), ..Hit::default() }];
    server.stop().expect("stop");
    for path in &came[..20] {
        store.append(project, of_one_moment(path)).await.expect("spooled");
    }
    server.resume().expect("resume");
    replayed(&store).await;
    assert_eq!(paths(&store, project).await, came[..20]);

    server.stop().expect("stop");
    for path in &came[20..] {
        store.append(project, of_one_moment(path)).await.expect("spooled");
    }
    let left = copy(spool.path());
    store.close().await;
    server.resume().expect("resume");
    let store = open(&url, left.path(), 10 << 20).await;
    replayed(&store).await;
    assert_eq!(paths(&store, project).await, came);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_keeps_what_it_has() {
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 20_000).await;
    let project = project(&store).await;
    server.stop().expect("stop");
    let mut kept = Vec::new();
    let refused = loop {
        let number = i64::try_from(kept.len()).expect("small");
        assert!(number < 1_000, "it never gets full");
        match store.append(project, vec![hit(number)]).await {
            Ok(()) => kept.push(number),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::SpoolFull), "{refused}");
    assert!(kept.len() > 3, "{kept:?}");
    let status = store.spool().expect("a spool");
    assert!(status.bytes <= 20_000, "{status:?}");
    server.resume().expect("resume");
    replayed(&store).await;
    assert_eq!(times(&store, project).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_project_that_another_takes_in_meanwhile_goes_to_that() {
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let (old, new, key) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", old).await.expect("put");
    let shop = store.project_by_key(old).await.expect("find").expect("project").id;
    let nameless = store.register_key(new).await.expect("register").id;
    let deleted = store.register_key(key).await.expect("register").id;
    let marked = || Identity::Key { key: b"k".to_vec(), payload: [1; 32] };
    server.stop().expect("stop");
    for project in [shop, nameless, deleted] {
        store.append(project, vec![hit(1)]).await.expect("spooled");
        store.append_once(project, vec![hit(2)], marked()).await.expect("spooled");
    }
    let left = copy(spool.path());
    store.close().await;
    server.resume().expect("resume");

    let store = Store::open(&Options::postgres(&url, None).expect("options")).await.expect("open");
    assert!(store.put_project("shop", new).await.expect("take in"));
    store.delete_project(deleted).await.expect("delete");
    store.close().await;
    let store = open(&url, left.path(), 10 << 20).await;
    replayed(&store).await;
    // Of the batches under one key, the second is the first once more.
    assert_eq!(times(&store, shop).await, [1, 1, 2]);
    assert!(times(&store, nameless).await.is_empty() && times(&store, deleted).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_project_that_is_taken_in_while_it_is_written_is_there_once() {
    const TAKE_IN: [&str; 2] = [
        "DELETE FROM projects WHERE id = $1",
        "INSERT INTO absorbed (project_id, into_id, at) VALUES ($1, $2, 0)",
    ];
    const WAITING: &str = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let (shop, nameless) = (project(&store).await, project(&store).await);
    server.stop().expect("stop");
    for project in [shop, nameless] {
        store.append(project, vec![hit(1)]).await.expect("spooled");
    }
    let left = copy(spool.path());
    store.close().await;
    server.resume().expect("resume");

    let mut taking_in = sqlx::PgConnection::connect(&url).await.expect("connect");
    let mut other = sqlx::PgConnection::connect(&url).await.expect("connect");
    let mut transaction = taking_in.begin().await.expect("begin");
    for sql in TAKE_IN {
        let query = sqlx::query(sql).bind(nameless.0);
        let query = if sql.contains("$2") { query.bind(shop.0) } else { query };
        query.execute(&mut *transaction).await.expect("take in");
    }
    // The replay has looked for homes already, and finds none.
    let store = open(&url, left.path(), 10 << 20).await;
    wait::until_async("the replay waits for the project", PATIENCE, async || {
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut other).await?;
        Ok((waiting > 0).then_some(()))
    })
    .await
    .expect("a lock");
    transaction.commit().await.expect("commit");
    replayed(&store).await;
    assert_eq!(times(&store, shop).await, [1, 1]);
    assert!(times(&store, nameless).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_days_and_was_sent_elsewhere_meanwhile_is_there_once() {
    const AGE: [&str; 2] = [
        "UPDATE batches SET created_at = created_at - 3 * 86400000",
        "UPDATE spools SET empty_at = empty_at - 3 * 86400000",
    ];
    const NOTED: &str = "SELECT COUNT(*) FROM batches";
    let (server, url) = server();
    let spool = TempDir::new().expect("directory");
    let store = open(&url, spool.path(), 10 << 20).await;
    let project = project(&store).await;
    let sent = async |store: &Store| {
        let key = Identity::Key { key: b"k".to_vec(), payload: [1; 32] };
        store.append_once(project, vec![hit(1)], key).await.expect("append");
    };
    server.stop().expect("stop");
    sent(&store).await;
    let left = copy(spool.path());
    store.close().await;
    server.resume().expect("resume");

    let other = Store::open(&Options::postgres(&url, None).expect("options")).await.expect("open");
    sent(&other).await;
    let mut database = sqlx::PgConnection::connect(&url).await.expect("connect");
    for sql in AGE {
        sqlx::query(sql).execute(&mut database).await.expect("age");
    }
    other.expire(Retention::default()).await.expect("expire");
    let store = open(&url, left.path(), 10 << 20).await;
    replayed(&store).await;
    assert_eq!(times(&store, project).await, [1]);

    let noted: i64 = sqlx::query_scalar(NOTED).fetch_one(&mut database).await.expect("count");
    assert_eq!(noted, 1);
    store.expire(Retention::default()).await.expect("expire");
    let noted: i64 = sqlx::query_scalar(NOTED).fetch_one(&mut database).await.expect("count");
    assert_eq!(noted, 0, "no spool may hold it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_has_one_process() {
    let (_server, url) = server();
    let spool = TempDir::new().expect("directory");
    let _first = open(&url, spool.path(), 1 << 20).await;
    let mut options = Options::postgres(&url, None).expect("options");
    options.spool = Some(SpoolOptions { directory: spool.path().to_owned(), bytes: 1 << 20 });
    let second = Store::open(&options).await.map(drop);
    assert!(second.as_ref().is_err_and(|error| error.to_string().contains("another process")), "{second:?}");
}

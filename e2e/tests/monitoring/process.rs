//! Processes that end, and several of them.

use std::time::Duration;

use serde_json::json;
use watchkeeper_e2e::stores::Store;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

use crate::harness::{PATIENCE, Server, World, telling};

on_both_stores! {
    asked_to_end_it_finishes_its_check_and_says_that_all_was_well
    a_deleted_endpoint_leaves_nothing_behind
    a_certificate_is_asked_for_where_it_is_served
}

async fn asked_to_end_it_finishes_its_check_and_says_that_all_was_well(store: Store) {
    let target = Server::start(200).await;
    let world = World::start(store, "").await;
    let id = world.create("shop", target.url(), json!({})).await;
    world.newest(id, true).await;
    let (seen, rows) = (target.seen().len(), world.history(id).await.len());
    assert_eq!(seen, rows);
    target.delay(Duration::from_millis(1_500));
    target.wait_for(seen + 1).await;
    assert!(world.watchkeeper.stop().unwrap(), "exit code 0");
    world.watchkeeper.restart().unwrap();
    assert!(world.history(id).await.len() > rows, "the check under way was kept");
}

async fn a_deleted_endpoint_leaves_nothing_behind(store: Store) {
    let (target, sink) = (Server::start(500).await, Server::start(200).await);
    let world = World::start(store, &telling(&sink, "")).await;
    let id = world.create("shop", target.url(), json!({})).await;
    sink.wait_for(1).await;
    world.sent(1).await;
    let beside = world.store().await;
    beside.seal_all_checks().await.unwrap();
    let rows = async || {
        let tables = ["check_segments", "transitions", "alerts"];
        [world.rows(tables[0], id).await, world.rows(tables[1], id).await, world.rows(tables[2], id).await]
    };
    assert!(rows().await.iter().all(|count| *count > 0), "it has a past");
    let path = format!("/api/v1/endpoints/{id}");
    let (status, _) = world.call(reqwest::Method::DELETE, &path, None).await;
    assert_eq!(status, 204);
    for path in ["stats/uptime", "stats/history", "stats/incidents"] {
        let (status, _) = world.call(reqwest::Method::GET, &format!("/api/v1/{path}/{id}"), None).await;
        assert_eq!(status, 404, "{path}");
    }
    let seen = target.seen().len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(target.seen().len() <= seen + 1, "it is checked no more");
    // What was not sealed by then goes when it would be.
    beside.seal_all_checks().await.unwrap();
    assert_eq!(rows().await, [0; 3]);
    beside.close().await;
}

async fn a_certificate_is_asked_for_where_it_is_served(store: Store) {
    let world = World::start(store, "").await;
    // Nothing serves TLS there.
    let target = Server::start(200).await;
    let url = target.url().replacen("http://", "https://", 1);
    world.create("shop", &url, json!({ "interval": 3600 })).await;
    let told = world.get("/health/ssl").await;
    assert_eq!(
        (&told["summary"]["https_checked"], &told["summary"]["errors"]),
        (&json!(1), &json!(1)),
        "{told}"
    );
    let error = told["certificates"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("TLS: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_database_make_one_check_and_one_notice() {
    let (target, sink) = (Server::start(200).await, Server::start(200).await);
    let database = Postgres::shared().unwrap().database().unwrap();
    let first =
        World::start_with(Store::Sqlite, &telling(&sink, ""), |local| local.database(&database)).await;
    let second =
        Watchkeeper::local().database(&database).arg("--monitoring-config").arg(&first.file).start().unwrap();
    let id = first.create("shop", target.url(), json!({})).await;
    first.newest(id, true).await;
    let seen = target.wait_for(3).await;
    for pair in seen[1..].windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(5), "a check of each process");
    }
    target.say(&[500]);
    sink.wait_for(1).await;
    wait::until_async("another bad check", PATIENCE, async || {
        let bad = first.history(id).await.iter().filter(|it| it["success"] == false).count();
        Ok((bad >= 2).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(sink.seen().len(), 1);
    drop(second);
}

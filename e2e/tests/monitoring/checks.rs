//! How checks are made, judged and repeated.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use watchkeeper_e2e::stores::Store;
use watchkeeper_testkit::wait;

use crate::harness::{Server, World, closed, dropper};

on_both_stores! {
    success_is_the_expected_status_and_no_other
    a_slow_target_times_out_and_a_closed_port_is_a_connection_error
    headers_go_along_and_a_body_only_with_post_put_and_patch
    dropped_connections_are_tried_again_and_are_one_row
    pauses_between_attempts_grow_and_vary
    rows_are_an_interval_apart_and_changes_reschedule
    no_more_checks_are_under_way_than_allowed
}

async fn success_is_the_expected_status_and_no_other(store: Store) {
    let world = World::start(store, "").await;
    let target = Server::start(204).await;
    let id = world.create_quiet("shop", target.url(), json!({ "expected_status": 204 })).await;
    let good = world.check(id).await;
    assert_eq!(
        (&good["success"], &good["status_code"], &good["error_message"]),
        (&json!(true), &json!(204), &json!(null))
    );
    assert!(good["response_time"].as_f64().is_some_and(|seconds| seconds < 5.0));
    target.say(&[200]);
    let bad = world.check(id).await;
    assert_eq!((&bad["success"], &bad["status_code"]), (&json!(false), &json!(200)));
    assert_eq!(bad["error_message"], "Expected status 204, got 200");
    assert!(bad["response_time"].is_number());
}

async fn a_slow_target_times_out_and_a_closed_port_is_a_connection_error(store: Store) {
    let world = World::start(store, "").await;
    let target = Server::start(200).await;
    target.delay(Duration::from_secs(30));
    let slow = world.create_quiet("slow", target.url(), json!({ "timeout": 1 })).await;
    let body = json!({ "use_retry": false });
    let (_, told) = world.call(Method::POST, &format!("/api/v1/endpoints/{slow}/check"), Some(&body)).await;
    assert_eq!((&told["success"], &told["status_code"]), (&json!(false), &json!(null)), "{told}");
    assert_eq!(told["error_message"], "Request timed out after 1s");
    let none = world.create_quiet("none", &closed(), json!({})).await;
    let told = world.check(none).await;
    assert_eq!(
        (&told["success"], &told["status_code"], &told["response_time"]),
        (&json!(false), &json!(null), &json!(null))
    );
    let error = told["error_message"].as_str().unwrap();
    assert!(error.starts_with("Failed after retries: Connection error: "), "{error}");
}

async fn headers_go_along_and_a_body_only_with_post_put_and_patch(store: Store) {
    let world = World::start(store, "").await;
    let target = Server::start(200).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let more = json!({ "method": method, "headers": { "X-Probe": method }, "body": { "ping": true } });
        let id = world.create_quiet(method, target.url(), more).await;
        assert_eq!(world.check(id).await["success"], true, "{method}");
        let seen = target.seen().pop().unwrap();
        assert_eq!(
            (seen.method.as_str(), seen.headers.get("x-probe").unwrap().to_str().unwrap()),
            (method, method)
        );
        if ["POST", "PUT", "PATCH"].contains(&method) {
            assert_eq!(seen.json(), json!({ "ping": true }));
            assert_eq!(seen.headers.get("content-type").unwrap(), "application/json");
        } else {
            assert_eq!(seen.body, "", "{method}");
        }
    }
}

async fn dropped_connections_are_tried_again_and_are_one_row(store: Store) {
    let world = World::start(store, "").await;
    let (twice, times) = dropper(2).await;
    let id = world.create_quiet("twice", &twice, json!({})).await;
    assert_eq!(world.check(id).await["success"], true);
    assert_eq!(times.lock().unwrap().len(), 3);
    let (always, times) = dropper(usize::MAX).await;
    let id = world.create_quiet("always", &always, json!({})).await;
    let told = world.check(id).await;
    assert_eq!((&told["success"], &told["status_code"]), (&json!(false), &json!(null)));
    assert!(told["error_message"].as_str().unwrap().starts_with("Failed after retries: "), "{told}");
    assert_eq!(times.lock().unwrap().len(), 3);
    let target = Server::start(500).await;
    let id = world.create_quiet("answers", target.url(), json!({})).await;
    assert_eq!(world.check(id).await["error_message"], "Expected status 200, got 500");
    assert_eq!(target.seen().len(), 1, "an answer stands");
    // The same on the schedule: one row a check, however many attempts.
    let (url, times) = dropper(2).await;
    let id = world.create("scheduled", &url, json!({})).await;
    let rows = world.newest(id, true).await;
    assert_eq!((rows.len(), times.lock().unwrap().len()), (1, 3));
}

async fn pauses_between_attempts_grow_and_vary(store: Store) {
    let world = World::start(store, "").await;
    // One check each of four endpoints, at the same time.
    let check = |number: usize| {
        let world = &world;
        async move {
            let (url, times) = dropper(usize::MAX).await;
            let id = world.create_quiet(&format!("down{number}"), &url, json!({})).await;
            world.check(id).await;
            let times = times.lock().unwrap().clone();
            [0, 1].map(|gap| (times[gap + 1] - times[gap]).as_secs_f64())
        }
    };
    let gaps = futures::future::join_all((0..4).map(check)).await;
    // 1 s and 2 s, half to one and a half of it. What the machine adds is not bounded for each of them, and
    // is nothing like what the shortest has to spare.
    for (pause, most) in [(0, 1.5), (1, 3.0)] {
        let of_all = || gaps.iter().map(|gaps| gaps[pause]);
        let (shortest, longest) = (of_all().fold(f64::MAX, f64::min), of_all().fold(0.0, f64::max));
        assert!(shortest >= most / 3.0 && shortest <= most, "{gaps:?}");
        assert!(longest <= most + 2.0, "{gaps:?}");
        assert!(longest - shortest > 0.01, "each waits for a time of its own: {gaps:?}");
    }
}

async fn rows_are_an_interval_apart_and_changes_reschedule(store: Store) {
    let world = World::start(store, "").await;
    let target = Server::start(200).await;
    let id = world.create("shop", target.url(), json!({})).await;
    let seen = target.wait_for(3).await;
    let gap = (seen[2].at - seen[1].at).as_secs_f64();
    assert!((9.0..=13.0).contains(&gap), "{gap}");
    let path = format!("/api/v1/endpoints/{id}");
    let (status, _) = world.call(Method::PUT, &path, Some(&json!({ "is_active": false }))).await;
    assert_eq!(status, 200);
    // Whatever was on its way has come by then; nothing comes in the interval after it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = target.seen().len();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(target.seen().len(), before, "an inactive endpoint is not checked");
    let (status, _) =
        world.call(Method::PUT, &path, Some(&json!({ "is_active": true, "interval": 3600 }))).await;
    assert_eq!(status, 200);
    target.wait_for(before + 1).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(target.seen().len(), before + 1, "the new interval holds");
}

async fn no_more_checks_are_under_way_than_allowed(store: Store) {
    let target = Server::start(200).await;
    target.delay(Duration::from_millis(300));
    let mut config = "monitoring: {max_concurrent_checks: 5}\nendpoints:\n".to_owned();
    for n in 0..50 {
        config.push_str(&format!(
            "  - {{name: e{n}, url: '{}/{n}', interval: 20, timeout: 10}}\n",
            target.url()
        ));
    }
    let world = World::start(store, &config).await;
    // Ten in a row for each place are done in 3 s, long before the second round begins.
    wait::until_async("all are checked", Duration::from_secs(20), async || {
        let summary = world.get("/api/v1/stats/summary").await;
        Ok((summary["healthy_endpoints"] == 50).then_some(()))
    })
    .await
    .unwrap();
    assert!(target.most() <= 5, "{}", target.most());
}

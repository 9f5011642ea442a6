//! Manual checks, health, breakers and certificates of api-monitoring-system's interface, over the real router
//! and on both stores.

mod common;
#[path = "common/monitoring.rs"]
mod monitoring;

use axum::body::Body;
use common::{ADMIN, Fresh, client};
use monitoring::{ENDPOINTS, call, checker, made, new_id, open, places, record};
use serde_json::json;
use watchkeeper_store::{CertificateAnswer, Check, DAY_MS, Errand, LastCheck, now_ms};

on_both_stores! {
    a_manual_check_is_kept_and_moves_no_state
    a_manual_check_without_a_checker_says_so
    a_manual_check_that_no_checker_takes_is_a_503
    health_is_open_and_tells_of_store_and_checker
    breakers_open_close_and_are_reset
    a_heartbeat_is_not_checked_by_hand
    certificates_are_reported
}

async fn a_manual_check_is_kept_and_moves_no_state(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    record(&fresh, &[(60_000, Some(200))]).await;
    let before = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let failed = LastCheck {
        at: now_ms(),
        ok: false,
        status: Some(503),
        duration_us: 1_234_567,
        message: Some("status 503, expected 200".into()),
        ..LastCheck::default()
    };
    fresh
        .store
        .record_manual_check(&Check { project: before.project, endpoint: id, result: failed.clone() })
        .await
        .expect("record");
    let after = fresh.store.endpoints().await.expect("endpoints").remove(0);
    assert_eq!((after.status.state, after.transition), (before.status.state, before.transition));
    let told = client.get(&format!("/api/v1/stats/history/{id}")).await.json();
    assert_eq!((&told["total"], &told["checks"][0]["status_code"]), (&json!(2), &json!(503)));

    let answer = serde_json::to_string(&failed).expect("JSON");
    let checker = checker(&fresh, move |errand| {
        assert!(matches!(errand, Errand::Check { retries: false, .. }));
        answer.clone()
    });
    let path = format!("{ENDPOINTS}/{id}/check");
    let told = call(&client, "POST", &path, &json!({ "use_retry": false })).await;
    checker.abort();
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!(
        (
            &told["endpoint_id"],
            &told["success"],
            &told["status_code"],
            &told["response_time"],
            &told["error_message"]
        ),
        (&json!(id), &json!(false), &json!(503), &json!(1.235), &json!("Expected status 200, got 503"))
    );
    assert_eq!(places(&call(&client, "POST", &path, &json!({ "use_retry": "x" })).await), ["body.use_retry"]);
}

async fn a_manual_check_without_a_checker_says_so(fresh: Fresh) {
    let errand = Errand::Check { endpoint: 1, retries: true };
    let wait = std::time::Duration::from_millis(200);
    let answers = fresh.store.run_errands(&[errand], wait).await.expect("errands");
    assert_eq!(answers, [None]);
    assert!(fresh.store.take_errands().await.expect("errands").is_empty(), "nobody waits for it any more");
}

async fn a_manual_check_that_no_checker_takes_is_a_503(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    let path = format!("{ENDPOINTS}/{id}/check");
    // With one attempt and the shortest timeout, most of the wait is for somebody to take it.
    let quick = call(&client, "PUT", &format!("{ENDPOINTS}/{id}"), &json!({ "timeout": 1 })).await;
    assert_eq!(quick.status, 200);
    let told = call(&client, "POST", &path, &json!({ "use_retry": false })).await;
    assert_eq!((told.status, told.header("retry-after")), (503, Some("1")), "{}", told.text());
    let body = told.json();
    assert_eq!(body["detail"], "No checker took the check in time");
    assert_eq!(body["request_id"].as_str(), told.header("x-request-id"));
    let history = client.get(&format!("/api/v1/stats/history/{id}")).await.json();
    assert_eq!(history["total"], 0, "nothing was found");
}

async fn health_is_open_and_tells_of_store_and_checker(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let told = client.get("/health").await;
    assert_eq!(told.status, 200);
    let told = told.json();
    assert_eq!(
        (&told["status"], &told["database"], &told["scheduler"]),
        (&json!("healthy"), &json!("connected"), &json!("stopped"))
    );
    assert!(told["version"].is_string() && told["timestamp"].is_string());
    fresh.store.close().await;
    let told = client.get("/health").await;
    assert_eq!((told.status, &told.json()["status"]), (503, &json!("unhealthy")));
}

async fn breakers_open_close_and_are_reset(fresh: Fresh) {
    let client = open(&fresh).await;
    new_id(&client).await;
    let name = "health_check_shop";
    let state = async || {
        let told = client.get("/health/circuit-breakers").await.json();
        assert_eq!(told["summary"]["total_circuit_breakers"], 1);
        let breaker = &told["circuit_breakers"][name];
        assert_eq!((&breaker["failure_threshold"], &breaker["recovery_timeout"]), (&json!(3), &json!(30)));
        (breaker["state"].as_str().expect("state").to_owned(), breaker["failure_count"].as_i64())
    };
    assert_eq!(state().await, ("closed".into(), Some(0)));
    record(&fresh, &[(9_000, Some(500)), (8_000, Some(500)), (7_000, Some(500))]).await;
    assert_eq!(state().await, ("open".into(), Some(3)));
    let unknown =
        client.call("POST", "/health/circuit-breakers/health_check_x/reset", &[], Body::empty()).await;
    assert_eq!((unknown.status, &unknown.json()["available"]), (404, &json!([name])));
    let reset = client
        .call("POST", "/health/circuit-breakers/health_check_shop/reset", &[], Body::empty())
        .await
        .json();
    assert_eq!(
        (&reset["status"], &reset["circuit_breaker"], &reset["new_state"]),
        (&json!("reset"), &json!(name), &json!("closed"))
    );
    assert_eq!(state().await, ("closed".into(), Some(0)));
    let all = client.call("POST", "/health/circuit-breakers/reset-all", &[], Body::empty()).await.json();
    assert_eq!((&all["status"], &all["count"]), (&json!("all_reset"), &json!(1)));
}

async fn a_heartbeat_is_not_checked_by_hand(fresh: Fresh) {
    let client = open(&fresh).await;
    let heartbeat = json!({ "token": { "value": "0123456789abcdef" } });
    let spec = json!({ "instanceRef": { "name": "main" }, "heartbeat": heartbeat });
    let body = json!({ "namespace": "default", "name": "job", "spec": spec });
    let put = client.call("PUT", "/api/v1/endpoints/u-1", &[ADMIN], body.to_string()).await;
    assert_eq!(put.status, 201, "{}", put.text());
    let id = fresh.store.endpoints().await.expect("endpoints")[0].id;
    let told = client.call("POST", &format!("{ENDPOINTS}/{id}/check"), &[], Body::empty()).await;
    let detail = format!("Endpoint {id} is a heartbeat: it calls by itself and cannot be asked");
    assert_eq!((told.status, &told.json()["detail"]), (409, &json!(detail)));
    assert!(fresh.store.endpoints().await.expect("endpoints")[0].status.last_check.is_none());
}

async fn certificates_are_reported(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    made(&client, &json!({ "name": "plain", "url": "http://plain.example/" })).await;
    made(&client, &json!({ "name": "loud", "url": "HTTPS://shop.example/" })).await;
    let off =
        made(&client, &json!({ "name": "off", "url": "https://off.example/", "is_active": false })).await;
    let checker = checker(&fresh, |_| {
        let answer = CertificateAnswer {
            at: Some(now_ms()),
            subject: Some("CN=shop.example".into()),
            not_after: Some(now_ms() + 20 * DAY_MS + 60_000),
            names: vec!["shop.example".into()],
            ..CertificateAnswer::default()
        };
        serde_json::to_string(&answer).expect("JSON")
    });
    let told = client.get("/health/ssl").await.json();
    let summary = &told["summary"];
    assert_eq!(
        [
            "total_endpoints",
            "https_checked",
            "skipped_non_https",
            "valid",
            "expiring_soon",
            "expired",
            "errors",
            "warning_threshold_days"
        ]
        .map(|field| summary[field].as_i64()),
        [3, 2, 1, 0, 2, 0, 0, 30].map(Some)
    );
    let certificate = &told["certificates"][0];
    assert_eq!(
        (
            &certificate["hostname"],
            &certificate["port"],
            &certificate["days_until_expiry"],
            &certificate["is_expiring_soon"]
        ),
        (&json!("shop.example"), &json!(443), &json!(20), &json!(true))
    );
    assert_eq!((&certificate["endpoint_id"], &certificate["endpoint_name"]), (&json!(id), &json!("shop")));
    let one = client.get(&format!("/health/ssl?endpoint_id={id}&warning_days=10")).await.json();
    checker.abort();
    assert_eq!((&one["summary"]["valid"], &one["summary"]["expiring_soon"]), (&json!(1), &json!(0)));
    for id in [json!(77), off["id"].clone()] {
        assert_eq!(client.get(&format!("/health/ssl?endpoint_id={id}")).await.status, 404);
    }
    for days in [0, 366] {
        assert_eq!(
            places(&client.get(&format!("/health/ssl?warning_days={days}")).await),
            ["query.warning_days"]
        );
    }
}

//! What api-monitoring-system's interface tells of checks, over the real router and on both stores.

mod common;
#[path = "common/monitoring.rs"]
mod monitoring;

use axum::body::Body;
use common::Fresh;
use monitoring::{ENDPOINTS, made, new_id, open, places, record};
use serde_json::{Value, json};
use watchkeeper_store::{DAY_MS, Retention};

on_both_stores! {
    uptime_is_the_share_of_good_checks_in_the_period
    history_is_newest_first_paged_and_bounded_by_dates
    incidents_are_failures_in_a_row
    the_summary_counts_what_was_never_checked_as_unhealthy
    deleting_an_endpoint_takes_its_checks
    old_checks_vanish
}

async fn uptime_is_the_share_of_good_checks_in_the_period(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    let path = format!("/api/v1/stats/uptime/{id}");
    let empty = client.get(&path).await.json();
    assert_eq!(
        (&empty["uptime_percentage"], &empty["total_checks"], &empty["period"]),
        (&json!(0.0), &json!(0), &json!("24h"))
    );
    for field in [
        "avg_response_time",
        "min_response_time",
        "max_response_time",
        "last_check",
        "last_success",
        "last_failure",
    ] {
        assert_eq!(empty[field], Value::Null, "{field}");
    }
    // 1008 checks a minute apart, one of them bad, and a bad one of more than a week ago.
    let mut checks: Vec<_> =
        (1..=1_008).map(|n| (n * 60_000, Some(if n == 10 { 500 } else { 200 }))).collect();
    checks.push((8 * DAY_MS, None));
    record(&fresh, &checks).await;
    for period in ["24h", "7d"] {
        let told = client.get(&format!("{path}?period={period}")).await.json();
        assert_eq!(
            (&told["endpoint_id"], &told["endpoint_name"], &told["period"]),
            (&json!(id), &json!("shop"), &json!(period))
        );
        assert_eq!(
            (
                &told["uptime_percentage"],
                &told["total_checks"],
                &told["successful_checks"],
                &told["failed_checks"]
            ),
            (&json!(99.9), &json!(1_008), &json!(1_007), &json!(1))
        );
        for field in ["avg_response_time", "average_response_time", "min_response_time", "max_response_time"]
        {
            assert_eq!(told[field], json!(0.25), "{field}");
        }
        assert!(told["last_success"].as_str() > told["last_failure"].as_str());
        assert_eq!(told["last_check"], told["last_success"]);
    }
    let month = client.get(&format!("{path}?period=30d")).await.json();
    assert_eq!((&month["total_checks"], &month["failed_checks"]), (&json!(1_009), &json!(2)));
}

async fn history_is_newest_first_paged_and_bounded_by_dates(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    let path = format!("/api/v1/stats/history/{id}");
    record(&fresh, &[(60_000, Some(200)), (120_000, Some(500)), (180_000, None), (240_000, Some(200))]).await;
    let all = client.get(&path).await.json();
    assert_eq!((&all["total"], &all["from_date"], &all["to_date"]), (&json!(4), &Value::Null, &Value::Null));
    let checks = all["checks"].as_array().expect("checks");
    let told: Vec<_> = checks
        .iter()
        .map(|it| (it["status_code"].as_i64(), it["success"].as_bool(), it["error_message"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(200), Some(true), None),
            (Some(500), Some(false), Some("Expected status 200, got 500")),
            (None, Some(false), Some("Connection error: connection refused")),
            (Some(200), Some(true), None),
        ]
    );
    assert_eq!((&checks[0]["response_time"], &checks[2]["response_time"]), (&json!(0.25), &Value::Null));
    assert_eq!(checks[0]["endpoint_id"], id);
    for (query, count) in [("limit=2", 2), ("limit=2&offset=3", 1), ("offset=4", 0), ("offset=1&limit=1", 1)]
    {
        let page = client.get(&format!("{path}?{query}")).await.json();
        assert_eq!(
            (page["checks"].as_array().map(Vec::len), &page["total"]),
            (Some(count), &json!(4)),
            "{query}"
        );
    }
    let second = client.get(&format!("{path}?offset=1&limit=1")).await.json();
    assert_eq!(second["checks"][0], checks[1]);
    // Both ends count.
    let (from, to) = (
        checks[2]["checked_at"].as_str().expect("a time"),
        checks[1]["checked_at"].as_str().expect("a time"),
    );
    let some = client.get(&format!("{path}?from_date={from}&to_date={to}")).await.json();
    assert_eq!((&some["total"], some["checks"].as_array().map(Vec::len)), (&json!(2), Some(2)));
    assert_eq!((&some["from_date"], &some["to_date"]), (&json!(from), &json!(to)));
    let naive = from.trim_end_matches('Z');
    assert_eq!(client.get(&format!("{path}?from_date={naive}")).await.json()["total"], 3);
    let day = &from[..10];
    assert!(
        client.get(&format!("{path}?to_date={day}")).await.json()["total"].as_i64() < Some(4),
        "midnight of that day"
    );
    for name in ["from_date", "to_date"] {
        let refused = client.get(&format!("{path}?{name}=yesterday")).await;
        let detail = format!("Invalid {name} format. Use ISO format (YYYY-MM-DDTHH:MM:SS)");
        assert_eq!((refused.status, &refused.json()["detail"]), (400, &json!(detail)));
    }
    assert_eq!(places(&client.get(&format!("{path}?limit=1001")).await), ["query.limit"]);
}

async fn incidents_are_failures_in_a_row(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    let minute = |n: i64| n * 60_000;
    record(
        &fresh,
        &[
            (minute(60), Some(500)),
            (minute(59), None),
            (minute(58), Some(500)),
            (minute(57), Some(200)),
            // Far apart, and nothing good in between.
            (minute(40), Some(500)),
            (minute(30), Some(500)),
            (minute(20), Some(200)),
            (minute(10), Some(500)),
        ],
    )
    .await;
    let path = format!("/api/v1/stats/incidents/{id}");
    let told = client.get(&path).await.json();
    assert_eq!((&told["period"], &told["total_incidents"]), (&json!("7d"), &json!(2)));
    let figures: Vec<_> = told["incidents"]
        .as_array()
        .expect("incidents")
        .iter()
        .map(|it| (it["duration_minutes"].as_f64(), it["failure_count"].as_i64()))
        .collect();
    assert_eq!(figures, [(Some(2.0), Some(3)), (Some(10.0), Some(2))]);
    let first = &told["incidents"][0];
    assert_eq!(
        first["errors"],
        json!(["Expected status 200, got 500", "Connection error: connection refused"])
    );
    assert!(first["start"].as_str() < first["end"].as_str());
    assert_eq!(client.get(&format!("{path}?min_duration=3")).await.json()["total_incidents"], 1);
    assert_eq!(client.get(&format!("{path}?min_duration=11")).await.json()["total_incidents"], 0);
}

async fn the_summary_counts_what_was_never_checked_as_unhealthy(fresh: Fresh) {
    let client = open(&fresh).await;
    new_id(&client).await;
    made(&client, &json!({ "name": "new", "url": "https://b.example/" })).await;
    made(&client, &json!({ "name": "off", "url": "https://c.example/", "is_active": false })).await;
    let summary = async || {
        let told = client.get("/api/v1/stats/summary").await.json();
        assert!(told["timestamp"].is_string());
        [
            "total_endpoints",
            "active_endpoints",
            "inactive_endpoints",
            "healthy_endpoints",
            "unhealthy_endpoints",
        ]
        .map(|field| told[field].as_i64().expect("a number"))
    };
    assert_eq!(summary().await, [3, 2, 1, 0, 2]);
    record(&fresh, &[(60_000, Some(200))]).await;
    assert_eq!(summary().await, [3, 2, 1, 1, 1]);
    record(&fresh, &[(1_000, Some(500))]).await;
    assert_eq!(summary().await, [3, 2, 1, 0, 2]);
}

async fn deleting_an_endpoint_takes_its_checks(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    record(&fresh, &[(60_000, None), (1_000, Some(200))]).await;
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let count =
        async || fresh.store.check_count(endpoint.project, endpoint.id, 0, i64::MAX).await.expect("count");
    assert_eq!(count().await, 2);
    let deleted = client.call("DELETE", &format!("{ENDPOINTS}/{id}"), &[], Body::empty()).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(count().await, 0);
    let again = new_id(&client).await;
    assert_ne!(again, id, "a number never comes again");
}

async fn old_checks_vanish(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    record(&fresh, &[(91 * DAY_MS, Some(200)), (89 * DAY_MS, Some(200)), (1_000, Some(200))]).await;
    // As a checker does all the time; what is not sealed has only just arrived.
    fresh.store.seal_all_checks().await.expect("seal");
    let days = std::time::Duration::from_secs(90 * 86_400);
    fresh.store.expire(Retention { hits: None, checks: Some(days) }).await.expect("expire");
    let told = client.get(&format!("/api/v1/stats/history/{id}")).await.json();
    assert_eq!(told["total"], 2);
}

//! api-monitoring-system's interface, over the real router and on both stores.

mod common;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client, client_with, options};
use serde_json::{Value, json};
use watchkeeper_api::{ApiOptions, Cors, MonitoringAccess, MonitoringOptions};
use watchkeeper_runtime::secret::Secret;
use watchkeeper_store::{CertificateAnswer, Check, DAY_MS, Errand, LastCheck, Retention, now_ms};

on_both_stores! {
    crud_an_endpoint_is_made_read_changed_and_deleted
    validation_names_every_field_at_fault
    validation_comes_before_the_question_whether_there_is_one
    a_name_is_given_once
    the_list_is_paged_and_tells_the_total
    the_operator_and_the_clients_share_the_paths
    what_a_manifest_declares_is_read_and_not_changed
    uptime_is_the_share_of_good_checks_in_the_period
    history_is_newest_first_paged_and_bounded_by_dates
    incidents_are_failures_in_a_row
    the_summary_counts_what_was_never_checked_as_unhealthy
    a_key_is_needed_where_one_is_set
    without_a_key_the_admin_token_is_the_key
    a_page_of_another_site_gets_nothing_where_nobody_is_asked_for_a_key
    pages_of_named_origins_may_do_what_the_lists_have
    any_page_may_ask_with_cookies_where_every_origin_is_let_in
    the_twenty_first_delete_in_a_minute_is_refused
    deleting_an_endpoint_takes_its_checks
    old_checks_vanish
    a_manual_check_is_kept_and_moves_no_state
    a_manual_check_without_a_checker_says_so
    a_manual_check_that_no_checker_takes_is_a_503
    health_is_open_and_tells_of_store_and_checker
    breakers_open_close_and_are_reset
    a_heartbeat_is_not_checked_by_hand
    a_text_that_no_database_keeps_is_refused_by_both
    certificates_are_reported
    every_answer_has_an_id_of_its_own
    the_root_is_json_for_a_program
}

const KEY: (&str, &str) = ("x-api-key", "s3cret");
const ENDPOINTS: &str = "/api/v1/endpoints";

/// An interface that is open to everybody, as upstream's is by default.
async fn open(fresh: &Fresh) -> Client {
    with_access(fresh, MonitoringAccess::Everybody).await
}

async fn with_access(fresh: &Fresh, access: MonitoringAccess) -> Client {
    with(fresh, MonitoringOptions { access, ..MonitoringOptions::default() }).await
}

async fn with(fresh: &Fresh, monitoring: MonitoringOptions) -> Client {
    client_with(&fresh.store, ApiOptions { monitoring, ..options() }).await
}

async fn call(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    client.call(method, path, &[], body.to_string()).await
}

async fn made(client: &Client, body: &Value) -> Value {
    let answer = call(client, "POST", ENDPOINTS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn shop() -> Value {
    json!({ "name": "shop", "url": "https://shop.example/health" })
}

/// The number of a new endpoint.
async fn new_id(client: &Client) -> i64 {
    made(client, &shop()).await["id"].as_i64().expect("a number")
}

/// Stores checks of the only endpoint: `(milliseconds ago, HTTP status or none)`; 200 is good.
async fn record(fresh: &Fresh, checks: &[(i64, Option<i32>)]) {
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let now = now_ms();
    let mut checks: Vec<_> = checks
        .iter()
        .map(|(ago, status)| Check {
            project: endpoint.project,
            endpoint: endpoint.id,
            result: LastCheck {
                at: now - ago,
                ok: *status == Some(200),
                status: *status,
                duration_us: 250_000,
                message: (*status != Some(200)).then(|| "connection refused".to_owned()),
                ..LastCheck::default()
            },
        })
        .collect();
    checks.sort_by_key(|check| check.result.at);
    fresh.store.record_checks(&checks).await.expect("record");
}

/// The places that a 422 names.
fn places(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 422, "{}", answer.text());
    let body = answer.json();
    let detail = body["detail"].as_array().expect("a list of details").clone();
    detail
        .iter()
        .map(|it| {
            assert!(it["type"].is_string() && it["msg"].is_string() && it.get("input").is_some(), "{it}");
            let loc = it["loc"].as_array().expect("loc");
            loc.iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(".")
        })
        .collect()
}

async fn crud_an_endpoint_is_made_read_changed_and_deleted(fresh: Fresh) {
    let client = open(&fresh).await;
    let mut body = shop();
    body["method"] = "post".into();
    body["headers"] = json!({ "X-Token": "abc" });
    body["body"] = json!({ "ping": true });
    let first = made(&client, &body).await;
    let expected = json!({
        "name": "shop", "url": "https://shop.example/health", "method": "POST", "interval": 60, "timeout": 5,
        "expected_status": 200, "headers": { "X-Token": "abc" }, "body": { "ping": true }, "is_active": true,
    });
    for (field, value) in expected.as_object().expect("fields") {
        assert_eq!(&first[field], value, "{field}");
    }
    assert!(first["created_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert_eq!(first["created_at"], first["updated_at"]);
    let path = format!("{ENDPOINTS}/{}", first["id"]);
    assert_eq!(client.get(&path).await.json(), first);

    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let changed = call(&client, "PUT", &path, &json!({ "interval": 120 })).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let changed = changed.json();
    for field in ["id", "name", "url", "method", "timeout", "headers", "body", "is_active", "created_at"] {
        assert_eq!(changed[field], first[field], "{field}");
    }
    assert_eq!(changed["interval"], 120);
    assert!(changed["updated_at"].as_str() > first["updated_at"].as_str(), "{changed}");
    assert_eq!(client.get(&path).await.json(), changed);
    let emptied = call(&client, "PUT", &path, &json!({ "headers": null, "body": null })).await.json();
    assert_eq!((&emptied["headers"], &emptied["body"]), (&Value::Null, &Value::Null));

    let deleted = client.call("DELETE", &path, &[], Body::empty()).await;
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    for method in ["GET", "PUT", "DELETE"] {
        let answer = call(&client, method, &path, &json!({})).await;
        assert_eq!(answer.status, 404, "{method}");
        assert_eq!(answer.json()["detail"], format!("Endpoint {} not found", first["id"]));
    }
}

async fn validation_names_every_field_at_fault(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    for (field, bad) in [
        ("interval", json!(9)),
        ("interval", json!("soon")),
        ("interval", json!(10.5)),
        ("timeout", json!(0)),
        ("expected_status", json!(99)),
        ("expected_status", json!(600)),
        ("name", json!("")),
        ("name", json!("x".repeat(256))),
        ("name", json!(5)),
        ("name", json!("a\u{0}")),
        ("url", json!("")),
        ("url", json!("shop.example")),
        ("url", json!("ftp://shop.example/")),
        ("method", json!("BREW")),
        ("headers", json!([])),
        ("body", json!("text")),
        ("is_active", json!("perhaps")),
    ] {
        let mut body = json!({ "name": "other", "url": "https://b.example/" });
        body[field] = bad.clone();
        let at = [format!("body.{field}")];
        assert_eq!(places(&call(&client, "POST", ENDPOINTS, &body).await), at, "{field} {bad}");
        let path = format!("{ENDPOINTS}/{id}");
        assert_eq!(places(&call(&client, "PUT", &path, &json!({ field: bad })).await), at, "{field}");
    }
    let all =
        call(&client, "POST", ENDPOINTS, &json!({ "interval": 9, "headers": { "bad name": "x" } })).await;
    assert_eq!(places(&all), ["body.name", "body.url", "body.interval", "body.headers.bad name"]);
    for body in ["", "{", "[]", "5"] {
        assert!(!places(&client.call("POST", ENDPOINTS, &[], body).await).is_empty(), "{body}");
    }
    let low =
        call(&client, "POST", ENDPOINTS, &json!({ "name": "n", "url": "http://a/", "interval": 9 })).await;
    let detail = &low.json()["detail"][0];
    assert_eq!(
        detail,
        &json!({
            "type": "greater_than_equal", "loc": ["body", "interval"],
            "msg": "Input should be greater than or equal to 10", "input": 9, "ctx": { "ge": 10 },
        })
    );
    assert_eq!(fresh.store.endpoints().await.expect("endpoints").len(), 1);
}

async fn validation_comes_before_the_question_whether_there_is_one(fresh: Fresh) {
    let client = open(&fresh).await;
    assert_eq!(
        places(&call(&client, "PUT", "/api/v1/endpoints/77", &json!({ "timeout": 0 })).await),
        ["body.timeout"]
    );
    assert_eq!(places(&client.get("/api/v1/endpoints/abc").await), ["path.endpoint_id"]);
    assert_eq!(places(&client.get("/api/v1/stats/uptime/77?period=1y").await), ["query.period"]);
    assert_eq!(places(&client.get("/api/v1/stats/history/x?limit=1001&offset=-1").await).len(), 3);
    assert_eq!(
        places(&client.get("/api/v1/stats/incidents/77?min_duration=0").await),
        ["query.min_duration"]
    );
    assert_eq!(
        places(&client.get("/api/v1/endpoints?skip=-1&limit=many").await),
        ["query.skip", "query.limit"]
    );
    for path in ["endpoints/77", "stats/uptime/77", "stats/history/77", "stats/incidents/77"] {
        assert_eq!(client.get(&format!("/api/v1/{path}")).await.status, 404, "{path}");
    }
    assert_eq!(client.call("POST", "/api/v1/endpoints/77/check", &[], Body::empty()).await.status, 404);
}

async fn a_name_is_given_once(fresh: Fresh) {
    let client = open(&fresh).await;
    made(&client, &shop()).await;
    let again = call(&client, "POST", ENDPOINTS, &shop()).await;
    assert_eq!(
        (again.status, &again.json()["detail"]),
        (400, &json!("Endpoint with name 'shop' already exists"))
    );
    let blog = made(&client, &json!({ "name": "blog", "url": "https://blog.example/" })).await;
    let path = format!("{ENDPOINTS}/{}", blog["id"]);
    let renamed = call(&client, "PUT", &path, &json!({ "name": "shop", "interval": 99 })).await;
    assert_eq!(
        (renamed.status, &renamed.json()["detail"]),
        (400, &json!("Endpoint with name 'shop' already exists"))
    );
    assert_eq!(client.get(&path).await.json(), blog, "nothing of it was changed");
    assert_eq!(call(&client, "PUT", &path, &json!({ "name": "blog" })).await.status, 200);
    let at_once: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                call(&client, "POST", ENDPOINTS, &json!({ "name": "one", "url": "https://one.example/" }))
                    .await
                    .status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for status in at_once {
        statuses.push(status.await.expect("join"));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
}

async fn the_list_is_paged_and_tells_the_total(fresh: Fresh) {
    let client = open(&fresh).await;
    for n in 0..5 {
        let body = json!({ "name": format!("e{n}"), "url": "https://a.example/", "is_active": n != 2 });
        made(&client, &body).await;
    }
    for (query, names) in [
        ("", vec!["e0", "e1", "e2", "e3", "e4"]),
        ("?skip=1&limit=2", vec!["e1", "e2"]),
        ("?skip=4", vec!["e4"]),
        ("?skip=9", vec![]),
        ("?active_only=true", vec!["e0", "e1", "e3", "e4"]),
        ("?active_only=1&skip=2&limit=1", vec!["e3"]),
    ] {
        let list = client.get(&format!("{ENDPOINTS}{query}")).await.json();
        let told: Vec<_> = list["endpoints"]
            .as_array()
            .expect("list")
            .iter()
            .map(|it| it["name"].as_str().expect("name").to_owned())
            .collect();
        assert_eq!(told, names, "{query}");
        assert_eq!(list["total"], 5, "{query}");
    }
}

fn manifest(url: &str) -> Value {
    let spec = json!({
        "instanceRef": { "name": "main" },
        "http": { "url": url, "headers": [{ "name": "Authorization", "value": "s3cret" }], "body": "s3cret" },
    });
    json!({ "namespace": "default", "name": "web", "generation": 1, "spec": spec })
}

async fn the_operator_and_the_clients_share_the_paths(fresh: Fresh) {
    let client = open(&fresh).await;
    let uid = "/api/v1/endpoints/0b5e3b64-93dd-4a5e-9f7f-5b8f7f3c1a11";
    assert_eq!(
        call(&client, "PUT", uid, &manifest("https://a.example/")).await.status,
        401,
        "the operator's is never open"
    );
    let put = client.call("PUT", uid, &[ADMIN], manifest("https://a.example/").to_string()).await;
    assert_eq!((put.status, put.json()), (201, json!({ "changed": true })));
    made(&client, &shop()).await;
    let list = client.get(ENDPOINTS).await.json();
    assert_eq!(list["total"], 2);
    for endpoint in list["endpoints"].as_array().expect("list") {
        // What each side's clients read of one.
        for field in ["id", "url", "interval", "is_active", "uid", "state", "displayName", "uptime"] {
            assert!(endpoint.get(field).is_some(), "{field} of {endpoint}");
        }
    }
    assert!(list["cursor"].is_string());
    let operators =
        client.call("GET", "/api/v1/endpoints?origin=kubernetes", &[ADMIN], Body::empty()).await.json();
    assert_eq!(operators["endpoints"].as_array().map(Vec::len), Some(1));
    assert!(operators["endpoints"][0].get("id").is_none(), "as it was");
    assert_eq!(client.get("/api/v1/endpoints?origin=kubernetes").await.status, 401);
    assert_eq!(client.call("DELETE", uid, &[], Body::empty()).await.status, 401);
    assert_eq!(client.call("DELETE", uid, &[ADMIN], Body::empty()).await.status, 204);
    assert_eq!(client.get(ENDPOINTS).await.json()["total"], 1);
}

async fn what_a_manifest_declares_is_read_and_not_changed(fresh: Fresh) {
    let client = open(&fresh).await;
    let uid = "/api/v1/endpoints/a-uid";
    client.call("PUT", uid, &[ADMIN], manifest("https://a.example/").to_string()).await;
    let id = fresh.store.endpoints().await.expect("endpoints")[0].id;
    let path = format!("{ENDPOINTS}/{id}");
    let told = client.get(&path).await;
    assert_eq!(
        (told.status, &told.json()["name"], &told.json()["url"]),
        (200, &json!("web"), &json!("https://a.example/"))
    );
    assert!(!told.text().contains("s3cret"));
    assert!(!client.get(ENDPOINTS).await.text().contains("s3cret"));
    for method in ["PUT", "DELETE"] {
        let refused = call(&client, method, &path, &json!({ "interval": 120 })).await;
        assert_eq!(refused.status, 409, "{method}");
        let detail = refused.json()["detail"].as_str().expect("a sentence").to_owned();
        assert!(detail.contains("MonitoredEndpoint default/web"), "{detail}");
    }
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

async fn a_key_is_needed_where_one_is_set(fresh: Fresh) {
    let key = Secret::new("s3cret");
    let header = "x-monitor-key".parse().expect("a header");
    let named = with_access(&fresh, MonitoringAccess::Key { header, key: key.clone() }).await;
    let usual =
        with_access(&fresh, MonitoringAccess::Key { header: "x-api-key".parse().expect("a header"), key })
            .await;
    for (client, name) in [(&usual, "x-api-key"), (&named, "x-monitor-key")] {
        for (method, path) in [
            ("GET", ENDPOINTS),
            ("POST", ENDPOINTS),
            ("GET", "/api/v1/endpoints/1"),
            ("PUT", "/api/v1/endpoints/1"),
            ("DELETE", "/api/v1/endpoints/1"),
            ("POST", "/api/v1/endpoints/1/check"),
            ("GET", "/api/v1/stats/uptime/1"),
            ("GET", "/api/v1/stats/history/1"),
            ("GET", "/api/v1/stats/incidents/1"),
            ("GET", "/api/v1/stats/summary"),
            ("GET", "/health/circuit-breakers"),
            ("GET", "/health/ssl"),
        ] {
            let missing = client.call(method, path, &[], "{}").await;
            assert_eq!(
                (missing.status, &missing.json()["detail"]),
                (401, &json!("API key missing")),
                "{method} {path}"
            );
            let wrong = client.call(method, path, &[(name, "s3cre")], "{}").await;
            assert_eq!(
                (wrong.status, &wrong.json()["detail"]),
                (401, &json!("Invalid API key")),
                "{method} {path}"
            );
        }
        assert_eq!(client.call("GET", ENDPOINTS, &[(name, "s3cret")], Body::empty()).await.status, 200);
        assert_eq!(client.call("GET", ENDPOINTS, &[ADMIN], Body::empty()).await.status, 200);
        for path in ["/health", "/docs/", "/openapi.json"] {
            assert_eq!(client.get(path).await.status, 200, "{path}");
        }
    }
    assert_eq!(named.call("GET", ENDPOINTS, &[KEY], Body::empty()).await.status, 401, "another header");
}

async fn without_a_key_the_admin_token_is_the_key(fresh: Fresh) {
    let client = client(&fresh.store).await;
    assert_eq!(call(&client, "POST", ENDPOINTS, &shop()).await.status, 401);
    let token = ("x-api-key", common::TOKEN);
    let made = client.call("POST", ENDPOINTS, &[token], shop().to_string()).await;
    assert_eq!(made.status, 201);
}

async fn a_page_of_another_site_gets_nothing_where_nobody_is_asked_for_a_key(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    let (host, evil) = (("host", "127.0.0.1:8000"), ("origin", "https://evil.example"));
    let own = ("origin", "http://127.0.0.1:8000");
    let post = async |headers: &[(&str, &str)], path: &str, body: &Value| {
        let headers: Vec<_> = headers.iter().copied().chain([("content-type", "text/plain")]).collect();
        client.call("POST", path, &headers, body.to_string()).await
    };
    for from in [
        &[("sec-fetch-site", "cross-site"), evil][..],
        &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")][..],
        // All that a browser says at an address that is neither https nor its own machine's.
        &[host, evil][..],
        &[host, ("origin", "null")][..],
    ] {
        let read = client.call("GET", ENDPOINTS, from, Body::empty()).await;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (401, None), "{from:?}");
        assert!(read.text().contains("api.cors"), "{}", read.text());
        let other = json!({ "name": "other", "url": "http://10.0.0.1/" });
        assert_eq!(post(from, ENDPOINTS, &other).await.status, 401, "{from:?}");
        assert_eq!(post(from, &format!("{ENDPOINTS}/{id}/check"), &json!({})).await.status, 401, "{from:?}");
    }
    assert_eq!(fresh.store.endpoints().await.expect("endpoints").len(), 1);
    for from in [
        &[("sec-fetch-site", "same-origin"), own][..],
        &[("sec-fetch-site", "none")][..],
        &[host, own][..],
        &[("sec-fetch-site", "cross-site"), evil, ADMIN][..],
    ] {
        assert_eq!(client.call("GET", ENDPOINTS, from, Body::empty()).await.status, 200, "{from:?}");
    }
}

/// Who may call from other sites: these origins, methods and headers.
fn cors(origin: &str, credentials: bool, method: &str, header: &str) -> Option<Cors> {
    let list = |one: &str| vec![one.to_owned()];
    Some(Cors { origins: list(origin), credentials, methods: list(method), headers: list(header) })
}

/// A browser's question whether a page of `origin` may call.
async fn preflight(client: &Client, origin: &str, method: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "x-api-key"),
    ];
    client.call("OPTIONS", ENDPOINTS, &headers, Body::empty()).await
}

async fn pages_of_named_origins_may_do_what_the_lists_have(fresh: Fresh) {
    let (known, evil) = ("https://status.example", "https://evil.example");
    let cors = cors(known, false, "GET", "X-API-Key");
    let access = MonitoringAccess::Everybody;
    let client = with(&fresh, MonitoringOptions { access, cors, ..MonitoringOptions::default() }).await;
    for (origin, status, allowed) in [(known, 200, Some(known)), (evil, 401, None)] {
        let from = [("sec-fetch-site", "cross-site"), ("origin", origin)];
        let told = client.call("GET", ENDPOINTS, &from, Body::empty()).await;
        assert_eq!((told.status, told.header("access-control-allow-origin")), (status, allowed));
        assert_eq!(told.header("access-control-allow-credentials"), None);
        let asked = preflight(&client, origin, "DELETE").await;
        assert_eq!(asked.header("access-control-allow-origin"), allowed);
        let lists = ["access-control-allow-methods", "access-control-allow-headers"];
        assert_eq!(lists.map(|name| asked.header(name)), [Some("GET"), Some("x-api-key")]);
    }
}

async fn any_page_may_ask_with_cookies_where_every_origin_is_let_in(fresh: Fresh) {
    let header = http::HeaderName::from_static("x-api-key");
    let access = MonitoringAccess::Key { header, key: Secret::new("s3cret") };
    let cors = cors("*", true, "*", "*");
    let client = with(&fresh, MonitoringOptions { access, cors, ..MonitoringOptions::default() }).await;
    let (site, origin) = (("sec-fetch-site", "cross-site"), "https://any.example");
    for (key, status) in [(KEY, 200), (("x-api-key", "s3cre"), 401)] {
        let told = client.call("GET", ENDPOINTS, &[site, ("origin", origin), key], Body::empty()).await;
        // Browsers refuse `*` where cookies go along.
        assert_eq!((told.status, told.header("access-control-allow-origin")), (status, Some(origin)));
        assert_eq!(told.header("access-control-allow-credentials"), Some("true"));
    }
    let asked = preflight(&client, origin, "PUT").await;
    assert_eq!(asked.status, 200);
    let allowed = ["origin", "credentials", "methods", "headers"]
        .map(|what| asked.header(&format!("access-control-allow-{what}")));
    assert_eq!(allowed, [origin, "true", "PUT", "x-api-key"].map(Some));
}

async fn the_twenty_first_delete_in_a_minute_is_refused(fresh: Fresh) {
    let client = open(&fresh).await;
    for n in 0..20 {
        let answer = client.call("DELETE", "/api/v1/endpoints/77", &[], Body::empty()).await;
        assert_eq!(answer.status, 404, "{n}");
    }
    let refused = client.call("DELETE", "/api/v1/endpoints/77", &[], Body::empty()).await;
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").and_then(|it| it.parse().ok()).expect("Retry-After");
    assert!((1..=60).contains(&seconds), "{seconds}");
    let body = refused.json();
    assert_eq!(body["detail"], "Rate limit exceeded. Please try again later.");
    assert_eq!(body["request_id"].as_str(), refused.header("x-request-id"));
    assert_eq!(client.get("/api/v1/endpoints/77").await.status, 404, "other things are counted apart");
    let elsewhere = [("x-forwarded-for", "192.0.2.7")];
    let answer = client.call("DELETE", "/api/v1/endpoints/77", &elsewhere, Body::empty()).await;
    assert_eq!(answer.status, 404, "another address is counted apart");
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

/// Does errands like a checker, with these answers.
fn checker(
    fresh: &Fresh,
    answer: impl Fn(&Errand) -> String + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let store = fresh.store.clone();
    tokio::spawn(async move {
        loop {
            for taken in store.take_errands().await.expect("errands") {
                store.answer_errand(taken.id, &answer(&taken.errand)).await.expect("answer");
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
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

async fn a_text_that_no_database_keeps_is_refused_by_both(fresh: Fresh) {
    let client = open(&fresh).await;
    let spec = json!({ "instanceRef": { "name": "main" }, "http": { "url": "https://a.example/" } });
    let endpoint =
        |namespace: &str| json!({ "namespace": namespace, "name": "web", "spec": spec }).to_string();
    let project = json!({ "key": "00000000-0000-4000-8000-000000000001" }).to_string();
    for (path, body, field) in [
        ("/api/v1/endpoints/u%00", endpoint("default"), "uid"),
        ("/api/v1/endpoints/u-1", endpoint("a\u{0}"), "namespace"),
        ("/api/v1/projects/a%00", project.clone(), "name"),
    ] {
        client.call("PUT", path, &[ADMIN], body).await.blames(422, field);
    }
    assert_eq!(client.call("PUT", "/api/v1/projects/shop", &[ADMIN], project).await.status, 201);
    let note = json!({ "text": "a\u{0}" }).to_string();
    client.call("POST", "/api/v1/projects/shop/annotations", &[ADMIN], note).await.blames(422, "text");
    // What is only looked for is not there, or refused; it is no failure of the database.
    let looked = client.call("GET", "/api/v1/projects/a%00/settings", &[ADMIN], Body::empty()).await;
    assert!([404, 422].contains(&looked.status), "{}", looked.text());
}

async fn certificates_are_reported(fresh: Fresh) {
    let client = open(&fresh).await;
    let id = new_id(&client).await;
    made(&client, &json!({ "name": "plain", "url": "http://plain.example/" })).await;
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
        [2, 1, 1, 0, 1, 0, 0, 30].map(Some)
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

async fn every_answer_has_an_id_of_its_own(fresh: Fresh) {
    let client = open(&fresh).await;
    let mut ids = std::collections::BTreeSet::new();
    for path in [
        "/health",
        ENDPOINTS,
        "/api/v1/endpoints/77",
        "/api/v1/endpoints/x",
        "/api/v1/stats/summary",
        "/",
        "/docs/",
        "/openapi.json",
        "/api/v1/overview",
    ] {
        let answer = client.get(path).await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
        ids.insert(id);
    }
    assert_eq!(ids.len(), 9);
}

async fn the_root_is_json_for_a_program(fresh: Fresh) {
    let json = ("accept", "application/json");
    let key =
        MonitoringAccess::Key { header: "x-api-key".parse().expect("a header"), key: Secret::new("s3cret") };
    let client = with_access(&fresh, key).await;
    assert_eq!(client.call("GET", "/", &[json], Body::empty()).await.status, 401);
    let told = client.call("GET", "/", &[json, KEY], Body::empty()).await;
    assert_eq!(told.status, 200);
    let told = told.json();
    for (field, value) in [
        ("name", json!("API Monitor")),
        ("status", json!("running")),
        ("docs", json!("/docs")),
        ("health", json!("/health")),
        ("auth_enabled", json!(true)),
    ] {
        assert_eq!(told[field], value);
    }
    assert!(told["version"].is_string() && told.get("hits").is_none());
    let overview = client.call("GET", "/", &[json, ADMIN], Body::empty()).await.json();
    assert!(overview["name"] == "API Monitor" && overview["hits"].is_number());
}

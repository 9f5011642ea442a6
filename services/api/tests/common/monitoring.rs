//! What the tests of api-monitoring-system's interface share.
#![allow(dead_code)] // No test uses all of it.

use serde_json::{Value, json};
use watchkeeper_api::{ApiOptions, MonitoringAccess, MonitoringOptions};
use watchkeeper_store::{Check, Errand, LastCheck, now_ms};

use crate::common::{Answer, Client, Fresh, client_with, options};

pub const ENDPOINTS: &str = "/api/v1/endpoints";

/// An interface that is open to everybody, as upstream's is by default.
pub async fn open(fresh: &Fresh) -> Client {
    with_access(fresh, MonitoringAccess::Everybody).await
}

pub async fn with_access(fresh: &Fresh, access: MonitoringAccess) -> Client {
    with(fresh, MonitoringOptions { access, ..MonitoringOptions::default() }).await
}

pub async fn with(fresh: &Fresh, monitoring: MonitoringOptions) -> Client {
    client_with(&fresh.store, ApiOptions { monitoring, ..options() }).await
}

pub async fn call(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    client.call(method, path, &[], body.to_string()).await
}

pub async fn made(client: &Client, body: &Value) -> Value {
    let answer = call(client, "POST", ENDPOINTS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

pub fn shop() -> Value {
    json!({ "name": "shop", "url": "https://shop.example/health" })
}

/// The number of a new endpoint.
pub async fn new_id(client: &Client) -> i64 {
    made(client, &shop()).await["id"].as_i64().expect("a number")
}

/// Stores checks of the only endpoint: `(milliseconds ago, HTTP status or none)`; 200 is good.
pub async fn record(fresh: &Fresh, checks: &[(i64, Option<i32>)]) {
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
pub fn places(answer: &Answer) -> Vec<String> {
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

pub fn manifest(url: &str) -> Value {
    let spec = json!({
        "instanceRef": { "name": "main" },
        "http": { "url": url, "headers": [{ "name": "Authorization", "value": "s3cret" }], "body": "s3cret" },
    });
    json!({ "namespace": "default", "name": "web", "generation": 1, "spec": spec })
}

/// Does errands like a checker, with these answers.
pub fn checker(
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

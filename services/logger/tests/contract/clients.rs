//! What the published clients send, and how they send it again.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_logger::decode::api_analytics::FRAMEWORKS;

use crate::{
    LOG, LOGGED, client,
    common::{Fresh, batch, row, stored},
};

on_both_stores! {
    every_framework_of_a_published_client_is_taken
    frameworks_are_told_apart_to_the_letter
    what_clients_of_each_language_send_reads_back
    a_post_sent_again_under_its_idempotency_key_is_stored_once
    a_client_that_posts_its_growing_buffer_again_is_understood
}

/// The names that clients send, by language and package: what upstream's logger takes, and what its
/// newer clients send it in vain.
const CLIENTS: [(&str, &[&str]); 8] = [
    ("Python", &["FastAPI", "Flask", "Django", "Tornado", "Starlette", "Sanic", "Falcon", "aiohttp"]),
    ("JavaScript", &["Express", "Fastify", "Koa", "Hono", "NestJS", "Elysia", "Bun", "H3", "Oak"]),
    ("Go", &["Gin", "Echo", "Fiber", "Chi"]),
    ("Rust", &["Actix", "Axum", "Rocket"]),
    ("Ruby", &["Rails", "Sinatra"]),
    ("Ruby's base class", &["Middleware"]),
    ("PHP", &["Laravel", "Native PHP"]),
    ("C#", &["ASP.NET Core"]),
];

async fn every_framework_of_a_published_client_is_taken(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut all = 0;
    for (language, frameworks) in CLIENTS {
        for framework in frameworks {
            let key = Uuid::new_v4();
            let mut body = batch(key, &json!([row(0, "/")]));
            body["framework"] = (*framework).into();
            client.post(LOG, &body).await.says(201, LOGGED);
            let seen = stored(&fresh.store, key).await.remove(0).framework;
            assert_eq!(seen.as_deref(), Some(*framework), "{language}");
            all += 1;
        }
    }
    assert_eq!(all, FRAMEWORKS.len(), "this test knows every name that is taken");
}

async fn frameworks_are_told_apart_to_the_letter(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for framework in ["fastapi", "FASTAPI", " FastAPI", "FastAPI ", "Spring", "ASP.NET", "Native", ""] {
        let mut body = batch(Uuid::new_v4(), &json!([row(0, "/")]));
        body["framework"] = framework.into();
        client.post(LOG, &body).await.says(400, "Unsupported API framework.");
    }
}

/// The payloads of `fixtures`, as the clients' own code writes them.
async fn what_clients_of_each_language_send_reads_back(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(directory).expect("fixtures") {
        let path = entry.expect("entry").path();
        let what = path.display();
        let sent: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        let key = Uuid::new_v4();
        let mut body = sent.clone();
        body["api_key"] = json!(key);
        client.post(LOG, &body).await.says(201, LOGGED);

        let mut hits = stored(&fresh.store, key).await;
        let rows = sent["requests"].as_array().expect("rows");
        assert_eq!(hits.len(), rows.len(), "{what}");
        for row in rows {
            let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let place = hits.iter().position(|hit| {
                let path = hit.path.clone().unwrap_or_default();
                let path = hit.query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
                Some(path).filter(|path| !path.is_empty()) == text("path")
                    && hit.method == text("method")
                    && hit.host == text("hostname")
                    && hit.user_agent == text("user_agent")
                    && hit.user == text("user_id")
                    && hit.status.map(i64::from) == row["status"].as_i64()
                    && hit.duration_us.map(|us| us / 1_000) == row["response_time"].as_i64()
                    && hit.ip.is_some() == text("ip_address").is_some()
            });
            let hit = hits.remove(place.unwrap_or_else(|| panic!("{what}: {row} is not among {hits:?}")));
            assert_eq!(hit.framework.as_deref(), sent["framework"].as_str(), "{what}");
        }
        seen.insert(sent["framework"].as_str().expect("framework").to_owned());
    }
    for framework in
        ["FastAPI", "Express", "Gin", "Actix", "Rails", "Sinatra", "Laravel", "Native PHP", "ASP.NET Core"]
    {
        assert!(seen.contains(framework), "no fixture of {framework}");
    }
}

async fn a_post_sent_again_under_its_idempotency_key_is_stored_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
    let body = |key, path: &str| batch(key, &json!([row(0, path)])).to_string();
    let post = async |name: &'static str, body: String| {
        client.call("POST", LOG, &[("idempotency-key", name)], body).await
    };
    for name in ["\"8e03978e\"", "8e03978e"] {
        post(name, body(key, "/once")).await.says(201, LOGGED);
    }
    let reused = post("8e03978e", body(key, "/other")).await;
    reused.blames(422, "Idempotency-Key");
    post("8e03978e", body(other, "/other")).await.says(201, LOGGED);
    post("b", body(key, "/once")).await.says(201, LOGGED);
    let long: &'static str = "x".repeat(256).leak();
    for bad in ["", "\"\"", long] {
        post(bad, body(key, "/bad")).await.blames(400, "Idempotency-Key");
    }
    let paths: Vec<_> = stored(&fresh.store, key).await.into_iter().filter_map(|hit| hit.path).collect();
    assert_eq!(paths, ["/once", "/once"], "once for each key");
    assert_eq!(stored(&fresh.store, other).await.len(), 1);
}

async fn a_client_that_posts_its_growing_buffer_again_is_understood(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (framework, expected) in [("Express", 6), ("FastAPI", 3 + 5 + 4 + 6)] {
        let key = Uuid::new_v4();
        for count in [3, 5, 4, 6] {
            let rows: Vec<_> = (0..count).map(|n| row(n, &format!("/{n}"))).collect();
            let mut body = batch(key, &json!(rows));
            body["framework"] = framework.into();
            client.post(LOG, &body).await.says(201, LOGGED);
        }
        assert_eq!(stored(&fresh.store, key).await.len(), expected, "{framework}");
    }
    // Equal posts are meant, whoever makes them.
    let key = Uuid::new_v4();
    let mut body = batch(key, &json!([row(0, "/a"), row(1, "/b")]));
    body["framework"] = "Koa".into();
    for _ in 0..3 {
        client.post(LOG, &body).await.says(201, LOGGED);
    }
    assert_eq!(stored(&fresh.store, key).await.len(), 6);
}

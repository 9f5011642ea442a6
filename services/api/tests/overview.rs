//! The overview page and its JSON twin, over the real router and on both stores.

mod common;
#[path = "common/watched.rs"]
mod watched;

use axum::body::Body;
use common::{ADMIN, Fresh, batch, client, client_with, options, row};
use serde_json::json;
use uuid::Uuid;
use watchkeeper_api::{ApiOptions, AuthConfig};
use watchkeeper_store::{
    Check, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Origin, Probe, ProjectId, now_ms,
};

on_both_stores! {
    only_the_administrator_sees_it_unless_it_is_open
    names_and_messages_of_strangers_are_text_and_never_markup
    the_page_allows_nothing_inline_no_frame_and_no_cache
    an_answer_without_a_status_is_told_by_its_time
    the_json_twin_tells_the_same
    an_empty_installation_tells_what_to_do
}

const HOSTILE: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>"#;

async fn hostile(fresh: &Fresh) -> Uuid {
    let key = Uuid::new_v4();
    fresh.store.put_project(HOSTILE, key).await.expect("put");
    let endpoint = NewEndpoint {
        uid: "u".into(),
        origin: Origin::Manifest,
        project: ProjectId::INSTALLATION,
        namespace: HOSTILE.into(),
        name: HOSTILE.into(),
        generation: 1,
        spec: EndpointSpec {
            group: Some(HOSTILE.into()),
            ..EndpointSpec::new(
                HOSTILE,
                Probe::Http(HttpProbe {
                    headers: vec![("Authorization".into(), "s3cret".into())],
                    ..HttpProbe::new("https://a.example/?token=s3cret")
                }),
            )
        },
    };
    fresh.store.put_endpoint(&endpoint).await.expect("put");
    let id = fresh.store.endpoints().await.expect("endpoints")[0].id;
    let result =
        LastCheck { at: now_ms(), duration_us: 1, message: Some(HOSTILE.into()), ..LastCheck::default() };
    let check = Check { project: ProjectId::INSTALLATION, endpoint: id, result };
    fresh.store.record_checks(&[check]).await.expect("record");
    key
}

async fn only_the_administrator_sees_it_unless_it_is_open(fresh: Fresh) {
    let closed = client(&fresh.store).await;
    let auth = AuthConfig { open_overview: true, ..options().auth };
    let open = client_with(&fresh.store, ApiOptions { auth, ..options() }).await;
    // `anyone:t0ken-of-the-administrator`, as a browser sends it.
    let basic = ("authorization", "Basic YW55b25lOnQwa2VuLW9mLXRoZS1hZG1pbmlzdHJhdG9y");
    for path in ["/", "/api/v1/overview", "/api/v1/endpoints"] {
        let refused = closed.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic ")));
        for header in [ADMIN, basic] {
            assert_eq!(closed.call("GET", path, &[header], Body::empty()).await.status, 200, "{path}");
        }
        assert_eq!(open.get(path).await.status, 200, "{path}");
    }
    // An open overview opens nothing else.
    assert_eq!(open.get("/api/v1/transitions").await.status, 401);
    assert_eq!(open.call("DELETE", "/api/v1/endpoints/u", &[], Body::empty()).await.status, 401);
}

async fn names_and_messages_of_strangers_are_text_and_never_markup(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = hostile(&fresh).await;
    let mut sent = row(0, HOSTILE);
    sent["created_at"] = jiff::Timestamp::now().to_string().into();
    client
        .post("/api/log-request", &batch(key, &json!([sent])))
        .await
        .says(201, "API requests logged successfully.");
    let page = client.call("GET", "/", &[ADMIN], Body::empty()).await;
    assert_eq!(page.status, 200);
    let html = page.text();
    assert!(html.matches("alert(").count() >= 3, "project, endpoint and message are shown");
    for markup in ["<script>", "<img"] {
        assert!(!html.contains(markup), "{markup} got into the page");
    }
    for secret in [key.to_string(), "s3cret".to_owned()] {
        assert!(!html.contains(&secret), "{secret} got into the page");
    }
}

async fn the_page_allows_nothing_inline_no_frame_and_no_cache(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let page = client.call("GET", "/", &[ADMIN], Body::empty()).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

async fn an_answer_without_a_status_is_told_by_its_time(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (name, ok) in [("Good", true), ("Bad", false)] {
        let stored = watched::put(&fresh.store, &watched::endpoint(name, "")).await;
        // As a TCP port or a ping answers, or does not.
        let result = LastCheck { at: now_ms(), ok, duration_us: 7_000, ..LastCheck::default() };
        let check = Check { project: stored.project, endpoint: stored.id, result };
        fresh.store.record_checks(&[check]).await.expect("record");
    }
    let page = client.call("GET", "/", &[ADMIN], Body::empty()).await;
    let cell = |text: &str| format!("<td class=\"number\">{text}</td>");
    for answer in ["7 ms", "<span class=\"dim\">none</span>"].map(cell) {
        assert_eq!(page.text().matches(&answer).count(), 1, "{answer}: {}", page.text());
    }
}

async fn the_json_twin_tells_the_same(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = hostile(&fresh).await;
    let mut rows = [row(0, "/old"), row(0, "/new"), row(0, "/bad")];
    for row in &mut rows[1..] {
        row["created_at"] = jiff::Timestamp::now().to_string().into();
    }
    rows[2]["status"] = 500.into();
    client
        .post("/api/log-request", &batch(key, &json!(rows)))
        .await
        .says(201, "API requests logged successfully.");
    let twin = client.call("GET", "/api/v1/overview", &[ADMIN], Body::empty()).await.json();
    assert_eq!((&twin["hits"], &twin["projects"]), (&json!(3), &json!(1)));
    assert!(twin["bytes"].as_i64().is_some_and(|bytes| bytes > 0));
    let project = &twin["shown"][0];
    assert_eq!((&project["name"], &project["hits"]), (&json!(HOSTILE), &json!(3)));
    let recent = &project["recent"];
    assert_eq!((&recent["hits"], &recent["errors"]), (&json!(2), &json!(1)));
    let hours = recent["hours"].as_array().expect("hours");
    assert_eq!((hours.len(), hours.iter().filter_map(serde_json::Value::as_u64).sum::<u64>()), (24, 2));
    let endpoint = &twin["endpoints"][0];
    assert_eq!((&endpoint["displayName"], &endpoint["state"]), (&json!(HOSTILE), &json!("Down")));
    assert!(!twin.to_string().contains("s3cret") && !twin.to_string().contains(&key.to_string()));
}

async fn an_empty_installation_tells_what_to_do(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let page = client.call("GET", "/", &[ADMIN], Body::empty()).await;
    assert!(page.text().contains("GET /api/generate") && page.text().contains("MonitoredEndpoint"));
}

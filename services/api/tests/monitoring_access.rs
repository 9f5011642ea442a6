//! Who may use api-monitoring-system's interface, and how often, over the real router and on both stores.

mod common;
#[path = "common/monitoring.rs"]
mod monitoring;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client, client_with, options};
use monitoring::{ENDPOINTS, call, made, manifest, new_id, open, shop, with, with_access};
use serde_json::{Value, json};
use watchkeeper_api::{ApiOptions, AuthConfig, Cors, MonitoringAccess, MonitoringOptions};
use watchkeeper_runtime::secret::Secret;

on_both_stores! {
    the_operator_and_the_clients_share_the_paths
    what_a_manifest_declares_is_read_and_not_changed
    a_key_is_needed_where_one_is_set
    without_a_key_the_admin_token_is_the_key
    a_page_of_another_site_gets_nothing_where_nobody_is_asked_for_a_key
    what_is_open_here_is_not_to_a_page_that_has_its_name_point_here
    what_is_open_to_the_network_is_open_by_every_name
    pages_of_named_origins_may_do_what_the_lists_have
    any_page_may_ask_with_cookies_where_every_origin_is_let_in
    the_twenty_first_delete_in_a_minute_is_refused
    each_route_is_answered_as_often_as_the_documentation_says_and_no_more
    every_answer_has_an_id_of_its_own
    the_root_is_json_for_a_program
}

const KEY: (&str, &str) = ("x-api-key", "s3cret");

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

/// What a page says that asks its own host: nothing of another site.
fn at_own_host<'a>(host: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("host", host), ("sec-fetch-site", "same-origin")].into_iter().chain(more.iter().copied()).collect()
}

async fn what_is_open_here_is_not_to_a_page_that_has_its_name_point_here(fresh: Fresh) {
    let start = async |access: MonitoringAccess| {
        let auth = AuthConfig { open_overview: true, ..options().auth };
        let monitoring = MonitoringOptions { access, ..MonitoringOptions::default() };
        let allowed_hosts = vec!["watch.example".to_owned()];
        client_with(&fresh.store, ApiOptions { auth, monitoring, allowed_hosts, ..options() }).await
    };
    let reads = [ENDPOINTS, "/api/v1/endpoints?origin=all", "/api/v1/overview", "/api/v1/stats/summary"];
    let (evil, wrong) = ("evil.example:8080", ("x-api-key", "wrong"));
    for access in [MonitoringAccess::Everybody, MonitoringAccess::Administrator] {
        let client = start(access).await;
        for path in reads {
            let refused = client.call("GET", path, &at_own_host(evil, &[]), Body::empty()).await;
            assert_eq!(refused.status, 421, "{path}");
            assert!(refused.text().contains("--allowed-hosts"), "{}", refused.text());
            for (credential, status) in [(ADMIN, 200), (wrong, 401)] {
                let headers = at_own_host(evil, &[credential]);
                assert_eq!(client.call("GET", path, &headers, Body::empty()).await.status, status, "{path}");
            }
        }
        for (hosts, status) in [
            (&["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"][..], 200),
            (&["watch.example", "Watch.Example:443", "watch.example."][..], 200),
            (&["10.0.0.7:8080", "127.0.0.1.evil.example", "localhost.evil.example", "a b", ""][..], 421),
        ] {
            for host in hosts {
                let told = client.call("GET", ENDPOINTS, &at_own_host(host, &[]), Body::empty()).await;
                assert_eq!(told.status, status, "{host}");
            }
        }
        let health = client.call("GET", "/health", &at_own_host(evil, &[]), Body::empty()).await;
        assert_eq!(health.status, 200, "open to everybody anyhow");
    }
    let client = start(MonitoringAccess::Everybody).await;
    let post = async |host: &str| {
        client.call("POST", ENDPOINTS, &at_own_host(host, &[]), shop().to_string()).await.status
    };
    assert_eq!(post(evil).await, 421);
    assert!(fresh.store.endpoints().await.expect("endpoints").is_empty());
    assert_eq!(post("watch.example").await, 201);
}

async fn what_is_open_to_the_network_is_open_by_every_name(fresh: Fresh) {
    let client = open(&fresh).await;
    let told = client.call("GET", ENDPOINTS, &at_own_host("watch.example", &[]), Body::empty()).await;
    assert_eq!(told.status, 200);
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

async fn each_route_is_answered_as_often_as_the_documentation_says_and_no_more(fresh: Fresh) {
    let client = open(&fresh).await;
    for (method, path, most) in [
        ("GET", ENDPOINTS, 100),
        ("POST", ENDPOINTS, 50),
        ("GET", "/api/v1/endpoints/77", 200),
        ("PUT", "/api/v1/endpoints/77", 50),
        ("DELETE", "/api/v1/endpoints/77", 20),
        ("POST", "/api/v1/endpoints/77/check", 30),
        ("GET", "/api/v1/stats/uptime/77", 200),
        ("GET", "/api/v1/stats/history/77", 200),
        ("GET", "/api/v1/stats/incidents/77", 100),
        ("GET", "/api/v1/stats/summary", 100),
        ("GET", "/health/circuit-breakers", 100),
        ("POST", "/health/circuit-breakers/none/reset", 50),
        ("POST", "/health/circuit-breakers/reset-all", 50),
        ("GET", "/health/ssl?endpoint_id=77", 30),
    ] {
        for n in 1..=most {
            let answer = client.call(method, path, &[], "{}").await;
            assert!([200, 404, 422].contains(&answer.status), "{method} {path}, {n}: {}", answer.text());
        }
        let refused = client.call(method, path, &[], "{}").await;
        assert_eq!(refused.status, 429, "{method} {path} after {most}");
    }
    assert_eq!(client.get("/health").await.status, 200, "whoever watches this may ask as often as they like");
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

//! api-analytics' monitors, over the real router and on both stores.

mod common;

use common::{Client, Fresh, account, client};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::{Check, LastCheck, Origin, Probe, now_ms};

on_both_stores! {
    a_monitor_is_added_once_and_three_at_most
    of_many_that_are_added_at_once_three_are_taken
    mistakes_have_upstreams_statuses_and_texts
    a_ping_is_a_head_and_secure_chooses_the_scheme
    deleting_a_monitor_takes_its_pings_and_may_be_repeated
    a_monitor_stays_its_projects_own_when_its_key_gets_a_name
    pings_come_oldest_first_and_an_outage_has_status_0
    strangers_have_no_pings
}

const ADD: &str = "/api/monitor/add";
const DELETE: &str = "/api/monitor/delete";
const ADDED: &str = "New monitor created successfully.";

fn monitor(user: Uuid, url: &str) -> Value {
    json!({ "user_id": user, "url": url, "ping": true, "secure": true })
}

async fn urls(client: &Client, user: Uuid) -> Vec<String> {
    let pings = client.get(&format!("/api/monitor/pings/{user}")).await.json();
    pings.as_object().expect("object").keys().cloned().collect()
}

async fn a_monitor_is_added_once_and_three_at_most(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    // As a browser posts it that was told no content type.
    let label = [("content-type", "text/plain;charset=UTF-8")];
    let first = client.call("POST", ADD, &label, monitor(user, "a.example").to_string()).await;
    first.says(201, ADDED);
    client.post(ADD, &monitor(user, "a.example")).await.says(409, "Monitor already exists.");
    for url in ["https://b.example/path?q=1", "c.example:8080"] {
        client.post(ADD, &monitor(user, url)).await.says(201, ADDED);
    }
    client.post(ADD, &monitor(user, "d.example")).await.says(400, "Monitor limit reached.");
    client.post(ADD, &monitor(user, "a.example")).await.says(409, "Monitor already exists.");
    assert_eq!(urls(&client, user).await, ["a.example", "c.example:8080", "https://b.example/path?q=1"]);
    let (_, other) = account(&client).await;
    client.post(ADD, &monitor(other, "a.example")).await.says(201, ADDED);
}

async fn of_many_that_are_added_at_once_three_are_taken(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    let mut adding = tokio::task::JoinSet::new();
    for n in 0..16 {
        let client = client.clone();
        // Each URL twice.
        let body = monitor(user, &format!("{}.example", n / 2));
        adding.spawn(async move { client.post(ADD, &body).await });
    }
    let answers = adding.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        match refused.status {
            409 => refused.says(409, "Monitor already exists."),
            _ => refused.says(400, "Monitor limit reached."),
        }
    }
    assert_eq!(urls(&client, user).await.len(), 3);
}

async fn mistakes_have_upstreams_statuses_and_texts(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    for path in [ADD, DELETE] {
        client.post(path, &json!({ "url": "a.example" })).await.says(400, "User ID required.");
        client.post(path, &json!({ "user_id": "", "url": "a.example" })).await.says(400, "User ID required.");
        client.post(path, &monitor(Uuid::new_v4(), "a.example")).await.says(400, "Invalid data.");
        client.post(path, &json!({ "user_id": "junk", "url": "a.example" })).await.says(400, "Invalid data.");
        for body in ["", "{", "[]", r#"{"user_id":5}"#] {
            client.call("POST", path, &[], body).await.says(400, "Invalid request body.");
        }
        let long = client.call("POST", path, &[], "x".repeat(3 << 20)).await;
        assert_eq!((long.status, long.json()["status"].as_u64()), (413, Some(413)));
    }
    let long = format!("https://a.example/{}", "x".repeat(255));
    for url in ["", "http://", "ftp://a.example", "file:///etc/passwd", &long] {
        client.post(ADD, &monitor(user, url)).await.says(400, "Invalid data.");
    }
    assert!(urls(&client, user).await.is_empty());
}

async fn a_ping_is_a_head_and_secure_chooses_the_scheme(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    for (url, ping, secure) in
        [("a.example", true, true), ("b.example", false, false), ("http://c.example", true, true)]
    {
        let body =
            json!({ "user_id": user.simple().to_string(), "url": url, "ping": ping, "secure": secure });
        client.post(ADD, &body).await.says(201, ADDED);
    }
    let endpoints = fresh.store.endpoints().await.expect("endpoints");
    assert!(
        endpoints.iter().all(|endpoint| endpoint.origin == Origin::Monitor),
        "the probe's guard goes by this"
    );
    let probes: Vec<_> = endpoints
        .into_iter()
        .map(|endpoint| {
            let Probe::Http(probe) = endpoint.spec.probe else { panic!("not by HTTP") };
            (probe.method, probe.url, probe.head_falls_back_to_get)
        })
        .collect();
    let probe = |method: &str, url: &str, head| (method.to_owned(), url.to_owned(), head);
    assert_eq!(
        probes,
        [
            probe("HEAD", "https://a.example/", true),
            probe("GET", "http://b.example/", false),
            probe("HEAD", "http://c.example/", true),
        ]
    );
}

/// Stores results for the only monitor, `(minutes ago, HTTP status)` each.
async fn record(fresh: &Fresh, results: &[(i64, Option<i32>)]) {
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let checks: Vec<_> = results
        .iter()
        .map(|(minutes, status)| Check {
            project: endpoint.project,
            endpoint: endpoint.id,
            result: LastCheck {
                at: now_ms() - minutes * 60_000,
                ok: *status == Some(200),
                status: *status,
                duration_us: 12_999,
                ..LastCheck::default()
            },
        })
        .collect();
    fresh.store.record_checks(&checks).await.expect("record");
}

async fn deleting_a_monitor_takes_its_pings_and_may_be_repeated(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    client.post(ADD, &monitor(user, "a.example")).await.says(201, ADDED);
    record(&fresh, &[(1, Some(200))]).await;
    let (_, stranger) = account(&client).await;
    client
        .post(DELETE, &json!({ "user_id": stranger, "url": "a.example" }))
        .await
        .says(201, "Monitor deleted successfully.");
    assert_eq!(urls(&client, user).await, ["a.example"], "a stranger deletes only what is theirs");
    for _ in 0..2 {
        let body = json!({ "user_id": user, "status": 0, "url": "a.example" });
        client.post(DELETE, &body).await.says(201, "Monitor deleted successfully.");
    }
    assert!(urls(&client, user).await.is_empty());
    client.post(ADD, &monitor(user, "a.example")).await.says(201, ADDED);
    let pings = client.get(&format!("/api/monitor/pings/{user}")).await;
    assert_eq!(pings.text(), r#"{"a.example":[]}"#);
}

async fn a_monitor_stays_its_projects_own_when_its_key_gets_a_name(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    client.post(ADD, &monitor(user, "a.example")).await.says(201, ADDED);
    fresh.store.put_project("shop", Uuid::new_v4()).await.expect("put");
    fresh.store.put_project("shop", key).await.expect("rotate");
    let owner = fresh.store.project_by_key(key).await.expect("find").expect("is there").user_id;
    assert_eq!(urls(&client, owner).await, ["a.example"]);
    let body = json!({ "user_id": owner, "url": "a.example" });
    client.post(DELETE, &body).await.says(201, "Monitor deleted successfully.");
    assert!(urls(&client, owner).await.is_empty());
}

async fn pings_come_oldest_first_and_an_outage_has_status_0(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    client.post(ADD, &monitor(user, "a.example")).await.says(201, ADDED);
    let long_ago = 61 * 24 * 60;
    record(&fresh, &[(1, Some(200)), (3, None), (2, Some(503)), (long_ago, Some(200))]).await;
    for user in [user.to_string(), user.simple().to_string()] {
        let answer = client.get(&format!("/api/monitor/pings/{user}")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json; charset=utf-8"))
        );
        let body = answer.json();
        let pings = body["a.example"].as_array().expect("array");
        let statuses: Vec<_> = pings.iter().map(|ping| ping["status"].as_i64()).collect();
        assert_eq!(statuses, [Some(0), Some(503), Some(200)], "60 days are shown");
        let first = pings[0].to_string();
        assert!(
            first.starts_with(r#"{"response_time":12,"status":0,"created_at":"20"#)
                && first.ends_with(r#"Z"}"#),
            "{first}"
        );
    }
}

async fn strangers_have_no_pings(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let unknown = client.get(&format!("/api/monitor/pings/{}", Uuid::new_v4())).await;
    assert_eq!((unknown.status, unknown.text()), (200, "{}"));
    client.get("/api/monitor/pings/junk").await.says(400, "Invalid user ID.");
}

//! Channels and notices, over the real router and on both stores.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client};
use serde_json::{Value, json};
use watchkeeper_store::alerts::Verdict;

on_both_stores! {
    channels_and_notices_are_the_administrators
    channels_are_put_once_and_shown_without_their_secrets
    a_channel_with_a_mistake_is_refused_by_its_field_and_no_secret_is_repeated
    a_test_is_a_notice_like_any_other
    notices_are_filtered_and_paged
    a_dead_notice_can_be_tried_again_and_no_other
    what_an_endpoint_says_of_its_alerts_is_stored
}

async fn call(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    client.call(method, path, &[ADMIN], body).await
}

fn two_channels() -> Value {
    json!({"channels": [
        {"name": "ops", "slack": {"url": {"value": "https://hooks.example/s3cret"}}},
        {"name": "boss", "default": false, "telegram": {"botToken": {"value": "12:s3cret"}, "chatId": "7"}},
    ]})
}

async fn channels_and_notices_are_the_administrators(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (method, path) in [
        ("GET", "/api/v1/notifications"),
        ("PUT", "/api/v1/notifications"),
        ("GET", "/api/v1/notices"),
        ("GET", "/api/v1/notices/1"),
        ("POST", "/api/v1/notices/1/retry"),
        ("POST", "/api/v1/channels/ops/test"),
    ] {
        let answer = client.call(method, path, &[], two_channels().to_string()).await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    assert_eq!(fresh.store.channels().await.expect("channels"), []);
}

async fn channels_are_put_once_and_shown_without_their_secrets(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for changed in [true, false] {
        let answer = call(&client, "PUT", "/api/v1/notifications", &two_channels()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "changed": changed })));
    }
    let shown = call(&client, "GET", "/api/v1/notifications", &Value::Null).await.json();
    assert_eq!(
        shown,
        json!({"channels": [
            {"name": "boss", "type": "telegram", "default": false, "sendRecovery": true},
            {"name": "ops", "type": "slack", "default": true, "sendRecovery": true},
        ]})
    );
    let answer = call(&client, "PUT", "/api/v1/notifications", &json!({})).await;
    assert_eq!(answer.json(), json!({ "changed": true }));
    assert_eq!(fresh.store.channels().await.expect("channels"), []);
}

async fn a_channel_with_a_mistake_is_refused_by_its_field_and_no_secret_is_repeated(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let secret = json!({"value": "s3cret"});
    for (channel, part) in [
        (json!({"name": "ops"}), "channels[0]"),
        (json!({"name": "ops", "slack": {"url": secret, "more": "s3cret"}}), "slack"),
        (json!({"name": "ops", "slack": {"url": "s3cret"}}), "url"),
        (json!({"name": "ops", "slack": {"url": {"valueFrom": {"env": "HOME"}}}}), "slack.url"),
        (
            json!({"name": "ops", "slack": {"url": secret},
                "quietHours": [{"start": "22:00", "duration": "9h", "recurrence": "daily", "timezone": "Mars/Olympus"}]}),
            "quietHours[0].timezone",
        ),
    ] {
        let answer = call(&client, "PUT", "/api/v1/notifications", &json!({ "channels": [channel] })).await;
        let body = answer.json();
        assert_eq!(answer.status, 422, "{channel}: {body}");
        let field = body["field"].as_str().expect("a field");
        assert!(field.contains(part) || body["message"].as_str().is_some_and(|m| m.contains(part)), "{body}");
        assert!(!body.to_string().contains("s3cret"), "{body}");
    }
    assert_eq!(fresh.store.channels().await.expect("channels"), []);
}

async fn a_test_is_a_notice_like_any_other(fresh: Fresh) {
    let client = client(&fresh.store).await;
    call(&client, "PUT", "/api/v1/notifications", &two_channels()).await;
    let answer = call(&client, "POST", "/api/v1/channels/nobody/test", &Value::Null).await;
    assert_eq!(answer.status, 404);
    let answer = call(&client, "POST", "/api/v1/channels/ops/test", &Value::Null).await;
    assert_eq!(answer.status, 202);
    let id = answer.json()["id"].as_i64().expect("an id");
    let notice = call(&client, "GET", &format!("/api/v1/notices/{id}"), &Value::Null).await.json();
    assert_eq!(
        (&notice["kind"], &notice["state"], &notice["channel"]),
        (&json!("test"), &json!("waiting"), &json!("ops"))
    );
    assert_eq!(call(&client, "GET", "/api/v1/notices/999", &Value::Null).await.status, 404);
    assert_eq!(call(&client, "GET", "/api/v1/notices/x", &Value::Null).await.status, 404);
}

async fn ids(client: &Client, query: &str) -> Vec<i64> {
    let answer = call(client, "GET", &format!("/api/v1/notices{query}"), &Value::Null).await;
    assert_eq!(answer.status, 200, "{query}");
    let body = answer.json();
    body["notices"]
        .as_array()
        .expect("notices")
        .iter()
        .map(|notice| notice["id"].as_i64().expect("id"))
        .collect()
}

async fn notices_are_filtered_and_paged(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut made = Vec::new();
    for channel in ["ops", "boss", "ops"] {
        made.push(fresh.store.enqueue_test(channel).await.expect("enqueue"));
    }
    let claim =
        fresh.store.claim_notices("boss", Duration::from_secs(60)).await.expect("claim").expect("one");
    fresh.store.settle_notices(&claim, &Verdict::Sent).await.expect("settle");
    made.reverse();
    assert_eq!(ids(&client, "").await, made);
    assert_eq!(ids(&client, "?channel=ops").await, [made[0], made[2]]);
    assert_eq!(ids(&client, "?state=sent").await, [made[1]]);
    assert_eq!(ids(&client, "?endpoint=nobody").await, Vec::<i64>::new());
    let page = call(&client, "GET", "/api/v1/notices?limit=2", &Value::Null).await.json();
    let next = page["next"].as_str().expect("another page");
    assert_eq!(ids(&client, &format!("?limit=2&before={next}")).await, [made[2]]);
    for (query, field) in
        [("?state=lost", "state"), ("?limit=0", "limit"), ("?limit=1001", "limit"), ("?before=x", "before")]
    {
        let answer = call(&client, "GET", &format!("/api/v1/notices{query}"), &Value::Null).await;
        assert_eq!((answer.status, &answer.json()["field"]), (422, &json!(field)), "{query}");
    }
}

async fn a_dead_notice_can_be_tried_again_and_no_other(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let id = fresh.store.enqueue_test("ops").await.expect("enqueue");
    let retry = format!("/api/v1/notices/{id}/retry");
    let refused = call(&client, "POST", &retry, &Value::Null).await;
    assert_eq!(refused.status, 409);
    let claim = fresh.store.claim_notices("ops", Duration::from_secs(60)).await.expect("claim").expect("one");
    let dead = Verdict::Dead { error: "it answered 404".into() };
    fresh.store.settle_notices(&claim, &dead).await.expect("settle");
    let shown = call(&client, "GET", &format!("/api/v1/notices/{id}"), &Value::Null).await.json();
    assert_eq!((&shown["state"], &shown["error"]), (&json!("dead"), &json!("it answered 404")));
    let taken = call(&client, "POST", &retry, &Value::Null).await;
    assert_eq!((taken.status, &taken.json()["state"]), (202, &json!("waiting")));
    assert_eq!(call(&client, "POST", "/api/v1/notices/999/retry", &Value::Null).await.status, 404);
}

async fn what_an_endpoint_says_of_its_alerts_is_stored(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let body = |alerts: Value, maintenance: Value| {
        json!({"namespace": "default", "name": "web", "generation": 1, "spec": {
            "instanceRef": {"name": "main"}, "http": {"url": "https://a.example/"},
            "dependsOn": ["router", "net/core"], "alerts": alerts, "maintenance": maintenance}})
    };
    let alerts = json!({"channels": ["ops"], "failureThreshold": 3, "successThreshold": 2, "window": 5, "cooldown": "5m",
        "reminder": "1h", "escalation": [{"after": "15m", "channels": ["boss"]}], "degraded": false,
        "flapping": {"changes": 6, "within": "30m"}, "sendRecovery": false});
    let window = json!([{"start": "03:00", "duration": "30m", "recurrence": "0 3 * * 0", "timezone": "Europe/Berlin"}]);
    let answer = call(&client, "PUT", "/api/v1/endpoints/u", &body(alerts, window)).await;
    assert_eq!(answer.status, 201, "{}", answer.json());
    let spec = fresh.store.endpoints().await.expect("endpoints").remove(0).spec;
    assert_eq!(
        (spec.alerts.failure_threshold, spec.alerts.success_threshold, spec.alerts.window),
        (3, 2, Some(5))
    );
    assert_eq!(spec.alerts.channels, Some(vec!["ops".to_owned()]));
    assert_eq!(spec.alerts.reminder, Some(Duration::from_secs(3_600)));
    assert_eq!((spec.alerts.degraded, spec.alerts.send_recovery), (false, Some(false)));
    assert_eq!(spec.alerts.escalation[0].after, Duration::from_secs(900));
    assert_eq!(spec.alerts.flapping.map(|flapping| flapping.changes), Some(6));
    assert_eq!(spec.depends_on, ["router", "net/core"]);
    assert_eq!(spec.maintenance[0].timezone, "Europe/Berlin");
    for (alerts, maintenance, part) in [
        (json!({"failureThreshold": 5, "window": 3}), json!([]), "window must be at least"),
        (json!({"reminder": "1s"}), json!([]), "reminder must be at least"),
        (json!({}), json!([{"start": "noon", "duration": "1h"}]), "start must be a time"),
        (
            json!({}),
            json!([{"start": "03:00", "duration": "1h", "recurrence": "yearly"}]),
            "recurrence must be",
        ),
        (
            json!({}),
            json!([{"start": "03:00", "duration": "1h", "timezone": "Mars/Olympus"}]),
            "is not a zone",
        ),
        (
            json!({}),
            json!([{"start": "03:00", "duration": "1h", "recurrence": "61 * * * *"}]),
            "is no minute",
        ),
    ] {
        let answer = call(&client, "PUT", "/api/v1/endpoints/v", &body(alerts, maintenance)).await;
        let text = answer.json().to_string();
        assert!(answer.status == 422 && text.contains(part), "{part}: {} {text}", answer.status);
    }
}

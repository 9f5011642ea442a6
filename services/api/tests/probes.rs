//! Probes as they are put, and heartbeats as they come in, on both stores.

mod common;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client};
use serde_json::{Value, json};
use watchkeeper_crds::manifest::{self, Manifest};
use watchkeeper_store::{Probe, Severity, State};

on_both_stores! {
    a_heartbeat_is_stored_before_it_is_answered
    a_heartbeat_that_nobody_expects_is_refused
    assertions_are_understood_before_they_are_kept
}

const TOKEN: &str = "0123456789abcdef-backup";

async fn put(client: &Client, uid: &str, spec: Value) -> Answer {
    let mut spec = spec;
    spec["instanceRef"] = json!({ "name": "main" });
    let body = json!({ "namespace": "default", "name": uid, "generation": 1, "spec": spec });
    client.call("PUT", &format!("/api/v1/endpoints/{uid}"), &[ADMIN], body.to_string()).await
}

async fn call(client: &Client, method: &str, query: &str) -> Answer {
    client.call(method, &format!("/api/v1/heartbeats/{query}"), &[], Body::empty()).await
}

async fn a_heartbeat_is_stored_before_it_is_answered(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let spec = json!({ "interval": "1h", "heartbeat": { "token": { "value": TOKEN }, "grace": "5m" } });
    assert_eq!(put(&client, "job", spec.clone()).await.status, 201);
    assert!(fresh.store.heartbeats().await.expect("calls").is_empty());

    let answer = call(&client, "GET", &format!("{TOKEN}?duration=1500&message=done")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "ok": true })));
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let last = endpoint.status.last_check.expect("a check");
    assert_eq!((endpoint.status.state, last.ok, last.duration_us), (State::Up, true, 1_500_000));
    assert_eq!(last.message.as_deref(), Some("done"));
    let stored = fresh.store.heartbeats().await.expect("calls")[&endpoint.id];
    assert_eq!((stored.at, stored.ok), (last.at, true));

    let answer = call(&client, "POST", &format!("{TOKEN}?status=fail&message=disk+full")).await;
    assert_eq!(answer.status, 200);
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    assert_eq!(endpoint.status.state, State::Down);
    assert_eq!(endpoint.status.last_check.and_then(|check| check.message).as_deref(), Some("disk full"));

    // The same put again keeps what is known; a new token ends the old one.
    assert_eq!(put(&client, "job", spec).await.status, 200);
    assert_eq!(fresh.store.heartbeats().await.expect("calls").len(), 1);
    let other =
        json!({ "interval": "1h", "heartbeat": { "token": { "value": "another-token-0123456789" } } });
    assert_eq!(put(&client, "job", other).await.status, 200);
    assert_eq!(call(&client, "GET", TOKEN).await.status, 404);
    assert_eq!(call(&client, "GET", "another-token-0123456789").await.status, 200);
    client.call("DELETE", "/api/v1/endpoints/job", &[ADMIN], Body::empty()).await;
    assert_eq!(call(&client, "GET", "another-token-0123456789").await.status, 404);
}

async fn a_heartbeat_that_nobody_expects_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    assert_eq!(call(&client, "GET", "no-such-token-0123456789").await.status, 404);
    assert_eq!(call(&client, "GET", &"a".repeat(5_000)).await.status, 404);
    let short = put(&client, "job", json!({ "heartbeat": { "token": { "value": "short" } } })).await;
    assert_eq!((short.status, short.json()["field"].clone()), (422, json!("spec.heartbeat.token")));
    put(&client, "job", json!({ "heartbeat": { "token": { "value": TOKEN } } })).await;
    let bad = call(&client, "GET", &format!("{TOKEN}?status=fine")).await;
    assert_eq!((bad.status, bad.json()["field"].clone()), (400, json!("status")));
}

async fn assertions_are_understood_before_they_are_kept(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let http = json!({ "url": "https://shop.example/" });
    let good = put(
        &client,
        "web",
        json!({ "http": http, "assertions": [
            { "condition": "[BODY].status == UP" },
            { "source": "ResponseTime", "comparison": "LessThan", "target": "300ms", "severity": "Degraded" },
        ] }),
    )
    .await;
    assert_eq!(good.status, 201, "{good:?}");
    let stored = fresh.store.endpoints().await.expect("endpoints").remove(0).spec.assertions;
    assert_eq!(stored[1].condition, "[RESPONSE_TIME] < 300ms");
    assert_eq!((stored[0].severity, stored[1].severity), (Severity::Down, Severity::Degraded));
    for (assertion, field, told) in [
        (
            json!({ "condition": "[STATE] == 1" }),
            "spec.assertions[0].condition",
            "at character 1: [STATE] is not known",
        ),
        (json!({ "condition": "[STATUS]==1" }), "spec.assertions[0].condition", "with a space on each side"),
        (json!({ "source": "Status" }), "spec.assertions[0]", "source and comparison together"),
    ] {
        let refused = put(&client, "web", json!({ "http": http, "assertions": [assertion] })).await;
        let body = refused.json();
        assert_eq!(refused.status, 422, "{body}");
        assert!(body["field"].as_str().is_some_and(|named| named.starts_with(field)), "{body}");
        assert!(body["message"].as_str().is_some_and(|message| message.contains(told)), "{body}");
    }
}

/// The examples of the documentation are what the kinds take, an endpoint of every type among them.
#[test]
fn every_example_of_the_documentation_can_be_used() {
    let page = include_str!("../../../docs/probes.md");
    let mut kinds = Vec::new();
    for example in page.split("```yaml\n").skip(1) {
        let text = example.split("```").next().expect("its end");
        let parsed = manifest::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let endpoint = match parsed.as_slice() {
            [Manifest::MonitoredEndpoint(endpoint)] => endpoint,
            [Manifest::AnalyticsInstance(_)] => continue,
            _ => panic!("{text}"),
        };
        let secret = |_: &str, _: &str| Some("a-secret-of-some-length".to_owned());
        let spec = watchkeeper_api::endpoint_spec::translate(&endpoint.spec, "example", secret);
        kinds.push(spec.unwrap_or_else(|error| panic!("{text}: {error}")).probe.kind());
    }
    assert_eq!(kinds, ["http", "tcp", "tls", "dns", "icmp", "grpc", "websocket", "heartbeat"]);
}

/// What is not written in a manifest is what the checker would do anyway.
#[test]
fn defaults_of_the_kind_are_those_of_the_store() {
    let text = "apiVersion: watchkeeper.dev/v1alpha1\nkind: MonitoredEndpoint\nmetadata: {name: a}\n\
                spec: {instanceRef: {name: b}, http: {url: 'https://a.example/'}}\n";
    let parsed = manifest::parse(text).expect("a manifest");
    let [Manifest::MonitoredEndpoint(endpoint)] = parsed.as_slice() else { panic!("{parsed:?}") };
    let spec = watchkeeper_api::endpoint_spec::translate(&endpoint.spec, "a", |_, _| None).expect("a spec");
    assert_eq!(spec.probe, Probe::Http(watchkeeper_store::HttpProbe::new("https://a.example/")));
}

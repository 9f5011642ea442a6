//! What the operator says and asks, over the real router and on both stores.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, account, batch, client, row};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::{Check, LastCheck, now_ms};

on_both_stores! {
    nothing_is_told_or_taken_without_the_token
    guessing_the_token_is_slow_and_locks_nobody_out_who_has_it
    an_endpoint_is_put_once_and_then_unchanged_or_updated
    a_specification_is_judged_by_the_rules_of_its_kind
    no_error_repeats_the_value_of_a_header
    deleting_an_endpoint_may_be_repeated
    endpoints_are_listed_by_origin_with_a_cursor
    transitions_answer_at_once_when_there_are_any
    transitions_answer_empty_when_the_wait_is_over
    a_wait_for_transitions_ends_with_the_first
    a_deleted_endpoint_leaves_no_cursor_behind
    a_cursor_from_before_a_restore_starts_again
    a_project_gets_a_key_another_key_and_loses_its_name
    a_key_of_another_project_is_refused_and_never_repeated
}

async fn put(client: &Client, path: &str, body: &Value) -> Answer {
    client.call("PUT", path, &[ADMIN], body.to_string()).await
}

async fn get(client: &Client, path: &str) -> Answer {
    client.call("GET", path, &[ADMIN], Body::empty()).await
}

async fn delete(client: &Client, path: &str) -> u16 {
    client.call("DELETE", path, &[ADMIN], Body::empty()).await.status
}

fn endpoint(url: &str) -> Value {
    let spec = json!({ "instanceRef": { "name": "main" }, "http": { "url": url } });
    json!({ "namespace": "default", "name": "web", "generation": 1, "spec": spec })
}

fn uids(answer: &Answer, list: &str) -> Vec<String> {
    let body = answer.json();
    let items = body[list].as_array().expect("array");
    items.iter().map(|item| item["uid"].as_str().expect("uid").to_owned()).collect()
}

async fn cursor(client: &Client) -> String {
    get(client, "/api/v1/endpoints").await.json()["cursor"].as_str().expect("cursor").to_owned()
}

async fn check(fresh: &Fresh, ok: bool) {
    let endpoint = fresh.store.endpoints().await.expect("endpoints").remove(0);
    let status = Some(if ok { 200 } else { 500 });
    let message = (!ok).then(|| "answered 500".to_owned());
    let result = LastCheck { at: now_ms(), ok, status, duration_us: 1_999, message, ..LastCheck::default() };
    let check = Check { project: endpoint.project, endpoint: endpoint.id, result };
    fresh.store.record_checks(&[check]).await.expect("record");
}

async fn nothing_is_told_or_taken_without_the_token(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let body = endpoint("https://a.example/").to_string();
    for (method, path) in [
        ("GET", "/api/v1/endpoints"),
        ("PUT", "/api/v1/endpoints/u"),
        ("DELETE", "/api/v1/endpoints/u"),
        ("GET", "/api/v1/transitions"),
        ("PUT", "/api/v1/projects/shop"),
        ("DELETE", "/api/v1/projects/shop"),
    ] {
        for wrong in
            [None, Some("Bearer wrong"), Some("Bearer "), Some("t0ken-of-the-administrator"), Some("Basic !")]
        {
            let headers: Vec<_> = wrong.map(|value| ("authorization", value)).into_iter().collect();
            let answer = client.call(method, path, &headers, body.clone()).await;
            assert_eq!(
                (answer.status, answer.json()["status"].as_u64()),
                (401, Some(401)),
                "{method} {path}"
            );
            assert!(answer.header("www-authenticate").is_some());
        }
    }
    assert!(fresh.store.endpoints().await.expect("endpoints").is_empty());
    let lower = [("authorization", "bearer t0ken-of-the-administrator")];
    assert_eq!(client.call("GET", "/api/v1/endpoints", &lower, Body::empty()).await.status, 200);
}

async fn guessing_the_token_is_slow_and_locks_nobody_out_who_has_it(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    let ask = async |from: &str, path: &str, name: &str, value: &str| {
        client.call("GET", path, &[("x-forwarded-for", from), (name, value)], Body::empty()).await
    };
    let (office, home, stranger, projects) = ("192.0.2.1", "192.0.2.2", "192.0.2.66", "/api/v1/projects");
    // Who is set up wrong is told so as often as they ask, whatever they have a wrong one of.
    for _ in 0..40 {
        assert_eq!(ask(home, projects, "authorization", "Bearer wrong").await.status, 401);
        let key = Uuid::new_v4().to_string();
        assert_eq!(ask(home, projects, "x-api-key", &key).await.status, 401);
    }
    assert_eq!(ask(home, projects, ADMIN.0, ADMIN.1).await.status, 200);
    // A page that is open shows more to the administrator, so that asking for it is a guess, too.
    let open = format!("/p/{user}");
    for guess in 0..20 {
        let (path, status) = if guess % 2 == 0 { (projects, 401) } else { (open.as_str(), 200) };
        assert_eq!(ask(stranger, path, "x-api-key", &format!("guess-{guess}")).await.status, status);
    }
    for path in [projects, open.as_str()] {
        let refused = ask(stranger, path, "authorization", "Bearer guess-20").await;
        assert_eq!((refused.status, refused.json()["status"].as_u64()), (429, Some(429)), "{path}");
        let wait: u64 = refused.header("retry-after").expect("a time to wait").parse().expect("seconds");
        assert!((1..=60).contains(&wait));
        assert_eq!(ask(stranger, path, ADMIN.0, ADMIN.1).await.status, 429, "also who guesses right at last");
        assert_eq!(ask(office, path, ADMIN.0, ADMIN.1).await.status, 200, "others are not kept out");
    }
    assert_eq!(ask(stranger, &open, "accept", "*/*").await.status, 200, "without a token all is as ever");
    for guess in 0..40 {
        ask(office, projects, "x-api-key", &format!("guess-{guess}")).await;
    }
    assert_eq!(ask(office, projects, ADMIN.0, ADMIN.1).await.status, 200, "nor by who guesses beside them");
}

async fn an_endpoint_is_put_once_and_then_unchanged_or_updated(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut body = endpoint("https://a.example/");
    for (status, changed) in [(201, true), (200, false)] {
        let answer = put(&client, "/api/v1/endpoints/u-1", &body).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "changed": changed })));
    }
    body["generation"] = 2.into();
    body["spec"]["http"]["headers"] = json!([{ "name": "Authorization", "value": "s3cret" }]);
    let answer = put(&client, "/api/v1/endpoints/u-1", &body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "changed": true })));

    let list = get(&client, "/api/v1/endpoints").await;
    assert!(!list.text().contains("s3cret"), "what is listed tells no header");
    let listed = list.json()["endpoints"][0].clone();
    assert_eq!(listed["since"].as_str().map(|since| since.ends_with('Z')), Some(true));
    for (field, value) in [
        ("uid", json!("u-1")),
        ("namespace", json!("default")),
        ("name", json!("web")),
        ("generation", json!(2)),
        ("state", json!("Unknown")),
        ("lastCheck", json!(null)),
        ("uptime", json!({ "24h": null, "7d": null, "30d": null })),
    ] {
        assert_eq!(listed[field], value, "{field}");
    }
}

async fn a_specification_is_judged_by_the_rules_of_its_kind(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let with = |change: fn(&mut Value)| {
        let mut body = endpoint("https://a.example/");
        change(&mut body);
        body
    };
    for (body, field) in [
        (with(|body| body["spec"]["http"]["url"] = "ftp://a.example".into()), "spec.http.url"),
        (with(|body| body["spec"]["http"]["method"] = "BREW".into()), "spec.http.method"),
        (with(|body| body["spec"]["interval"] = "5s".into()), "spec"),
        (with(|body| body["spec"]["retries"] = json!({ "attempts": 11 })), "spec.retries.attempts"),
        (with(|body| drop(body["spec"].as_object_mut().expect("object").remove("http"))), "spec"),
        (with(|body| body["spec"] = Value::Null), "spec"),
        (with(|body| body["unknown"] = 1.into()), ""),
        (json!([]), ""),
    ] {
        put(&client, "/api/v1/endpoints/u", &body).await.blames(422, field);
    }
    client.call("PUT", "/api/v1/endpoints/u", &[ADMIN], "{").await.blames(422, "");
    let long = format!("/api/v1/endpoints/{}", "u".repeat(256));
    put(&client, &long, &endpoint("https://a.example/")).await.blames(422, "uid");
    let large = put(&client, "/api/v1/endpoints/u", &json!("x".repeat(2 << 20))).await;
    assert_eq!((large.status, large.json()["status"].as_u64()), (413, Some(413)));
    assert!(fresh.store.endpoints().await.expect("endpoints").is_empty());
}

async fn no_error_repeats_the_value_of_a_header(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for header in [
        json!({ "name": "Authorization", "value": "s3cret", "valu": "s3cret" }),
        json!({ "name": "Author ization", "value": "s3cret" }),
        json!({ "name": "Authorization", "value": ["s3cret"] }),
        json!({ "name": "Authorization", "value": "s3cret", "valueFrom": { "secretKeyRef": { "name": "n", "key": "k" } } }),
        json!({ "name": "Authorization", "value": format!("s3cret{}", "x".repeat(9_000)) }),
        json!("s3cret"),
    ] {
        let mut body = endpoint("https://a.example/");
        body["spec"]["http"]["headers"] = json!([header]);
        let answer = put(&client, "/api/v1/endpoints/u", &body).await;
        assert_eq!(answer.status, 422, "{header}");
        assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    }
}

async fn deleting_an_endpoint_may_be_repeated(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    assert_eq!(delete(&client, "/api/v1/endpoints/u").await, 204);
    assert_eq!(delete(&client, "/api/v1/endpoints/u").await, 204);
    assert!(fresh.store.endpoints().await.expect("endpoints").is_empty());
}

async fn endpoints_are_listed_by_origin_with_a_cursor(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    let monitor = json!({ "user_id": user, "url": "m.example", "ping": true, "secure": true });
    client.post("/api/monitor/add", &monitor).await.says(201, "New monitor created successfully.");
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    for (query, count) in
        [("", 2), ("?origin=kubernetes", 1), ("?origin=monitor", 1), ("?origin=manifest", 0)]
    {
        let answer = get(&client, &format!("/api/v1/endpoints{query}")).await;
        assert_eq!(uids(&answer, "endpoints").len(), count, "{query}");
        assert!(answer.json()["cursor"].is_string());
    }
    assert_eq!(uids(&get(&client, "/api/v1/endpoints?origin=kubernetes").await, "endpoints"), ["u"]);
    check(&fresh, true).await;
    let listed = get(&client, "/api/v1/endpoints?origin=monitor").await.json()["endpoints"][0].clone();
    assert_eq!(listed["state"], "Up");
    let last = &listed["lastCheck"];
    assert_eq!((&last["ok"], &last["status"], &last["durationMs"]), (&json!(true), &json!(200), &json!(1)));
    assert_eq!(listed["uptime"], json!({ "24h": "100.00", "7d": "100.00", "30d": "100.00" }));
}

async fn transitions_answer_at_once_when_there_are_any(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    let before = cursor(&client).await;
    check(&fresh, false).await;
    let path = format!("/api/v1/transitions?after={before}&wait=25s");
    let asked = tokio::time::timeout(Duration::from_secs(10), get(&client, &path));
    let answer = asked.await.expect("an answer before the wait is over");
    let told = answer.json()["transitions"][0].clone();
    assert_eq!((&told["uid"], &told["state"]), (&json!("u"), &json!("Down")));
    assert_eq!(told["lastCheck"]["message"], "answered 500");
    assert_eq!(told["uptime"]["24h"], "0.00");
    assert_eq!(answer.json()["cursor"], cursor(&client).await);
    // Without a cursor everything is told.
    assert_eq!(uids(&get(&client, "/api/v1/transitions").await, "transitions"), ["u"]);
}

async fn transitions_answer_empty_when_the_wait_is_over(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    let after = cursor(&client).await;
    for wait in ["", "&wait=50ms"] {
        let answer = get(&client, &format!("/api/v1/transitions?after={after}{wait}")).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "transitions": [], "cursor": after })));
    }
    get(&client, "/api/v1/transitions?after=junk").await.blames(400, "after");
    get(&client, "/api/v1/transitions?wait=soon").await.blames(400, "wait");
}

async fn a_wait_for_transitions_ends_with_the_first(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    let wait = async |after: &str| {
        let path = format!("/api/v1/transitions?after={after}&wait=30s");
        tokio::time::timeout(Duration::from_secs(20), get(&client, &path)).await.expect("woken up")
    };
    // Whether the change comes before or after the question: the answer is the same.
    let after = cursor(&client).await;
    let (answer, ()) = tokio::join!(wait(&after), check(&fresh, true));
    assert_eq!(answer.json()["transitions"][0]["state"], "Up");
    let after = cursor(&client).await;
    let mut suspended = endpoint("https://a.example/");
    suspended["spec"]["suspended"] = true.into();
    let (answer, _) = tokio::join!(wait(&after), put(&client, "/api/v1/endpoints/u", &suspended));
    assert_eq!(answer.json()["transitions"][0]["state"], "Suspended");
}

async fn a_deleted_endpoint_leaves_no_cursor_behind(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let before = cursor(&client).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    assert_eq!(delete(&client, "/api/v1/endpoints/u").await, 204);
    let answer = get(&client, &format!("/api/v1/transitions?after={before}&wait=50ms")).await.json();
    assert_eq!(answer["transitions"], json!([]));
    assert_ne!(answer["cursor"], before, "else who asks again would be answered at once, for ever");
    assert_eq!(answer["cursor"], cursor(&client).await);
}

async fn a_cursor_from_before_a_restore_starts_again(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&client, "/api/v1/endpoints/u", &endpoint("https://a.example/")).await;
    let answer = get(&client, "/api/v1/transitions?after=1000000").await;
    assert_eq!(uids(&answer, "transitions"), ["u"]);
    assert_eq!(answer.json()["cursor"], cursor(&client).await);
}

async fn a_project_gets_a_key_another_key_and_loses_its_name(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    for (key, status, changed) in [(old, 201, true), (old, 200, false), (new, 201, true), (new, 200, false)] {
        let answer = put(&client, "/api/v1/projects/shop", &json!({ "key": key })).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "changed": changed })));
        if key == old {
            client.post("/api/log-request", &batch(key, &json!([row(0, "/")]))).await;
        }
    }
    client.get(&format!("/api/user-id/{old}")).await.says(400, "Invalid API key.");
    let data = async |key: Uuid| {
        client.call("GET", "/api/data", &[("x-auth-token", &key.to_string())], Body::empty()).await.json()
    };
    assert_eq!(data(new).await.as_array().map(Vec::len), Some(2), "the data follows the project");
    for _ in 0..2 {
        assert_eq!(delete(&client, "/api/v1/projects/shop").await, 204);
    }
    assert_eq!(data(new).await.as_array().map(Vec::len), Some(2), "only the name is forgotten");
}

async fn a_key_of_another_project_is_refused_and_never_repeated(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    put(&client, "/api/v1/projects/shop", &json!({ "key": key })).await;
    let taken = put(&client, "/api/v1/projects/blog", &json!({ "key": key })).await;
    taken.blames(409, "key");
    let secret = "not-a-uuid-but-s3cret";
    for body in [json!({ "key": secret }), json!({ "key": key, "also": secret }), json!(secret), json!({})] {
        let answer = put(&client, "/api/v1/projects/blog", &body).await;
        answer.blames(422, "key");
        assert!(
            !answer.text().contains(secret) && !answer.text().contains(&key.to_string()),
            "{}",
            answer.text()
        );
    }
    assert!(!taken.text().contains(&key.to_string()));
    let name = "n".repeat(256);
    put(&client, &format!("/api/v1/projects/{name}"), &json!({ "key": Uuid::new_v4() }))
        .await
        .blames(422, "name");
}

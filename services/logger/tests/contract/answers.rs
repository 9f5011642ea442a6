//! What each kind of post is answered, and what stands at the other paths.

use axum::body::Body;
use serde_json::json;
use uuid::Uuid;

use crate::{
    LOG, LOGGED, client,
    common::{Fresh, START, batch, row, stored},
};

on_both_stores! {
    both_names_take_a_batch_that_is_there_at_once
    each_refusal_has_upstreams_status_and_text_and_stores_nothing
    what_is_no_json_is_refused_with_upstreams_label
    content_type_spelling_of_keys_and_trailing_bytes_do_not_matter
    browsers_of_every_origin_may_post
    what_is_not_there_answers_as_gin_does
    health_tells_whether_the_store_answers
    while_the_store_is_away_posts_are_to_be_sent_again
}

async fn both_names_take_a_batch_that_is_there_at_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for path in [LOG, "/api/requests"] {
        let key = Uuid::new_v4();
        let answer =
            client.post(path, &batch(key, &json!([row(0, "/test"), row(1, "/not-found?a=1")]))).await;
        answer.says(201, LOGGED);
        assert_eq!(
            answer.text(),
            format!(r#"{{"message":"{LOGGED}","status":201}}"#),
            "upstream's order of keys"
        );
        let hits = stored(&fresh.store, key).await;
        let paths: Vec<_> = hits.iter().map(|hit| (hit.path.as_deref(), hit.query.as_deref())).collect();
        assert_eq!(paths, [(Some("/test"), None), (Some("/not-found"), Some("a=1"))]);
        let hit = &hits[0];
        assert_eq!((hit.ts, hit.status, hit.duration_us), (START, Some(200), Some(15_000)));
        assert_eq!((hit.host.as_deref(), hit.ip.as_deref()), (Some("example.com"), Some("1.2.3.4")));
        assert_eq!((hit.framework.as_deref(), hit.client.as_deref()), (Some("FastAPI"), Some("curl")));
        assert!(hit.visitor.is_some());
    }
}

async fn each_refusal_has_upstreams_status_and_text_and_stores_nothing(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let good = json!([row(0, "/")]);
    let no_rows = "Payload contains no logged requests.";
    for (body, message) in [
        (json!({}), "API key requied."),
        (json!({ "api_key": "", "requests": good }), "API key requied."),
        (json!({ "api_key": null, "framework": "no such" }), "API key requied."),
        (json!({ "api_key": "x", "framework": "Gin", "requests": good }), "Invalid data."),
        // Upstream finds a malformed key last of all.
        (json!({ "api_key": "x" }), no_rows),
        (json!({ "api_key": "x", "requests": good }), "Unsupported API framework."),
        (json!({ "api_key": key, "framework": "Gin" }), no_rows),
        (json!({ "api_key": key, "framework": "Gin", "requests": null }), no_rows),
        (json!({ "api_key": key, "framework": "no such", "requests": [] }), no_rows),
        (json!({ "api_key": key, "framework": "fastapi", "requests": good }), "Unsupported API framework."),
        (json!({ "api_key": key, "requests": good }), "Unsupported API framework."),
        (json!({ "api_key": key, "framework": "Gin", "requests": [5, "x", null] }), "Invalid request data."),
    ] {
        client.post(LOG, &body).await.says(400, message);
    }
    assert_eq!(fresh.store.stored().await.expect("stored").projects, 0);
}

async fn what_is_no_json_is_refused_with_upstreams_label(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let wrong_types = [
        json!({ "api_key": 5 }),
        json!({ "api_key": key, "framework": 1 }),
        json!({ "api_key": key, "privacy_level": "1" }),
        json!({ "api_key": key, "privacy_level": 0.5 }),
        json!({ "api_key": key, "requests": {} }),
    ]
    .map(|value| value.to_string());
    for body in ["", "{", "[]", "null"].map(str::to_owned).into_iter().chain(wrong_types) {
        let answer = client.call("POST", LOG, &[], body.clone()).await;
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (400, Some(400)), "{body}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{body}");
        let message = answer.json()["message"].as_str().expect("message").to_owned();
        assert!(message.starts_with("Invalid request data.\n"), "{message}");
        assert!(!message.contains(&key.to_string()), "{message}");
    }
}

async fn content_type_spelling_of_keys_and_trailing_bytes_do_not_matter(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = format!(
        r#"{{"API_KEY":"\"{key}\"","Framework":"Gin","unknown":1,"Requests":[{{"PATH":"/x","Method":"GET"}}]}} trailing"#
    );
    let types = ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "junk"];
    for label in types {
        client.call("POST", LOG, &[("content-type", label)], body.clone()).await.says(201, LOGGED);
    }
    client.call("POST", LOG, &[], body).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.len(), 5);
    assert!(hits.iter().all(|hit| hit.path.as_deref() == Some("/x")));
}

async fn browsers_of_every_origin_may_post(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for path in [LOG, "/api/requests", "/api/health"] {
        let answer = client.preflight(path, "POST").await;
        assert_eq!(answer.status, 204, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
            ("access-control-max-age", "43200"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let allowed = answer.header("access-control-allow-headers").expect("allowed headers");
        assert!(allowed.starts_with("Origin,Content-Length,Content-Type"), "{allowed}");
    }
    let body = batch(Uuid::new_v4(), &json!([row(0, "/")])).to_string();
    let with = client.call("POST", LOG, &[("origin", "https://elsewhere.example")], body.clone()).await;
    assert_eq!((with.status, with.header("access-control-allow-origin")), (201, Some("*")));
    let without = client.call("POST", LOG, &[], body).await;
    assert_eq!((without.status, without.header("access-control-allow-origin")), (201, None));
    let refused = client.call("POST", LOG, &[("origin", "https://elsewhere.example")], "{").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (400, Some("*")));
}

async fn what_is_not_there_answers_as_gin_does(fresh: Fresh) {
    let client = client(&fresh.store).await;
    client.get("/api/nope").await.is_no_route();
    client.get("/").await.is_no_route();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        client.call(method, LOG, &[], Body::empty()).await.is_no_route();
    }
    let post = client.call("POST", "/api/log-request/?a=1", &[], Body::empty()).await;
    assert_eq!((post.status, post.header("location")), (307, Some("/api/log-request?a=1")));
    let get = client.get("/api/health/").await;
    assert_eq!((get.status, get.header("location")), (301, Some("/api/health")));
}

async fn health_tells_whether_the_store_answers(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let healthy = client.get("/api/health").await;
    assert_eq!((healthy.status, healthy.text()), (200, r#"{"status":"healthy"}"#));
    assert_eq!(healthy.header("content-type"), Some("application/json; charset=utf-8"));
    fresh.store.close().await;
    let ill = client.get("/api/health").await;
    let body = r#"{"error":"Database connection failed","status":"unhealthy"}"#;
    assert_eq!((ill.status, ill.text()), (500, body));
}

async fn while_the_store_is_away_posts_are_to_be_sent_again(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let body = batch(Uuid::new_v4(), &json!([row(0, "/")]));
    client.post(LOG, &body).await.says(201, LOGGED);
    fresh.store.close().await;
    for body in [body, batch(Uuid::new_v4(), &json!([row(0, "/")]))] {
        let answer = client.post(LOG, &body).await;
        answer.says(503, "Database connection failed.");
        assert!(answer.header("retry-after").is_some());
    }
}

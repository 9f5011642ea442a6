//! api-monitoring-system's endpoints, over the real router and on both stores.

mod common;
#[path = "common/monitoring.rs"]
mod monitoring;

use axum::body::Body;
use common::{ADMIN, Fresh};
use monitoring::{ENDPOINTS, call, made, new_id, open, places, shop};
use serde_json::{Value, json};

on_both_stores! {
    crud_an_endpoint_is_made_read_changed_and_deleted
    validation_names_every_field_at_fault
    validation_comes_before_the_question_whether_there_is_one
    a_name_is_given_once
    the_list_is_paged_and_tells_the_total
    a_text_that_no_database_keeps_is_refused_by_both
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
    let updated =
        |json: &Value| json["updated_at"].as_str().expect("text").parse::<jiff::Timestamp>().expect("time");
    assert!(updated(&changed) > updated(&first), "{changed}");
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

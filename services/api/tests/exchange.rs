//! Exports and imports over the real router, on both stores.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, account, client, client_with, log, options, row};
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;
use watchkeeper_api::ApiOptions;
use watchkeeper_store::{Hit, ProjectId, ProjectSettings, now_ms};

on_both_stores! {
    what_is_exported_is_imported_to_the_same
    an_export_has_the_hits_of_its_filter_and_range
    an_export_of_everything_has_what_is_dated_after_now
    an_export_whose_client_has_left_makes_room_though_it_finds_nothing
    exports_that_nobody_takes_leave_room_for_those_of_other_projects
    an_import_tells_of_the_rows_that_it_did_not_take
    an_import_is_for_who_may_write
    an_import_obeys_the_stricter_of_projects_and_installations_privacy
    a_file_sent_again_under_its_idempotency_key_is_stored_once
    mistakes_are_named_with_their_field
}

async fn held(fresh: &Fresh, project: ProjectId) -> Vec<Hit> {
    let mut snapshot = fresh.store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    hits
}

async fn named(fresh: &Fresh, client: &Client, name: &str) -> (ProjectId, String) {
    let key = Uuid::new_v4();
    client
        .call("PUT", &format!("/api/v1/projects/{name}"), &[ADMIN], json!({ "key": key }).to_string())
        .await;
    (fresh.store.project_by_key(key).await.expect("find").expect("project").id, key.to_string())
}

async fn export(client: &Client, query: &str) -> Answer {
    client.call("GET", &format!("/api/v1/export?{query}"), &[ADMIN], Body::empty()).await
}

async fn import(client: &Client, query: &str, headers: &[(&str, &str)], file: Vec<u8>) -> Answer {
    client.call("POST", &format!("/api/v1/import?{query}"), headers, file).await
}

async fn what_is_exported_is_imported_to_the_same(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (from, _) = named(&fresh, &client, "from").await;
    let hits: Vec<_> = (0..500)
        .map(|n| Hit {
            ts: 1_700_000_000_000 + n * 3_600_000,
            path: Some(format!("=path,\"{n}\"\n")),
            user: (n % 3 == 0).then(|| "-ann".into()),
            status: Some(200),
            visitor: Some(i64::MIN + n),
            bot: Some(n % 2 == 0),
            ..Hit::default()
        })
        .collect();
    fresh.store.append(from, hits[..250].to_vec()).await.expect("append");
    fresh.store.seal_all().await.expect("seal");
    fresh.store.append(from, hits[250..].to_vec()).await.expect("append");
    for (format, media) in [
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("ndjson", "application/x-ndjson"),
        ("parquet", "application/vnd.apache.parquet"),
    ] {
        let file = export(&client, &format!("project=from&format={format}")).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(media)));
        let disposition = format!("attachment; filename=\"from-hits.{format}\"");
        assert_eq!(file.header("content-disposition"), Some(disposition.as_str()));
        let (into, _) = named(&fresh, &client, &format!("into-{format}")).await;
        let report =
            import(&client, &format!("project=into-{format}"), &[ADMIN, ("content-type", media)], file.body)
                .await;
        assert_eq!(report.status, 200, "{}", report.text());
        assert_eq!(report.json()["imported"], 500);
        assert_eq!(held(&fresh, into).await, hits, "{format}");
    }
}

async fn an_export_has_the_hits_of_its_filter_and_range(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (project, key) = named(&fresh, &client, "shop").await;
    let hits = (0..10).map(|day| Hit {
        ts: day * watchkeeper_store::DAY_MS,
        path: Some(format!("/{day}")),
        user: Some(if day % 2 == 0 { "ann" } else { "bob" }.into()),
        ..Hit::default()
    });
    fresh.store.append(project, hits.collect()).await.expect("append");
    let paths = |answer: &Answer| -> Vec<String> {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let lines = answer.text().lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.map(|hit| hit["path"].as_str().expect("path").to_owned()).collect()
    };
    let filters = "%5B%5B%22is%22%2C%22user%22%2C%5B%22ann%22%5D%5D%5D";
    let answer = export(
        &client,
        &format!("project=shop&format=ndjson&from=1970-01-03&to=1970-01-07&filters={filters}"),
    )
    .await;
    assert_eq!(paths(&answer), ["/2", "/4", "/6"]);
    let asked = json!({
        "format": "ndjson", "date_range": ["1970-01-03", "1970-01-07"], "filters": [["is", "user", ["bob"]]],
    });
    let answer = client.call("POST", "/api/v1/export", &[("x-auth-token", &key)], asked.to_string()).await;
    assert_eq!(paths(&answer), ["/3", "/5"]);
    assert_eq!(paths(&export(&client, "project=shop&format=ndjson").await).len(), 10);
    assert_eq!(paths(&export(&client, "project=shop&format=ndjson&to=1970-01-02").await), ["/0", "/1"]);
    let empty = export(&client, "project=shop&format=csv&from=1980-01-01").await;
    assert!(empty.text().starts_with("ts,source,method,") && empty.text().lines().count() == 1);
}

async fn an_export_of_everything_has_what_is_dated_after_now(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (project, _) = named(&fresh, &client, "shop").await;
    let hits = [5, now_ms(), now_ms() + 3_600_000].map(|ts| Hit { ts, ..Hit::default() });
    fresh.store.append(project, hits.to_vec()).await.expect("append");
    for range in ["", "&date_range=all", "&from=1970-01-01", "&to=9998-12-31"] {
        let file = export(&client, &format!("project=shop&format=ndjson{range}")).await;
        assert_eq!((file.status, file.text().lines().count()), (200, 3), "{range}");
    }
}

async fn an_export_whose_client_has_left_makes_room_though_it_finds_nothing(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (project, _) = named(&fresh, &client, "shop").await;
    let hit = Hit { ts: 5, path: Some("a".repeat(2_000)), ..Hit::default() };
    fresh.store.append(project, vec![hit; 4_000]).await.expect("append");
    // A hit takes millions of steps to find out that it is none of them: all take a minute.
    let slow = vec![format!("*{}b", "a".repeat(500)); 8];
    let asked = json!({ "project": "shop", "format": "ndjson", "filters": [["glob", "path", slow]] });
    for _ in 0..2 {
        let request = Request::post("/api/v1/export").header(ADMIN.0, ADMIN.1);
        let request = request.body(Body::from(asked.to_string())).expect("request");
        let left = client.0.clone().oneshot(request).await.expect("infallible");
        assert_eq!(left.status(), 200);
    }
    let next = export(&client, "project=shop&format=ndjson&from=1980-01-01");
    let next = tokio::time::timeout(Duration::from_secs(15), next).await.expect("there is room again");
    assert_eq!((next.status, next.text()), (200, ""));
}

async fn exports_that_nobody_takes_leave_room_for_those_of_other_projects(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (busy, _) = named(&fresh, &client, "busy").await;
    let (other, _) = named(&fresh, &client, "other").await;
    let hit = Hit { ts: 5, path: Some("a".repeat(2_000)), ..Hit::default() };
    fresh.store.append(busy, vec![hit.clone(); 4_000]).await.expect("append");
    fresh.store.append(other, vec![hit]).await.expect("append");
    let ask = || {
        let request = Request::get("/api/v1/export?project=busy&format=ndjson").header(ADMIN.0, ADMIN.1);
        client.0.clone().oneshot(request.body(Body::empty()).expect("request"))
    };
    let untaken = ask().await.expect("infallible");
    assert_eq!(untaken.status(), 200);
    let waiting = tokio::spawn(ask());
    for _ in 0..10 {
        let next = export(&client, "project=other&format=ndjson");
        let next = tokio::time::timeout(Duration::from_secs(15), next).await.expect("there is room");
        assert_eq!((next.status, next.text().lines().count()), (200, 1));
    }
    // Its own next one comes when it is given up.
    drop(untaken);
    let next = tokio::time::timeout(Duration::from_secs(15), waiting).await.expect("there is room again");
    assert_eq!(next.expect("task").expect("infallible").status(), 200);
}

async fn an_import_tells_of_the_rows_that_it_did_not_take(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (project, _) = named(&fresh, &client, "shop").await;
    let file = "ts,path,colour\n5,/a,red\nsoon,/b,red\n7,/c,red\n";
    let report = import(&client, "project=shop&format=csv", &[ADMIN], file.into()).await;
    let expected = json!({
        "rows": 3, "imported": 2, "rejected": 1, "ignored_columns": ["colour"],
        "errors": [{ "row": 2, "field": "ts", "message": "must be UTC milliseconds or a time such as 2026-01-31T12:00:00Z" }],
    });
    assert_eq!((report.status, report.json()), (200, expected));
    assert_eq!(held(&fresh, project).await.len(), 2);
}

async fn an_import_is_for_who_may_write(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    log(&client, key, &json!([row(0, "/")])).await;
    let file = || b"ts\n5\n".to_vec();
    let by_user = import(&client, &format!("format=csv&project={user}"), &[], file()).await;
    assert_eq!(by_user.status, 401);
    let key = key.to_string();
    let by_key = import(&client, "format=csv", &[("x-auth-token", &key)], file()).await;
    assert_eq!((by_key.status, &by_key.json()["imported"]), (200, &json!(1)), "{}", by_key.text());
    // A browser that another site drives adds Basic by itself.
    let basic = "Basic eDp0MGtlbi1vZi10aGUtYWRtaW5pc3RyYXRvcg==";
    let query = format!("format=csv&project={user}");
    let same = [("authorization", basic), ("sec-fetch-site", "same-origin")];
    assert_eq!(import(&client, &query, &same, file()).await.status, 200);
    let cross = [("authorization", basic), ("sec-fetch-site", "cross-site")];
    assert_eq!(import(&client, &query, &cross, file()).await.status, 401);
}

async fn an_import_obeys_the_stricter_of_projects_and_installations_privacy(fresh: Fresh) {
    let (ip, country) = (Some("1.2.3.4"), Some("DE"));
    for (at, (installation, of_project, kept)) in [
        (0, None, (ip, country)),
        (0, Some(1), (None, country)),
        (1, None, (None, country)),
        (2, Some(1), (None, None)),
        (1, Some(2), (None, None)),
    ]
    .into_iter()
    .enumerate()
    {
        let client = client_with(&fresh.store, ApiOptions { privacy_level: installation, ..options() }).await;
        let (project, _) = named(&fresh, &client, &format!("shop-{at}")).await;
        let settings = ProjectSettings { privacy_level: of_project, ..ProjectSettings::default() };
        fresh.store.set_project_settings(project, settings).await.expect("settings");
        let file = "ts,ip,country\n5,1.2.3.4,DE\n";
        let query = format!("project=shop-{at}&format=csv");
        assert_eq!(import(&client, &query, &[ADMIN], file.into()).await.status, 200);
        let hit = held(&fresh, project).await.remove(0);
        assert_eq!((hit.ip.as_deref(), hit.country.as_deref()), kept, "{installation} {of_project:?}");
    }
}

async fn a_file_sent_again_under_its_idempotency_key_is_stored_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (project, _) = named(&fresh, &client, "shop").await;
    let post = async |key: &str, file: &str| {
        let headers = [ADMIN, ("idempotency-key", key)];
        import(&client, "project=shop&format=csv", &headers, file.into()).await
    };
    for _ in 0..2 {
        let report = post("\"one\"", "ts,path\n5,/a\n6,/b\n").await;
        assert_eq!((report.status, &report.json()["imported"]), (200, &json!(2)));
    }
    assert_eq!(held(&fresh, project).await.len(), 2);
    post("one", "ts,path\n5,/c\n").await.blames(422, "Idempotency-Key");
    post("", "ts,path\n5,/c\n").await.blames(400, "Idempotency-Key");
    assert_eq!(post("two", "ts,path\n5,/a\n6,/b\n").await.status, 200);
    assert_eq!(held(&fresh, project).await.len(), 4);
}

async fn mistakes_are_named_with_their_field(fresh: Fresh) {
    let client = client(&fresh.store).await;
    named(&fresh, &client, "shop").await;
    export(&client, "project=shop").await.blames(422, "format");
    export(&client, "project=shop&format=xlsx").await.blames(422, "format");
    export(&client, "project=nothing&format=csv").await.blames(404, "project");
    export(&client, "project=shop&format=csv&from=soon").await.blames(422, "from");
    export(&client, "project=shop&format=csv&to=soon").await.blames(422, "to");
    export(&client, "project=shop&format=csv&from=2026-02-01&to=2026-01-01").await.blames(422, "to");
    export(&client, "project=shop&format=csv&date_range=8d").await.blames(422, "date_range");
    export(&client, "project=shop&format=csv&filters=%7B").await.blames(400, "filters");
    export(&client, "project=shop&format=csv&date_range=7d&from=2026-01-01").await.blames(422, "from");
    import(&client, "project=shop", &[ADMIN], b"x".to_vec()).await.blames(422, "format");
    import(&client, "project=shop&format=parquet", &[ADMIN], b"none".to_vec()).await.blames(422, "body");
    import(&client, "project=shop&format=csv", &[ADMIN], b"path\n/\n".to_vec()).await.blames(422, "body");
    assert_eq!(client.get("/api/v1/export?format=csv&project=shop").await.status, 401);
}

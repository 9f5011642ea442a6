//! The read path as api-analytics' dashboard and programs know it, over the real routers and on both stores.

mod common;

use axum::body::Body;
use common::{Answer, Client, Fresh, account, batch, client, client_with, log, options, row, unzip};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_api::ApiOptions;
use watchkeeper_store::Hit;

on_both_stores! {
    the_seven_steps_of_upstreams_self_hosting_test_pass
    keys_are_uuids_in_quotes_under_both_names
    a_closed_installation_gives_no_keys
    a_user_id_is_told_for_a_known_key_only
    a_key_that_was_made_up_is_known_once_it_has_written
    a_new_user_id_replaces_the_old
    deleting_is_total_and_answers_alike_for_unknown_keys
    dashboard_data_has_upstreams_shape_byte_for_byte
    dashboard_data_is_compressed_whatever_the_client_accepts
    what_is_unknown_reads_as_null_on_the_dashboard_and_as_empty_in_data
    a_referrer_is_the_dashboards_eleventh_column
    pages_are_counted_from_one_and_end_empty
    pages_by_query_are_lenient
    reading_the_dashboard_is_noted
    methods_are_numbers
    data_has_upstreams_shape_byte_for_byte
    data_takes_its_key_from_either_header
    data_is_filtered_in_every_spelling
    data_of_one_date_and_of_a_range_of_dates
    compact_data_is_a_head_and_rows
    data_of_a_country
    pages_of_data
    a_page_of_data_has_50000_rows
    a_page_of_data_that_would_be_too_long_is_refused
    looking_at_a_link_makes_and_deletes_nothing
    browsers_of_every_origin_may_read
    what_is_not_there_answers_as_gin_does
    errors_of_the_dashboards_routes_are_labelled_as_all_are
}

async fn the_seven_steps_of_upstreams_self_hosting_test_pass(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let row = |path, status, time, second| {
        json!({
            "hostname": "example.com", "ip_address": "", "user_agent": "test", "path": path, "status": status,
            "method": "GET", "response_time": time, "user_id": "", "created_at": format!("2024-01-01T00:00:0{second}.000Z"),
        })
    };
    log(&client, key, &json!([row("/test", 200, 15, 0), row("/not-found", 404, 10, 1)])).await;
    let answer = client
        .call("GET", &format!("/api/requests/{user}"), &[("accept-encoding", "gzip")], Body::empty())
        .await;
    assert!(unzip(&answer).len() >= 100);
    let answer = data(&client, key, "").await;
    assert!(answer.status == 200 && answer.body.len() >= 100);
    client.get(&format!("/api/delete/{key}")).await.says(200, "Account data deleted successfully.");
    client.get(&format!("/api/user-id/{key}")).await.says(400, "Invalid API key.");
}

async fn data(client: &Client, key: Uuid, query: &str) -> Answer {
    let key = key.to_string();
    client.call("GET", &format!("/api/data{query}"), &[("x-auth-token", &key)], Body::empty()).await
}

async fn keys_are_uuids_in_quotes_under_both_names(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for path in ["/api/generate", "/api/generate-api-key"] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json; charset=utf-8"))
        );
        let key: Uuid = answer.text().trim_matches('"').parse().expect("UUID");
        assert_eq!(answer.text(), format!("\"{key}\""));
        let user = client.get(&format!("/api/user-id/{key}")).await;
        assert_eq!(user.status, 200);
        assert!(user.text().trim_matches('"').parse::<Uuid>().is_ok_and(|user| user != key));
    }
}

async fn a_closed_installation_gives_no_keys(fresh: Fresh) {
    let closed = ApiOptions { open_signup: false, ..options() };
    let client = client_with(&fresh.store, closed).await;
    assert_eq!(client.get("/api/generate").await.status, 403);
    assert_eq!(client.get("/api/generate-api-key").await.status, 403);
    assert_eq!(fresh.store.stored().await.expect("stored").projects, 0);
}

async fn a_user_id_is_told_for_a_known_key_only(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for key in [Uuid::new_v4().to_string(), "junk".into(), "%00".into()] {
        client.get(&format!("/api/user-id/{key}")).await.says(400, "Invalid API key.");
    }
    client.get("/api/user-id").await.is_no_route();
    // The sign-in of upstream's dashboard uses the key without its dashes too.
    let (key, user) = account(&client).await;
    let answer = client.get(&format!("/api/user-id/{}", key.simple())).await;
    assert_eq!(answer.text(), format!("\"{user}\""));
}

/// Upstream's self-hosting test with a key as its argument.
async fn a_key_that_was_made_up_is_known_once_it_has_written(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    client.get(&format!("/api/user-id/{key}")).await.says(400, "Invalid API key.");
    log(&client, key, &json!([row(0, "/a")])).await;
    let user = client.get(&format!("/api/user-id/{key}")).await.json();
    let page = client.get(&format!("/api/requests/{}", user.as_str().expect("text"))).await;
    assert_eq!(paths(&page), ["/a"]);
}

async fn a_new_user_id_replaces_the_old(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, old) = account(&client).await;
    log(&client, key, &json!([row(0, "/a")])).await;
    let renew = async |token: &str| {
        client.call("POST", "/api/regenerate-user-id", &[("x-auth-token", token)], Body::empty()).await
    };
    renew("junk").await.says(400, "Invalid API key.");
    renew(&Uuid::new_v4().to_string()).await.says(400, "Invalid API key.");
    client.post("/api/regenerate-user-id", &json!({})).await.says(400, "Invalid API key.");

    let answer = renew(&key.to_string()).await;
    let new: Uuid = answer.json().as_str().and_then(|text| text.parse().ok()).expect("UUID");
    assert_eq!(answer.status, 200);
    client.get(&format!("/api/requests/{old}/1")).await.says(400, "Invalid user ID.");
    assert_eq!(rows(&client.get(&format!("/api/requests/{new}/1")).await).len(), 1);
}

async fn deleting_is_total_and_answers_alike_for_unknown_keys(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let [(gone, user), (kept, _)] = [account(&client).await, account(&client).await];
    for key in [gone, kept] {
        log(&client, key, &json!([row(0, "/sealed")])).await;
        fresh.store.seal_all().await.expect("seal");
        log(&client, key, &json!([row(1, "/fresh")])).await;
    }
    let monitor = json!({ "user_id": user, "url": "example.com", "ping": true, "secure": true });
    client.post("/api/monitor/add", &monitor).await.says(201, "New monitor created successfully.");

    for key in [gone, gone, Uuid::new_v4()] {
        let answer = client.get(&format!("/api/delete/{key}")).await;
        assert_eq!(answer.text(), r#"{"message":"Account data deleted successfully.","status":200}"#);
    }
    client.get("/api/delete/junk").await.says(400, "Invalid API key.");
    client.get(&format!("/api/requests/{user}/1")).await.says(400, "Invalid user ID.");
    assert_eq!(data(&client, gone, "").await.text(), "[]");
    assert!(fresh.store.endpoints().await.expect("endpoints").is_empty());
    assert_eq!(fresh.store.stored().await.expect("stored").hits, 2);
    assert_eq!(data(&client, kept, "").await.json().as_array().map(Vec::len), Some(2));
}

fn rows(answer: &Answer) -> Vec<Value> {
    let body: Value = serde_json::from_str(&unzip(answer)).expect("JSON");
    body["requests"].as_array().expect("never null").clone()
}

fn paths(answer: &Answer) -> Vec<String> {
    rows(answer).iter().map(|row| row[1].as_str().expect("path").to_owned()).collect()
}

async fn dashboard_data_has_upstreams_shape_byte_for_byte(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let empty = client.get(&format!("/api/requests/{user}/1")).await;
    assert_eq!(unzip(&empty), r#"{"user_agents":{},"requests":[]}"#);

    // Sent newest first; read oldest first, from the segments and the inbox alike.
    log(&client, key, &json!([row(2, "/late?x=1")])).await;
    fresh.store.seal_all().await.expect("seal");
    log(&client, key, &json!([row(0, "/early")])).await;
    for user in [user.to_string(), user.simple().to_string(), user.to_string().to_uppercase()] {
        let text = unzip(&client.get(&format!("/api/requests/{user}/1")).await);
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let agents = body["user_agents"].as_object().expect("object");
        let id = agents.keys().next().expect("an agent");
        assert_eq!(
            text,
            format!(
                r#"{{"user_agents":{{"{id}":"curl/8"}},"requests":[["1.2.3.4","/early","example.com",{id},0,15,200,"","u1","2023-11-14T22:13:20.397Z"],["1.2.3.4","/late?x=1","example.com",{id},0,15,200,"","u1","2023-11-14T22:13:22.397Z"]]}}"#
            )
        );
    }
}

async fn dashboard_data_is_compressed_whatever_the_client_accepts(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (_, user) = account(&client).await;
    for accept in ["identity", "br", "gzip"] {
        for path in [format!("/api/requests/{user}/1"), format!("/api/requests/{user}?page=0")] {
            let answer = client.call("GET", &path, &[("accept-encoding", accept)], Body::empty()).await;
            unzip(&answer);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("accept-encoding"), Some("gzip"), "upstream's stray header");
        }
    }
}

async fn what_is_unknown_reads_as_null_on_the_dashboard_and_as_empty_in_data(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    log(&client, key, &json!([{ "path": "/", "created_at": "2023-11-14T22:13:20Z", "ip_address": null }]))
        .await;
    let row = rows(&client.get(&format!("/api/requests/{user}/1")).await).remove(0);
    assert_eq!(row, json!([null, "/", "", null, 0, 0, 0, "", "", "2023-11-14T22:13:20Z"]));
    assert_eq!(
        data(&client, key, "").await.json(),
        json!([{
            "hostname": "", "ip_address": "", "path": "/", "user_agent": "", "method": 0, "status": 0,
            "response_time": 0, "location": "", "user_id": "", "created_at": "2023-11-14T22:13:20Z",
        }])
    );
}

async fn a_referrer_is_the_dashboards_eleventh_column(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let mut from = row(1, "/from");
    from["referrer"] = "https://elsewhere.example/?q=\"x\"".into();
    log(&client, key, &json!([row(0, "/direct"), from])).await;
    let rows = rows(&client.get(&format!("/api/requests/{user}/1")).await);
    let columns: Vec<_> = rows.iter().map(|row| row.as_array().map_or(0, Vec::len)).collect();
    assert_eq!(columns, [10, 11], "rows without one have upstream's columns");
    assert_eq!(rows[1][10], "https://elsewhere.example/?q=\"x\"");
    let data = data(&client, key, "?compact=true").await.json();
    assert!(
        data.as_array().is_some_and(|rows| rows.iter().all(|row| row.as_array().map(Vec::len) == Some(10)))
    );
}

/// Seven hits, `/0` to `/6`, over sealed and unsealed parts, each with an agent of its own.
async fn seven(fresh: &Fresh, client: &Client) -> (Uuid, Uuid) {
    let (key, user) = account(client).await;
    for n in 0..7 {
        let mut row = row(n * 43_200, &format!("/{n}"));
        row["user_agent"] = format!("agent/{n}").into();
        log(client, key, &json!([row])).await;
        if n == 3 {
            fresh.store.seal_all().await.expect("seal");
        }
    }
    (key, user)
}

async fn pages_are_counted_from_one_and_end_empty(fresh: Fresh) {
    let client = client_with(&fresh.store, ApiOptions { page_size: 3, ..options() }).await;
    let (_, user) = seven(&fresh, &client).await;
    let page = async |page: &str| client.get(&format!("/api/requests/{user}/{page}")).await;
    for (number, expected) in [
        ("1", &["/0", "/1", "/2"][..]),
        ("2", &["/3", "/4", "/5"]),
        ("3", &["/6"]),
        ("4", &[]),
        ("9223372036854775807", &[]),
        ("-1", &[]),
        ("-9223372036854775808", &[]),
    ] {
        let answer = page(number).await;
        assert_eq!(paths(&answer), expected, "page {number}");
        let body: Value = serde_json::from_str(&unzip(&answer)).expect("JSON");
        let agents = body["user_agents"].as_object().expect("object");
        assert_eq!(agents.len(), expected.len(), "the agents of page {number} and no others");
    }
    for number in ["0", "one", "1.5", "99999999999999999999"] {
        page(number).await.says(400, "Invalid page number.");
    }
    client.get(&format!("/api/requests/{}/1", Uuid::new_v4())).await.says(400, "Invalid user ID.");
    client.get("/api/requests/junk/1").await.says(400, "Invalid user ID.");
}

async fn pages_by_query_are_lenient(fresh: Fresh) {
    let client = client_with(&fresh.store, ApiOptions { page_size: 3, max_load: 5, ..options() }).await;
    let (_, user) = seven(&fresh, &client).await;
    for (query, expected) in [
        ("", 0..3),
        ("?page=1", 0..3),
        ("?page=3", 6..7),
        ("?page=4", 0..0),
        ("?page=-1", 0..0),
        ("?page=-9223372036854775808", 0..0),
        ("?page=0", 0..5),
        ("?page=junk", 0..5),
        ("?page=", 0..5),
    ] {
        let expected: Vec<_> = expected.map(|n| format!("/{n}")).collect();
        let answer = client.get(&format!("/api/requests/{user}{query}")).await;
        assert_eq!(paths(&answer), expected, "{query}");
    }
    client.get("/api/requests/junk").await.says(400, "Invalid user ID.");
}

async fn reading_the_dashboard_is_noted(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for suffix in ["", "/1"] {
        let (key, user) = account(&client).await;
        let accessed =
            async || fresh.store.project_by_key(key).await.expect("find").expect("is there").last_accessed;
        assert_eq!(accessed().await, None);
        client.get(&format!("/api/requests/{user}{suffix}")).await;
        assert!(accessed().await.is_some());
    }
}

async fn methods_are_numbers(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "HEAD", "TRACE"];
    let rows_sent: Vec<_> = (0_i64..)
        .zip(methods)
        .map(|(n, method)| {
            let mut row = row(n, "/");
            row["method"] = method.into();
            row
        })
        .collect();
    log(&client, key, &json!(rows_sent)).await;
    let answer = client.get(&format!("/api/requests/{user}/1")).await;
    let numbers: Vec<_> = rows(&answer).iter().filter_map(|row| row[4].as_u64()).collect();
    assert_eq!(numbers, (0..9).collect::<Vec<_>>());
}

async fn data_has_upstreams_shape_byte_for_byte(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    log(&client, key, &json!([row(0, "/a?b=1")])).await;
    let answer = data(&client, key, "").await;
    assert_eq!(answer.header("content-encoding"), None);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(
        answer.text(),
        r#"[{"hostname":"example.com","ip_address":"1.2.3.4","path":"/a?b=1","user_agent":"curl/8","method":0,"status":200,"response_time":15,"location":"","user_id":"u1","created_at":"2023-11-14T22:13:20.397Z"}]"#
    );
}

async fn data_takes_its_key_from_either_header(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    log(&client, key, &json!([row(0, "/")])).await;
    let (key, stranger) = (key.to_string(), Uuid::new_v4().to_string());
    let with = async |headers: &[(&str, &str)]| client.call("GET", "/api/data", headers, Body::empty()).await;
    for header in ["X-AUTH-TOKEN", "API-Key"] {
        assert_eq!(with(&[(header, &key)]).await.json().as_array().map(Vec::len), Some(1), "{header}");
        let unknown = with(&[(header, &stranger)]).await;
        assert_eq!((unknown.status, unknown.text()), (200, "[]"));
        with(&[(header, "junk")]).await.says(400, "Invalid API key.");
    }
    with(&[]).await.says(400, "Invalid API key.");
    with(&[("x-auth-token", &stranger), ("api-key", &key)])
        .await
        .json()
        .as_array()
        .map_or_else(|| panic!("no array"), |rows| assert!(rows.is_empty(), "X-AUTH-TOKEN comes first"));
}

async fn data_is_filtered_in_every_spelling(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    let mut wanted = row(1, "/wanted");
    wanted["hostname"] = "it's.example".into();
    wanted["ip_address"] = "2001:db8::1".into();
    wanted["status"] = 404.into();
    wanted["user_id"] = "ann o'dear".into();
    log(&client, key, &json!([row(0, "/other"), wanted, row(2, "/other")])).await;
    for query in [
        "hostname=it%27s.example",
        "ip=2001:db8::1",
        "ipAddress=2001:DB8:0:0::1",
        "ip_address=2001:db8::1",
        "status=404",
        "userID=ann%20o%27dear",
        "userId=ann+o%27dear",
        "user_id=ann%20o%27dear",
        "status=404&hostname=it%27s.example&page=1",
    ] {
        let answer = data(&client, key, &format!("?{query}")).await;
        let found: Vec<_> =
            answer.json().as_array().expect("array").iter().map(|row| row["path"].clone()).collect();
        assert_eq!(found, ["/wanted"], "{query}");
    }
    for nothing in ["hostname=nobody", "location=DE", "status=500", "status=404&userID=u1"] {
        assert_eq!(data(&client, key, &format!("?{nothing}")).await.text(), "[]", "{nothing}");
    }
    for ignored in
        ["status=42", "status=x", "location=DEU", "ip=junk", "date=2023-13-01", "dateFrom=x", "unknown=1"]
    {
        let answer = data(&client, key, &format!("?{ignored}")).await;
        assert_eq!(answer.json().as_array().map(Vec::len), Some(3), "{ignored}");
    }
}

async fn data_of_one_date_and_of_a_range_of_dates(fresh: Fresh) {
    let client = client(&fresh.store).await;
    // Twelve hours apart from 2023-11-14T22:13:20.397Z on: one on the 14th, then two a day.
    let (key, _) = seven(&fresh, &client).await;
    for (query, expected) in [
        ("date=2023-11-14", 0..1),
        ("date=2023-11-15", 1..3),
        ("date=2023-11-15&dateFrom=2023-11-17", 1..3),
        ("dateFrom=2023-11-16", 3..7),
        ("dateTo=2023-11-16", 0..3),
        ("dateFrom=2023-11-15&dateTo=2023-11-16", 1..3),
        ("dateFrom=2023-11-16&dateTo=2023-11-15", 0..0),
    ] {
        let answer = data(&client, key, &format!("?{query}")).await;
        let found: Vec<_> =
            answer.json().as_array().expect("array").iter().map(|row| row["path"].clone()).collect();
        assert_eq!(found, expected.map(|n| format!("/{n}")).collect::<Vec<_>>(), "{query}");
    }
}

async fn compact_data_is_a_head_and_rows(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    let head = r#"["ip_address","path","hostname","user_agent","method","response_time","status","location","user_id","created_at"]"#;
    assert_eq!(data(&client, key, "?compact=true").await.text(), format!("[{head}]"));
    log(&client, key, &json!([row(0, "/a")])).await;
    let one = r#"["1.2.3.4","/a","example.com","curl/8",0,15,200,"","u1","2023-11-14T22:13:20.397Z"]"#;
    assert_eq!(data(&client, key, "?compact=true").await.text(), format!("[{head},{one}]"));
    assert_eq!(data(&client, key, "?compact=true&status=500").await.text(), format!("[{head}]"));
    assert!(data(&client, key, "?compact=false").await.text().starts_with("[{"));
}

async fn data_of_a_country(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("is there").id;
    let hits = ["DE", "FR", "DE"].map(|country| Hit { country: Some(country.into()), ..Hit::default() });
    fresh.store.append(project, hits.to_vec()).await.expect("append");
    for (query, count) in [("location=DE", 2), ("location=FR", 1), ("location=de", 0), ("location=D", 3)] {
        let rows = data(&client, key, &format!("?{query}")).await.json();
        assert_eq!(rows.as_array().map(Vec::len), Some(count), "{query}");
    }
    let rows = rows(&client.get(&format!("/api/requests/{user}/1")).await);
    assert_eq!(rows.iter().filter(|row| row[7] == "DE").count(), 2);
}

async fn a_page_of_data_has_50000_rows(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("is there").id;
    let hits = (0..50_003_i64).map(|ts| Hit { ts, path: Some(ts.to_string()), ..Hit::default() }).collect();
    fresh.store.append(project, hits).await.expect("append");
    for (page, expected) in [(1, 0..50_000), (2, 50_000..50_003), (3, 0..0)] {
        let rows = data(&client, key, &format!("?page={page}")).await.json();
        let found: Vec<String> = rows
            .as_array()
            .expect("array")
            .iter()
            .map(|row| row["path"].as_str().expect("path").to_owned())
            .collect();
        assert_eq!(found, expected.map(|n| n.to_string()).collect::<Vec<_>>(), "page {page}");
    }
}

async fn a_page_of_data_that_would_be_too_long_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("is there").id;
    let hits: Vec<_> = (0..700_i32)
        .map(|n| {
            let long = || Some(format!("{n}{}", "x".repeat(2_000)));
            let (host, path, query) = (long(), long(), long());
            Hit { host, path, query, user: long(), user_agent: long(), status: Some(200), ..Hit::default() }
        })
        .collect();
    // Seventy megabytes of rows.
    for _ in 0..10 {
        fresh.store.append(project, hits.clone()).await.expect("append");
    }
    let refused = data(&client, key, "").await;
    assert!(refused.status == 422 && refused.text().contains("more than 64 MiB"), "{}", refused.status);
    assert_eq!(data(&client, key, "?status=404").await.text(), "[]");
}

/// As mail programs and chats do, which ask for the head of every link that they see.
async fn looking_at_a_link_makes_and_deletes_nothing(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    log(&client, key, &json!([row(0, "/")])).await;
    for path in ["/api/generate".into(), "/api/generate-api-key".into(), format!("/api/delete/{key}")] {
        assert_eq!(client.call("HEAD", &path, &[], Body::empty()).await.status, 404, "{path}");
    }
    let stored = fresh.store.stored().await.expect("stored");
    assert_eq!((stored.projects, stored.hits), (1, 1));
}

async fn pages_of_data(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = seven(&fresh, &client).await;
    for (query, expected) in [
        ("", 7),
        ("?page=1", 7),
        ("?page=junk", 7),
        ("?page=2", 0),
        ("?page=0", 0),
        ("?page=-1", 0),
        ("?page=-9223372036854775808", 0),
    ] {
        let answer = data(&client, key, query).await;
        assert_eq!((answer.status, answer.json().as_array().map(Vec::len)), (200, Some(expected)), "{query}");
    }
}

async fn browsers_of_every_origin_may_read(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    for (method, path) in [
        ("GET", "/api/generate".to_owned()),
        ("GET", format!("/api/user-id/{key}")),
        ("GET", format!("/api/requests/{user}/1")),
        ("GET", "/api/data".to_owned()),
        ("POST", "/api/monitor/add".to_owned()),
        ("POST", "/api/regenerate-user-id".to_owned()),
    ] {
        let with =
            client.call(method, &path, &[("origin", "https://elsewhere.example")], Body::empty()).await;
        assert_eq!(with.header("access-control-allow-origin"), Some("*"), "{path}");
        let without = client.call(method, &path, &[], Body::empty()).await;
        assert_eq!(without.header("access-control-allow-origin"), None, "{path}");
        let preflight = client.preflight(&path, method).await;
        assert_eq!(
            (preflight.status, preflight.header("access-control-allow-origin")),
            (204, Some("*")),
            "{path}"
        );
        let allowed = preflight.header("access-control-allow-headers").expect("allowed headers");
        assert!(allowed.contains("X-AUTH-TOKEN"), "the dashboard sends it from another origin: {allowed}");
    }
    let foreign = client.preflight("/api/v1/endpoints", "GET").await;
    assert_eq!(
        foreign.header("access-control-allow-origin"),
        None,
        "the administrator's routes are not for browsers"
    );
}

async fn what_is_not_there_answers_as_gin_does(fresh: Fresh) {
    let client = client(&fresh.store).await;
    client.get("/api/nope").await.is_no_route();
    client.get("/nope/").await.is_no_route();
    for (method, path) in [("POST", "/api/generate"), ("DELETE", "/api/data"), ("GET", "/api/monitor/add")] {
        client.call(method, path, &[], Body::empty()).await.is_no_route();
    }
    let get = client.get("/api/generate/").await;
    assert_eq!((get.status, get.header("location")), (301, Some("/api/generate")));
    let post = client.post("/api/monitor/add/", &json!({})).await;
    assert_eq!((post.status, post.header("location")), (307, Some("/api/monitor/add")));
    let page = client.get("/api/requests/x/1/?a=b").await;
    assert_eq!((page.status, page.header("location")), (301, Some("/api/requests/x/1?a=b")));
}

async fn errors_of_the_dashboards_routes_are_labelled_as_all_are(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    client
        .post("/api/requests", &batch(key, &json!([])))
        .await
        .says(400, "Payload contains no logged requests.");
    fresh.store.close().await;
    for path in [
        format!("/api/requests/{user}/1"),
        format!("/api/user-id/{key}"),
        format!("/api/monitor/pings/{user}"),
    ] {
        client.get(&path).await.says(503, "Database connection failed.");
    }
}

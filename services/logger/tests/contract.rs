//! The write path as api-analytics' clients know it, over the real router and on both stores.

mod common;

use std::{convert::Infallible, num::NonZeroU32};

use axum::body::Body;
use bytes::Bytes;
use common::{Client, Fresh, START, batch, enricher, gzip, logger, logger_with, row, stored, zstd};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;
use watchkeeper_logger::{Bounds, Signup, decode::api_analytics::FRAMEWORKS, health, router};
use watchkeeper_runtime::http::finish;
use watchkeeper_store::{Hit, Store, now_ms};
use watchkeeper_testkit::mmdb::{self, map, text};

on_both_stores! {
    both_names_take_a_batch_that_is_there_at_once
    each_refusal_has_upstreams_status_and_text_and_stores_nothing
    what_is_no_json_is_refused_with_upstreams_label
    content_type_spelling_of_keys_and_trailing_bytes_do_not_matter
    null_missing_and_empty_values_are_unknown
    a_batch_with_every_oddity_is_stored_whole
    addresses_are_understood_in_every_spelling
    numbers_of_every_range_are_stored
    texts_are_kept_to_the_byte_and_cut_between_characters
    more_rows_than_upstream_keeps_are_all_kept
    bytes_that_are_no_utf8_cost_nobody_a_batch
    times_are_understood_in_every_zone_and_precision
    every_framework_of_a_published_client_is_taken
    frameworks_are_told_apart_to_the_letter
    what_clients_of_each_language_send_reads_back
    compressed_bodies_are_taken_many_at_once
    zstd_and_large_compressed_batches_are_taken
    a_post_sent_again_under_its_idempotency_key_is_stored_once
    a_client_that_posts_its_growing_buffer_again_is_understood
    what_is_too_large_is_refused_before_and_after_decompression
    too_many_rows_are_refused_and_the_limit_itself_is_not
    a_small_post_that_would_become_gigabytes_is_refused
    large_bodies_that_are_held_open_keep_no_small_post_out
    a_batch_over_too_many_days_is_refused
    many_rows_are_enriched_like_few
    posts_are_limited_per_key_and_failed_ones_count
    a_closed_installation_takes_known_keys_only
    the_stricter_privacy_level_decides_what_is_kept
    a_key_whose_project_was_deleted_starts_anew
    browsers_of_every_origin_may_post
    what_is_not_there_answers_as_gin_does
    health_tells_whether_the_store_answers
    while_the_store_is_away_posts_are_to_be_sent_again
}

async fn client_with(store: &Store, signup: Signup, privacy: u8, bounds: Bounds) -> Client {
    let logger = logger(store, signup, privacy, bounds).await;
    Client(finish(router(logger).merge(health(store.clone()))))
}

async fn client(store: &Store) -> Client {
    client_with(store, Signup::Open, 0, Bounds::default()).await
}

const LOGGED: &str = "API requests logged successfully.";
const LOG: &str = "/api/log-request";

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

async fn null_missing_and_empty_values_are_unknown(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for empty in [json!(null), json!("")] {
        let key = Uuid::new_v4();
        let row = json!({
            "user_id": empty, "ip_address": empty, "user_agent": empty, "hostname": empty,
            "path": "/a", "method": "GET", "status": 200, "response_time": 1, "created_at": "2023-11-14T22:13:20Z",
        });
        client.post(LOG, &batch(key, &json!([row, { "path": "/b" }]))).await.says(201, LOGGED);
        let hits = stored(&fresh.store, key).await;
        assert_eq!(hits.len(), 2);
        for hit in hits {
            let unknown =
                (&hit.user, &hit.ip, &hit.user_agent, &hit.host, &hit.country, hit.visitor, hit.bot);
            assert_eq!(unknown, (&None, &None, &None, &None, &None, None, None));
        }
    }
}

async fn a_batch_with_every_oddity_is_stored_whole(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let with = |changes: Value| {
        let mut row = row(0, "/");
        for (name, value) in changes.as_object().expect("object") {
            row[name] = value.clone();
        }
        row
    };
    let mut rows: Vec<Value> =
        (0..200).map(|n| with(json!({ "user_agent": format!("Agent/{n}") }))).collect();
    rows.extend([
        with(json!({ "ip_address": "junk" })),
        with(json!({ "response_time": 40_000 })),
        with(json!({ "user_agent": "it's -- SELECT \u{0} 🐘" })),
        with(json!({ "path": "/users/update" })),
        with(json!({ "path": format!("/a{}", "é".repeat(200)) })),
        with(json!({ "status": 99_999, "method": "propfind" })),
        with(json!({ "status": "200", "response_time": 12.5 })),
        with(json!({ "created_at": "garbage" })),
        with(json!({ "created_at": 1_700_000_000 })),
        with(json!({ "ip_address": "1.2.3.4:555, 10.0.0.1", "user_id": 7 })),
    ]);
    let sent = rows.len();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);

    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.len(), sent);
    let agents: std::collections::BTreeSet<_> =
        hits.iter().filter_map(|hit| hit.user_agent.as_deref()).collect();
    assert_eq!(agents.len(), 202);
    assert!(agents.contains("it's -- SELECT \u{0} 🐘"));
    assert!(hits.iter().any(|hit| hit.path.as_deref() == Some("/users/update")));
    assert!(hits.iter().any(|hit| hit.path.as_ref().is_some_and(|path| path.ends_with("éé"))));
    assert!(hits.iter().any(|hit| hit.duration_us == Some(40_000_000)));
    assert!(hits.iter().any(|hit| hit.duration_us == Some(12_500)));
    assert!(hits.iter().any(|hit| hit.method.as_deref() == Some("PROPFIND") && hit.status == Some(32_767)));
    assert_eq!(hits.iter().filter(|hit| hit.ip.is_none()).count(), 1, "the junk address alone is unknown");
    assert_eq!(hits.iter().filter(|hit| hit.user.as_deref() == Some("7")).count(), 1);
}

async fn addresses_are_understood_in_every_spelling(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let spellings = [
        ("1.2.3.4", Some("1.2.3.4")),
        ("2001:DB8:0::1", Some("2001:db8::1")),
        ("::ffff:127.0.0.1", Some("127.0.0.1")),
        ("1.2.3.4:555", Some("1.2.3.4")),
        ("[2001:db8::1]:80", Some("2001:db8::1")),
        ("203.0.113.7, 10.0.0.1", Some("203.0.113.7")),
        ("10.1.2.3/8", Some("10.1.2.3")),
        ("testclient", None),
        ("junk", None),
        ("1.2.3", None),
    ];
    let rows: Vec<_> = (0..)
        .zip(spellings)
        .map(|(n, (text, _))| {
            let mut row = row(n, "/");
            row["ip_address"] = text.into();
            row
        })
        .collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    let found: Vec<_> = hits.iter().map(|hit| hit.ip.as_deref()).collect();
    assert_eq!(found, spellings.map(|(_, address)| address));
}

async fn numbers_of_every_range_are_stored(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let numbers = [
        (json!(0), Some(0)),
        (json!(-1), Some(-1)),
        (json!(32_767), Some(32_767)),
        (json!(200.0), Some(200)),
        (json!("404"), Some(404)),
        (json!(null), None),
        (json!("x"), None),
        (json!([]), None),
    ];
    let rows: Vec<_> = (0..)
        .zip(&numbers)
        .map(|(n, (value, _))| {
            let mut row = row(n, "/");
            row["status"] = value.clone();
            row["response_time"] = value.clone();
            row
        })
        .collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    for (hit, (value, number)) in stored(&fresh.store, key).await.iter().zip(&numbers) {
        assert_eq!(hit.status.map(i64::from), *number, "{value}");
        assert_eq!(hit.duration_us, number.map(|ms| ms * 1_000), "{value}");
    }
}

async fn texts_are_kept_to_the_byte_and_cut_between_characters(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let mut long = row(0, &format!("/{}", "é".repeat(2_000)));
    for name in ["hostname", "user_id"] {
        long[name] = "é".repeat(200).into();
    }
    long["user_agent"] = "é".repeat(1_000).into();
    let mut whole = row(1, &format!("/{}?{}", "p".repeat(2_047), "q".repeat(2_000)));
    whole["user_agent"] = "a".repeat(1_024).into();
    client.post(LOG, &batch(key, &json!([long, whole]))).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    let lengths = |hit: &Hit| {
        [&hit.path, &hit.query, &hit.host, &hit.user, &hit.user_agent]
            .map(|text| text.as_ref().map_or(0, String::len))
    };
    assert_eq!(lengths(&hits[0]), [2_047, 0, 254, 254, 1_024], "two bytes each, after the slash");
    assert_eq!(lengths(&hits[1]), [2_048, 2_000, 11, 2, 1_024]);
}

async fn more_rows_than_upstream_keeps_are_all_kept(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let rows: Vec<_> = (0..2_500).map(|n| row(n, "/")).collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 2_500);
}

async fn bytes_that_are_no_utf8_cost_nobody_a_batch(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = batch(key, &json!([row(0, "/a"), row(1, "/MARK")])).to_string();
    let (before, after) = body.split_once("MARK").expect("mark");
    let body = [before.as_bytes(), b"\xff\xfe", after.as_bytes()].concat();
    client.call("POST", LOG, &[], body).await.says(201, LOGGED);
    let paths: Vec<_> = stored(&fresh.store, key).await.into_iter().filter_map(|hit| hit.path).collect();
    assert_eq!(paths, ["/a", "/\u{fffd}\u{fffd}"]);
}

async fn times_are_understood_in_every_zone_and_precision(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let times = [
        "2023-11-14T22:13:20.397Z",
        "2023-11-14T22:13:20.397123456+00:00",
        "2023-11-14T23:13:20.397+01:00",
        "2023-11-14T22:13:20.397123",
        "2023-11-14 22:13:20.397",
    ];
    let rows: Vec<_> = times.iter().map(|time| json!({ "path": "/", "created_at": time })).collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.iter().map(|hit| hit.ts).collect::<Vec<_>>(), [START; 5]);

    let (key, before) = (Uuid::new_v4(), now_ms());
    let unclear =
        [json!(null), json!(""), json!("1700000000"), json!("now"), json!(1_700_000_000), json!({})];
    let rows: Vec<_> = unclear.iter().map(|time| json!({ "path": "/", "created_at": time })).collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    client.post(LOG, &batch(key, &json!([{ "path": "/" }]))).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.len(), unclear.len() + 1);
    assert!(hits.iter().all(|hit| (before..=now_ms()).contains(&hit.ts)), "the time of arrival stands in");

    let key = Uuid::new_v4();
    let soon = jiff::Timestamp::from_millisecond(now_ms() + 14 * 3_600_000).expect("a time");
    client
        .post(LOG, &batch(key, &json!([{ "path": "/", "created_at": soon.to_string() }])))
        .await
        .says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await[0].ts, soon.as_millisecond(), "a local time without its zone");

    let (key, before) = (Uuid::new_v4(), now_ms());
    let wild = ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"];
    let rows: Vec<_> = wild.iter().map(|time| json!({ "path": "/", "created_at": time })).collect();
    client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.len(), wild.len());
    assert!(hits.iter().all(|hit| (before..=now_ms()).contains(&hit.ts)), "no clock can have meant it");
}

/// The names that clients send, by language and package: what upstream's logger takes, and what its
/// newer clients send it in vain.
const CLIENTS: [(&str, &[&str]); 8] = [
    ("Python", &["FastAPI", "Flask", "Django", "Tornado", "Starlette", "Sanic", "Falcon", "aiohttp"]),
    ("JavaScript", &["Express", "Fastify", "Koa", "Hono", "NestJS", "Elysia", "Bun", "H3", "Oak"]),
    ("Go", &["Gin", "Echo", "Fiber", "Chi"]),
    ("Rust", &["Actix", "Axum", "Rocket"]),
    ("Ruby", &["Rails", "Sinatra"]),
    ("Ruby's base class", &["Middleware"]),
    ("PHP", &["Laravel", "Native PHP"]),
    ("C#", &["ASP.NET Core"]),
];

async fn every_framework_of_a_published_client_is_taken(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut all = 0;
    for (language, frameworks) in CLIENTS {
        for framework in frameworks {
            let key = Uuid::new_v4();
            let mut body = batch(key, &json!([row(0, "/")]));
            body["framework"] = (*framework).into();
            client.post(LOG, &body).await.says(201, LOGGED);
            let seen = stored(&fresh.store, key).await.remove(0).framework;
            assert_eq!(seen.as_deref(), Some(*framework), "{language}");
            all += 1;
        }
    }
    assert_eq!(all, FRAMEWORKS.len(), "this test knows every name that is taken");
}

async fn frameworks_are_told_apart_to_the_letter(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for framework in ["fastapi", "FASTAPI", " FastAPI", "FastAPI ", "Spring", "ASP.NET", "Native", ""] {
        let mut body = batch(Uuid::new_v4(), &json!([row(0, "/")]));
        body["framework"] = framework.into();
        client.post(LOG, &body).await.says(400, "Unsupported API framework.");
    }
}

/// The payloads of `fixtures`, as the clients' own code writes them.
async fn what_clients_of_each_language_send_reads_back(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut seen = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(directory).expect("fixtures") {
        let path = entry.expect("entry").path();
        let what = path.display();
        let sent: Value = serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
        let key = Uuid::new_v4();
        let mut body = sent.clone();
        body["api_key"] = json!(key);
        client.post(LOG, &body).await.says(201, LOGGED);

        let mut hits = stored(&fresh.store, key).await;
        let rows = sent["requests"].as_array().expect("rows");
        assert_eq!(hits.len(), rows.len(), "{what}");
        for row in rows {
            let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            let place = hits.iter().position(|hit| {
                let path = hit.path.clone().unwrap_or_default();
                let path = hit.query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
                Some(path).filter(|path| !path.is_empty()) == text("path")
                    && hit.method == text("method")
                    && hit.host == text("hostname")
                    && hit.user_agent == text("user_agent")
                    && hit.user == text("user_id")
                    && hit.status.map(i64::from) == row["status"].as_i64()
                    && hit.duration_us.map(|us| us / 1_000) == row["response_time"].as_i64()
                    && hit.ip.is_some() == text("ip_address").is_some()
            });
            let hit = hits.remove(place.unwrap_or_else(|| panic!("{what}: {row} is not among {hits:?}")));
            assert_eq!(hit.framework.as_deref(), sent["framework"].as_str(), "{what}");
        }
        seen.insert(sent["framework"].as_str().expect("framework").to_owned());
    }
    for framework in
        ["FastAPI", "Express", "Gin", "Actix", "Rails", "Sinatra", "Laravel", "Native PHP", "ASP.NET Core"]
    {
        assert!(seen.contains(framework), "no fixture of {framework}");
    }
}

async fn compressed_bodies_are_taken_many_at_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = gzip(batch(key, &json!([row(0, "/zipped")])).to_string().as_bytes());
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (client, body) = (client.clone(), body.clone());
        posts.spawn(async move { client.call("POST", LOG, &[("content-encoding", "gzip")], body).await });
    }
    for answer in posts.join_all().await {
        answer.says(201, LOGGED);
    }
    assert_eq!(stored(&fresh.store, key).await.len(), 40);
    let torn = client.call("POST", LOG, &[("content-encoding", "gzip")], &b"not gzip"[..]).await;
    assert_eq!(torn.status, 400, "{}", torn.text());
}

async fn zstd_and_large_compressed_batches_are_taken(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let rows: Vec<_> = (0..5_000).map(|n| row(n, &format!("/{n}"))).collect();
    let body = batch(key, &json!(rows)).to_string();
    client.call("POST", LOG, &[("content-encoding", "gzip")], gzip(body.as_bytes())).await.says(201, LOGGED);
    client.call("POST", LOG, &[("content-encoding", "zstd")], zstd(body.as_bytes())).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 10_000);
    let torn = client.call("POST", LOG, &[("content-encoding", "zstd")], &b"not zstd"[..]).await;
    assert_eq!(torn.status, 400, "{}", torn.text());
}

async fn a_post_sent_again_under_its_idempotency_key_is_stored_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
    let body = |key, path: &str| batch(key, &json!([row(0, path)])).to_string();
    let post = async |name: &'static str, body: String| {
        client.call("POST", LOG, &[("idempotency-key", name)], body).await
    };
    for name in ["\"8e03978e\"", "8e03978e"] {
        post(name, body(key, "/once")).await.says(201, LOGGED);
    }
    let reused = post("8e03978e", body(key, "/other")).await;
    reused.blames(422, "Idempotency-Key");
    post("8e03978e", body(other, "/other")).await.says(201, LOGGED);
    post("b", body(key, "/once")).await.says(201, LOGGED);
    let long: &'static str = "x".repeat(256).leak();
    for bad in ["", "\"\"", long] {
        post(bad, body(key, "/bad")).await.blames(400, "Idempotency-Key");
    }
    let paths: Vec<_> = stored(&fresh.store, key).await.into_iter().filter_map(|hit| hit.path).collect();
    assert_eq!(paths, ["/once", "/once"], "once for each key");
    assert_eq!(stored(&fresh.store, other).await.len(), 1);
}

async fn a_client_that_posts_its_growing_buffer_again_is_understood(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (framework, expected) in [("Express", 6), ("FastAPI", 3 + 5 + 4 + 6)] {
        let key = Uuid::new_v4();
        for count in [3, 5, 4, 6] {
            let rows: Vec<_> = (0..count).map(|n| row(n, &format!("/{n}"))).collect();
            let mut body = batch(key, &json!(rows));
            body["framework"] = framework.into();
            client.post(LOG, &body).await.says(201, LOGGED);
        }
        assert_eq!(stored(&fresh.store, key).await.len(), expected, "{framework}");
    }
    // Equal posts are meant, whoever makes them.
    let key = Uuid::new_v4();
    let mut body = batch(key, &json!([row(0, "/a"), row(1, "/b")]));
    body["framework"] = "Koa".into();
    for _ in 0..3 {
        client.post(LOG, &body).await.says(201, LOGGED);
    }
    assert_eq!(stored(&fresh.store, key).await.len(), 6);
}

async fn what_is_too_large_is_refused_before_and_after_decompression(fresh: Fresh) {
    let bounds = Bounds { body: 10_000, ..Bounds::default() };
    let client = client_with(&fresh.store, Signup::Open, 0, bounds).await;
    let body = batch(Uuid::new_v4(), &json!([row(0, &"x".repeat(10_000))])).to_string();
    let message = "The body may have 10000 bytes; send the batch in parts.";
    client.call("POST", LOG, &[], body.clone()).await.says(413, message);
    let small = gzip(body.as_bytes());
    assert!(small.len() < 1_000);
    client.call("POST", LOG, &[("content-encoding", "gzip")], small).await.says(413, message);
    assert_eq!(fresh.store.stored().await.expect("stored").projects, 0);
}

async fn too_many_rows_are_refused_and_the_limit_itself_is_not(fresh: Fresh) {
    let bounds = Bounds { rows: 3, ..Bounds::default() };
    let client = client_with(&fresh.store, Signup::Open, 0, bounds).await;
    let key = Uuid::new_v4();
    let rows: Vec<_> = (0..4).map(|n| row(n, "/")).collect();
    client.post(LOG, &batch(key, &json!(rows))).await.blames(413, "requests");
    client.post(LOG, &batch(key, &json!(rows[..3]))).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 3);
}

async fn a_small_post_that_would_become_gigabytes_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let zeros = format!(r#"{{"requests":[0{}]}}"#, ",0".repeat(12_000_000));
    let small = gzip(zeros.as_bytes());
    assert!(small.len() < 50_000);
    client.call("POST", LOG, &[("content-encoding", "gzip")], small).await.blames(413, "requests");
    // Rows that say nothing are as large as others once they are read.
    let empty = format!(r#"{{"requests":[{{}}{}]}}"#, ",{}".repeat(400_000));
    let small = gzip(empty.as_bytes());
    assert!(small.len() < 5_000);
    let answer = client.call("POST", LOG, &[("content-encoding", "gzip")], small).await;
    answer.blames(413, "requests");
    assert!(answer.text().contains("too many values"), "before any of them is read: {}", answer.text());
}

async fn large_bodies_that_are_held_open_keep_no_small_post_out(fresh: Fresh) {
    const POSTS: usize = 12;
    let client = client(&fresh.store).await;
    let large = Bytes::from(vec![b' '; 31 << 20]);
    let (held, mut holding) = mpsc::unbounded_channel();
    let mut posts = JoinSet::new();
    for _ in 0..POSTS {
        let (client, large, held) = (client.clone(), large.clone(), held.clone());
        // It tells when the first of it was taken, and never ends.
        let rest = stream::once(async move {
            held.send(()).expect("the test waits");
            std::future::pending::<Result<Bytes, Infallible>>().await
        });
        let body = Body::from_stream(stream::iter([Ok::<_, Infallible>(large)]).chain(rest));
        posts.spawn(async move { client.call("POST", LOG, &[], body).await });
    }
    let mut refused = 0;
    for _ in 0..POSTS {
        tokio::select! {
            Some(()) = holding.recv() => {}
            Some(answer) = posts.join_next() => {
                let answer = answer.expect("join");
                assert_eq!(answer.status, 503);
                assert!(answer.header("retry-after").is_some());
                refused += 1;
            }
        }
    }
    assert!((1..POSTS).contains(&refused), "{refused} were refused: no room is left");
    client.post(LOG, &batch(Uuid::new_v4(), &json!([row(0, "/")]))).await.says(201, LOGGED);
}

async fn a_batch_over_too_many_days_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let on = |day: i64| {
        let mut row = row(0, "/");
        row["created_at"] =
            json!(jiff::Timestamp::from_second(START / 1_000 + day * 86_400).expect("time").to_string());
        row
    };
    let days = |count| batch(key, &json!((0..count).map(on).collect::<Vec<_>>()));
    client.post(LOG, &days(401)).await.blames(413, "requests[].created_at");
    client.post(LOG, &days(400)).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 400);
}

async fn many_rows_are_enriched_like_few(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    for count in [1, 300] {
        let rows: Vec<_> = (0..count).map(|n| row(n, "/")).collect();
        client.post(LOG, &batch(key, &json!(rows))).await.says(201, LOGGED);
    }
    let hits = stored(&fresh.store, key).await;
    assert_eq!(hits.len(), 301);
    assert!(hits.iter().all(|hit| hit.bot == hits[0].bot && hit.client == hits[0].client), "{:?}", hits[0]);
}

async fn posts_are_limited_per_key_and_failed_ones_count(fresh: Fresh) {
    let bounds = Bounds { posts_per_minute: NonZeroU32::new(3).expect("not zero"), ..Bounds::default() };
    let client = client_with(&fresh.store, Signup::Open, 0, bounds).await;
    let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
    let good = |key| batch(key, &json!([row(0, "/")]));
    client.post(LOG, &good(key)).await.says(201, LOGGED);
    client.post(LOG, &batch(key, &json!([]))).await.says(400, "Payload contains no logged requests.");
    client.post("/api/requests", &good(key)).await.says(201, LOGGED);
    for _ in 0..2 {
        let refused = client.post(LOG, &good(key)).await;
        refused.says(429, "Too many requests.");
        assert!(refused.header("retry-after").is_some());
    }
    client.post(LOG, &good(other)).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 2);
}

async fn a_closed_installation_takes_known_keys_only(fresh: Fresh) {
    let client = client_with(&fresh.store, Signup::Closed, 0, Bounds::default()).await;
    let (known, unknown) = (Uuid::new_v4(), Uuid::new_v4());
    fresh.store.put_project("shop", known).await.expect("put");
    client.post(LOG, &batch(known, &json!([row(0, "/")]))).await.says(201, LOGGED);
    let refused = client.post(LOG, &batch(unknown, &json!([row(0, "/")]))).await;
    refused.blames(400, "api_key");
    assert_eq!(refused.json()["message"], "Invalid API key.");
    assert!(!refused.text().contains(&unknown.to_string()));
    assert_eq!(fresh.store.stored().await.expect("stored").projects, 1);
    // A key that becomes known may write at once.
    fresh.store.put_project("blog", unknown).await.expect("put");
    client.post(LOG, &batch(unknown, &json!([row(0, "/")]))).await.says(201, LOGGED);
}

async fn the_stricter_privacy_level_decides_what_is_kept(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let file = directory.path().join("country.mmdb");
    mmdb::write(&file, &map(&[("country", map(&[("iso_code", text("DE"))]))])).expect("write");
    for (configured, asked, level) in [
        (0, json!(0), 0),
        (0, json!(null), 0),
        (0, json!(-1), 0),
        (0, json!(1), 1),
        (0, json!(2), 2),
        (0, json!(99), 2),
        (1, json!(0), 1),
        (2, json!(0), 2),
        (1, json!(2), 2),
    ] {
        let enricher = enricher(&fresh.store, configured, Some(file.clone())).await;
        let logger = logger_with(&fresh.store, Signup::Open, enricher, Bounds::default());
        let client = Client(finish(router(logger)));
        let key = Uuid::new_v4();
        let mut body = batch(key, &json!([row(0, "/")]));
        body["privacy_level"] = asked.clone();
        client.post(LOG, &body).await.says(201, LOGGED);
        let hit = stored(&fresh.store, key).await.remove(0);
        let kept = (hit.ip.is_some(), hit.country.as_deref() == Some("DE"));
        assert_eq!(kept, (level < 1, level < 2), "configured {configured}, asked {asked}");
        assert!(hit.visitor.is_some(), "visitors are counted at every level");
    }
}

async fn a_key_whose_project_was_deleted_starts_anew(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = batch(key, &json!([row(0, "/")]));
    client.post(LOG, &body).await.says(201, LOGGED);
    let project = fresh.store.project_by_key(key).await.expect("find").expect("is there");
    fresh.store.delete_project(project.id).await.expect("delete");
    client.post(LOG, &body).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 1);
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

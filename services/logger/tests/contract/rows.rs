//! What becomes of the values in a batch.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::{Hit, now_ms};

use crate::{
    LOG, LOGGED, client,
    common::{Fresh, START, batch, row, stored},
};

on_both_stores! {
    null_missing_and_empty_values_are_unknown
    a_batch_with_every_oddity_is_stored_whole
    addresses_are_understood_in_every_spelling
    numbers_of_every_range_are_stored
    texts_are_kept_to_the_byte_and_cut_between_characters
    more_rows_than_upstream_keeps_are_all_kept
    bytes_that_are_no_utf8_cost_nobody_a_batch
    times_are_understood_in_every_zone_and_precision
    many_rows_are_enriched_like_few
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
    let agents: BTreeSet<_> = hits.iter().filter_map(|hit| hit.user_agent.as_deref()).collect();
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

//! Bodies that are compressed, large, slow or many.

use std::{convert::Infallible, num::NonZeroU32};

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;
use watchkeeper_logger::{Bounds, Signup};

use crate::{
    LOG, LOGGED, client, client_with,
    common::{Fresh, START, batch, gzip, row, stored, zstd},
};

on_both_stores! {
    compressed_bodies_are_taken_many_at_once
    zstd_and_large_compressed_batches_are_taken
    what_is_too_large_is_refused_before_and_after_decompression
    too_many_rows_are_refused_and_the_limit_itself_is_not
    a_small_post_that_would_become_gigabytes_is_refused
    large_bodies_that_are_held_open_keep_no_small_post_out
    a_batch_over_too_many_days_is_refused
    posts_are_limited_per_key_and_failed_ones_count
}

async fn compressed_bodies_are_taken_many_at_once(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = gzip(batch(key, &json!([row(0, "/zipped")])).to_string().as_bytes());
    let mut posts = JoinSet::new();
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

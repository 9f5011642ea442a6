//! Questions whose clients do not wait for the answer.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchkeeper_e2e::upstream::{Upstream, http_client, row};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const KEY: &str = "00000000-0000-4000-8000-00000000a0e5";

/// Clients that go away: more than may ask about one project at once.
const GONE: i64 = 8;

const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that are being answered.
fn active(server: &Watchkeeper) -> anyhow::Result<i64> {
    let metrics = server.metrics()?;
    let value = metrics.lines().find_map(|line| line.strip_prefix("http_server_active_requests "));
    Ok(value.unwrap_or("0").parse()?)
}

async fn becomes(server: &Watchkeeper, count: i64) {
    wait::until_async(&format!("{count} requests are being answered"), PATIENCE, async || {
        Ok((active(server)? == count).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_ends_when_its_client_closes_the_connection_and_leaves_its_place_to_others() {
    let url = Postgres::shared().unwrap().database().unwrap();
    let server = Watchkeeper::local().database(&url).start().unwrap();
    let token = fs::read_to_string(server.data().join("admin-token")).unwrap();
    let token = token.trim();
    let client = http_client().unwrap();
    let put = client.put(format!("{}/api/v1/projects/shop", server.base_url())).bearer_auth(token);
    assert!(put.body(json!({ "key": KEY }).to_string()).send().await.unwrap().status().is_success());
    let upstream = Upstream::new(server.base_url()).unwrap();
    let posted = upstream.post(KEY, "FastAPI", &[row("/", "2026-02-03T04:05:06Z")]).await.unwrap();
    assert_eq!(posted, 201);

    let question =
        json!({ "project": "shop", "date_range": ["2026-02-01", "2026-02-28"], "metrics": ["hits"] });
    let question = question.to_string();
    let ask = async || {
        let post = client.post(format!("{}/api/v1/query", server.base_url())).bearer_auth(token);
        post.body(question.clone()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    let idle = active(&server).unwrap();

    // From here on nobody can read a hit, while keys and projects are found as ever.
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE inbox, segments IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let address = server.base_url().strip_prefix("http://").unwrap().to_owned();
    let connect = async || {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let request = format!(
            "POST /api/v1/query HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{question}",
            question.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    };
    let mut patient = connect().await;
    becomes(&server, idle + 1).await;
    let mut gone = Vec::new();
    for _ in 0..GONE {
        gone.push(connect().await);
    }
    becomes(&server, idle + 1 + GONE).await;
    drop(gone);
    // None of them could be answered: the one that waits could not be either.
    becomes(&server, idle + 1).await;

    lock.rollback().await.unwrap();
    let mut answer = String::new();
    patient.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(ask().await, 200, "there is a place");
}

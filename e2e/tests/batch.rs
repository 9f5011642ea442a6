//! One batch with everything in it that makes api-analytics drop rows or refuse the batch.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::{Row, Upstream, row};

const AGENTS: usize = 200;

#[tokio::test]
async fn an_awkward_batch_is_stored_whole_on_sqlite() {
    an_awkward_batch_is_stored_whole(Store::Sqlite).await;
}

#[tokio::test]
async fn an_awkward_batch_is_stored_whole_on_postgres() {
    an_awkward_batch_is_stored_whole(Store::Postgres).await;
}

async fn an_awkward_batch_is_stored_whole(store: Store) {
    let server = stores::start(store).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = upstream.generate().await.unwrap();
    let batch = awkward_batch();

    assert_eq!(upstream.post(&key, "Express", &batch).await.unwrap(), StatusCode::CREATED);

    let rows = upstream.dashboard(&key).await.unwrap();
    assert_whole(&rows, batch.len());
    let mut data = upstream.data(&key).await.unwrap();
    let mut rows = rows;
    data.sort();
    rows.sort();
    assert_eq!(data, rows, "the raw data and the dashboard show the same");
}

/// 200 distinct user agents, and then one row for each awkward thing.
fn awkward_batch() -> Vec<Value> {
    let now = format!("{:.3}", Timestamp::now());
    let awkward = |path: &str, field: &str, value: Value| {
        let mut row = row(path, &now);
        row[field] = value;
        row
    };
    let mut batch: Vec<Value> = (0..AGENTS)
        .map(|number| awkward(&format!("/agent/{number}"), "user_agent", json!(agent(number))))
        .collect();
    batch.push(awkward("/junk-ip", "ip_address", json!("junk")));
    batch.push(awkward("/slow", "response_time", json!(40_000)));
    batch.push(awkward("/apostrophe", "user_agent", json!("O'Reilly's reader/2.0")));
    batch.push(awkward("/users/update", "method", json!("PUT")));
    batch
}

/// As long and as different as real ones are.
fn agent(number: usize) -> String {
    format!(
        "Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/{number}.0.6099.{number} Safari/537.36 Edition/{number}"
    )
}

fn assert_whole(rows: &[Row], count: usize) {
    assert_eq!(rows.len(), count);
    let agents: BTreeSet<_> =
        rows.iter().filter(|row| row.path.starts_with("/agent/")).map(|row| &row.user_agent).collect();
    assert_eq!(agents.len(), AGENTS);
    for number in 0..AGENTS {
        assert_eq!(only(rows, &format!("/agent/{number}")).user_agent, Some(agent(number)));
    }
    assert_eq!(only(rows, "/junk-ip").ip, None);
    assert_eq!(only(rows, "/agent/0").ip.as_deref(), Some("203.0.113.9"));
    assert_eq!(only(rows, "/slow").response_time, 40_000);
    assert_eq!(only(rows, "/apostrophe").user_agent.as_deref(), Some("O'Reilly's reader/2.0"));
    assert_eq!(only(rows, "/users/update").method, 2, "PUT is number 2 in this protocol");
}

fn only<'a>(rows: &'a [Row], path: &str) -> &'a Row {
    let found: Vec<_> = rows.iter().filter(|row| row.path == path).collect();
    assert_eq!(found.len(), 1, "rows with path {path}");
    found[0]
}

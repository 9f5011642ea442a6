//! The seven steps by which api-analytics checks a self-hosted installation.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use serde_json::{Value, json};
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::http_client;

#[tokio::test]
async fn the_seven_steps_pass_on_sqlite() {
    seven_steps(Store::Sqlite).await;
}

#[tokio::test]
async fn the_seven_steps_pass_on_postgres() {
    seven_steps(Store::Postgres).await;
}

async fn seven_steps(store: Store) {
    let server = stores::start(store).unwrap();
    assert_eq!(has_files_of_sqlite(server.data()), store == Store::Sqlite);
    let base = server.base_url();
    let http = http_client().unwrap();

    // 1: a key.
    let answer = http.get(format!("{base}/api/generate")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let key = answer.text().await.unwrap().replace('"', "");

    // 2: two hits.
    let answer = http.post(format!("{base}/api/log-request")).json(&two_hits(&key)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);

    // 3: the key's user id.
    let answer = http.get(format!("{base}/api/user-id/{key}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let user = answer.text().await.unwrap().replace('"', "");

    // 4: the dashboard's view, which must hold the hits at once.
    let request = http.get(format!("{base}/api/requests/{user}")).header(ACCEPT_ENCODING, "gzip");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    let mut body = String::new();
    GzDecoder::new(answer.bytes().await.unwrap().as_ref()).read_to_string(&mut body).unwrap();
    assert!(body.len() >= 100, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["requests"].as_array().unwrap().len(), 2, "{body}");

    // 5: the raw data.
    let request = http.get(format!("{base}/api/data")).header("X-AUTH-TOKEN", &key);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.text().await.unwrap();
    assert!(body.len() >= 100, "{body}");
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row["path"].as_str().unwrap(), row["status"].as_i64().unwrap())).collect();
    assert_eq!(seen, [("/test", 200), ("/not-found", 404)]);

    // 6: everything goes.
    let answer = http.get(format!("{base}/api/delete/{key}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    // 7: the script ends well; here, what was deleted is really gone.
    let request = http.get(format!("{base}/api/data")).header("X-AUTH-TOKEN", &key);
    assert_eq!(request.send().await.unwrap().text().await.unwrap().trim(), "[]");
}

fn two_hits(key: &str) -> Value {
    let now = Timestamp::now();
    let hit = |path: &str, status: u16, response_time: u16, at: Timestamp| {
        json!({
            "hostname": "example.com",
            "ip_address": "",
            "path": path,
            "user_agent": "test",
            "method": "GET",
            "status": status,
            "response_time": response_time,
            "user_id": "",
            "created_at": format!("{at:.3}"),
        })
    };
    let earlier = now - jiff::SignedDuration::from_millis(5);
    json!({
        "api_key": key,
        "requests": [hit("/test", 200, 15, earlier), hit("/not-found", 404, 10, now)],
        "framework": "FastAPI",
        "privacy_level": 0,
    })
}

fn has_files_of_sqlite(data: &Path) -> bool {
    let mut files = std::fs::read_dir(data).unwrap();
    files.any(|file| file.unwrap().path().extension().is_some_and(|end| end == "db"))
}

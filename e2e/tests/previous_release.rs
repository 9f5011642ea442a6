//! Databases as earlier releases left them: this release migrates them and answers the same.
//!
//! Each folder of `fixtures` is named after the release whose binary wrote it: the embedded store's
//! file and a dump of Postgres, each beside what that release answered about it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watchkeeper_e2e::upstream::{Row, Upstream, row};
use watchkeeper_testkit::paths;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

fn releases() -> Vec<PathBuf> {
    let fixtures = paths::workspace().join("e2e/fixtures");
    let releases: Vec<PathBuf> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!releases.is_empty());
    releases
}

#[tokio::test]
async fn the_embedded_store_of_an_earlier_release_answers_the_same() {
    for release in releases() {
        let data = tempfile::tempdir().unwrap();
        fs::copy(release.join("watchkeeper.db"), data.path().join("watchkeeper.db")).unwrap();
        let server = Watchkeeper::local().data(data.path()).start().unwrap();
        answers_the_same(&server, &release.join("watchkeeper.json")).await;
    }
}

#[tokio::test]
async fn a_postgres_database_of_an_earlier_release_answers_the_same() {
    for release in releases() {
        let postgres = Postgres::shared().unwrap();
        let url = postgres.database().unwrap();
        postgres.load(&url, &release.join("postgres.sql")).unwrap();
        let server = Watchkeeper::local().database(&url).start().unwrap();
        answers_the_same(&server, &release.join("postgres.json")).await;
    }
}

/// What was there is there, each hit once, and more can be written beside it.
async fn answers_the_same(server: &Watchkeeper, answers: &Path) {
    let answers: Value = serde_json::from_slice(&fs::read(answers).unwrap()).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = answers["key"].as_str().unwrap();
    assert_eq!(upstream.user_id(key).await.unwrap(), answers["user"]);
    let wanted: Vec<(String, String, i64)> = serde_json::from_value(answers["rows"].clone()).unwrap();
    let found = |rows: &[Row]| -> Vec<(String, String, i64)> {
        rows.iter().map(|row| (row.created_at.clone(), row.path.clone(), row.status)).collect()
    };
    assert_eq!(found(&upstream.dashboard(key).await.unwrap()), wanted);

    let endpoints: Value = upstream.get("/api/v1/endpoints").send().await.unwrap().json().await.unwrap();
    let watched = endpoints["endpoints"].as_array().unwrap();
    assert!(watched.iter().any(|endpoint| endpoint["displayName"] == answers["endpoint"]), "{endpoints}");

    let status = upstream.post(key, "FastAPI", &[row("/after", "2026-11-01T00:00:00Z")]).await.unwrap();
    assert_eq!(status, 201);
    let mut more = wanted;
    more.push(("2026-11-01T00:00:00Z".into(), "/after".into(), 200));
    assert_eq!(found(&upstream.dashboard(key).await.unwrap()), more);
}

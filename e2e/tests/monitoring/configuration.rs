//! The file and the environment.

use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;
use watchkeeper_e2e::stores::Store;
use watchkeeper_store::{Check, DAY_MS, LastCheck, ProjectId, now_ms};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::{program, wait};

use crate::harness::{PATIENCE, Server, World};

on_both_stores! {
    endpoints_of_the_file_are_made_and_changed_by_name
    a_key_of_the_file_is_asked_for_in_its_header
    old_checks_vanish_as_the_file_says
}

async fn endpoints_of_the_file_are_made_and_changed_by_name(store: Store) {
    let config = "endpoints:\n  - {name: shop, url: 'http://127.0.0.1:1/', interval: 3600}\n  - {name: blog, url: 'http://127.0.0.1:1/', interval: 3600}\n";
    let world = World::start(store, config).await;
    let list = async || world.get("/api/v1/endpoints").await;
    let told = list().await;
    assert_eq!(told["total"], 2);
    let id = told["endpoints"][0]["id"].clone();
    let path = format!("/api/v1/endpoints/{id}");
    let (status, _) = world.call(Method::PUT, &path, Some(&json!({ "timeout": 9, "method": "HEAD" }))).await;
    assert_eq!(status, 200);
    world.create_quiet("by hand", "http://127.0.0.1:1/", json!({})).await;
    // The file wins over what was changed; what it no longer names stays.
    std::fs::write(&world.file, "endpoints:\n  - {name: shop, url: 'http://127.0.0.1:2/', interval: 1800}\n")
        .unwrap();
    world.watchkeeper.restart().unwrap();
    let told = list().await;
    assert_eq!(told["total"], 3, "{told}");
    let shop = world.get(&path).await;
    assert_eq!(
        (&shop["url"], &shop["interval"], &shop["timeout"], &shop["method"]),
        (&json!("http://127.0.0.1:2/"), &json!(1800), &json!(5), &json!("GET"))
    );
}

async fn a_key_of_the_file_is_asked_for_in_its_header(store: Store) {
    let config = "api: {auth: {enabled: true, api_key: from-file, header_name: X-Monitor}}\n";
    let world = World::start_with(store, config, |local| local.env("API_KEY", "from-environment")).await;
    let http = reqwest::Client::new();
    let url = format!("{}/api/v1/endpoints", world.watchkeeper.base_url());
    for (key, status) in [(None, 401), (Some("from-file"), 401), (Some("from-environment"), 200)] {
        let mut request = http.get(&url);
        if let Some(key) = key {
            request = request.header("x-monitor", key);
        }
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{key:?}");
    }
    assert_eq!(world.call(Method::GET, "/health", None).await.0, 200);
    let log = std::fs::read_to_string(world.watchkeeper.log()).unwrap();
    assert!(!log.contains("from-environment"), "a key is a secret");
}

async fn old_checks_vanish_as_the_file_says(store: Store) {
    let target = Server::start(200).await;
    let world = World::start(store, "monitoring: {check_history_days: 3}\n").await;
    let id = world.create_quiet("shop", target.url(), json!({})).await;
    let old = LastCheck { at: now_ms() - 2 * DAY_MS, status: Some(503), ..LastCheck::default() };
    let old = Check { project: ProjectId::INSTALLATION, endpoint: id, result: old };
    let beside = world.store().await;
    beside.record_manual_check(&old).await.unwrap();
    beside.close().await;
    world.check(id).await;
    let statuses = async || -> Vec<_> {
        world.history(id).await.iter().map(|check| check["status_code"].as_i64()).collect()
    };
    assert_eq!(statuses().await, [Some(200), Some(503)]);
    world.watchkeeper.restart().unwrap();
    assert_eq!(statuses().await, [Some(200), Some(503)], "three days are not over");
    std::fs::write(&world.file, "monitoring: {check_history_days: 1}\n").unwrap();
    world.watchkeeper.restart().unwrap();
    wait::until_async("the old one is gone", PATIENCE, async || {
        Ok((statuses().await == [Some(200)]).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_and_a_variable_win_over_what_the_file_says_of_logs() {
    let config = "logging: {level: ERROR, format: json}\n";
    let world = World::start_with(Store::Sqlite, config, |local| {
        local.arg("--log").arg("info").env("WATCHKEEPER_LOG_FORMAT", "text")
    })
    .await;
    world.get("/api/v1/endpoints").await;
    let line = wait::until_async("a line of the request", PATIENCE, async || {
        let log = std::fs::read_to_string(world.watchkeeper.log())?;
        Ok(log.lines().find(|line| line.contains("INFO")).map(str::to_owned))
    })
    .await
    .unwrap();
    assert!(line.contains(" INFO ") && !line.starts_with('{'), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_chooses_the_database_and_the_level_of_logs() {
    let url = Postgres::shared().unwrap().database().unwrap();
    let sqlalchemy = url.replacen("postgres://", "postgresql+asyncpg://", 1).replacen(
        "postgresql://",
        "postgresql+asyncpg://",
        1,
    );
    let world = World::start_with(Store::Sqlite, "logging: {level: INFO}\n", |local| {
        local.env("DATABASE_URL", sqlalchemy).env("LOG_LEVEL", "ERROR")
    })
    .await;
    world.create_quiet("shop", "http://127.0.0.1:1/", json!({})).await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT name FROM endpoints").fetch_one(&pool).await.unwrap();
    assert_eq!(name, "shop");
    let log = std::fs::read_to_string(world.watchkeeper.log()).unwrap();
    assert!(!log.contains(" INFO "), "{log}");
}

#[test]
fn a_file_with_mistakes_fails_the_start_and_names_them() {
    let directory = RunDir::new("mistakes").unwrap();
    let file = directory.path().join("config.yaml");
    for (text, told) in [
        ("api: {port: [1,", "line"),
        (
            "endpoints:\n  - {name: shop, url: 'http://a/', interval: 9}\n",
            "endpoints[0].interval: Input should be",
        ),
        ("database: {type: mysql, url: 'mysql://x'}", "database.type: mysql is not supported"),
        ("api: {auth: {enabled: true}}", "api.auth.api_key: must be set"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = Command::new(program::find("watchkeeper").unwrap())
            .args(["local", "--data"])
            .arg(directory.path().join("data"))
            .arg("--monitoring-config")
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(told), "{text}: {error}");
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}

//! Whom the product takes for a bot, and what device for what, judged by lists that others keep: npm's
//! `crawler-user-agents` and the real browsers of `user-agents`.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use watchkeeper_e2e::browser;
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::{Upstream, http_client, row};
use watchkeeper_logger::Salts;
use watchkeeper_logger::enrich::{Enricher, EnricherConfig};

/// The list's tag of HTTP libraries, which are clients to us and not bots.
const LIBRARY: &str = "http-library";

static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| browser::packages().unwrap());

fn enricher() -> Enricher {
    let config = EnricherConfig { geoip: None, privacy_level: 0, salts: Salts::default(), honor_gpc: false };
    Enricher::new(config).unwrap()
}

fn list(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(PACKAGES.join(file)).unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(list.len() > 1000, "{file} holds but {}", list.len());
    list
}

/// Examples of agents by whether the list takes them for a library's.
fn crawlers(library: bool) -> Vec<String> {
    let list = list("crawler-user-agents/crawler-user-agents.json");
    let tagged = |it: &Value| it["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == LIBRARY));
    let chosen = list.iter().filter(|it| tagged(it) == library);
    let examples = chosen.filter_map(|it| it["instances"].as_array()).flatten();
    examples.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn ninety_eight_of_a_hundred_crawlers_are_bots() {
    let enricher = enricher();
    let all = crawlers(false);
    assert!(all.len() > 1500, "there are but {} examples", all.len());
    let missed: Vec<&String> = all.iter().filter(|ua| !enricher.user_agent(ua).bot).collect();
    let found = 1.0 - missed.len() as f64 / all.len() as f64;
    assert!(found >= 0.98, "{found:.4} of {} were found, not: {missed:#?}", all.len());
}

#[test]
fn libraries_that_the_list_counts_among_crawlers_are_clients() {
    let enricher = enricher();
    let all = crawlers(true);
    let named = |name: &str| all.iter().filter(|ua| ua.starts_with(name)).collect::<Vec<_>>();
    for library in
        ["curl/", "Wget/", "python-requests/", "Go-http-client/", "okhttp/", "axios/", "Apache-HttpClient/"]
    {
        let agents = named(library);
        assert!(!agents.is_empty(), "the list has no {library}");
        for ua in agents {
            assert!(!enricher.user_agent(ua).bot, "{ua}");
        }
    }
}

#[test]
fn of_a_thousand_real_browsers_not_one_is_a_bot() {
    let enricher = enricher();
    let list = list("user-agents/dist/user-agents.json");
    let all: Vec<&str> = list.iter().filter_map(|it| it["userAgent"].as_str()).collect();
    assert!(all.len() > 1000, "there are but {} agents", all.len());
    let taken: Vec<&&str> = all.iter().filter(|ua| enricher.user_agent(ua).bot).collect();
    let share = taken.len() as f64 / all.len() as f64;
    assert!(share < 0.001, "{share:.5} of {} are bots: {taken:#?}", all.len());
}

#[tokio::test]
async fn ninety_nine_of_a_hundred_devices_are_stored_as_what_they_are_on_sqlite() {
    devices_are_stored_as_what_they_are(Store::Sqlite).await;
}

#[tokio::test]
async fn ninety_nine_of_a_hundred_devices_are_stored_as_what_they_are_on_postgres() {
    devices_are_stored_as_what_they_are(Store::Postgres).await;
}

/// The list knows the devices by more than their agents, by the size of their screens for one.
async fn devices_are_stored_as_what_they_are(store: Store) {
    let list = list("user-agents/dist/user-agents.json");
    let told: Vec<(&str, &str)> = list
        .iter()
        .filter_map(|it| Some((it["userAgent"].as_str()?, it["deviceCategory"].as_str()?)))
        .collect();
    assert_eq!(told.len(), list.len());
    let agents: BTreeSet<&str> = told.iter().map(|(agent, _)| *agent).collect();

    let server = stores::start(store).unwrap();
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = upstream.generate().await.unwrap();
    let now = Timestamp::now().to_string();
    let hit = |agent: &&str| {
        let mut hit = row("/", &now);
        hit["user_agent"] = json!(agent);
        hit
    };
    let hits: Vec<Value> = agents.iter().map(hit).collect();
    assert_eq!(upstream.post(&key, "FastAPI", &hits).await.unwrap(), StatusCode::CREATED);

    let question = json!({
        "date_range": "all", "metrics": ["hits"], "dimensions": ["user_agent", "device"],
    });
    let ask = http_client().unwrap().post(format!("{}/api/v1/query", server.base_url()));
    let answer = ask.header("X-AUTH-TOKEN", &key).body(question.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    let rows = answer["results"].as_array().unwrap();
    let stored: BTreeMap<&str, Option<&str>> = rows
        .iter()
        .map(|row| (row["dimensions"][0].as_str().unwrap(), row["dimensions"][1].as_str()))
        .collect();
    assert_eq!(stored.keys().copied().collect::<BTreeSet<_>>(), agents);
    let wrong: Vec<_> = told
        .iter()
        .filter(|(agent, category)| stored[agent].map(str::to_lowercase).as_deref() != Some(*category))
        .collect();
    let right = 1.0 - wrong.len() as f64 / told.len() as f64;
    assert!(right >= 0.99, "{right:.4} of {} are right, not: {wrong:#?}", told.len());
}

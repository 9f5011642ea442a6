//! Whom the product takes for a bot, judged by lists that others keep: npm's
//! `crawler-user-agents` and the real browsers of `user-agents`.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;
use watchkeeper_e2e::browser;
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

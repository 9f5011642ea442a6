//! What api-analytics' dashboard does, in its order: it signs up and in, loads page after page and draws its
//! cards, adds and deletes monitors, makes a new link and deletes everything.
#![allow(clippy::unwrap_used)]

mod browser;
mod cards;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use watchkeeper_e2e::stores::Store;
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::mmdb::{self, map, text};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

use browser::Browser;
use cards::{Cards, Row, Settings, User};

/// More than a page of the server's, and with a second page that makes the dashboard ask for a third.
const HITS: usize = 450_000;
/// Those of the week before this one, the first of them.
const OLD: usize = 200_000;
/// As many as a post may have.
const POST: usize = 20_000;
/// A monitor that is new is asked within two seconds, and then each minute.
const CHECKED: Duration = Duration::from_secs(40);

/// The country of the lower half of all addresses.
const COUNTRY: &str = "DE";

/// What an application has logged: hits in the order of time, each told by its number.
#[derive(Clone, Copy)]
struct Log {
    end: Timestamp,
}

impl Log {
    /// From 13 days to 8 days ago, and from 6 days ago until some hours ago.
    fn at(self, number: usize) -> Timestamp {
        let (days, place, step) = if number < OLD { (13, number, 2_160) } else { (6, number - OLD, 2_000) };
        let since = SignedDuration::from_millis(i64::try_from(place).unwrap() * step);
        self.end - SignedDuration::from_hours(24 * days) + since
    }

    fn hit(self, number: usize) -> Value {
        json!({
            "hostname": hostname(number),
            "ip_address": address(number),
            "path": path(number),
            "user_agent": agent(number),
            "method": method(number),
            "response_time": number % 100,
            "status": status(number),
            "user_id": null,
            "created_at": self.at(number).to_string(),
            "referrer": referrer(number),
        })
    }

    fn is(self, number: usize, row: &Row<'_>) -> bool {
        let country = if number % 25 < 10 { COUNTRY } else { "" };
        row.ip == Some(address(number).as_str())
            && row.path == path(number)
            && row.hostname == hostname(number)
            && row.agent == agent(number).as_deref()
            && row.method == method(number)
            && row.response_time == i64::try_from(number % 100).unwrap()
            && row.status == status(number)
            && row.location == country
            && row.user_id.is_empty()
            && row.at == self.at(number)
            && row.referrer == referrer(number)
    }
}

fn hostname(number: usize) -> &'static str {
    match number % 10 {
        0..5 => "shop.example",
        5..9 => "api.example",
        _ => "admin.example",
    }
}

fn address(number: usize) -> String {
    let visitor = number % 25;
    if visitor < 10 { format!("81.2.69.{visitor}") } else { format!("203.0.113.{visitor}") }
}

fn path(number: usize) -> String {
    match number % 4 {
        0 => "/v1/items".into(),
        1 => format!("/v2/items?page={}", number % 7),
        2 => "/about".into(),
        _ => "/v1/items/7/".into(),
    }
}

fn method(number: usize) -> &'static str {
    if number % 4 == 3 { "POST" } else { "GET" }
}

fn status(number: usize) -> i64 {
    match number % 20 {
        0 => 404,
        1 => 500,
        2 => 301,
        _ => 200,
    }
}

fn agent(number: usize) -> Option<String> {
    let version = number % 125;
    match number % 5 {
        0 => Some(format!("curl/8.{version}.0")),
        1 => {
            Some(format!("Mozilla/5.0 (Windows NT 10.0; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"))
        }
        2 => Some(format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/{version}.0 Safari/604.1")),
        3 => Some(format!("python-requests/2.{version}")),
        _ => None,
    }
}

fn referrer(number: usize) -> Option<&'static str> {
    match number % 50 {
        0 => Some("https://news.example/item?id=7"),
        25 => Some("https://news.example/item?id=8"),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_dashboard_does_and_draws_all_on_the_embedded_store() {
    does_and_draws_all(Store::Sqlite).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_dashboard_does_and_draws_all_on_postgres() {
    does_and_draws_all(Store::Postgres).await.unwrap();
}

async fn does_and_draws_all(store: Store) -> Result<()> {
    let files = RunDir::new("upstream-dashboard")?;
    let countries = files.path().join("country.mmdb");
    mmdb::write(&countries, &map(&[("country", map(&[("iso_code", text(COUNTRY))]))]))?;
    let mut local =
        Watchkeeper::local().arg("--geoip").arg(&countries).arg("--probe-allow").arg("127.0.0.0/8");
    if store == Store::Postgres {
        local = local.database(&Postgres::shared()?.database()?);
    }
    let server = local.start()?;
    let browser = Browser::open(&format!("{}/", server.base_url()))?;

    let key = signs_up(&browser).await?;
    let log = Log { end: Timestamp::from_millisecond(Timestamp::now().as_millisecond())? };
    logs(&server.base_url(), &key, log).await?;
    let page = signs_in(&browser, &key).await?;
    draws(&browser, &page, log).await?;
    counts_users_by_their_ids(&browser, &server.base_url()).await?;
    monitors(&browser, &page).await?;
    let page = makes_a_new_link(&browser, &key, &page).await?;
    deletes(&browser, &key, &page).await
}

async fn signs_up(browser: &Browser) -> Result<String> {
    let answer = browser.get("/api/generate-api-key").await?;
    assert_eq!(answer.status, StatusCode::OK);
    Ok(answer.json()?.as_str().unwrap().to_owned())
}

/// The newest hits first, so that order is the server's work.
async fn logs(base: &str, key: &str, log: Log) -> Result<()> {
    let upstream = Upstream::new(base)?;
    for first in (0..HITS).step_by(POST).rev() {
        let hits: Vec<Value> = (first..HITS.min(first + POST)).map(|number| log.hit(number)).collect();
        assert_eq!(upstream.post(key, "FastAPI", &hits).await?, StatusCode::CREATED);
    }
    Ok(())
}

async fn signs_in(browser: &Browser, key: &str) -> Result<String> {
    assert_eq!(browser.sign_in("no key").await?, None, "it tells that there is no such key");
    assert_eq!(browser.sign_in("00000000-0000-4000-8000-000000000000").await?, None);
    Ok(browser.sign_in(key).await?.unwrap())
}

async fn draws(browser: &Browser, page: &str, log: Log) -> Result<()> {
    let now = Timestamp::now();
    let week = |keep: fn(&Row<'_>) -> bool| Cards::new(Settings { days: Some(7), keep }, now);
    let mut cards = [
        week(|_| true),
        Cards::new(Settings { days: None, keep: |_| true }, now),
        week(|row| row.hostname == "shop.example"),
        week(|row| row.path == "/v1/items" && row.status == 404),
        week(|row| row.location == COUNTRY),
    ];
    let mut number = 0;
    let pages = browser
        .load(page, |columns, agents| {
            let row = Row::of(columns, agents).unwrap();
            assert!(log.is(number, &row), "{number} is not {columns}");
            number += 1;
            cards.iter_mut().for_each(|cards| cards.add(&row));
        })
        .await?;
    assert_eq!(pages, [250_000, 200_000, 0]);

    let [week, ever, shop, lost, located] = &cards;
    assert_eq!((week.requests, week.changes()), (250_000, [Some(25.0), Some(0.0)]));
    assert_eq!(week.success_rate(), Some(90.0));
    assert_eq!(week.quartiles(), [24.75, 49.5, 74.25]);
    let last = |visitor: usize| {
        let number = (OLD..HITS).rev().find(|number| number % 25 == visitor).unwrap();
        (address(number), User { requests: 10_000, last: log.at(number) })
    };
    assert_eq!(week.users, (0..25).map(last).collect::<BTreeMap<_, _>>());
    assert_eq!(counts(&week.versions), [("v1", 125_000), ("v2", 62_500)]);
    let endpoints: Vec<_> = week
        .endpoints
        .iter()
        .map(|((endpoint, status), count)| (endpoint.as_str(), *status, *count))
        .collect();
    assert_eq!(
        endpoints,
        [
            ("GET  /about", 200, 50_000),
            ("GET  /about", 301, 12_500),
            ("GET  /v1/items", 200, 50_000),
            ("GET  /v1/items", 404, 12_500),
            ("GET  /v2/items", 200, 50_000),
            ("GET  /v2/items", 500, 12_500),
            ("POST  /v1/items/7/", 200, 62_500),
        ]
    );
    assert_eq!(counts(&week.locations), [(COUNTRY, 100_000)]);
    assert_eq!(counts(&week.referrers), [("https://news.example/item", 10_000)]);
    let clients: Vec<_> = week.clients.iter().map(|(name, count)| (*name, *count)).collect();
    let of_each = ["Curl", "Firefox", "Python requests", "Safari"].map(|name| (name, 50_000));
    assert_eq!(clients, of_each);
    let mut hours = [0; 24];
    for number in OLD..HITS {
        hours[usize::try_from(log.at(number).as_second() / 3_600 % 24)?] += 1;
    }
    assert_eq!(week.hours, hours);
    let hostnames = [("admin.example", 45_000), ("api.example", 180_000), ("shop.example", 225_000)];
    assert_eq!(counts(&week.hostnames), hostnames, "the list to choose from is of every hit");

    assert_eq!((ever.requests, ever.changes()), (HITS, [None, None]));
    assert_eq!((ever.success_rate(), ever.quartiles()), (Some(90.0), [24.75, 49.5, 74.25]));
    assert_eq!((ever.users.len(), counts(&ever.versions)[0]), (25, ("v1", 225_000)));
    assert_eq!((shop.requests, shop.success_rate()), (125_000, Some(80.0)));
    assert_eq!((lost.requests, lost.success_rate()), (12_500, Some(0.0)));
    assert_eq!((located.requests, located.users.len()), (100_000, 10));
    Ok(())
}

fn counts(of: &BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    of.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

/// At privacy level 2 there are no addresses, and the application's own names tell users apart.
async fn counts_users_by_their_ids(browser: &Browser, base: &str) -> Result<()> {
    let key = signs_up(browser).await?;
    let now = Timestamp::now();
    let requests: Vec<Value> = ["ann", "bob", "ann", ""]
        .into_iter()
        .map(|user| {
            json!({ "path": "/", "method": "GET", "status": 200, "response_time": 5, "user_id": user,
                    "ip_address": "81.2.69.1", "hostname": "shop.example", "created_at": now.to_string() })
        })
        .collect();
    let payload = json!({ "api_key": key, "requests": requests, "framework": "FastAPI", "privacy_level": 2 });
    let http = watchkeeper_e2e::upstream::http_client()?;
    let posted = http.post(format!("{base}/api/log-request")).json(&payload).send().await?;
    assert_eq!(posted.status(), StatusCode::CREATED);

    let page = signs_in(browser, &key).await?;
    let mut cards = Cards::new(Settings { days: Some(7), keep: |_| true }, Timestamp::now());
    let pages = browser.load(&page, |columns, agents| cards.add(&Row::of(columns, agents).unwrap())).await?;
    let users: Vec<_> = cards.users.iter().map(|(name, user)| (name.as_str(), user.requests)).collect();
    assert_eq!((pages, users), (vec![4], vec![("ann", 2), ("bob", 1)]));
    assert_eq!((cards.changes(), cards.locations.len()), ([None, None], 0));
    Ok(())
}

async fn monitors(browser: &Browser, page: &str) -> Result<()> {
    let down = async || StatusCode::SERVICE_UNAVAILABLE;
    let router = Router::new().route("/up", get(async || "well")).route("/down", get(down));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    let [up, down] = ["up", "down"].map(|path| format!("http://{address}/{path}"));
    // Where nobody listens.
    let [up, down, gone] = [up.as_str(), down.as_str(), "http://127.0.0.1:1/"];

    let user = dashed(page);
    let pings = format!("/api/monitor/pings/{user}");
    let add = async |url: &str| -> Result<StatusCode> {
        let body = json!({ "user_id": user, "url": url, "ping": true, "secure": false });
        Ok(browser.post("/api/monitor/add", &body).await?.status)
    };
    assert_eq!(browser.get(&pings).await?.json()?, json!({}), "the page says that there is none yet");
    for url in [up, down, gone] {
        assert_eq!(add(url).await?, StatusCode::CREATED, "{url}");
    }
    assert_eq!(add(up).await?, StatusCode::CONFLICT, "`Endpoint already monitored.`");
    let refused = add("http://one-too-many.example/").await?;
    assert_eq!(refused, StatusCode::BAD_REQUEST, "from a page that has not seen the others");

    let drawn = wait::until_async("each monitor has a ping", CHECKED, async || {
        let all = browser.get(&pings).await?.json()?;
        let ready = [up, down, gone].iter().all(|url| all[*url][0].is_object());
        Ok(ready.then_some(all))
    })
    .await?;
    for (url, status, well) in [(up, 200, true), (down, 503, false), (gone, 0, false)] {
        let of_url = &drawn[url];
        assert_eq!(of_url[0]["status"], status, "{url}: {of_url}");
        let uptime = if well { 1.0 } else { 0.0 };
        assert_eq!(cards::monitor(of_url)?, (well, uptime), "{url}: {of_url}");
        let times: Vec<Timestamp> = of_url
            .as_array()
            .unwrap()
            .iter()
            .map(|ping| ping["created_at"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(times.is_sorted(), "{url}: {of_url}");
    }

    let delete = json!({ "user_id": user, "status": 0, "url": down });
    assert_eq!(browser.post("/api/monitor/delete", &delete).await?.status, StatusCode::CREATED);
    let left = browser.get(&pings).await?.json()?;
    let left: BTreeSet<&str> = left.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(left, BTreeSet::from([up, gone]));
    Ok(())
}

async fn makes_a_new_link(browser: &Browser, key: &str, old: &str) -> Result<String> {
    let answer = browser.post_with_token("/api/regenerate-user-id", key).await?;
    assert_eq!(answer.status, StatusCode::OK);
    opens_nothing(browser, old).await?;
    let page = browser.sign_in(key).await?.unwrap();
    assert_ne!(page, old);
    let answer = browser.get(&format!("/api/requests/{}/1", dashed(&page))).await?;
    assert_eq!(answer.status, StatusCode::OK);
    Ok(page)
}

async fn deletes(browser: &Browser, key: &str, page: &str) -> Result<()> {
    assert_eq!(browser.get(&format!("/api/delete/{key}")).await?.status, StatusCode::OK);
    assert_eq!(browser.sign_in(key).await?, None);
    opens_nothing(browser, page).await?;
    let pings = browser.get(&format!("/api/monitor/pings/{}", dashed(page))).await?;
    assert_eq!(pings.json()?, json!({}));
    Ok(())
}

/// The page shows the message and the status of the answer.
async fn opens_nothing(browser: &Browser, page: &str) -> Result<()> {
    let answer = browser.get(&format!("/api/requests/{}/1", dashed(page))).await?;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()?, json!({ "message": "Invalid user ID.", "status": 400 }));
    Ok(())
}

/// The id of a page's address as the calls have it.
fn dashed(page: &str) -> String {
    browser::dashed(page).unwrap()
}

//! Views of websites as site-analytics takes them, and what is learnt of the addresses that asked, over
//! the real router and on both stores.

mod common;

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use axum::body::Body;
use common::{Answer, Client, Fresh, SECRET, enricher, gzip, logger, processor, site_route, stored_views};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;
use watchkeeper_logger::{
    Bounds, Signup,
    site::{Processed, TrafficLog, import},
};
use watchkeeper_runtime::http::finish;
use watchkeeper_store::{AddressFacts, DAY_MS, Lease, Person, ProjectId, ProjectSettings, Store, now_ms};
use watchkeeper_testkit::{
    dns::{Dns, Reply},
    mmdb::{self, list, map, text},
    wait,
};

on_both_stores! {
    no_header_a_wrong_one_and_bearer_are_401_and_the_exact_secret_is_not
    who_guesses_at_the_secret_is_slowed_down_and_nobody_else
    a_project_key_opens_its_project_and_an_unknown_one_nothing
    a_view_in_the_query_string_is_stored_with_an_empty_answer
    a_view_as_json_is_stored_and_missing_or_null_fields_are_400
    a_batch_takes_200_views_and_stores_nothing_of_0_or_201
    a_small_report_that_would_become_gigabytes_is_refused
    an_odd_address_is_stored_and_counted_without_a_country
    an_address_that_cannot_be_kept_beside_the_views_holds_no_other_up
    every_url_comes_back_as_it_was_posted
    a_timestamp_is_the_time_of_its_view
    the_backup_log_has_a_line_a_view_once
    a_stricter_privacy_level_keeps_no_address_in_store_or_log
    a_visitor_who_asks_not_to_be_tracked_is_nobody_in_store_and_log
    a_report_sent_again_under_its_idempotency_key_is_stored_and_logged_once
    a_report_whose_client_does_not_wait_is_logged_once_it_is_stored
    a_deleted_project_starts_anew
    a_host_name_with_a_robots_word_makes_a_bot_and_no_name_does_not
    only_public_addresses_are_asked_for_and_each_once
    a_name_server_that_fails_or_is_silent_holds_nothing_up
    a_city_file_tells_city_and_region_of_an_address
    processing_twice_changes_nothing_and_one_replica_at_a_time_does_it
    an_address_becomes_a_bots_by_a_later_view_and_stays_one
    an_address_that_is_erased_while_dns_is_asked_about_it_stays_away
    old_days_go_only_when_their_views_were_processed
    every_format_of_log_is_imported_and_mistakes_are_told
    our_own_log_is_imported_as_it_was_written
}

const TRAFFIC: &str = "/api/v1/traffic";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";

async fn client(store: &Store) -> Client {
    client_with(store, 0, None).await
}

async fn client_with(store: &Store, privacy: u8, log: Option<TrafficLog>) -> Client {
    let logger = logger(store, Signup::Open, privacy, Bounds::default()).await;
    Client(finish(site_route(store, logger, log)))
}

async fn post(client: &Client, body: &Value) -> Answer {
    client.call("POST", TRAFFIC, &[("authorization", SECRET)], body.to_string()).await
}

fn view(ip: &str, agent: &str, timestamp: &str) -> Value {
    json!({ "url": "/", "ip_address": ip, "user_agent": agent, "timestamp": timestamp })
}

async fn report(client: &Client, views: &[Value]) {
    let answer = post(client, &json!({ "traffic": views })).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
}

async fn site(store: &Store) -> ProjectId {
    store.project_named("site").await.expect("project").id
}

async fn facts(store: &Store, ip: &str) -> AddressFacts {
    let mut all = store.address_facts(site(store).await).await.expect("facts");
    all.remove(ip).unwrap_or_default()
}

async fn no_header_a_wrong_one_and_bearer_are_401_and_the_exact_secret_is_not(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let bearer = format!("Bearer {SECRET}");
    let longer = format!("{SECRET}x");
    for header in [None, Some("wrong"), Some(bearer.as_str()), Some(longer.as_str()), Some("")] {
        let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
        // Also what would be a 400: the secret is looked at first.
        let answer = client.call("POST", TRAFFIC, &headers, "junk").await;
        assert_eq!(answer.status, 401, "{header:?}");
        assert!(answer.header("content-type").is_some_and(|label| label.starts_with("text/html")));
    }
    assert_eq!(client.call("POST", TRAFFIC, &[("authorization", SECRET)], "junk").await.status, 400);
    assert!(stored_views(&fresh.store).await.is_empty());
}

async fn who_guesses_at_the_secret_is_slowed_down_and_nobody_else(fresh: Fresh) {
    client(&fresh.store).await.slows_down_who_guesses_at_the_secret("POST", TRAFFIC).await;
}

async fn a_project_key_opens_its_project_and_an_unknown_one_nothing(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, unknown) = (Uuid::new_v4(), Uuid::new_v4().to_string());
    fresh.store.register_key(key).await.expect("register");
    let body = view("1.2.3.4", FIREFOX, "2023-11-14T22:13:20").to_string();
    let call = |key: String| {
        let (client, body) = (client.clone(), body.clone());
        async move { client.call("POST", TRAFFIC, &[("authorization", &key)], body).await.status }
    };
    assert_eq!(call(unknown.clone()).await, 401);
    assert!(fresh.store.project_by_key(unknown.parse().expect("key")).await.expect("find").is_none());
    assert_eq!(call(key.to_string()).await, 200);
    assert_eq!(common::stored(&fresh.store, key).await.len(), 1);
    assert!(stored_views(&fresh.store).await.is_empty());
}

async fn a_view_in_the_query_string_is_stored_with_an_empty_answer(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let auth = [("authorization", SECRET)];
    let query = "?url=/&ip_addr=1.2.3.4&user_agent=Mozilla/5.0%20(X11)";
    let answer = client.call("POST", &format!("{TRAFFIC}{query}"), &auth, Body::empty()).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    let hits = stored_views(&fresh.store).await;
    let hit = &hits[0];
    assert_eq!((hits.len(), hit.source.as_deref()), (1, Some("site-analytics")));
    assert_eq!((hit.path.as_deref(), hit.ip.as_deref()), (Some("/"), Some("1.2.3.4")));
    assert_eq!(hit.user_agent.as_deref(), Some("Mozilla/5.0 (X11)"));
    assert!((now_ms() - hit.ts).abs() < 60_000);
    let answer = client.call("POST", &format!("{TRAFFIC}?url=/"), &auth, Body::empty()).await;
    assert_eq!((answer.status, answer.text()), (400, "Missing \"ip_addr\" arg"));
}

async fn a_view_as_json_is_stored_and_missing_or_null_fields_are_400(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for ip in ["ip_address", "ip_addr"] {
        let answer = post(&client, &json!({ "url": "/", ip: "1.2.3.4", "user_agent": FIREFOX })).await;
        assert_eq!((answer.status, answer.text()), (200, ""));
    }
    let missing = post(&client, &json!({ "url": "/", "user_agent": FIREFOX })).await;
    let message = "Invalid parameters: {'ip_address': ['Missing data for required field.']}";
    assert_eq!((missing.status, missing.text()), (400, message));
    let null = post(&client, &json!({ "url": null, "ip_address": "1.2.3.4", "user_agent": FIREFOX })).await;
    assert_eq!((null.status, null.text()), (400, "Invalid parameters: {'url': ['Field may not be null.']}"));
    let unknown = post(&client, &json!({ "url": "/", "ip_address": "1", "user_agent": "", "zzz": 1 })).await;
    assert_eq!((unknown.status, unknown.text()), (400, "Invalid parameters: {'zzz': ['Unknown field.']}"));
    assert_eq!(stored_views(&fresh.store).await.len(), 2);
}

async fn a_batch_takes_200_views_and_stores_nothing_of_0_or_201(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let batch = |count| json!({ "traffic": vec![view("1.2.3.4", FIREFOX, "2023-11-14T22:13:20"); count] });
    let none = post(&client, &batch(0)).await;
    assert_eq!((none.status, none.text()), (400, "The request did not contain any traffic records."));
    let many = post(&client, &batch(201)).await;
    assert!(many.status == 400 && many.text().contains("maximum allowed is 200 but this one has 201"));
    let mut wrong = batch(3);
    wrong["traffic"][2]["url"] = Value::Null;
    assert_eq!(post(&client, &wrong).await.status, 400);
    assert!(stored_views(&fresh.store).await.is_empty());
    let body = gzip(batch(200).to_string().as_bytes());
    let headers = [("authorization", SECRET), ("content-encoding", "gzip")];
    assert_eq!(client.call("POST", TRAFFIC, &headers, body).await.status, 200);
    assert_eq!(stored_views(&fresh.store).await.len(), 200);
}

async fn a_small_report_that_would_become_gigabytes_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let zeros = format!(r#"{{"traffic":[0{}]}}"#, ",0".repeat(1_000_000));
    let small = gzip(zeros.as_bytes());
    assert!(small.len() < 5_000);
    let headers = [("authorization", SECRET), ("content-encoding", "gzip")];
    client.call("POST", TRAFFIC, &headers, small).await.blames(413, "traffic");
}

async fn an_odd_address_is_stored_and_counted_without_a_country(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let odd = ["1234", "123.456.7890"];
    report(&client, &odd.map(|ip| view(ip, FIREFOX, "2023-11-14T22:13:20"))).await;
    let hits = stored_views(&fresh.store).await;
    let kept: Vec<_> = hits.iter().map(|hit| hit.ip.as_deref().expect("kept")).collect();
    assert_eq!(kept, odd);
    assert!(hits.iter().all(|hit| hit.country.is_none() && hit.visitor.is_some()));
    processor(&fresh.store, None, None).await.process_all(|_| {}).await.expect("process");
    assert_eq!(
        facts(&fresh.store, "1234").await,
        AddressFacts { bot: Some(false), ..AddressFacts::default() }
    );
}

async fn an_address_that_cannot_be_kept_beside_the_views_holds_no_other_up(fresh: Fresh) {
    let client = client(&fresh.store).await;
    report(&client, &["12\0 34", "1234"].map(|ip| view(ip, FIREFOX, "2023-11-14T22:13:20"))).await;
    processor(&fresh.store, None, None).await.process_all(|_| {}).await.expect("process");
    assert_eq!(facts(&fresh.store, "1234").await.bot, Some(false));
    assert_eq!(stored_views(&fresh.store).await.len(), 2);
}

async fn every_url_comes_back_as_it_was_posted(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let urls = ["/", "/a?b=1&c=%20", "https://user@example.com:8080/a?b#c", "no url", "é"];
    let views = urls.map(|url| json!({ "url": url, "ip_address": "1.2.3.4", "user_agent": FIREFOX }));
    report(&client, &views).await;
    let hits = stored_views(&fresh.store).await;
    let stored: Vec<_> = hits.iter().map(|hit| hit.route.as_deref().or(hit.path.as_deref())).collect();
    assert_eq!(stored, urls.map(Some));
    assert_eq!((hits[2].host.as_deref(), hits[2].query.as_deref()), (Some("example.com:8080"), Some("b")));
}

async fn a_timestamp_is_the_time_of_its_view(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let times = ["2023-11-14T22:13:20.123456", "2023-11-14T23:13:21.5+01:00"];
    report(&client, &times.map(|time| view("1.2.3.4", FIREFOX, time))).await;
    let stored: Vec<_> = stored_views(&fresh.store).await.iter().map(|hit| hit.ts).collect();
    assert_eq!(stored, [1_700_000_000_123, 1_700_000_001_500]);
    let answer = post(&client, &view("1.2.3.4", FIREFOX, "yesterday")).await;
    assert_eq!(answer.text(), "Invalid parameters: {'timestamp': ['Not a valid datetime.']}");
}

async fn the_backup_log_has_a_line_a_view_once(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let log = TrafficLog::open(&path).expect("open");
    let client = client_with(&fresh.store, 0, Some(log.clone())).await;
    let odd = "a, \"b\"\n=1+1";
    report(
        &client,
        &[view("1.2.3.4", FIREFOX, "2023-11-14T22:13:20"), view("1234", odd, "2023-11-14T22:13:21")],
    )
    .await;
    assert_eq!(post(&client, &json!({ "traffic": [] })).await.status, 400);
    assert_eq!(post(&client, &view("5.6.7.8", "=cmd", "2023-11-14T22:13:22")).await.status, 200);
    assert_eq!(
        std::fs::read_to_string(&path).expect("read"),
        format!(
            "2023-11-14T22:13:20.000+00:00,/,1.2.3.4,{FIREFOX}\n\
             2023-11-14T22:13:21.000+00:00,/,1234,\"a, \"\"b\"\"\n=1+1\"\n\
             2023-11-14T22:13:22.000+00:00,/,5.6.7.8,'=cmd\n"
        )
    );
}

async fn a_stricter_privacy_level_keeps_no_address_in_store_or_log(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let log = TrafficLog::open(&path).expect("open");
    let client = client_with(&fresh.store, 1, Some(log)).await;
    report(&client, &["1.2.3.4", "1234"].map(|ip| view(ip, "UA", "2023-11-14T22:13:20"))).await;
    let hits = stored_views(&fresh.store).await;
    assert!(hits.iter().all(|hit| hit.ip.is_none() && hit.visitor.is_some() && hit.bot == Some(false)));
    assert_ne!(hits[0].visitor, hits[1].visitor);
    let lines = std::fs::read_to_string(&path).expect("read");
    assert_eq!(lines, "2023-11-14T22:13:20.000+00:00,/,,UA\n".repeat(2));
}

async fn a_visitor_who_asks_not_to_be_tracked_is_nobody_in_store_and_log(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let log = TrafficLog::open(&path).expect("open");
    let client = client_with(&fresh.store, 0, Some(log)).await;
    let settings = ProjectSettings { honor_gpc: true, ..ProjectSettings::default() };
    fresh.store.set_project_settings(site(&fresh.store).await, settings).await.expect("settings");
    let mut views = ["1.2.3.4", "1234", "1.2.3.4"].map(|ip| view(ip, "UA", "2023-11-14T22:13:20"));
    views[0]["gpc"] = json!(true);
    views[1]["dnt"] = json!("1");
    report(&client, &views).await;
    let mut hits = stored_views(&fresh.store).await;
    let tracked = hits.pop().expect("three");
    assert!(tracked.ip.is_some() && tracked.visitor.is_some());
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| hit.ip.is_none() && hit.visitor.is_none() && hit.user_agent.is_some()));
    let query = "?url=/&ip_addr=5.6.7.8&user_agent=UA&gpc=1&timestamp=2023-11-14T22:13:21";
    let auth = [("authorization", SECRET)];
    assert_eq!(client.call("POST", &format!("{TRAFFIC}{query}"), &auth, Body::empty()).await.status, 200);
    assert_eq!(
        std::fs::read_to_string(&path).expect("read"),
        "2023-11-14T22:13:20.000+00:00,/,,UA\n2023-11-14T22:13:20.000+00:00,/,,UA\n\
         2023-11-14T22:13:20.000+00:00,/,1.2.3.4,UA\n2023-11-14T22:13:21.000+00:00,/,,UA\n"
    );
}

async fn a_report_sent_again_under_its_idempotency_key_is_stored_and_logged_once(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let client = client_with(&fresh.store, 0, Some(TrafficLog::open(&path).expect("open"))).await;
    let post = async |key: &str, query: &str, body: &Value| {
        let headers = [("authorization", SECRET), ("idempotency-key", key)];
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        client.call("POST", &format!("{TRAFFIC}{query}"), &headers, body).await
    };
    // Without times of their own: each arrival has another.
    let view = |url: &str| json!({ "url": url, "ip_address": "1.2.3.4", "user_agent": "UA" });
    let batch = json!({ "traffic": [view("/a"), view("/b")] });
    let query = "?url=/c&ip_addr=1.2.3.4&user_agent=UA";
    for _ in 0..3 {
        assert_eq!(post("batch", "", &batch).await.status, 200);
        assert_eq!(post("query", query, &Value::Null).await.status, 200);
    }
    post("batch", "", &view("/d")).await.blames(422, "Idempotency-Key");
    post("query", "?url=/d&ip_addr=1.2.3.4&user_agent=UA", &Value::Null).await.blames(422, "Idempotency-Key");
    post("", "", &batch).await.blames(400, "Idempotency-Key");
    assert_eq!(stored_views(&fresh.store).await.len(), 3);
    assert_eq!(std::fs::read_to_string(&path).expect("read").lines().count(), 3);
}

/// Tells that a future can go on.
#[derive(Default)]
struct Wakes(Notify);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

async fn a_report_whose_client_does_not_wait_is_logged_once_it_is_stored(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let client = client_with(&fresh.store, 0, Some(TrafficLog::open(&path).expect("open"))).await;
    let body = view("1.2.3.4", FIREFOX, "2023-11-14T22:13:20");
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut report = Box::pin(post(&client, &body));
    // The answer is not taken any further as soon as the view is stored.
    while stored_views(&fresh.store).await.is_empty() {
        assert!(report.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        wakes.0.notified().await;
    }
    drop(report);
    let logged = async || Ok((std::fs::read_to_string(&path)?.lines().count() == 1).then_some(()));
    wait::until_async("it is logged", Duration::from_secs(20), logged).await.expect("logged");
}

async fn a_deleted_project_starts_anew(fresh: Fresh) {
    let client = client(&fresh.store).await;
    report(&client, &[view("1.2.3.4", FIREFOX, "2023-11-14T22:13:20")]).await;
    processor(&fresh.store, None, None).await.process_all(|_| {}).await.expect("process");
    let old = site(&fresh.store).await;
    fresh.store.delete_project(old).await.expect("delete");
    assert!(fresh.store.address_facts(old).await.expect("facts").is_empty());
    assert!(fresh.store.sites().await.expect("sites").is_empty());
    report(&client, &[view("5.6.7.8", FIREFOX, "2023-11-14T22:13:20")]).await;
    assert_eq!(stored_views(&fresh.store).await.len(), 1);
    assert_ne!(site(&fresh.store).await, old);
}

/// Views a minute apart, which no rate makes a robot's.
async fn report_calm(client: &Client, ips: &[&str]) {
    let views: Vec<_> = ips.iter().map(|ip| view(ip, FIREFOX, "2023-11-14T22:13:20")).collect();
    report(client, &views).await;
}

async fn a_host_name_with_a_robots_word_makes_a_bot_and_no_name_does_not(fresh: Fresh) {
    let dns = Dns::start().expect("dns");
    dns.say([8, 8, 8, 8], Reply::Name("crawl-1.example.com".into()));
    dns.say([9, 9, 9, 9], Reply::Name("Dsl-1.Provider.example".into()));
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "9.9.9.9", "1.1.1.1"]).await;
    let done = processor(&fresh.store, Some(&dns), None).await.process_all(|_| {}).await.expect("process");
    assert_eq!(done, Processed { days: 1, addresses: 3 });
    let crawler = facts(&fresh.store, "8.8.8.8").await;
    assert_eq!((crawler.host.as_deref(), crawler.bot), (Some("crawl-1.example.com"), Some(true)));
    let person = facts(&fresh.store, "9.9.9.9").await;
    assert_eq!((person.host.as_deref(), person.bot), (Some("dsl-1.provider.example"), Some(false)));
    let nameless = facts(&fresh.store, "1.1.1.1").await;
    assert_eq!((nameless.host, nameless.bot), (None, Some(false)));
}

async fn only_public_addresses_are_asked_for_and_each_once(fresh: Fresh) {
    let dns = Dns::start().expect("dns");
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "10.0.0.1", "127.0.0.1", "203.0.113.7", "1234"]).await;
    let processor = processor(&fresh.store, Some(&dns), None).await;
    processor.process_all(|_| {}).await.expect("process");
    // Another day of the same addresses has them seen again, and DNS is remembered.
    report(&client, &[view("8.8.8.8", FIREFOX, "2023-11-16T12:00:00")]).await;
    processor.process_all(|_| {}).await.expect("process");
    let asked: Vec<_> = dns.asked().into_iter().collect();
    assert_eq!(asked, [("8.8.8.8.in-addr.arpa".to_owned(), 1)]);
}

async fn a_name_server_that_fails_or_is_silent_holds_nothing_up(fresh: Fresh) {
    let dns = Dns::start().expect("dns");
    dns.say([8, 8, 8, 8], Reply::Failure);
    dns.say([9, 9, 9, 9], Reply::Silence);
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "9.9.9.9"]).await;
    let processor = processor(&fresh.store, Some(&dns), None).await;
    processor.process_all(|_| {}).await.expect("process");
    for ip in ["8.8.8.8", "9.9.9.9"] {
        assert_eq!(facts(&fresh.store, ip).await.bot, Some(false), "{ip}");
    }
    // They are known to want another try, and get it in an hour and not before.
    let site = site(&fresh.store).await;
    let waiting = fresh.store.unasked_addresses(site, now_ms() + 1, 10).await.expect("waiting");
    assert_eq!(waiting.iter().map(|(ip, _)| ip.as_str()).collect::<Vec<_>>(), ["8.8.8.8", "9.9.9.9"]);
    let before = dns.asked();
    assert_eq!(processor.process_all(|_| {}).await.expect("process"), Processed::default());
    assert_eq!(dns.asked(), before);
}

async fn a_city_file_tells_city_and_region_of_an_address(fresh: Fresh) {
    let names = |name: &str| map(&[("names", map(&[("en", text(name))]))]);
    let record = map(&[
        ("country", map(&[("iso_code", text("DE"))])),
        ("city", names("Berlin")),
        ("subdivisions", list(&[names("Land Berlin")])),
    ]);
    let directory = TempDir::new().expect("directory");
    let file = directory.path().join("city.mmdb");
    mmdb::write(&file, &record).expect("write");
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "200.1.2.3"]).await;
    processor(&fresh.store, None, Some(file)).await.process_all(|_| {}).await.expect("process");
    let here = facts(&fresh.store, "8.8.8.8").await;
    assert_eq!((here.city.as_deref(), here.region.as_deref()), (Some("Berlin"), Some("Land Berlin")));
    let nowhere = facts(&fresh.store, "200.1.2.3").await;
    assert_eq!((nowhere.city, nowhere.bot), (None, Some(false)));
}

async fn processing_twice_changes_nothing_and_one_replica_at_a_time_does_it(fresh: Fresh) {
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "9.9.9.9"]).await;
    let site = site(&fresh.store).await;
    let [one, other] = [processor(&fresh.store, None, None).await, processor(&fresh.store, None, None).await];
    let lease =
        Lease { name: format!("site/{}", site.0), holder: "another".into(), ttl: Duration::from_secs(60) };
    assert!(fresh.store.hold(&lease).await.expect("hold"));
    assert_eq!(one.process_all(|_| {}).await.expect("process"), Processed::default());
    assert!(fresh.store.address_facts(site).await.expect("facts").is_empty());
    fresh.store.release(&lease).await.expect("release");

    assert_eq!(one.process_all(|_| {}).await.expect("process"), Processed { days: 1, addresses: 2 });
    let learnt = fresh.store.address_facts(site).await.expect("facts");
    assert_eq!(learnt.len(), 2);
    assert_eq!(other.process_all(|_| {}).await.expect("process"), Processed::default());
    // Sealing moves hits and changes none.
    fresh.store.seal_all().await.expect("seal");
    assert_eq!(other.process_all(|_| {}).await.expect("process"), Processed::default());
    assert_eq!(fresh.store.address_facts(site).await.expect("facts"), learnt);
}

async fn an_address_becomes_a_bots_by_a_later_view_and_stays_one(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let processor = processor(&fresh.store, None, None).await;
    let mut seen = Vec::new();
    for agent in [FIREFOX, "", FIREFOX] {
        let minute = seen.len();
        report(&client, &[view("8.8.8.8", agent, &format!("2023-11-14T22:{minute:02}:00"))]).await;
        processor.process_all(|_| {}).await.expect("process");
        seen.push(facts(&fresh.store, "8.8.8.8").await.bot);
    }
    assert_eq!(seen, [Some(false), Some(true), Some(true)]);
}

async fn an_address_that_is_erased_while_dns_is_asked_about_it_stays_away(fresh: Fresh) {
    let dns = Dns::start().expect("dns");
    dns.say([8, 8, 8, 8], Reply::Silence);
    let client = client(&fresh.store).await;
    report_calm(&client, &["8.8.8.8", "10.0.0.1"]).await;
    let processor = processor(&fresh.store, Some(&dns), None).await;
    let process = processor.clone();
    let processing = tokio::spawn(async move { process.process_all(|_| {}).await });
    let asked = async || Ok((!dns.asked().is_empty()).then_some(()));
    wait::until_async("DNS is asked", Duration::from_secs(20), asked).await.expect("asked");
    let site = site(&fresh.store).await;
    assert_eq!(fresh.store.erase(site, &Person::Ip("8.8.8.8".into())).await.expect("erase").hits, 1);
    processing.await.expect("join").expect("process");
    assert!(!fresh.store.address_facts(site).await.expect("facts").contains_key("8.8.8.8"));
    // The others are learnt about by the next look.
    processor.process_all(|_| {}).await.expect("process");
    let known = fresh.store.address_facts(site).await.expect("facts");
    assert_eq!(known.keys().collect::<Vec<_>>(), ["10.0.0.1"]);
}

async fn old_days_go_only_when_their_views_were_processed(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let day = |day| format!("2023-11-{day}T12:00:00");
    report(&client, &[view("1.1.1.1", FIREFOX, &day(10)), view("2.2.2.2", FIREFOX, &day(14))]).await;
    processor(&fresh.store, None, None).await.process_all(|_| {}).await.expect("process");
    // One more view of another old day, and of one that was processed: neither is done with.
    report(&client, &[view("3.3.3.3", FIREFOX, &day(11)), view("2.2.2.2", FIREFOX, &day(14))]).await;
    let site = site(&fresh.store).await;
    let cutoff = 1_700_006_400_000 / DAY_MS; // 2023-11-15
    assert_eq!(fresh.store.drop_processed_days(site, cutoff).await.expect("drop"), 1);
    let left: Vec<_> =
        stored_views(&fresh.store).await.into_iter().map(|hit| hit.ip.expect("address")).collect();
    assert_eq!(left, ["3.3.3.3", "2.2.2.2", "2.2.2.2"]);
    fresh.store.clear_site(site).await.expect("clear");
    assert!(stored_views(&fresh.store).await.is_empty());
}

async fn every_format_of_log_is_imported_and_mistakes_are_told(fresh: Fresh) {
    let site = site(&fresh.store).await;
    let log = format!(
        "11-14-2023-22:13:20:123456,/a,1.2.3.4,Mozilla/5.0 (KHTML, like Gecko)\n\
         2023-11-14 22:13:21.5,/b?c,1234,{FIREFOX}\n\
         nonsense\n\
         2023-11-14T22:13:22,/d,5.6.7.8,\"with, comma\"\n"
    );
    let enricher = enricher(&fresh.store, 0, None).await;
    let mut steps = 0;
    let done = import(&fresh.store, &enricher, site, log.as_bytes(), |_| steps += 1).await.expect("import");
    assert_eq!((done.views, done.skipped, steps), (3, 1, 1));
    assert!(done.mistakes[0].starts_with("line 3: "), "{:?}", done.mistakes);
    let hits = stored_views(&fresh.store).await;
    let read: Vec<_> = hits.iter().map(|hit| (hit.ts, hit.user_agent.as_deref().expect("agent"))).collect();
    assert_eq!(
        read,
        [
            (1_700_000_000_123, "Mozilla/5.0 (KHTML, like Gecko)"),
            (1_700_000_001_500, FIREFOX),
            (1_700_000_002_000, "with, comma"),
        ]
    );
}

async fn our_own_log_is_imported_as_it_was_written(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let path = directory.path().join("traffic.csv");
    let client = client_with(&fresh.store, 0, Some(TrafficLog::open(&path).expect("open"))).await;
    let agents = ["=1+1", "'quoted", "a\nb", "", FIREFOX];
    report(&client, &agents.map(|agent| view("1.2.3.4", agent, "2023-11-14T22:13:20.123"))).await;
    let written = stored_views(&fresh.store).await;
    let site = site(&fresh.store).await;
    fresh.store.clear_site(site).await.expect("clear");
    let file = std::fs::read(&path).expect("read");
    let done =
        import(&fresh.store, &enricher(&fresh.store, 0, None).await, site, file.as_slice(), |_| {}).await;
    assert_eq!(done.expect("import").skipped, 0);
    assert_eq!(stored_views(&fresh.store).await, written);
}

//! What views of a website can be grouped by, in the statistics of 2022 and in the queries of 2023, over
//! the real routers and on both stores.

mod common;

use std::collections::BTreeMap;

use axum::body::Body;
use common::{Answer, Client, Fresh, SECRET, client_of, enricher, options, processor};
use serde_json::{Value, json};
use tempfile::TempDir;
use watchkeeper_logger::{Bounds, Logger, LoggerMetrics, Signup};
use watchkeeper_testkit::{
    dns::{Dns, Reply},
    mmdb::{self, map, text},
};

on_both_stores! {
    statistics_count_by_every_group
    statistics_of_each_day_are_dated_by_it
    queries_count_by_every_group
    a_query_has_a_thousand_buckets_and_no_more
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";
const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
                      Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

/// A website with two visitors of a known city and one of nowhere, on two days.
struct Site {
    client: Client,
    _directory: TempDir,
}

impl Site {
    async fn visited(fresh: &Fresh) -> Self {
        let directory = TempDir::new().expect("directory");
        let file = directory.path().join("city.mmdb");
        let record =
            map(&[("country_code", text("DE")), ("city", text("Berlin")), ("state1", text("Land Berlin"))]);
        mmdb::write(&file, &record).expect("write");
        let metrics = LoggerMetrics::new(&prometheus::Registry::new()).expect("metrics");
        let located = enricher(&fresh.store, 0, Some(file.clone())).await;
        let logger = Logger::new(fresh.store.clone(), Signup::Open, located, Bounds::default(), metrics);
        let site = Self { client: client_of(&fresh.store, options(), logger), _directory: directory };

        let view = |url: &str, ip: &str, agent: &str, time: &str| {
            let time = format!("2023-11-{time}:00");
            json!({ "url": url, "ip_address": ip, "user_agent": agent, "timestamp": time })
        };
        let views = [
            view("/", "8.8.8.8", CHROME, "14T12:00"),
            view("/shop", "8.8.8.8", CHROME, "14T13:00"),
            view("/", "8.8.4.4", IPHONE, "14T12:00"),
            view("/", "200.1.2.3", FIREFOX, "15T12:00"),
        ];
        let body = json!({ "traffic": views }).to_string();
        let answer = site.client.call("POST", "/api/v1/traffic", &[("authorization", SECRET)], body).await;
        assert_eq!((answer.status, answer.text()), (200, ""));

        let dns = Dns::start().expect("dns");
        dns.say([8, 8, 8, 8], Reply::Name("dsl-8.provider.example".into()));
        dns.say([8, 8, 4, 4], Reply::Name("dsl-4.other.example".into()));
        let processor = processor(&fresh.store, Some(&dns), Some(file)).await;
        processor.process_all(|_| {}).await.expect("process");
        site
    }

    async fn get(&self, path: &str) -> Answer {
        let path = format!("/api/v1/data/{path}");
        self.client.call("GET", &path, &[("authorization", SECRET)], Body::empty()).await
    }

    async fn rows(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }
}

/// A group, and the views of each of its keys on the first day and on the second.
type Group = (&'static str, &'static [(&'static str, u64)], &'static [(&'static str, u64)]);

/// Key of what is not known, in queries.
const UNKNOWN: &str = "UNKNOWN";

const GROUPS: [Group; 9] = [
    ("Country", &[("Germany", 3)], &[(UNKNOWN, 1)]),
    ("City", &[("Berlin", 3)], &[(UNKNOWN, 1)]),
    ("Region", &[("Land Berlin", 3)], &[(UNKNOWN, 1)]),
    ("Url", &[("/", 2), ("/shop", 1)], &[("/", 1)]),
    ("Domain", &[("provider.example", 2), ("other.example", 1)], &[(UNKNOWN, 1)]),
    ("OperatingSystem", &[("Windows", 2), ("iOS", 1)], &[("Linux", 1)]),
    ("Device", &[("Desktop", 2), ("Mobile", 1)], &[("Desktop", 1)]),
    ("DeviceType", &[("Desktop", 2), ("Mobile", 1)], &[("Desktop", 1)]),
    ("Browser", &[("Chrome", 2), ("Mobile Safari", 1)], &[("Firefox", 1)]),
];

/// What each key counts, all rows together.
fn by_key(rows: &Value) -> BTreeMap<&str, u64> {
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| (row["key"].as_str().unwrap_or(UNKNOWN), row["quantity"].as_u64().expect("a number")))
        .collect()
}

async fn statistics_count_by_every_group(fresh: Fresh) {
    let site = Site::visited(&fresh).await;
    for (group, first, second) in GROUPS {
        let mut views: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, count) in first.iter().chain(second) {
            *views.entry(*key).or_default() += count;
        }
        let path = format!("statistics?query_on=People&count_what=Views&group_what={group}&resolution=All");
        let rows = site.rows(&path).await;
        assert_eq!(by_key(&rows), views, "{group}: {rows}");
        assert!(rows.as_array().expect("rows").iter().all(|row| row["date"].is_null()), "{rows}");
    }
    for (group, users) in [
        ("Country", &[("Germany", 2), (UNKNOWN, 1)][..]),
        ("Domain", &[("provider.example", 1), ("other.example", 1), (UNKNOWN, 1)][..]),
        ("Device", &[("Desktop", 2), ("Mobile", 1)][..]),
    ] {
        let path = format!("statistics?query_on=People&count_what=Users&group_what={group}&resolution=All");
        let rows = site.rows(&path).await;
        assert_eq!(by_key(&rows), users.iter().copied().collect::<BTreeMap<_, _>>(), "{group}: {rows}");
    }
}

async fn statistics_of_each_day_are_dated_by_it(fresh: Fresh) {
    let site = Site::visited(&fresh).await;
    let ask = async |rest: &str| {
        site.rows(&format!("statistics?query_on=People&resolution=Day&count_what={rest}")).await
    };
    let [tuesday, wednesday] = ["Tue, 14 Nov 2023 00:00:00 GMT", "Wed, 15 Nov 2023 00:00:00 GMT"];
    let row = |quantity: u64, date: &str, key: Option<&str>| json!({ "quantity": quantity, "date": date, "key": key });
    let views = json!([row(3, tuesday, None), row(1, wednesday, None)]);
    assert_eq!(ask("Views&group_what=Nothing").await, views);
    let users = json!([row(2, tuesday, None), row(1, wednesday, None)]);
    assert_eq!(ask("Users&group_what=Nothing").await, users);
    let devices = json!([
        row(2, tuesday, Some("Desktop")),
        row(1, tuesday, Some("Mobile")),
        row(1, wednesday, Some("Desktop")),
    ]);
    assert_eq!(ask("Views&group_what=Device").await, devices);
}

async fn queries_count_by_every_group(fresh: Fresh) {
    let site = Site::visited(&fresh).await;
    let range = "start_time=2023-11-14T00:00:00&end_time=2023-11-16T00:00:00&time_bucket=86400";
    for (group, first, second) in GROUPS {
        let answer = site.rows(&format!("query?{range}&group_by={group}")).await;
        let data = |counts: &[(&str, u64)]| -> Value {
            counts.iter().map(|(key, count)| ((*key).to_owned(), json!(count))).collect()
        };
        let buckets = json!([
            { "timestamp": "2023-11-14T00:00:00", "data": data(first) },
            { "timestamp": "2023-11-15T00:00:00", "data": data(second) },
        ]);
        assert_eq!(answer["buckets"], buckets, "{group}");
        let mut keys: Vec<_> = first.iter().chain(second).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(answer["all_keys"], json!(keys), "{group}");
    }
}

async fn a_query_has_a_thousand_buckets_and_no_more(fresh: Fresh) {
    let site = Site::visited(&fresh).await;
    let range = |end: &str| format!("query?start_time=2023-11-14T11:43:21&end_time={end}&time_bucket=1");
    let answer = site.rows(&range("2023-11-14T12:00:01")).await;
    let buckets = answer["buckets"].as_array().expect("buckets");
    assert_eq!((buckets.len(), &answer["all_keys"]), (1_000, &json!(["Count"])));
    assert_eq!(buckets[999], json!({ "timestamp": "2023-11-14T12:00:00", "data": { "Count": 2 } }));
    assert!(buckets[..999].iter().all(|bucket| bucket["data"] == json!({})));
    let refused = site.get(&range("2023-11-14T12:00:02")).await;
    let message = "Too many buckets: requested 1001 but max is 1000.";
    assert!(refused.status == 400 && refused.text().contains(message), "{}", refused.text());
}

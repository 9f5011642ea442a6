//! What views of a website can be grouped by, in the statistics of 2022 and in the queries of 2023, over
//! the real routers and on both stores.

mod common;
#[path = "common/website.rs"]
mod website;

use std::collections::BTreeMap;

use common::{Fresh, processor};
use serde_json::{Value, json};
use tempfile::TempDir;
use watchkeeper_store::{DAY_MS, Hit};
use watchkeeper_testkit::dns::{Dns, Reply};
use website::{CHROME, FIREFOX, Site, cities, view};

on_both_stores! {
    statistics_count_by_every_group
    statistics_of_each_day_are_dated_by_it
    queries_count_by_every_group
    a_query_has_a_thousand_buckets_and_no_more
    statistics_count_by_group_and_resolution
    a_query_fills_buckets_and_refuses_what_it_cannot
    statistics_that_would_be_too_long_are_refused
}

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
                      Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

/// A website with two visitors of a known city and one of nowhere, on two days; and what must live as long.
async fn visited(fresh: &Fresh) -> (Site, TempDir) {
    let directory = TempDir::new().expect("directory");
    let file = cities(&directory);
    let site = Site::located(fresh, &file).await;
    let views = [
        view("/", "8.8.8.8", CHROME, "2023-11-14T12:00:00"),
        view("/shop", "8.8.8.8", CHROME, "2023-11-14T13:00:00"),
        view("/", "8.8.4.4", IPHONE, "2023-11-14T12:00:00"),
        view("/", "200.1.2.3", FIREFOX, "2023-11-15T12:00:00"),
    ];
    site.report(&views).await;
    let dns = Dns::start().expect("dns");
    dns.say([8, 8, 8, 8], Reply::Name("dsl-8.provider.example".into()));
    dns.say([8, 8, 4, 4], Reply::Name("dsl-4.other.example".into()));
    processor(&site.store, Some(&dns), Some(file)).await.process_all(|_| {}).await.expect("process");
    (site, directory)
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
    let (site, _directory) = visited(&fresh).await;
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
    let (site, _directory) = visited(&fresh).await;
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
    let (site, _directory) = visited(&fresh).await;
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
    let (site, _directory) = visited(&fresh).await;
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

async fn statistics_count_by_group_and_resolution(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[
        view("/a", "1.1.1.1", FIREFOX, "2020-12-31T12:00:00"),
        view("/b", "1.1.1.1", FIREFOX, "2021-01-01T12:00:00"),
        view("/a", "2.2.2.2", CHROME, "2021-02-01T12:00:00"),
        view("/a", "3.3.3.3", "a bot", "2021-02-01T12:00:00"),
    ])
    .await;
    site.process().await;
    let ask = async |rest: &str| site.rows(&format!("statistics?query_on=People&{rest}")).await;
    assert_eq!(
        ask("count_what=Views&group_what=Nothing&resolution=All").await,
        json!([{ "quantity": 3, "date": null, "key": null }])
    );
    assert_eq!(
        ask("count_what=Users&group_what=Browser&resolution=All").await,
        json!([
            { "quantity": 1, "date": null, "key": "Chrome" },
            { "quantity": 1, "date": null, "key": "Firefox" },
        ])
    );
    assert_eq!(
        ask("count_what=Views&group_what=Url&resolution=Week&end_date=01-31-2021").await,
        json!([
            { "quantity": 1, "date": "Mon, 28 Dec 2020 00:00:00 GMT", "key": "/a" },
            { "quantity": 1, "date": "Mon, 28 Dec 2020 00:00:00 GMT", "key": "/b" },
        ])
    );
    assert_eq!(
        ask("count_what=Views&group_what=Nothing&resolution=Month&start_date=1-1-2021").await,
        json!([
            { "quantity": 1, "date": "Fri, 01 Jan 2021 00:00:00 GMT", "key": null },
            { "quantity": 1, "date": "Mon, 01 Feb 2021 00:00:00 GMT", "key": null },
        ])
    );
    let bots = "statistics?query_on=Bots&count_what=Users&group_what=Nothing&resolution=Year";
    assert_eq!(
        site.rows(bots).await,
        json!([{ "quantity": 1, "date": "Fri, 01 Jan 2021 00:00:00 GMT", "key": null }])
    );
    let wrong =
        site.get("statistics?query_on=Cats&count_what=Views&group_what=Nothing&start_date=2021-01-01").await;
    assert_eq!(
        wrong.text(),
        "Invalid parameters: {'query_on': ['Invalid enum member Cats'], 'resolution': ['Missing data for \
         required field.'], 'start_date': ['Not a valid date.']}"
    );
}

async fn a_query_fills_buckets_and_refuses_what_it_cannot(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[
        view("/a", "1.1.1.1", FIREFOX, "2021-01-01T00:00:00"),
        view("/b", "1.1.1.1", FIREFOX, "2021-01-01T01:30:00"),
        view("/a", "3.3.3.3", "a bot", "2021-01-01T01:59:59"),
        view("/c", "1.1.1.1", FIREFOX, "2021-01-01T03:00:00"),
    ])
    .await;
    site.process().await;
    let range = "start_time=2021-01-01T00:00:00&end_time=2021-01-01T03:00:00";
    // The view at the very end is none of the range's.
    assert_eq!(
        site.rows(&format!("query?{range}&time_bucket=3600")).await,
        json!({
            "all_keys": ["Count"],
            "buckets": [
                { "timestamp": "2021-01-01T00:00:00", "data": { "Count": 1 } },
                { "timestamp": "2021-01-01T01:00:00", "data": { "Count": 2 } },
                { "timestamp": "2021-01-01T02:00:00", "data": {} },
            ],
        })
    );
    let humans = site.rows(&format!("query?{range}&time_bucket=7200&group_by=Url&filter_by=Humans")).await;
    assert_eq!(
        humans,
        json!({
            "all_keys": ["/a", "/b"],
            "buckets": [
                { "timestamp": "2021-01-01T00:00:00", "data": { "/a": 1, "/b": 1 } },
                { "timestamp": "2021-01-01T02:00:00", "data": {} },
            ],
        })
    );
    let cities = site.rows(&format!("query?{range}&time_bucket=86400&group_by=City&filter_by=Bots")).await;
    assert_eq!(cities["all_keys"], json!(["UNKNOWN"]));
    for (rest, part) in [
        ("", "'time_bucket': ['Missing data for required field.']"),
        ("&time_bucket=0", "time_bucket must be greater than 0."),
        ("&time_bucket=-5", "time_bucket must be greater than 0."),
        ("&time_bucket=1.5", "Not a valid integer."),
        ("&time_bucket=10", "Too many buckets: requested 1080 but max is 1000."),
        ("&time_bucket=60&group_by=Colour", "Invalid enum member Colour"),
        ("&time_bucket=60&zzz=1", "'zzz': ['Unknown field.']"),
    ] {
        let answer = site.get(&format!("query?{range}{rest}")).await;
        assert!(answer.status == 400 && answer.text().contains(part), "{rest}: {}", answer.text());
    }
}

async fn statistics_that_would_be_too_long_are_refused(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let project = fresh.store.project_named("site").await.expect("project").id;
    // A hundred URLs on each of a hundred days.
    for day in 20_000..20_100 {
        let view = |n: i64| Hit {
            ts: day * DAY_MS,
            route: Some(format!("/{n}{}", "x".repeat(8_000))),
            visitor: Some(n),
            bot: Some(false),
            ..Hit::default()
        };
        fresh.store.append(project, (0..100).map(view).collect()).await.expect("append");
    }
    let ask = async |resolution: &str| {
        let rest = format!("query_on=People&count_what=Views&group_what=Url&resolution={resolution}");
        site.get(&format!("statistics?{rest}")).await
    };
    let days = ask("Day").await;
    assert!(days.status == 400 && days.text().contains("more than 64 MiB"), "{}", days.status);
    let all = ask("All").await;
    assert_eq!((all.status, all.json().as_array().map(Vec::len)), (200, Some(100)));
    assert_eq!(all.json()[0]["quantity"], 100);
}

//! Questions over days that are not 24 hours long and over years, over the real router and on both stores.

mod common;

use common::{ADMIN, Client, Fresh, client};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::{Hit, ProjectId};

on_both_stores! {
    a_day_whose_clocks_go_forward_has_twenty_three_hours
    a_day_whose_clocks_go_back_has_twenty_five_hours
    a_year_is_compared_with_the_same_days_of_the_year_before
    a_leap_day_is_compared_with_the_day_before_its_month_ended
}

/// A project with a hit of a path at each of these times.
async fn project(fresh: &Fresh, hits: &[(&str, &str)]) -> ProjectId {
    let project = fresh.store.register_key(Uuid::new_v4()).await.expect("register").id;
    let hit = |(time, path): &(&str, &str)| Hit {
        ts: time.parse::<jiff::Timestamp>().expect("time").as_millisecond(),
        path: Some((*path).to_owned()),
        ..Hit::default()
    };
    fresh.store.append(project, hits.iter().map(hit).collect()).await.expect("append");
    project
}

async fn ask(client: &Client, project: ProjectId, mut question: Value) -> Value {
    question["project"] = project.0.into();
    question["metrics"] = json!(["hits"]);
    let answer = client.call("POST", "/api/v1/query", &[ADMIN], question.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The rows of an answer: the only dimension and the number of hits.
fn rows(answer: &Value) -> Value {
    let results = answer["results"].as_array().expect("results").iter();
    results.map(|row| json!([row["dimensions"][0], row["metrics"][0]])).collect()
}

/// A day in Berlin whose clocks change, the days around it, and what there is to tell of them.
struct Day {
    day: &'static str,
    around: [&'static str; 2],
    hits: &'static [&'static str],
    hours: Value,
    hours_of_day: Value,
    days: Value,
    length: usize,
}

impl Day {
    async fn is_told(&self, fresh: &Fresh) {
        let client = client(&fresh.store).await;
        let hits: Vec<_> = self.hits.iter().map(|time| (*time, "/")).collect();
        let project = project(fresh, &hits).await;
        let by = async |dimension: &str, range: [&str; 2]| {
            let question = json!({
                "date_range": range, "timezone": "Europe/Berlin", "dimensions": [dimension],
                "order_by": [[dimension, "asc"]], "include": { "time_labels": true },
            });
            ask(&client, project, question).await
        };
        for state in ["new", "sealed"] {
            let hours = by("time:hour", [self.day, self.day]).await;
            assert_eq!(rows(&hours), self.hours, "{state}");
            let labels = hours["meta"]["time_labels"].as_array().expect("labels");
            assert_eq!(labels.len(), self.length, "{state}: {labels:?}");
            for told in self.hours.as_array().expect("rows") {
                assert!(labels.contains(&told[0]), "{state}: {told}");
            }
            assert_eq!(rows(&by("hour_of_day", [self.day, self.day]).await), self.hours_of_day, "{state}");
            let days = by("time:day", self.around).await;
            assert_eq!(rows(&days), self.days, "{state}");
            assert_eq!(days["meta"]["time_labels"].as_array().map(Vec::len), Some(3), "{state}");
            let sunday: u64 =
                self.hours.as_array().expect("rows").iter().filter_map(|row| row[1].as_u64()).sum();
            let weekdays = rows(&by("weekday", self.around).await);
            assert_eq!(weekdays, json!([[1, 1], [6, 1], [7, sunday]]), "{state}");
            fresh.store.seal_all().await.expect("seal");
        }
    }
}

async fn a_day_whose_clocks_go_forward_has_twenty_three_hours(fresh: Fresh) {
    let day = Day {
        day: "2026-03-29",
        around: ["2026-03-28", "2026-03-30"],
        hits: &[
            "2026-03-28T22:59:59.999Z",
            "2026-03-28T23:00:00Z",
            // The last moment before two o'clock and the first after it, which is three.
            "2026-03-29T00:59:59.999Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T21:59:59.999Z",
            "2026-03-29T22:00:00Z",
        ],
        hours: json!([
            ["2026-03-29T00:00:00+01:00", 1],
            ["2026-03-29T01:00:00+01:00", 1],
            ["2026-03-29T03:00:00+02:00", 1],
            ["2026-03-29T23:00:00+02:00", 1],
        ]),
        hours_of_day: json!([[0, 1], [1, 1], [3, 1], [23, 1]]),
        days: json!([["2026-03-28", 1], ["2026-03-29", 4], ["2026-03-30", 1]]),
        length: 23,
    };
    day.is_told(&fresh).await;
}

async fn a_day_whose_clocks_go_back_has_twenty_five_hours(fresh: Fresh) {
    let day = Day {
        day: "2026-10-25",
        around: ["2026-10-24", "2026-10-26"],
        hits: &[
            "2026-10-24T21:59:59.999Z",
            "2026-10-24T22:00:00Z",
            // Half past two, and twice again within the hour that comes a second time.
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T01:59:59.999Z",
            "2026-10-25T22:59:59.999Z",
            "2026-10-25T23:00:00Z",
        ],
        hours: json!([
            ["2026-10-25T00:00:00+02:00", 1],
            ["2026-10-25T02:00:00+02:00", 1],
            ["2026-10-25T02:00:00+01:00", 2],
            ["2026-10-25T23:00:00+01:00", 1],
        ]),
        hours_of_day: json!([[0, 1], [2, 3], [23, 1]]),
        days: json!([["2026-10-24", 1], ["2026-10-25", 5], ["2026-10-26", 1]]),
        length: 25,
    };
    day.is_told(&fresh).await;
}

async fn a_year_is_compared_with_the_same_days_of_the_year_before(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let hits = [
        ("2025-01-31T23:59:59.999Z", "/a"),
        ("2025-02-01T00:00:00Z", "/a"),
        ("2025-02-28T23:59:59.999Z", "/a"),
        ("2025-02-28T12:00:00Z", "/gone"),
        ("2025-03-01T00:00:00Z", "/a"),
        ("2026-01-15T12:00:00Z", "/a"),
        ("2026-02-01T12:00:00Z", "/a"),
        ("2026-02-02T12:00:00Z", "/a"),
        ("2026-02-28T12:00:00Z", "/a"),
        ("2026-02-28T12:00:00Z", "/new"),
    ];
    let project = project(&fresh, &hits).await;
    let by = async |dimension: &str| {
        let question = json!({
            "date_range": ["2026-02-01", "2026-02-28"], "dimensions": [dimension],
            "include": { "comparison": "year_over_year" },
        });
        ask(&client, project, question).await
    };
    let paths = by("path").await;
    let then = json!(["2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"]);
    assert_eq!(paths["query"]["comparison_date_range"], then);
    assert_eq!(rows(&paths), json!([["/a", 3], ["/new", 1]]));
    assert_eq!(paths["results"][0]["comparison"], json!({ "metrics": [2], "change": [50.0] }));
    assert_eq!(paths["results"][1]["comparison"], json!({ "metrics": [null], "change": [null] }));

    let days = by("time:day").await;
    assert_eq!(rows(&days), json!([["2026-02-01", 1], ["2026-02-02", 1], ["2026-02-28", 2]]));
    let change = |day: usize| days["results"][day]["comparison"]["change"][0].clone();
    assert_eq!([change(0), change(1), change(2)], [json!(0.0), json!(null), json!(0.0)]);
}

async fn a_leap_day_is_compared_with_the_day_before_its_month_ended(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let hits = [
        ("2023-02-28T10:00:00Z", "/"),
        ("2023-03-01T10:00:00Z", "/"),
        ("2024-02-29T10:00:00Z", "/"),
        ("2024-02-29T11:00:00Z", "/"),
    ];
    let project = project(&fresh, &hits).await;
    let question = json!({
        "date_range": ["2024-02-29", "2024-02-29"], "dimensions": ["time:hour"],
        "include": { "comparison": "year_over_year" },
    });
    let answer = ask(&client, project, question).await;
    let comparison = |hour: usize| answer["results"][hour]["comparison"].clone();
    assert_eq!(comparison(0), json!({ "metrics": [1], "change": [0.0] }));
    assert_eq!(comparison(1), json!({ "metrics": [null], "change": [null] }));
}

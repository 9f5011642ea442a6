//! The query interface, over the real router and on both stores.

mod common;

use common::{ADMIN, Answer, Client, Fresh, account, client, client_asking, log, logger, options, row};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_analytics::{Analytics, AnalyticsOptions};
use watchkeeper_logger::{Bounds, Signup};
use watchkeeper_store::{Hit, ProjectId};

on_both_stores! {
    a_table_has_its_rows_in_order_with_their_numbers
    filters_of_every_operator_choose_the_same_hits_as_their_meaning
    several_panels_are_answered_at_once_with_a_shared_filter
    time_is_told_on_the_zones_clock_and_empty_buckets_by_labels
    a_comparison_gives_each_row_its_numbers_then
    hours_are_compared_by_the_clock_where_a_day_has_one_less
    a_comparison_that_would_look_through_too_many_rows_is_refused
    an_answer_that_would_be_too_long_is_refused_and_a_shorter_one_is_not
    pages_of_a_table_follow_each_other
    a_session_ends_by_the_idle_time_that_is_asked_for
    what_is_no_longer_exact_says_by_how_much_it_may_be_off
    hits_are_asked_for_by_the_admin_the_key_and_the_user_id
    no_one_else_is_told_anything
    every_mistake_is_named_with_its_field
}

/// A project with these hits; its id.
async fn project(fresh: &Fresh, hits: Vec<Hit>) -> ProjectId {
    let project = fresh.store.register_key(Uuid::new_v4()).await.expect("register").id;
    fresh.store.append(project, hits).await.expect("append");
    project
}

fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("time").as_millisecond()
}

fn hit(time: &str, path: &str, status: i32) -> Hit {
    Hit {
        ts: ms(time),
        path: Some(path.into()),
        status: Some(status),
        method: Some("GET".into()),
        ..Hit::default()
    }
}

async fn ask(client: &Client, project: ProjectId, question: Value) -> Answer {
    let mut body = json!({ "project": project.0, "date_range": ["2026-01-01", "2026-01-31"] });
    for (name, value) in question.as_object().expect("object") {
        body[name.as_str()] = value.clone();
    }
    client.call("POST", "/api/v1/query", &[ADMIN], body.to_string()).await
}

/// The rows of an answer: dimensions and metrics as two lists.
#[track_caller]
fn rows(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let results = body["results"].as_array().expect("results").iter();
    results.map(|row| json!([row["dimensions"], row["metrics"]])).collect()
}

async fn a_table_has_its_rows_in_order_with_their_numbers(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut hits = vec![
        hit("2026-01-05T10:00:00Z", "/a", 200),
        hit("2026-01-05T11:00:00Z", "/a", 500),
        hit("2026-01-06T10:00:00Z", "/b", 200),
        hit("2025-12-31T23:59:59.999Z", "/a", 200),
        hit("2026-02-01T00:00:00Z", "/a", 200),
    ];
    hits[0].duration_us = Some(1_500);
    let project = project(&fresh, hits).await;
    fresh.store.seal_all().await.expect("seal");
    let question = json!({
        "metrics": ["hits", "error_rate", "duration_mean", "last_seen"],
        "dimensions": ["path"],
        "include": { "total_rows": true },
    });
    let answer = ask(&client, project, question.clone()).await;
    let expected = json!([
        [["/a"], [2, 0.5, 1.5, "2026-01-05T11:00:00Z"]],
        [["/b"], [1, 0, null, "2026-01-06T10:00:00Z"]],
    ]);
    assert_eq!(rows(&answer), expected);
    let body = answer.json();
    assert_eq!(body["meta"]["total_rows"], 2);
    assert_eq!(body["query"]["date_range"], json!(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]));
    let mut upwards = question;
    upwards["order_by"] = json!([["hits", "asc"]]);
    assert_eq!(rows(&ask(&client, project, upwards).await)[0][0], json!(["/b"]));
}

async fn filters_of_every_operator_choose_the_same_hits_as_their_meaning(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut hits = Vec::new();
    for (index, path) in ["/api/v1/users", "/API/v2/users", "/checkout", "/a_b", "/a%b"].iter().enumerate() {
        let mut hit = hit("2026-01-05T10:00:00Z", path, 200 + 100 * i32::try_from(index).expect("small"));
        hit.duration_us = Some(1_000 * i64::try_from(index).expect("small"));
        hit.bot = Some(index % 2 == 0);
        hit.user = (index > 2).then(|| format!("u{index}"));
        hits.push(hit);
    }
    let project = project(&fresh, hits).await;
    for (filter, expected) in [
        (json!(["is", "path", ["/checkout", "/a_b"]]), vec![2, 3]),
        (json!(["is_not", "path", "/checkout"]), vec![0, 1, 3, 4]),
        (json!(["contains", "path", ["/api/"]]), vec![0]),
        (json!(["contains", "path", ["/api/"], { "case_sensitive": false }]), vec![0, 1]),
        (json!(["contains_not", "path", ["users"]]), vec![2, 3, 4]),
        (json!(["matches", "path", ["^/api/v[0-9]+"]]), vec![0]),
        (json!(["matches_not", "path", ["users$"]]), vec![2, 3, 4]),
        (json!(["like", "path", ["/a_b"]]), vec![3, 4]),
        (json!(["like", "path", ["/a\\_b", "/check%"]]), vec![2, 3]),
        (json!(["glob", "path", ["/*/users"]]), vec![0, 1]),
        (json!(["is", "bot", [true]]), vec![0, 2, 4]),
        (json!(["is", "user", [null]]), vec![0, 1, 2]),
        (json!(["is_not", "user", [null, "u3"]]), vec![4]),
        (json!(["is", "status", [404, 400]]), vec![2]),
        (json!(["is", "status", ["0400", "+200"]]), vec![0, 2]),
        (json!(["is", "hour_of_day", ["010"]]), vec![0, 1, 2, 3, 4]),
        (json!(["is_not", "weekday", ["01"]]), vec![]),
        (json!(["is", "status_class", ["5xx", "6xx"]]), vec![3, 4]),
        (json!([">=", "status", 400]), vec![2, 3, 4]),
        (json!(["<", "duration", [2.5]]), vec![0, 1, 2]),
        (json!(["is", "duration", [1, 4]]), vec![1, 4]),
        (
            json!([
                "or",
                [["is", "path", ["/a_b"]], ["and", [["is", "bot", ["true"]], ["<", "status", 300]]]]
            ]),
            vec![0, 3],
        ),
        (json!(["not", ["or", [["is", "bot", [true]], ["is", "user", ["u3"]]]]]), vec![1]),
    ] {
        // Paths tell the hits apart.
        let question = json!({ "metrics": ["hits"], "dimensions": ["path"], "filters": [filter] });
        let answer = rows(&ask(&client, project, question).await);
        let all = ["/api/v1/users", "/API/v2/users", "/checkout", "/a_b", "/a%b"];
        let mut found: Vec<_> = answer
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| all.iter().position(|path| row[0][0] == **path).expect("one of them"))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
}

async fn several_panels_are_answered_at_once_with_a_shared_filter(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let mut robot = hit("2026-01-05T10:00:00Z", "/a", 200);
    robot.bot = Some(true);
    let project = project(
        &fresh,
        vec![robot, hit("2026-01-05T10:00:00Z", "/a", 404), hit("2026-01-06T10:00:00Z", "/b", 200)],
    )
    .await;
    let question = json!({
        "filters": ["is_not", "bot", [true]],
        "panels": [
            { "name": "days", "metrics": ["hits"], "dimensions": ["time:day"] },
            { "name": "missing", "metrics": ["hits"], "dimensions": ["path"], "filters": [["is", "status", [404]]] },
            { "metrics": ["hits", "errors"] },
        ],
    });
    let answer = ask(&client, project, question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let panels = &answer.json()["panels"];
    assert_eq!(panels[0]["name"], "days");
    assert_eq!(panels[0]["results"][1], json!({ "dimensions": ["2026-01-06"], "metrics": [1] }));
    assert_eq!(panels[1]["results"], json!([{ "dimensions": ["/a"], "metrics": [1] }]));
    assert_eq!(panels[2]["results"], json!([{ "dimensions": [], "metrics": [2, 1] }]));
}

async fn time_is_told_on_the_zones_clock_and_empty_buckets_by_labels(fresh: Fresh) {
    let client = client(&fresh.store).await;
    // Half an hour before midnight in UTC is the next day in Berlin.
    let project = project(&fresh, vec![hit("2026-01-01T23:30:00Z", "/", 200)]).await;
    let question = json!({
        "date_range": ["2026-01-01", "2026-01-03"], "timezone": "Europe/Berlin",
        "metrics": ["hits"], "dimensions": ["time:day"], "include": { "time_labels": true },
    });
    let answer = ask(&client, project, question.clone()).await;
    assert_eq!(rows(&answer), json!([[["2026-01-02"], [1]]]));
    assert_eq!(answer.json()["meta"]["time_labels"], json!(["2026-01-01", "2026-01-02", "2026-01-03"]));
    let mut hours = question;
    hours["dimensions"] = json!(["time"]);
    let answer = ask(&client, project, hours).await;
    assert_eq!(rows(&answer), json!([[["2026-01-02T00:00:00+01:00"], [1]]]));
    assert_eq!(answer.json()["dimensions"], json!(["time:hour"]));
    assert_eq!(answer.json()["meta"]["time_labels"].as_array().map(Vec::len), Some(72));
}

async fn a_comparison_gives_each_row_its_numbers_then(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let hits = vec![
        hit("2026-01-02T10:00:00Z", "/a", 200),
        hit("2026-01-02T10:00:00Z", "/b", 200),
        hit("2026-01-03T10:00:00Z", "/a", 200),
        hit("2026-01-03T11:00:00Z", "/a", 200),
        hit("2026-01-03T12:00:00Z", "/a", 200),
        hit("2026-01-03T12:00:00Z", "/c", 200),
    ];
    let project = project(&fresh, hits).await;
    let question = json!({
        "date_range": ["2026-01-03", "2026-01-03"], "metrics": ["hits"], "dimensions": ["path"],
        "include": { "comparison": "previous_period" },
    });
    let answer = ask(&client, project, question).await;
    let results = &answer.json()["results"];
    assert_eq!(results[0]["comparison"], json!({ "metrics": [1], "change": [200.0] }));
    assert_eq!(results[1]["comparison"], json!({ "metrics": [null], "change": [null] }));
    assert_eq!(results.as_array().map(Vec::len), Some(2));
    let question = json!({
        "date_range": ["2026-01-03", "2026-01-03"], "metrics": ["hits"], "dimensions": ["time:hour"],
        "include": { "comparison": ["2026-01-02", "2026-01-02"] },
    });
    let answer = ask(&client, project, question).await;
    let first = &answer.json()["results"][0];
    assert_eq!(first["dimensions"], json!(["2026-01-03T10:00:00+00:00"]));
    assert_eq!(first["comparison"], json!({ "metrics": [2], "change": [-50.0] }));
}

async fn hours_are_compared_by_the_clock_where_a_day_has_one_less(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let times = [
        // 01:30, 10:00 and 23:00 of the day whose clocks went forward, and of the one after.
        "2026-03-29T00:30:00Z",
        "2026-03-29T08:00:00Z",
        "2026-03-29T21:00:00Z",
        "2026-03-29T23:30:00Z",
        "2026-03-30T08:00:00Z",
        "2026-03-30T08:10:00Z",
        "2026-03-30T21:00:00Z",
    ];
    let project = project(&fresh, times.map(|time| hit(time, "/", 200)).to_vec()).await;
    let question = json!({
        "date_range": ["2026-03-30", "2026-03-30"], "timezone": "Europe/Berlin", "metrics": ["hits"],
        "dimensions": ["time:hour"], "include": { "comparison": "previous_period" },
    });
    let answer = ask(&client, project, question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let rows = body["results"].as_array().expect("rows").iter();
    let hours: Value = rows.map(|row| json!([row["dimensions"][0], row["comparison"]["change"]])).collect();
    let expected = json!([
        ["2026-03-30T01:00:00+02:00", [0.0]],
        ["2026-03-30T10:00:00+02:00", [100.0]],
        ["2026-03-30T23:00:00+02:00", [0.0]],
    ]);
    assert_eq!(hours, expected);
}

async fn a_comparison_that_would_look_through_too_many_rows_is_refused(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let of = |time: &str, path: i32, user: i32| Hit {
        user: Some(user.to_string()),
        ..hit(time, &format!("/{path}"), 200)
    };
    // A hundred combinations of what then had ten thousand.
    let mut hits: Vec<_> = (0..101).map(|n| of("2026-01-02T10:00:00Z", n, n)).collect();
    hits.extend((0..101 * 101).map(|n| of("2026-01-01T10:00:00Z", n / 101, n % 101)));
    let project = project(&fresh, hits).await;
    let panel = json!({ "metrics": ["hits"], "dimensions": ["path", "user"] });
    let question = |panels| {
        json!({
            "date_range": ["2026-01-02", "2026-01-02"], "include": { "comparison": "previous_period" },
            "panels": vec![panel.clone(); panels],
        })
    };
    ask(&client, project, question(20)).await.blames(422, "panels[0].dimensions");
    let answer = ask(&client, project, question(19)).await;
    let results = &answer.json()["panels"][18]["results"];
    assert_eq!(results.as_array().map(Vec::len), Some(101), "{}", answer.text());
    assert_eq!(results[100]["comparison"]["metrics"], json!([1]));
}

async fn an_answer_that_would_be_too_long_is_refused_and_a_shorter_one_is_not(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let hits = (0..1_000).map(|n| {
        let long = |what: &str| Some(format!("{what}{n}{}", "x".repeat(2_000)));
        let hit = hit("2026-01-05T10:00:00Z", "/", 200);
        Hit { path: long("/"), query: long("q"), ..hit }
    });
    let project = project(&fresh, hits.collect()).await;
    let panel = json!({ "metrics": ["hits"], "dimensions": ["path", "query"] });
    let panels = |count| json!({ "panels": vec![panel.clone(); count] });
    // Eighty megabytes, and eight.
    let answer = ask(&client, project, panels(20)).await;
    assert!(answer.status == 422 && answer.text().contains("more than 64 MiB"), "{}", answer.text());
    let answer = ask(&client, project, panels(2)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["panels"][1]["results"].as_array().map(Vec::len), Some(1_000));
}

async fn pages_of_a_table_follow_each_other(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let hits = (0..25).map(|n| hit("2026-01-02T10:00:00Z", &format!("/{n:02}"), 200)).collect();
    let project = project(&fresh, hits).await;
    let mut paths = Vec::new();
    for offset in [0, 10, 20, 30] {
        let question = json!({
            "metrics": ["hits"], "dimensions": ["path"], "order_by": [["path", "asc"]],
            "pagination": { "limit": 10, "offset": offset },
        });
        let page = rows(&ask(&client, project, question).await);
        paths.extend(
            page.as_array().expect("rows").iter().map(|row| row[0][0].as_str().expect("path").to_owned()),
        );
    }
    assert_eq!(paths, (0..25).map(|n| format!("/{n:02}")).collect::<Vec<_>>());
}

async fn a_session_ends_by_the_idle_time_that_is_asked_for(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let seen = |time| Hit { visitor: Some(1), ..hit(time, "/", 200) };
    let times =
        ["2026-01-05T10:00:00Z", "2026-01-05T10:00:50Z", "2026-01-05T10:29:00Z", "2026-01-05T12:00:00Z"];
    let project = project(&fresh, times.map(seen).to_vec()).await;
    for (idle, sessions) in [(json!(null), 2), (json!(60), 3), (json!(50), 4), (json!(86_400), 1)] {
        let question = json!({ "metrics": ["sessions"], "session_idle": idle });
        assert_eq!(rows(&ask(&client, project, question).await), json!([[[], [sessions]]]), "{idle}");
    }
    let panels = json!({ "session_idle": 60, "panels": [{ "metrics": ["sessions"] }] });
    assert_eq!(ask(&client, project, panels).await.json()["panels"][0]["results"][0]["metrics"], json!([3]));
}

async fn what_is_no_longer_exact_says_by_how_much_it_may_be_off(fresh: Fresh) {
    const HITS: i64 = 100_000;
    // Each of so many hundredths of a millisecond once, in no order.
    let slow =
        |n: i64| Hit { duration_us: Some(n * 7_919 % HITS * 10), ..hit("2026-01-05T10:00:00Z", "/", 200) };
    let project = project(&fresh, (0..HITS / 2).map(slow).collect()).await;
    fresh.store.append(project, (HITS / 2..HITS).map(slow).collect()).await.expect("append");
    fresh.store.seal_all().await.expect("seal");
    let question = json!({ "metrics": ["p50", "p99"] });
    let narrow = AnalyticsOptions { question_bytes: 300_000, threads: 1, ..AnalyticsOptions::default() };
    let mut told = Vec::new();
    for analytics in [AnalyticsOptions::default(), narrow] {
        let analytics = Analytics::with_options(fresh.store.clone(), analytics);
        let logger = logger(&fresh.store, Signup::Open, 0, Bounds::default()).await;
        let client = client_asking(analytics, options(), logger);
        let answer = ask(&client, project, question.clone()).await;
        let numbers = rows(&answer)[0][1].clone();
        let body = answer.json();
        let error = body["meta"]["quantile_error"].as_f64();
        for (found, wanted) in [(&numbers[0], 500.0), (&numbers[1], 990.0)] {
            let off = (found.as_f64().expect("a number") / wanted - 1.0).abs();
            assert!(off <= error.unwrap_or_default() + 0.0001, "{found} for {wanted}: {body}");
        }
        told.push(error);
    }
    assert_eq!(told[0], None, "all of them fit");
    assert!(told[1].is_some_and(|error| (0.0001..=0.004).contains(&error)), "{told:?}");
}

fn question(project: Option<&str>) -> String {
    let mut body = json!({ "date_range": "all", "metrics": ["hits"] });
    if let Some(project) = project {
        body["project"] = project.into();
    }
    body.to_string()
}

async fn hits_are_asked_for_by_the_admin_the_key_and_the_user_id(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    log(&client, key, &json!([row(0, "/"), row(1, "/")])).await;
    client.call("PUT", "/api/v1/projects/shop", &[ADMIN], json!({ "key": key }).to_string()).await;
    let id = fresh.store.project_by_key(key).await.expect("find").expect("project").id.0.to_string();
    let (key, user, bearer) = (key.to_string(), user.to_string(), format!("Bearer {key}"));
    let two = |answer: Answer| assert_eq!(rows(&answer), json!([[[], [2]]]));
    for named in ["shop", &id, &user] {
        two(client.call("POST", "/api/v1/query", &[ADMIN], question(Some(named))).await);
        two(client.call("POST", "/api/v1/query", &[("x-auth-token", &key)], question(Some(named))).await);
    }
    for header in [("x-auth-token", &key), ("x-api-key", &key), ("api-key", &key), ("authorization", &bearer)]
    {
        two(client.call("POST", "/api/v1/query", &[(header.0, header.1)], question(None)).await);
    }
    two(client.call("POST", "/api/v1/query", &[], question(Some(&user))).await);
}

async fn no_one_else_is_told_anything(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, _) = account(&client).await;
    let (other, other_user) = account(&client).await;
    client.call("PUT", "/api/v1/projects/shop", &[ADMIN], json!({ "key": key }).to_string()).await;
    let other = other.to_string();
    let stranger = Uuid::new_v4().to_string();
    for headers in
        [vec![], vec![("authorization", "Bearer nonsense")], vec![("x-auth-token", stranger.as_str())]]
    {
        let answer = client.call("POST", "/api/v1/query", &headers, question(Some("shop"))).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    let keyed = [("x-auth-token", other.as_str())];
    client.call("POST", "/api/v1/query", &keyed, question(Some("shop"))).await.blames(403, "project");
    client.call("POST", "/api/v1/query", &[ADMIN], question(Some("nothing"))).await.blames(404, "project");
    client.call("POST", "/api/v1/query", &[ADMIN], question(None)).await.blames(422, "project");
    // Another project's user id opens that project and not this one.
    let answer = client.call("POST", "/api/v1/query", &[], question(Some(&other_user.to_string()))).await;
    assert_eq!(rows(&answer), json!([[[], [0]]]));
}

async fn every_mistake_is_named_with_its_field(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let project = project(&fresh, vec![hit("2026-01-05T10:00:00Z", "/", 200)]).await;
    let deep = (0..12).fold(json!(["is", "path", ["/"]]), |inner, _| json!(["not", inner]));
    let many: Vec<_> = (0..21).map(|_| json!({ "metrics": ["hits"] })).collect();
    for (question, field) in [
        (json!({ "metrics": null }), "metrics"),
        (json!({ "metrics": ["hits", "hitz"] }), "metrics[1]"),
        (json!({ "metrics": ["hits", "hits"] }), "metrics[1]"),
        (json!({ "dimensions": ["pathh"] }), "dimensions[0]"),
        (json!({ "dimensions": [3] }), "dimensions[0]"),
        (json!({ "date_range": "8d" }), "date_range"),
        (json!({ "date_range": ["2026-01-01"] }), "date_range"),
        (json!({ "date_range": ["2026-02-01", "2026-01-01"] }), "date_range"),
        (json!({ "date_range": null }), "date_range"),
        (json!({ "timezone": "Mars" }), "timezone"),
        (json!({ "session_idle": 0 }), "session_idle"),
        (json!({ "session_idle": 86_401 }), "session_idle"),
        (json!({ "session_idle": "30m" }), "session_idle"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "filters": [["is"]] }), "filters[0]"),
        (json!({ "filters": [["equals", "path", ["/"]]] }), "filters[0][0]"),
        (json!({ "filters": [["is", "pathh", ["/"]]] }), "filters[0][1]"),
        (json!({ "filters": [["is", "time:day", ["/"]]] }), "filters[0][1]"),
        (json!({ "filters": [["is", "status", ["abc"]]] }), "filters[0][2][0]"),
        (json!({ "filters": [["is", "bot", ["maybe"]]] }), "filters[0][2][0]"),
        (json!({ "filters": [["contains", "path", [null]]] }), "filters[0][2][0]"),
        (json!({ "filters": [["matches", "path", ["ok", "("]]] }), "filters[0][2][1]"),
        (json!({ "filters": [["matches", "path", ["(?:a{1000}){1000}"]]] }), "filters[0][2][0]"),
        (json!({ "filters": [[">", "path", [5]]] }), "filters[0][1]"),
        (json!({ "filters": [[">", "status", [5, 6]]] }), "filters[0][0]"),
        (json!({ "filters": [["is", "path", []]] }), "filters[0][2]"),
        (json!({ "filters": [["or", []]] }), "filters[0]"),
        (json!({ "filters": [["is", "path", ["/"], { "case": true }]] }), "filters[0][3].case"),
        (json!({ "order_by": [["visitors", "desc"]] }), "order_by[0][0]"),
        (json!({ "order_by": [["hits", "down"]] }), "order_by[0][1]"),
        (json!({ "pagination": { "limit": 0 } }), "pagination.limit"),
        (json!({ "pagination": { "limit": 10_001 } }), "pagination.limit"),
        (json!({ "include": { "comparison": "yesterday" } }), "include.comparison"),
        (json!({ "metrics": null, "panels": [] }), "panels"),
        (json!({ "metrics": null, "panels": many }), "panels"),
        (json!({ "panels": [{ "metrics": ["hits"] }] }), "metrics"),
        (
            json!({ "metrics": null, "panels": [{ "metrics": ["hits"] }, { "metrics": ["x"] }] }),
            "panels[1].metrics[0]",
        ),
        (json!({ "dimensions": ["time:1s"], "include": { "time_labels": true } }), "dimensions[0]"),
    ] {
        let mut body = json!({ "metrics": ["hits"] });
        for (name, value) in question.as_object().expect("object") {
            body[name.as_str()] = value.clone();
        }
        let answer = ask(&client, project, body).await;
        assert_eq!(answer.status, 422, "{question}: {}", answer.text());
        answer.blames(422, field);
    }
    let answer = ask(&client, project, json!({ "metrics": ["hits"], "filters": [deep] })).await;
    assert!(
        answer.status == 422 && answer.json()["field"].as_str().is_some_and(|f| f.starts_with("filters[0]"))
    );
    let broken = client.call("POST", "/api/v1/query", &[ADMIN], "{").await;
    broken.blames(400, "body");
    let long = format!("{{\"project\": \"{}\"}}", "x".repeat(300 << 10));
    assert_eq!(client.call("POST", "/api/v1/query", &[ADMIN], long).await.status, 413);
}

//! The pages of a project, over the real router and on both stores: their numbers, their filters, and
//! what strangers send.

mod common;
#[path = "common/pages.rs"]
mod pages;

use axum::body::Body;
use common::{ADMIN, Fresh, START, account, batch, client_asking, logger, options};
use pages::{HTML, RANGE, empty_project, hit, known, project, tile};
use serde_json::{Value, json};
use watchkeeper_analytics::{Analytics, AnalyticsOptions};
use watchkeeper_logger::{Bounds, Signup};
use watchkeeper_store::Hit;

on_both_stores! {
    each_panel_tells_what_was_logged
    each_tile_tells_its_change_against_the_period_before
    each_filter_keeps_what_it_says
    what_is_derived_of_hits_is_listed_and_filters
    what_the_settings_hide_is_hidden_until_the_url_shows_it
    a_range_and_a_zone_choose_their_hits
    a_range_of_decades_or_of_all_times_has_a_chart
    what_cannot_be_understood_is_refused_by_its_name
    a_table_and_its_csv_hold_every_row
    a_listing_that_is_too_long_takes_nothing_but_itself_from_the_page
    the_requests_that_a_page_is_about_are_a_file
    the_requests_that_a_page_is_about_are_shown_page_after_page
    what_strangers_send_is_text_and_never_markup_nor_formula
    annotations_are_made_by_a_key_and_marked_in_the_chart
    the_live_page_shows_the_last_and_follows
}

async fn each_panel_tells_what_was_logged(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let page = project.get(&format!("?{RANGE}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.body.len() < 150_000, "{} bytes", page.body.len());
    let page = page.text();
    let tiles = ["Requests", "Users", "Success rate", "Errors", "Median time", "95th percentile"]
        .map(|name| tile(page, name));
    assert_eq!(tiles, ["10", "3", "80 %", "2", "30 ms", "4 s"]);
    assert!(page.contains("10 requests, most of them"), "the chart says what it shows");
    assert!(page.contains("Tue 14 Nov, 22:00") || page.contains("22:00"), "its columns are named");
    let edges = page.split("data-edges=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("edges");
    let edges: Vec<_> = edges.split(' ').collect();
    assert_eq!((edges.len(), edges[72]), (73, "1700092800"), "its last column ends where the period does");

    let csv = async |listing: &str| project.csv(listing, "").await;
    let lines = |rows: Vec<Vec<String>>| rows.iter().map(|row| row.join(",")).collect::<Vec<_>>();
    assert_eq!(
        lines(csv("endpoints").await)[..3],
        ["GET,/v1/a,200,4,1,20".to_owned(), "GET,/v2/b,200,2,2,40".into(), "GET,/nope,404,1,1,3".into()]
    );
    assert_eq!(lines(csv("routes").await)[0], "GET,/v1/a,4,20,30,30");
    let errors = csv("errors").await;
    assert_eq!(
        errors.iter().map(|row| row[..4].join(",")).collect::<Vec<_>>(),
        ["404,GET,/nope,1", "500,GET,/v2/b,1"]
    );
    assert!(errors[1][5].starts_with("2023-11-14T22:13:28"), "{errors:?}");
    let first_two = async |listing: &str| {
        csv(listing).await.iter().map(|row| format!("{} {}", row[0], row[1])).collect::<Vec<_>>()
    };
    assert_eq!(first_two("hosts").await, ["example.com 7", "b.example 3"]);
    assert_eq!(first_two("versions").await, ["v1 4", "v2 4"]);
    assert_eq!(first_two("methods").await, ["GET 9", "POST 1"]);
    assert_eq!(first_two("referrers").await, ["news.example 1"]);
    assert_eq!(
        first_two("hours").await,
        ["22 9", "0 1"].map(String::from).into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(first_two("weekdays").await, ["Tuesday 9", "Wednesday 1"]);
    assert!(first_two("clients").await.iter().any(|row| row == "Chrome 1"));
    assert!(first_two("systems").await.iter().any(|row| row == "Windows 1"));
    let users = csv("users").await;
    assert_eq!((users[0][1].as_str(), users[0][3].as_str()), ("u1", "6"), "{users:?}");
    let activity = csv("activity").await;
    assert_eq!(activity.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["9", "1"]);
    let times = csv("response-times").await;
    let counted: f64 = times.iter().map(|row| row[2].parse::<f64>().expect("hits")).sum();
    assert!((counted - 10.0).abs() < f64::EPSILON);
    assert_eq!(times.iter().find(|row| row[0] == "2000").map(|row| row[2].as_str()), Some("1"), "{times:?}");
}

async fn each_tile_tells_its_change_against_the_period_before(fresh: Fresh) {
    let by = |user: &str| json!({ "user_id": user });
    // Two hours later it is the next day.
    let rows = json!([
        hit(0, "GET", "/a", 200, 10, &by("u1")),
        hit(1, "GET", "/a", 200, 10, &by("u1")),
        hit(2, "GET", "/a", 200, 20, &by("u2")),
        hit(3, "GET", "/a", 500, 40, &by("u2")),
        hit(7_200, "GET", "/a", 200, 10, &by("u1")),
        hit(7_201, "GET", "/a", 200, 15, &by("u2")),
        hit(7_202, "GET", "/a", 200, 15, &by("u3")),
        hit(7_203, "GET", "/a", 200, 30, &by("u3")),
        hit(7_204, "GET", "/a", 404, 30, &by("u3")),
    ]);
    let project = project(&fresh, &rows).await;
    let page = project.get("?from=2023-11-15&to=2023-11-15").await;
    let change = |name: &str| {
        let tile = page.text().split(&format!("<h2>{name}</h2>")).nth(1).expect(name);
        let change = tile.split("</div>").next().and_then(|tile| tile.split("class=\"change ").nth(1));
        let (class, rest) = change.and_then(|change| change.split_once('"')).expect("a change");
        let text = rest.split("aria-hidden=\"true\">").nth(1).and_then(|text| text.split('<').next());
        format!("{} {class}", text.expect("a text")).trim_end().to_owned()
    };
    for (tile, told) in [
        ("Requests", "▲ 25 %"),
        ("Users", "▲ 50 % good"),
        ("Success rate", "▲ 6.7 % good"),
        ("Errors", "= 0 %"),
        ("Median time", "▲ 50 % bad"),
        ("95th percentile", "▼ 25 % good"),
    ] {
        assert_eq!(change(tile), told, "{tile}");
    }
    assert!(page.text().contains("<span class=\"hide\">up 25 % against the period before</span>"));
    let filtered = project.get("?from=2023-11-15&to=2023-11-15&userID=u2").await;
    assert!(filtered.text().contains("▼ 50 %"), "the filter holds before too: {}", filtered.text());
    let first = project.get("?from=2023-11-14&to=2023-11-14").await;
    assert!(!first.text().contains("class=\"change"), "nothing was before: {}", first.text());
}

async fn each_filter_keeps_what_it_says(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    for (query, hits) in [
        ("", 10),
        ("hostname=b.example", 3),
        ("path=/v1/a", 4),
        ("path=/v1/a&path=/nope", 5),
        ("path=/v2/*", 4),
        ("not-path=/v1/a", 6),
        ("path=/v2/b%3Fx=1", 1),
        ("hide=/v*", 2),
        ("method=POST", 1),
        ("status=404", 1),
        ("class=2xx&method=GET", 6),
        ("version=v2", 4),
        ("version=", 2),
        ("userID=u2", 3),
        ("ipAddress=5.6.7.8", 3),
        ("client=Chrome", 1),
        ("referrer=news.example", 1),
        ("hour=22", 9),
        ("weekday=2", 9),
        ("weekday=3", 1),
        ("bots=0", 9),
        ("notfound=0", 9),
        ("user_id=u2&status=301", 1),
    ] {
        assert_eq!(project.hits(query).await, hits, "{query}");
    }
    let split = project.csv("endpoints", "query-strings=1&path=/v2/b&status=200").await;
    assert_eq!(split.len(), 2, "{split:?}");
    let server = project.csv("endpoints", "endpoints=server").await;
    assert_eq!(server.iter().map(|row| row[2].as_str()).collect::<Vec<_>>(), ["500"]);
    let slowest = project.csv("routes", "sort=p99").await;
    assert_eq!(slowest[0][1], "/v2/b");
    let page = project.get(&format!("?{RANGE}&path=/v1/a")).await;
    assert!(page.text().contains("Path is <b>/v1/a</b>"), "the filter is shown");
    assert_eq!(tile(page.text(), "Requests"), "4");
}

async fn what_is_derived_of_hits_is_listed_and_filters(fresh: Fresh) {
    let project = empty_project(&fresh).await;
    let id = fresh.store.project_by_key(project.key).await.expect("find").expect("project").id;
    let derived = |second: i64, [country, os, device, framework, route]: [&str; 5]| {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Hit {
            ts: START + second * 1_000,
            method: Some("GET".into()),
            path: Some("/items/5".into()),
            route: known(route),
            status: Some(200),
            country: known(country),
            os: known(os),
            device: known(device),
            framework: known(framework),
            ..Hit::default()
        }
    };
    let hits = vec![
        derived(0, ["DE", "Linux", "Desktop", "Axum", "/items/{id}"]),
        derived(1, ["DE", "iOS", "Phone", "Axum", "/items/{id}"]),
        derived(2, ["DE", "Linux", "Desktop", "FastAPI", "/items/{id}"]),
        derived(3, ["FR", "Linux", "Phone", "FastAPI", ""]),
        derived(4, ["", "", "", "", ""]),
    ];
    fresh.store.append(id, hits).await.expect("append");
    for (listing, rows) in [
        ("locations", ["DE 3", "FR 1", " 1"]),
        ("systems", ["Linux 3", "iOS 1", " 1"]),
        ("devices", ["Desktop 2", "Phone 2", " 1"]),
        ("frameworks", ["Axum 2", "FastAPI 2", " 1"]),
    ] {
        let mut found: Vec<_> = project.csv(listing, "").await;
        found.iter_mut().for_each(|row| row.truncate(2));
        let mut found: Vec<_> = found.into_iter().map(|row| row.join(" ")).collect();
        let mut rows = rows.map(str::to_owned);
        found.sort();
        rows.sort();
        assert_eq!(found, rows, "{listing}");
    }
    for (query, hits) in [
        ("location=DE", 3),
        ("country=FR", 1),
        ("not-location=DE", 2),
        ("location=", 1),
        ("os=Linux", 3),
        ("not-os=Linux", 2),
        ("device=Phone", 2),
        ("device=Phone&os=iOS", 1),
        ("framework=Axum", 2),
        ("framework=F*", 2),
        ("route=/items/%7Bid%7D", 3),
        ("route=/items/*", 5),
        ("not-route=/items/%7Bid%7D", 2),
    ] {
        assert_eq!(project.hits(query).await, hits, "{query}");
    }
    let page = project.get(&format!("?{RANGE}&agents=devices&traffic=frameworks")).await;
    for name in ["Germany", "Desktop", "FastAPI"] {
        assert!(page.text().contains(name), "{name}");
    }
}

async fn what_the_settings_hide_is_hidden_until_the_url_shows_it(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let saved = project
        .form("/settings", &[("hidden", "/old\n/nothing*"), ("hide_bots", "1"), ("zone", "Europe/Berlin")])
        .await;
    assert_eq!((saved.status, saved.header("location")), (303, Some(&*format!("{}/settings", project.base))));
    assert_eq!(project.hits("").await, 8);
    assert_eq!(project.hits("bots=1").await, 9);
    assert!(project.get(&format!("?{RANGE}")).await.text().contains("value=\"Europe/Berlin\""));
    let wrong = project.form("/settings", &[("zone", "Mars/Olympus")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("<code>zone</code>") && wrong.text().contains("IANA"));
    assert_eq!(project.hits("").await, 8, "nothing of a wrong form is kept");
}

async fn a_range_and_a_zone_choose_their_hits(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let of = async |query: &str| {
        let answer = project.get(&format!("/table/methods.csv?{query}")).await;
        let rows = answer
            .text()
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).expect("hits").parse::<i64>().expect("a number"));
        rows.sum::<i64>()
    };
    assert_eq!(of("from=2023-11-14&to=2023-11-14").await, 9);
    assert_eq!(of("from=2023-11-15&to=2023-11-15").await, 1);
    // In Tokyo it was already the next day.
    assert_eq!(of("from=2023-11-14&to=2023-11-14&zone=Europe/Berlin").await, 9);
    assert_eq!(of("from=2023-11-15&to=2023-11-15&zone=Asia/Tokyo").await, 10);
    assert_eq!(of("from=2023-11-14T22:13:21Z&to=2023-11-14T22:13:23Z").await, 2);
    assert_eq!(of("period=24+hours").await, 0);
    assert_eq!(of("period=all").await, 10);
    let page = project.get("?period=all").await;
    assert_eq!(tile(page.text(), "Requests"), "10");
}

async fn a_range_of_decades_or_of_all_times_has_a_chart(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    for range in
        ["from=1950-01-01&to=2025-12-31", "from=0001-01-01&to=2025-12-31", "from=0001-01-01&to=9998-12-31"]
    {
        let page = project.get(&format!("?{range}")).await;
        assert!(page.text().contains("10 requests, most of them 2023: 10"), "{range}: {}", page.text());
        let table = project.get(&format!("/table/activity?{range}")).await;
        assert!(table.text().contains(">2023</a>"), "{range}");
    }
}

async fn what_cannot_be_understood_is_refused_by_its_name(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    for (query, field) in [
        ("period=x", "period"),
        ("hour=24", "hour"),
        ("zone=Mars", "zone"),
        ("status=abc", "status"),
        ("from=2023-01-01", "from"),
    ] {
        let answer = project.get(&format!("?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().contains(&format!("<code>{field}</code>")), "{query}: {}", answer.text());
    }
    for path in ["/table/nothing", "/table/nothing.csv", "/settings/x"] {
        assert_eq!(project.get(path).await.status, 404, "{path}");
    }
}

async fn a_table_and_its_csv_hold_every_row(fresh: Fresh) {
    let rows: Vec<Value> =
        (0..130).map(|n| hit(n, "GET", &format!("/p{n:03}"), 200, 1, &json!({}))).collect();
    let project = project(&fresh, &Value::Array(rows)).await;
    let first = project.get(&format!("/table/endpoints?{RANGE}")).await;
    assert!(first.text().contains("1 to 100 of 130") && first.text().contains("offset=100"));
    let second = project.get(&format!("/table/endpoints?{RANGE}&offset=100")).await;
    assert!(second.text().contains("101 to 130 of 130") && second.text().contains("/p129"));
    assert_eq!(project.csv("endpoints", "").await.len(), 130);
    let page = project.get(&format!("?{RANGE}")).await;
    assert!(page.text().contains("All 130"));
    let activity = project.get(&format!("/table/activity?{RANGE}")).await;
    assert!(activity.text().contains("<th scope=\"col\">Time</th>"), "the chart has a table");
}

async fn a_listing_that_is_too_long_takes_nothing_but_itself_from_the_page(fresh: Fresh) {
    let rows = (0..11).map(|n| hit(n, "GET", "/", 200, 1, &json!({ "ip_address": format!("192.0.2.{n}") })));
    let mut project = project(&fresh, &Value::Array(rows.collect())).await;
    let bounds = AnalyticsOptions { question_groups: 10, ..AnalyticsOptions::default() };
    let analytics = Analytics::with_options(fresh.store.clone(), bounds);
    let logger = logger(&fresh.store, Signup::Open, 0, Bounds::default()).await;
    project.client = client_asking(analytics, options(), logger);
    let page = async |query: &str| project.get(&format!("?{RANGE}{query}")).await;
    let all = page("").await;
    assert_eq!((all.status, tile(all.text(), "Requests").as_str()), (200, "11"), "{}", all.text());
    assert_eq!(all.text().matches("Too many to list").count(), 1);
    assert!(all.text().contains("11 requests, most of them") && !all.text().contains("table/users"));
    assert!(all.text().contains(">/</a>") && all.text().contains("table/endpoints.csv"), "others are there");
    let some = page("&not-ipAddress=192.0.2.1").await;
    assert_eq!((some.status, tile(some.text(), "Requests").as_str()), (200, "10"));
    assert!(!some.text().contains("Too many to list") && some.text().contains("table/users.csv"));
    assert_eq!(project.get(&format!("/table/users?{RANGE}")).await.status, 422);
}

async fn the_requests_that_a_page_is_about_are_a_file(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let lines = async |query: &str| {
        let file = project.get(&format!("/requests.csv?{RANGE}{query}")).await;
        assert_eq!(file.status, 200, "{}", file.text());
        let head = file.text().lines().next().unwrap_or_default().to_owned();
        assert!(head.split(',').any(|column| column == "path"), "{head}");
        file.text().lines().count() - 1
    };
    assert_eq!(lines("&bots=1").await, 10);
    assert_eq!(lines("&bots=1&path=/v1/a").await, 4);
    assert_eq!(lines("&bots=1&status=201").await, 1);
    let page = project.get(&format!("?{RANGE}&path=/v1/a")).await;
    let link =
        page.text().split("requests.csv?").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    assert!(link.expect("a link").contains("path="), "its link keeps the filters");
}

async fn the_requests_that_a_page_is_about_are_shown_page_after_page(fresh: Fresh) {
    // Some days, and many requests of one moment.
    let rows: Vec<Value> = (0..250)
        .map(|n| {
            let second = if n < 130 { n * 1_200 } else { 160_000 };
            hit(second, "GET", &format!("/n{n:03}?t=1"), if n % 2 == 0 { 200 } else { 404 }, 1, &json!({}))
        })
        .collect();
    let project = project(&fresh, &Value::Array(rows)).await;
    fresh.store.seal_all().await.expect("seal");
    let more = json!([hit(170_000, "GET", "/n250", 200, 1, &json!({}))]);
    project.client.post("/api/log-request", &batch(project.key, &more)).await;
    let range = "from=2023-11-13&to=2023-11-30";
    let paths = |page: &str| -> Vec<String> {
        let links =
            page.split("class=\"key path\"").skip(1).map(|rest| rest.split('>').nth(1).expect("a text"));
        let numbers = links.map(|text| text[1..5].to_owned());
        numbers.collect()
    };
    let walk = async |query: &str| {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut next = Some(format!("{}/requests?{range}{query}", project.base));
        while let Some(link) = next {
            let page = project.client.call("GET", &link, &[HTML], Body::empty()).await;
            assert_eq!(page.status, 200, "{link}: {}", page.text());
            found.extend(paths(page.text()));
            pages += 1;
            next = page.text().split("rel=\"next\"").next().filter(|it| *it != page.text()).map(|before| {
                let link = before.rsplit("href=\"").next().and_then(|link| link.split('"').next());
                link.expect("a link").replace("&#38;", "&").replace("&amp;", "&")
            });
        }
        (found, pages)
    };
    let (found, pages) = walk("").await;
    assert_eq!((found.len(), pages, found[0].as_str()), (251, 3, "n250"));
    let expected: std::collections::BTreeSet<_> = (0..251).map(|n| format!("n{n:03}")).collect();
    assert_eq!(found.iter().cloned().collect::<std::collections::BTreeSet<_>>(), expected, "each once");
    assert!(found[121..].is_sorted_by(|one, other| one > other), "newest first");
    assert_eq!(walk("&status=404").await.0.len(), 125);
    assert_eq!(walk("&path=/n25*").await.0, ["n250"]);
    assert_eq!(walk("&path=/none").await.0, [] as [String; 0]);

    let first = project.get(&format!("/requests?{range}&path=/n0*")).await;
    assert!(first.text().contains("100 from here on") && first.text().contains("/n000?t=1"));
    assert!(first.text().contains(&format!("{}/requests.csv?", project.base)));
    let linked = project.get(&format!("?{range}&path=/n0*")).await;
    assert!(linked.text().contains("Each request</a>"), "the dashboard leads there");
    assert_eq!(project.get(&format!("/requests?{range}&before=x")).await.status, 200);
}

async fn what_strangers_send_is_text_and_never_markup_nor_formula(fresh: Fresh) {
    const HOSTILE: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>"#;
    let more = json!({ "user_agent": HOSTILE, "referrer": format!("http://{HOSTILE}"), "user_id": HOSTILE, "hostname": HOSTILE });
    let rows = json!([
        hit(0, "GET", &format!("/{HOSTILE}"), 500, 1, &more),
        hit(1, "GET", "=HYPERLINK(1)", 200, 1, &json!({}))
    ]);
    let project = project(&fresh, &rows).await;
    let paths = ["", "/table/endpoints", "/table/users", "/table/hosts", "/requests", "/live", "/settings"];
    for path in paths {
        let page = project.get(&format!("{path}?{RANGE}&path=%22%3E%3Cscript%3E&path=/*&path=*=*")).await;
        assert_eq!(page.status, 200, "{path}");
        for markup in ["<script>", "<img", "onerror=alert(1)>", "\"><"] {
            let found = page.text().matches(markup).count();
            // The pages' own tags end so too, behind a quote of theirs.
            assert!(found == 0 || markup == "\"><", "{markup} in {path}");
        }
    }
    let csv = project.csv("endpoints", "").await;
    assert!(csv.iter().any(|row| row[1] == "'=HYPERLINK(1)"), "{csv:?}");
    let error = project.get("?period=%3Cscript%3Ealert(1)").await;
    assert!(error.status == 400 && !error.text().contains("<script>"));
}

async fn annotations_are_made_by_a_key_and_marked_in_the_chart(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    fresh.store.put_project("shop", project.key).await.expect("put");
    let path = "/api/v1/projects/shop/annotations";
    let key = project.key.to_string();
    let post = async |headers: &[(&str, &str)], body: Value| {
        project.client.call("POST", path, headers, body.to_string()).await
    };
    let note =
        json!({ "text": "Deployed <v1.2>", "time": "2023-11-14T22:30:00Z", "url": "https://ci.example/1" });
    assert_eq!(post(&[], note.clone()).await.status, 401);
    let elsewhere = account(&project.client).await.0.to_string();
    assert_eq!(post(&[("x-auth-token", &elsewhere)], note.clone()).await.status, 403);
    assert_eq!(
        post(&[("x-auth-token", &key), ("sec-fetch-site", "cross-site")], note.clone()).await.status,
        403
    );
    post(&[ADMIN], json!({ "text": "" })).await.blames(422, "text");
    post(&[ADMIN], json!({ "text": "a", "url": "javascript:alert(1)" })).await.blames(422, "url");
    post(&[ADMIN], json!({ "text": "a", "time": "now" })).await.blames(422, "time");
    let made = post(&[("x-auth-token", &key)], note).await;
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_i64().expect("an id");
    assert_eq!(post(&[ADMIN], json!({ "text": "now" })).await.status, 201);
    let listed = project.client.call("GET", path, &[ADMIN], Body::empty()).await.json();
    assert_eq!(listed["annotations"].as_array().map(Vec::len), Some(2));
    let some = format!("{path}?from=2023-11-14T00:00:00Z&to=2023-11-15T00:00:00Z");
    let listed = project.client.call("GET", &some, &[ADMIN], Body::empty()).await.json();
    assert_eq!(listed["annotations"][0]["text"], json!("Deployed <v1.2>"));
    assert_eq!(listed["annotations"].as_array().map(Vec::len), Some(1));

    let page = project.get(&format!("?{RANGE}")).await;
    assert!(page.text().contains("class=\"mark\"") && page.text().contains("https://ci.example/1"));
    assert!(!page.text().contains("<v1.2>"));
    let by_form = [("text", "By hand"), ("time", "2023-11-14T23:30"), ("zone", "Europe/Berlin"), ("url", "")];
    assert_eq!(project.form("/annotations", &by_form).await.status, 303);
    let listed = project.client.call("GET", &some, &[ADMIN], Body::empty()).await.json();
    assert!(
        listed["annotations"].as_array().is_some_and(|all| all
            .iter()
            .any(|it| it["time"] == json!("2023-11-14T22:30:00Z") && it["text"] == json!("By hand"))),
        "{listed}"
    );
    let delete = async |id: i64| {
        project.client.call("DELETE", &format!("{path}/{id}"), &[ADMIN], Body::empty()).await.status
    };
    assert_eq!((delete(id).await, delete(id).await), (204, 204));
    assert!(!project.get(&format!("?{RANGE}")).await.text().contains("https://ci.example/1"));
}

async fn the_live_page_shows_the_last_and_follows(fresh: Fresh) {
    let now = |path: &str| {
        let mut row = hit(0, "GET", path, 200, 1, &json!({}));
        row["created_at"] = jiff::Timestamp::now().to_string().into();
        row
    };
    let project = project(&fresh, &json!([now("/first"), now("/other")])).await;
    let page = project.get("/live?path=/first").await;
    assert!(page.text().contains("/first</a>") && !page.text().contains("/other</a>"));
    assert!(page.text().contains("http-equiv=\"refresh\""), "it lives without a script too");
    let events = page.text().split("data-events=\"").nth(1).expect("events").split('"').next().expect("end");
    let events = events.replace("&#38;", "&").replace("&amp;", "&").replace("path=%2Ffirst", "path=%2Fnew*");
    let request = http::Request::builder().uri(&events).body(Body::empty()).expect("request");
    let response = tower::ServiceExt::oneshot(project.client.0.clone(), request).await.expect("infallible");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let more = batch(project.key, &json!([now("/new1"), now("/unwanted"), now("/new2")]));
    project.client.post("/api/log-request", &more).await.says(201, "API requests logged successfully.");
    let mut text = String::new();
    let read = async {
        while !text.contains("/new2") {
            let frame = http_body_util::BodyExt::frame(&mut body).await.expect("open").expect("a frame");
            text += std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(15), read).await.expect("the hits arrive");
    assert!(text.contains("event: hits") && text.contains("/new1") && !text.contains("/unwanted"), "{text}");
    assert!(text.contains("\nid: "), "a browser that comes again says where it was");
}

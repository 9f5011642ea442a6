//! The dashboard's pages, over the real router and on both stores: their numbers, their filters, who
//! may see them, and what strangers send.

mod common;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, TOKEN, account, batch, client, client_with, options};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_api::{ApiOptions, AuthConfig};

on_both_stores! {
    each_panel_tells_what_was_logged
    each_filter_keeps_what_it_says
    what_the_settings_hide_is_hidden_until_the_url_shows_it
    a_range_and_a_zone_choose_their_hits
    what_cannot_be_understood_is_refused_by_its_name
    a_table_and_its_csv_hold_every_row
    the_requests_that_a_page_is_about_are_a_file
    what_strangers_send_is_text_and_never_markup_nor_formula
    only_who_may_look_looks
    a_session_begins_by_the_token_and_ends
    a_form_from_elsewhere_changes_nothing
    a_share_shows_what_it_is_limited_to_until_it_is_revoked
    a_share_with_a_password_opens_by_it_alone
    annotations_are_made_by_a_key_and_marked_in_the_chart
    the_live_page_shows_the_last_and_follows
    the_overview_lists_every_project
}

/// The period that holds the hits of these tests: three days in November 2023, UTC.
const RANGE: &str = "from=2023-11-13&to=2023-11-15";

const HTML: (&str, &str) = ("accept", "text/html");

/// A hit: seconds after [`START`], method, path, status, milliseconds, and what else differs.
fn hit(second: i64, method: &str, path: &str, status: i32, ms: i64, more: &Value) -> Value {
    let mut row = common::row(second, path);
    row["method"] = method.into();
    row["status"] = status.into();
    row["response_time"] = ms.into();
    for (name, value) in more.as_object().expect("an object") {
        row[name] = value.clone();
    }
    row
}

/// Ten hits of known numbers: 8 of them good, by 3 users, of 2 hosts.
fn known() -> Value {
    let none = json!({});
    let other = json!({ "user_id": "u2", "ip_address": "5.6.7.8", "hostname": "b.example" });
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    let bot = json!({ "user_id": "u3", "user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" });
    json!([
        hit(0, "GET", "/v1/a", 200, 10, &none),
        hit(1, "GET", "/v1/a", 200, 20, &none),
        hit(2, "GET", "/v1/a", 200, 30, &json!({ "referrer": "https://news.example/x" })),
        hit(3, "GET", "/v2/b?x=1", 200, 40, &json!({ "user_agent": chrome })),
        hit(4, "GET", "/v2/b?x=2", 200, 50, &other),
        hit(5, "POST", "/v2/b", 201, 60, &other),
        hit(6, "GET", "/old", 301, 70, &other),
        hit(7, "GET", "/nope", 404, 3, &bot),
        hit(8, "GET", "/v2/b", 500, 4_000, &none),
        hit(7_200, "GET", "/v1/a", 200, 25, &none),
    ])
}

struct Project {
    client: Client,
    key: Uuid,
    base: String,
}

async fn project(fresh: &Fresh, rows: &Value) -> Project {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    client.post("/api/log-request", &batch(key, rows)).await.says(201, "API requests logged successfully.");
    Project { client, key, base: format!("/p/{user}") }
}

impl Project {
    async fn get(&self, path: &str) -> Answer {
        self.client.call("GET", &format!("{}{path}", self.base), &[HTML], Body::empty()).await
    }

    /// The CSV of a listing as rows without their head.
    async fn csv(&self, listing: &str, query: &str) -> Vec<Vec<String>> {
        let answer = self.get(&format!("/table/{listing}.csv?{RANGE}&{query}")).await;
        assert_eq!(answer.status, 200, "{listing} {query}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        let rows = answer.text().lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect());
        rows.collect()
    }

    /// Hits that a query keeps.
    async fn hits(&self, query: &str) -> i64 {
        let rows = self.csv("methods", query).await;
        rows.iter().map(|row| row[1].parse::<i64>().expect("hits")).sum()
    }

    /// The value that a form of the settings page must send back.
    async fn token(&self) -> String {
        token(&self.get("/settings").await)
    }

    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        post_form(&self.client, &format!("{}{path}", self.base), &[], &fields).await
    }
}

fn token(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.text());
    let rest = page.text().split("name=\"token\" value=\"").nth(1).expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

async fn post_form(client: &Client, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let label = ("content-type", "application/x-www-form-urlencoded");
    let headers: Vec<_> = headers.iter().copied().chain([label, HTML]).collect();
    client.call("POST", path, &headers, body).await
}

/// The value of a tile.
fn tile(page: &str, name: &str) -> String {
    let rest = page
        .split(&format!("<h2>{name}</h2><p class=\"value\" title=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no {name}"));
    rest.split('"').next().expect("a value").to_owned()
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

async fn what_strangers_send_is_text_and_never_markup_nor_formula(fresh: Fresh) {
    const HOSTILE: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>"#;
    let more = json!({ "user_agent": HOSTILE, "referrer": format!("http://{HOSTILE}"), "user_id": HOSTILE, "hostname": HOSTILE });
    let rows = json!([
        hit(0, "GET", &format!("/{HOSTILE}"), 500, 1, &more),
        hit(1, "GET", "=HYPERLINK(1)", 200, 1, &json!({}))
    ]);
    let project = project(&fresh, &rows).await;
    let paths = ["", "/table/endpoints", "/table/users", "/table/hosts", "/live", "/settings"];
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

async fn only_who_may_look_looks(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    fresh.store.put_project("shop", project.key).await.expect("put");
    let closed = &project.client;
    for path in ["/", "/p/shop", "/p/1", "/p/nobody", "/p/shop/settings", "/p/shop/live/events"] {
        let program = closed.get(path).await;
        assert_eq!(program.status, 401, "{path}");
        let person = closed.call("GET", path, &[HTML], Body::empty()).await;
        assert_eq!(person.status, 303, "{path}");
        assert!(person.header("location").is_some_and(|to| to.starts_with("/login?next=%2F")), "{path}");
    }
    assert_eq!(
        closed.call("GET", &format!("/p/{}", Uuid::new_v4()), &[HTML], Body::empty()).await.status,
        303
    );
    for path in ["/", "/p/shop", "/p/shop/settings"] {
        let page = closed.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
        assert_eq!(page.status, 200, "{path}");
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        assert!(!page.text().contains(&project.key.to_string()));
    }
    assert_eq!(closed.call("GET", "/p/nobody", &[ADMIN], Body::empty()).await.status, 404);
    // What is open on the own machine shows, and changes nothing.
    let auth = AuthConfig { open_overview: true, ..options().auth };
    let open = client_with(&fresh.store, ApiOptions { auth, ..options() }).await;
    assert_eq!(open.get("/p/shop").await.status, 200);
    assert_eq!(open.get("/p/shop/settings").await.status, 401);
    let rebound = [("host", "evil.example:8080"), HTML];
    assert_eq!(open.call("GET", "/p/shop", &rebound, Body::empty()).await.status, 303);
    let json = open.call("GET", "/", &[("accept", "application/json")], Body::empty()).await;
    assert_eq!(json.json()["projects"], json!(1));
}

async fn a_session_begins_by_the_token_and_ends(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let sign_in = async |password: &str, next: &str, headers: &[(&str, &str)]| {
        post_form(&client, "/login", headers, &[("password", password), ("next", next)]).await
    };
    assert_eq!(sign_in("wrong", "/", &[]).await.status, 401);
    assert_eq!(sign_in(TOKEN, "/", &[("sec-fetch-site", "cross-site")]).await.status, 403);
    assert_eq!(sign_in(TOKEN, "//evil.example", &[]).await.header("location"), Some("/"));
    let started = sign_in(TOKEN, "/p/shop", &[("x-forwarded-proto", "https")]).await;
    assert_eq!((started.status, started.header("location")), (303, Some("/p/shop")));
    let cookie = started.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let with = async |headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", cookie.as_str())]).collect();
        client.call("GET", "/", &headers, Body::empty()).await
    };
    assert!(with(&[HTML]).await.text().contains("Sign out"));
    assert_eq!(with(&[("sec-fetch-site", "cross-site")]).await.status, 401);
    let ended = post_form(&client, "/logout", &[("cookie", &cookie)], &[]).await;
    assert_eq!(ended.status, 303);
    assert_eq!(with(&[]).await.status, 401);
    // Another token ends every session.
    let again = sign_in(TOKEN, "/", &[]).await;
    let cookie = again.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let auth =
        AuthConfig { admin_token: watchkeeper_runtime::secret::Secret::new("another"), ..options().auth };
    let rotated = client_with(&fresh.store, ApiOptions { auth, ..options() }).await;
    assert_eq!(rotated.call("GET", "/", &[("cookie", &cookie)], Body::empty()).await.status, 401);
    let stranger = [("x-forwarded-for", "192.0.2.66")];
    let mut last = 0;
    for _ in 0..30 {
        last = sign_in("wrong", "/", &stranger).await.status;
    }
    assert_eq!(last, 429, "guessing is slow");
    assert_eq!(sign_in(TOKEN, "/", &stranger).await.status, 429, "also for who guesses right at last");
    assert_eq!(
        sign_in(TOKEN, "/", &[("x-forwarded-for", "192.0.2.1")]).await.status,
        303,
        "nobody is locked out"
    );
}

async fn a_form_from_elsewhere_changes_nothing(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let path = format!("{}/settings", project.base);
    let fields = [("hidden", "/old")];
    assert_eq!(post_form(&project.client, &path, &[], &fields).await.status, 403, "without a token");
    let token = project.token().await;
    let with = [("hidden", "/old"), ("token", token.as_str())];
    assert_eq!(
        post_form(&project.client, &path, &[("sec-fetch-site", "cross-site")], &with).await.status,
        403
    );
    assert_eq!(post_form(&project.client, &path, &[ADMIN], &with).await.status, 403, "with another's token");
    let admin = token_of_admin(&project, &path).await;
    assert_ne!(admin, token);
    assert_eq!(project.hits("").await, 10);
    assert_eq!(post_form(&project.client, &path, &[], &with).await.status, 303);
    assert_eq!(project.hits("").await, 9);
}

async fn token_of_admin(project: &Project, path: &str) -> String {
    token(&project.client.call("GET", path, &[ADMIN, HTML], Body::empty()).await)
}

async fn a_share_shows_what_it_is_limited_to_until_it_is_revoked(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let wrong = [
        (vec![("title", ""), ("reach", "secret")], "title"),
        (vec![("title", "a"), ("reach", "x")], "reach"),
        (vec![("title", "a"), ("reach", "password"), ("password", "short")], "password"),
        (vec![("title", "a"), ("reach", "secret"), ("filter", "hour=99")], "filter"),
        (vec![("title", "–"), ("reach", "public")], "title"),
    ];
    for (fields, field) in wrong {
        let answer = project.form("/shares", &fields).await;
        assert_eq!(answer.status, 422, "{fields:?}");
        assert!(answer.text().contains(&format!("<code>{field}</code>")), "{fields:?}");
    }
    let made =
        project.form("/shares", &[("title", "v1 only"), ("reach", "secret"), ("filter", "path=/v1/*")]).await;
    assert_eq!(made.status, 200);
    let link = made.text().split("value=\"/s/").nth(1).expect("the link").split('"').next().expect("its end");
    assert!(link.len() >= 43, "too short to be a secret");
    let share = format!("/s/{link}");
    let get = async |path: String| project.client.call("GET", &path, &[HTML], Body::empty()).await;
    let page = get(format!("{share}?{RANGE}")).await;
    assert_eq!((page.status, tile(page.text(), "Requests").as_str()), (200, "4"));
    assert!(!page.text().contains("1.2.3.4") && !page.text().contains("Top users"), "persons are not shown");
    // Its reader can narrow what is seen and never widen it.
    let wider = get(format!("{share}?{RANGE}&path=/nope")).await;
    assert_eq!(tile(wider.text(), "Requests"), "0");
    for personal in ["userID=u1", "not-ipAddress=1.2.3.4", "query=x*", "path=/v2/b%3Fx=1", "query-strings=1"]
    {
        assert_eq!(get(format!("{share}?{RANGE}&{personal}")).await.status, 403, "{personal}");
    }
    assert_eq!(get(format!("{share}/table/users?{RANGE}")).await.status, 404);
    assert_eq!(get(format!("{share}/table/users.csv?{RANGE}")).await.status, 404);
    let csv = get(format!("{share}/table/endpoints.csv?{RANGE}")).await;
    assert!(csv.text().contains("/v1/a") && !csv.text().contains("/v2/b"));
    assert_eq!(get(format!("{share}/settings")).await.status, 404);

    let public = [("title", "Shop API"), ("reach", "public"), ("people", "1")];
    assert_eq!(project.form("/shares", &public).await.status, 200);
    assert_eq!(project.form("/shares", &public).await.status, 422, "the name is taken");
    let page = get(format!("/s/shop-api?{RANGE}")).await;
    assert!(page.status == 200 && page.text().contains("Top users"));
    assert!(get("/login".into()).await.text().contains("href=\"/s/shop-api\""));

    let settings = project.get("/settings").await;
    assert!(!settings.text().contains(link), "a secret is shown once");
    let revoke: Vec<&str> = settings
        .text()
        .split("/shares/")
        .skip(1)
        .filter_map(|rest| rest.split("/revoke").next())
        .filter(|id| id.parse::<i64>().is_ok())
        .collect();
    assert_eq!(revoke.len(), 2);
    for id in revoke {
        assert_eq!(project.form(&format!("/shares/{id}/revoke"), &[]).await.status, 303);
    }
    for path in [share, "/s/shop-api".into(), "/s/nothing".into()] {
        assert_eq!(get(path).await.status, 404);
    }
}

async fn a_share_with_a_password_opens_by_it_alone(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let fields = [("title", "Guarded"), ("reach", "password"), ("password", "correct horse")];
    let made = project.form("/shares", &fields).await;
    let link = made.text().split("value=\"/s/").nth(1).expect("the link").split('"').next().expect("its end");
    let share = format!("/s/{link}");
    let get = async |path: &str, cookie: &str| {
        project.client.call("GET", path, &[HTML, ("cookie", cookie)], Body::empty()).await
    };
    for path in ["", "/live", "/live/events", "/table/hosts", "/table/hosts.csv"] {
        let asked = get(&format!("{share}{path}"), "").await;
        assert!(asked.status == 401 && asked.text().contains("type=\"password\""), "{path}");
    }
    let unlock = async |password: &str, from: &str| {
        let (path, from) = (format!("{share}/unlock"), [("x-forwarded-for", from)]);
        post_form(&project.client, &path, &from, &[("password", password)]).await
    };
    assert_eq!(unlock("wrong horse", "192.0.2.1").await.status, 401);
    let opened = unlock("correct horse", "192.0.2.1").await;
    assert_eq!((opened.status, opened.header("location")), (303, Some(share.as_str())));
    let cookie = opened.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.contains(&format!("Path={share}")) && cookie.contains("HttpOnly"));
    let pair = cookie.split(';').next().expect("a pair");
    let page = get(&format!("{share}?{RANGE}"), pair).await;
    assert_eq!((page.status, tile(page.text(), "Requests").as_str()), (200, "10"));
    assert_eq!(get(&share, &format!("{pair}0")).await.status, 401, "a forged cookie");
    let mut last = 0;
    for _ in 0..15 {
        last = unlock("wrong horse", "192.0.2.66").await.status;
    }
    assert_eq!(last, 429, "guessing is slow");
    assert_eq!(unlock("correct horse", "192.0.2.1").await.status, 303, "nobody else is kept out");
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

async fn the_overview_lists_every_project(fresh: Fresh) {
    let mut rows = [hit(0, "GET", "/a", 200, 30, &json!({})), hit(0, "GET", "/b", 500, 90, &json!({}))];
    for row in &mut rows {
        row["created_at"] = jiff::Timestamp::now().to_string().into();
    }
    let project = project(&fresh, &json!(rows)).await;
    fresh.store.put_project("a/b ?", project.key).await.expect("put");
    let page = project.client.call("GET", "/", &[ADMIN, HTML], Body::empty()).await;
    assert!(page.text().contains("href=\"/p/a%2Fb%20%3F\""), "{}", page.text());
    for cell in ["<td class=\"number\">2</td>", "<td class=\"number\">90 ms</td>"] {
        assert!(page.text().contains(cell), "{cell}");
    }
    let linked = project.client.call("GET", "/p/a%2Fb%20%3F", &[ADMIN, HTML], Body::empty()).await;
    assert_eq!(tile(linked.text(), "Requests"), "2");
}

//! site-analytics' data interface over the real routers and on both stores: what websites report is read
//! back in its shapes.

mod common;
#[path = "common/website.rs"]
mod website;

use axum::body::Body;
use common::{Fresh, SECRET, client_with, options, processor};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_api::ApiOptions;
use watchkeeper_logger::{Bounds, Signup};
use watchkeeper_testkit::dns::{Dns, Reply};
use website::{FIREFOX, Site, cities, view};

on_both_stores! {
    no_header_a_wrong_one_and_bearer_are_401_on_every_endpoint_and_the_exact_secret_is_not
    who_guesses_at_the_secret_is_slowed_down_and_nobody_else
    a_project_key_reads_its_own_project
    a_view_in_the_query_string_counts_one
    a_view_as_json_counts_one
    an_odd_address_is_counted_and_its_country_is_null
    users_are_distinct_addresses_and_views_are_all
    a_sunday_and_the_monday_after_are_two_weeks_dated_by_their_mondays
    the_week_over_new_year_is_one_row
    a_range_has_its_start_date_and_not_its_end_date
    dates_may_be_unpadded_and_what_is_no_date_is_400
    classification_is_user_or_bot_and_required_on_the_lists
    a_parameter_that_is_not_known_is_400
    the_googlebot_of_the_readme_is_in_bot_results_only
    an_empty_user_agent_is_a_bots
    a_host_name_with_a_robots_word_is_a_bots_and_no_name_is_not
    a_request_a_second_is_a_bots_and_two_an_hour_apart_are_not
    one_robots_view_makes_all_views_of_its_address_a_bots
    cities_and_countries_come_from_the_file_and_a_lookup_that_fails_loses_no_view
    hostnames_are_domains_grouped_by_domain_most_first
    lists_come_most_first
    sessions_end_after_a_gap_of_their_timeout
    a_session_goes_on_over_midnight_and_counts_where_it_began
    an_unprocessed_address_is_absent_until_the_job_has_run_and_the_job_is_idempotent
    no_data_is_an_empty_list
    where_no_address_is_kept_users_are_visitors
}

const ALL: [&str; 6] = ["users", "views", "countries", "cities", "urls", "hostnames"];
const LISTS: [&str; 4] = ["countries", "cities", "urls", "hostnames"];
/// More than every time in these tests.
const EVER: &str = "start_date=2020-01-01&end_date=2037-01-01";

/// A view of a person on a Tuesday, so many minutes after noon.
fn calm(ip: &str, minute: u32) -> Value {
    view("/", ip, FIREFOX, &format!("2023-11-14T12:{minute:02}:00"))
}

async fn no_header_a_wrong_one_and_bearer_are_401_on_every_endpoint_and_the_exact_secret_is_not(
    fresh: Fresh,
) {
    let site = Site::of(&fresh).await;
    let bearer = format!("Bearer {SECRET}");
    for name in ALL.into_iter().chain(["sessions", "statistics", "query"]) {
        let path = format!("/api/v1/data/{name}");
        for header in [None, Some("wrong"), Some(bearer.as_str()), Some("DEV-12345")] {
            let headers: Vec<_> = header.map(|value| ("authorization", value)).into_iter().collect();
            // Without a parameter that is required: 401 comes before 400.
            assert_eq!(
                site.client.call("GET", &path, &headers, Body::empty()).await.status,
                401,
                "{name} {header:?}"
            );
        }
        assert_eq!(site.get(name).await.status, 400, "{name}");
    }
    let none = ApiOptions { site: watchkeeper_store::SiteAccess::new(None, "site"), ..options() };
    let closed = Site { store: fresh.store.clone(), client: client_with(&fresh.store, none).await };
    assert_eq!(closed.get("users").await.status, 401, "without a secret nothing opens anything");
}

async fn who_guesses_at_the_secret_is_slowed_down_and_nobody_else(fresh: Fresh) {
    Site::of(&fresh).await.client.slows_down_who_guesses_at_the_secret("GET", "/api/v1/data/users").await;
}

async fn a_project_key_reads_its_own_project(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let key = Uuid::new_v4();
    fresh.store.register_key(key).await.expect("register");
    let key = key.to_string();
    let body = calm("1.2.3.4", 0).to_string();
    site.client.call("POST", "/api/v1/traffic", &[("authorization", &key)], body).await;
    site.process().await;
    let path = format!("/api/v1/data/urls?{EVER}&classification=USER");
    let own = site.client.call("GET", &path, &[("authorization", &key)], Body::empty()).await;
    assert_eq!(own.json(), json!([{ "url": "/", "value": 1 }]));
    assert_eq!(site.rows(&format!("urls?{EVER}&classification=USER")).await, json!([]));
    let unknown = Uuid::new_v4().to_string();
    assert_eq!(
        site.client.call("GET", &path, &[("authorization", &unknown)], Body::empty()).await.status,
        401
    );
}

async fn a_view_in_the_query_string_counts_one(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let path = "/api/v1/traffic?url=/&ip_addr=1.2.3.4&user_agent=UA";
    let answer = site.client.call("POST", path, &[("authorization", SECRET)], Body::empty()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    site.process().await;
    assert_eq!(site.sum(&format!("views?{EVER}&classification=USER"), "quantity").await, 1);
}

async fn a_view_as_json_counts_one(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let body = json!({ "url": "/", "ip_address": "1.2.3.4", "user_agent": "UA" }).to_string();
    let answer = site.client.call("POST", "/api/v1/traffic", &[("authorization", SECRET)], body).await;
    assert_eq!(answer.status, 200);
    site.process().await;
    assert_eq!(site.sum(&format!("views?{EVER}&classification=USER"), "quantity").await, 1);
}

async fn an_odd_address_is_counted_and_its_country_is_null(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[calm("1234", 0)]).await;
    site.process().await;
    assert_eq!(
        site.rows(&format!("countries?{EVER}&classification=USER")).await,
        json!([{ "country": null, "value": 1 }])
    );
    assert_eq!(site.sum(&format!("users?{EVER}"), "user").await, 1);
}

async fn users_are_distinct_addresses_and_views_are_all(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[calm("1.1.1.1", 0), calm("1.1.1.1", 9), calm("1.1.1.1", 20), calm("2.2.2.2", 0)]).await;
    site.process().await;
    let monday = "Mon, 13 Nov 2023 00:00:00 GMT";
    let of = |path: &'static str| site.rows(path);
    let range = "start_date=2023-11-01&end_date=2023-12-01";
    assert_eq!(
        site.rows(&format!("users?{range}")).await,
        json!([{ "date": monday, "user": 2, "bot": null }])
    );
    assert_eq!(
        site.rows(&format!("views?{range}")).await,
        json!([{ "date": monday, "user": 4, "bot": null }])
    );
    assert_eq!(
        of("users?start_date=2023-11-01&end_date=2023-12-01&classification=USER").await,
        json!([{ "quantity": 2, "date": monday }])
    );
}

async fn a_sunday_and_the_monday_after_are_two_weeks_dated_by_their_mondays(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let times = ["2020-10-04T23:59:00", "2020-10-05T00:01:00"];
    site.report(&times.map(|time| view("/", "1.1.1.1", FIREFOX, time))).await;
    site.process().await;
    assert_eq!(
        site.rows(&format!("views?{EVER}")).await,
        json!([
            { "date": "Mon, 28 Sep 2020 00:00:00 GMT", "user": 1, "bot": null },
            { "date": "Mon, 05 Oct 2020 00:00:00 GMT", "user": 1, "bot": null },
        ])
    );
}

async fn the_week_over_new_year_is_one_row(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let times = ["2020-12-31T12:00:00", "2021-01-01T12:00:00"];
    site.report(&times.map(|time| view("/", "1.1.1.1", FIREFOX, time))).await;
    site.process().await;
    let row = |user| json!([{ "date": "Mon, 28 Dec 2020 00:00:00 GMT", "user": user, "bot": null }]);
    assert_eq!(site.rows(&format!("views?{EVER}")).await, row(2));
    assert_eq!(site.rows(&format!("users?{EVER}")).await, row(1));
}

async fn a_range_has_its_start_date_and_not_its_end_date(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let times = ["2021-03-09T23:59:59", "2021-03-10T00:00:00", "2021-03-11T23:59:59", "2021-03-12T00:00:00"];
    site.report(&times.map(|time| view(time, "1.1.1.1", FIREFOX, time))).await;
    site.process().await;
    let rows = site.rows("urls?start_date=2021-03-10&end_date=2021-03-12&classification=USER").await;
    assert_eq!(
        rows,
        json!([{ "url": "2021-03-10T00:00:00", "value": 1 }, { "url": "2021-03-11T23:59:59", "value": 1 }])
    );
}

async fn dates_may_be_unpadded_and_what_is_no_date_is_400(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    assert_eq!(site.get("users?start_date=2020-10-10&end_date=2021-3-15").await.status, 200);
    for end in ["2021-02-30", "03-15-2021", "", "2021-03-15T00:00:00"] {
        let answer = site.get(&format!("users?start_date=2020-10-10&end_date={end}")).await;
        let message = "Invalid parameters: {'end_date': ['Not a valid date.']}";
        assert_eq!((answer.status, answer.text()), (400, message), "{end}");
    }
    let missing = site.get("users?end_date=2021-03-15").await;
    let message = "Invalid parameters: {'start_date': ['Missing data for required field.']}";
    assert_eq!((missing.status, missing.text()), (400, message));
    let reversed = site.get("users?start_date=2021-03-15&end_date=2021-03-15").await;
    assert!(reversed.status == 400 && reversed.text().contains("end_date must be later than start_date"));
}

async fn classification_is_user_or_bot_and_required_on_the_lists(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    for name in ALL {
        for class in ["USER", "BOT"] {
            assert_eq!(site.get(&format!("{name}?{EVER}&classification={class}")).await.status, 200);
        }
        for class in ["ME", "user", ""] {
            let answer = site.get(&format!("{name}?{EVER}&classification={class}")).await;
            let message =
                format!("Invalid parameters: {{'classification': ['Invalid enum member {class}']}}");
            assert_eq!((answer.status, answer.text()), (400, message.as_str()), "{name}");
        }
    }
    for name in LISTS {
        let answer = site.get(&format!("{name}?{EVER}")).await;
        let message = "Invalid parameters: {'classification': ['Missing data for required field.']}";
        assert_eq!((answer.status, answer.text()), (400, message), "{name}");
    }
}

async fn a_parameter_that_is_not_known_is_400(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    for name in ALL {
        let answer = site.get(&format!("{name}?{EVER}&classification=USER&zzz=1")).await;
        assert_eq!((answer.status, answer.text()), (400, "Invalid parameters: {'zzz': ['Unknown field.']}"));
    }
}

async fn the_googlebot_of_the_readme_is_in_bot_results_only(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let googlebot = "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like \
                     Gecko) Chrome/80.0.3987.92 Mobile Safari/537.36 (compatible; Googlebot/2.1; \
                     +http://www.google.com/bot.html)";
    site.report(&[view("/bot", "127.0.0.1", googlebot, "2023-11-14T12:00:00"), calm("1.1.1.1", 0)]).await;
    site.process().await;
    let urls = |class| format!("urls?{EVER}&classification={class}");
    assert_eq!(site.rows(&urls("BOT")).await, json!([{ "url": "/bot", "value": 1 }]));
    assert_eq!(site.rows(&urls("USER")).await, json!([{ "url": "/", "value": 1 }]));
    let users = site.rows(&format!("users?{EVER}")).await;
    assert_eq!((&users[0]["user"], &users[0]["bot"]), (&json!(1), &json!(1)));
}

async fn an_empty_user_agent_is_a_bots(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[view("/", "1.1.1.1", "", "2023-11-14T12:00:00")]).await;
    site.process().await;
    let users = site.rows(&format!("users?{EVER}")).await;
    assert_eq!((&users[0]["user"], &users[0]["bot"]), (&Value::Null, &json!(1)));
}

async fn a_host_name_with_a_robots_word_is_a_bots_and_no_name_is_not(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let dns = Dns::start().expect("dns");
    dns.say([8, 8, 8, 8], Reply::Name("crawl-1.example.com".into()));
    site.report(&[calm("8.8.8.8", 0), calm("9.9.9.9", 0)]).await;
    processor(&site.store, Some(&dns), None).await.process_all(|_| {}).await.expect("process");
    let users = site.rows(&format!("users?{EVER}")).await;
    assert_eq!((&users[0]["user"], &users[0]["bot"]), (&json!(1), &json!(1)));
    assert_eq!(
        site.rows(&format!("hostnames?{EVER}&classification=BOT")).await,
        json!([{ "hostname": "example.com", "value": 1 }])
    );
    assert_eq!(
        site.rows(&format!("hostnames?{EVER}&classification=USER")).await,
        json!([{ "hostname": null, "value": 1 }])
    );
}

async fn a_request_a_second_is_a_bots_and_two_an_hour_apart_are_not(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let mut views: Vec<_> =
        (0..5).map(|second| view("/", "1.1.1.1", FIREFOX, &format!("2023-11-14T12:00:0{second}"))).collect();
    views.extend(
        ["12:00:00", "13:00:00"].map(|time| view("/", "2.2.2.2", FIREFOX, &format!("2023-11-14T{time}"))),
    );
    // Exactly one a second.
    views.extend(
        ["12:00:00", "12:00:02"].map(|time| view("/", "3.3.3.3", FIREFOX, &format!("2023-11-14T{time}"))),
    );
    site.report(&views).await;
    site.process().await;
    let row = site.rows(&format!("views?{EVER}")).await;
    assert_eq!((&row[0]["user"], &row[0]["bot"]), (&json!(2), &json!(7)));
}

async fn one_robots_view_makes_all_views_of_its_address_a_bots(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[
        calm("1.1.1.1", 0),
        calm("1.1.1.1", 9),
        view("/", "1.1.1.1", "scanner", "2023-10-01T12:00:00"),
    ])
    .await;
    site.process().await;
    assert_eq!(site.sum(&format!("views?{EVER}&classification=BOT"), "quantity").await, 3);
    assert_eq!(site.rows(&format!("views?{EVER}&classification=USER")).await, json!([]));
}

async fn cities_and_countries_come_from_the_file_and_a_lookup_that_fails_loses_no_view(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let file = cities(&directory);
    let site = Site::located(&fresh, &file).await;
    site.report(&[calm("8.8.8.8", 0), calm("8.8.8.8", 9), calm("200.1.2.3", 0)]).await;
    processor(&site.store, None, Some(file)).await.process_all(|_| {}).await.expect("process");
    assert_eq!(
        site.rows(&format!("countries?{EVER}&classification=USER")).await,
        json!([{ "country": "Germany", "value": 2 }, { "country": null, "value": 1 }])
    );
    assert_eq!(
        site.rows(&format!("cities?{EVER}&classification=USER")).await,
        json!([{ "city": "Berlin", "value": 2 }, { "city": null, "value": 1 }])
    );
    assert_eq!(site.sum(&format!("views?{EVER}"), "user").await, 3);
}

async fn hostnames_are_domains_grouped_by_domain_most_first(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let dns = Dns::start().expect("dns");
    for (ip, host) in [(1, "a.home.example"), (2, "b.home.example"), (3, "a.b.other.co.uk"), (4, "bare")] {
        dns.say([8, 8, 8, ip], Reply::Name(host.into()));
    }
    let views = ["8.8.8.1", "8.8.8.2", "8.8.8.2", "8.8.8.3", "8.8.8.3", "8.8.8.4"];
    let views: Vec<_> = (0..).zip(views).map(|(index, ip)| calm(ip, index * 5)).collect();
    site.report(&views).await;
    processor(&site.store, Some(&dns), None).await.process_all(|_| {}).await.expect("process");
    assert_eq!(
        site.rows(&format!("hostnames?{EVER}&classification=USER")).await,
        json!([
            { "hostname": "home.example", "value": 3 },
            { "hostname": "co.uk", "value": 2 },
            { "hostname": "bare", "value": 1 },
        ])
    );
}

async fn lists_come_most_first(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let urls = ["/rare", "/often", "/often", "/often", "/some", "/some"];
    let views: Vec<_> = (10..)
        .zip(urls)
        .map(|(minute, url)| view(url, "1.1.1.1", FIREFOX, &format!("2023-11-14T12:{minute}:00")))
        .collect();
    site.report(&views).await;
    site.process().await;
    assert_eq!(
        site.rows(&format!("urls?{EVER}&classification=USER")).await,
        json!([
            { "url": "/often", "value": 3 },
            { "url": "/some", "value": 2 },
            { "url": "/rare", "value": 1 },
        ])
    );
}

async fn sessions_end_after_a_gap_of_their_timeout(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    let gap = |ip: &str, second: i64| {
        let time = 1_700_000_000 + second;
        let later = jiff::Timestamp::from_second(time).expect("time").to_string();
        [view("/", ip, FIREFOX, "2023-11-14T22:13:20"), view("/", ip, FIREFOX, &later)]
    };
    let views: Vec<_> = [("1.1.1.1", 599), ("2.2.2.2", 600), ("3.3.3.3", 601)]
        .into_iter()
        .flat_map(|(ip, s)| gap(ip, s))
        .collect();
    for (ip, sessions) in [("1.1.1.1", 1), ("2.2.2.2", 2), ("3.3.3.3", 2)] {
        let id = fresh.store.project_named("site").await.expect("project").id;
        fresh.store.clear_site(id).await.expect("clear");
        let own: Vec<_> = views.iter().filter(|view| view["ip_address"] == ip).cloned().collect();
        site.report(&own).await;
        site.process().await;
        assert_eq!(site.sum(&format!("sessions?{EVER}&timeout=600"), "user").await, sessions, "{ip}");
        assert_eq!(site.sum(&format!("sessions?{EVER}"), "user").await, sessions, "600 s is the default");
        assert_eq!(site.sum(&format!("sessions?{EVER}&timeout=602"), "user").await, 1);
    }
    for wrong in ["0", "-1", "soon"] {
        assert_eq!(site.get(&format!("sessions?{EVER}&timeout={wrong}")).await.status, 400, "{wrong}");
    }
}

async fn a_session_goes_on_over_midnight_and_counts_where_it_began(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    // A Sunday's session ends on Monday; another begins on Monday.
    let times = ["2023-11-12T23:55:00", "2023-11-13T00:04:00", "2023-11-13T12:00:00"];
    site.report(&times.map(|time| view("/", "1.1.1.1", FIREFOX, time))).await;
    site.process().await;
    assert_eq!(
        site.rows(&format!("sessions?{EVER}&classification=USER")).await,
        json!([
            { "quantity": 1, "date": "Mon, 06 Nov 2023 00:00:00 GMT" },
            { "quantity": 1, "date": "Mon, 13 Nov 2023 00:00:00 GMT" },
        ])
    );
    // What goes on since before the range does not begin in it.
    assert_eq!(site.sum("sessions?start_date=2023-11-13&end_date=2023-11-14", "user").await, 1);
}

async fn an_unprocessed_address_is_absent_until_the_job_has_run_and_the_job_is_idempotent(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    site.report(&[calm("1.1.1.1", 0)]).await;
    for name in ["users", "views", "sessions"] {
        assert_eq!(site.rows(&format!("{name}?{EVER}")).await, json!([]), "{name}");
    }
    for name in LISTS {
        assert_eq!(site.rows(&format!("{name}?{EVER}&classification=USER")).await, json!([]), "{name}");
    }
    for _ in 0..2 {
        site.process().await;
        assert_eq!(site.sum(&format!("views?{EVER}"), "user").await, 1);
        assert_eq!(site.sum(&format!("sessions?{EVER}"), "user").await, 1);
    }
}

async fn no_data_is_an_empty_list(fresh: Fresh) {
    let site = Site::of(&fresh).await;
    for name in ALL.into_iter().chain(["sessions"]) {
        let answer = site.get(&format!("{name}?{EVER}&classification=BOT")).await;
        assert_eq!((answer.status, answer.text()), (200, "[]\n"), "{name}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

async fn where_no_address_is_kept_users_are_visitors(fresh: Fresh) {
    let logger = common::logger(&fresh.store, Signup::Open, 2, Bounds::default()).await;
    let site = Site::with(&fresh, logger);
    site.report(&[
        calm("1.1.1.1", 0),
        calm("1.1.1.1", 30),
        calm("2.2.2.2", 0),
        view("/", "3.3.3.3", "", "2023-11-14T12:00:00"),
    ])
    .await;
    // Nothing is learnt late of visitors without an address: they count at once.
    let row = |user, bot| json!([{ "date": "Mon, 13 Nov 2023 00:00:00 GMT", "user": user, "bot": bot }]);
    assert_eq!(site.rows(&format!("users?{EVER}")).await, row(2, 1));
    assert_eq!(site.rows(&format!("views?{EVER}")).await, row(3, 1));
    assert_eq!(site.rows(&format!("sessions?{EVER}")).await, row(3, 1));
    assert_eq!(
        site.rows(&format!("countries?{EVER}&classification=USER")).await,
        json!([{ "country": null, "value": 3 }])
    );
}

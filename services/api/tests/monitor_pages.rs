//! Pages of what is watched, over the real router on both stores.

mod common;
#[path = "common/watched.rs"]
mod watched;

use std::time::Duration;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client, client_with, options};
use watched::{EVERY, checked, endpoint, put};
use watchkeeper_api::AuthConfig;
use watchkeeper_store::{
    Check, DAY_MS, Endpoint, LastCheck, Store,
    alerts::{Channel, Verdict},
    now_ms,
};

on_both_stores! {
    the_list_shows_every_endpoint_the_worst_first_in_its_group
    the_list_is_searched_and_filtered_by_its_address
    a_thousand_endpoints_are_turned_by_pages
    an_endpoints_page_tells_its_past
    each_window_tells_the_uptime_of_its_own_time
    a_certificate_is_told_by_when_it_expires
    an_endpoints_page_tells_who_was_told_of_it
    what_nobody_observed_is_said_and_not_counted_as_up
    an_outage_that_nobody_watches_any_more_is_not_said_to_go_on
    whoever_may_see_the_overview_sees_the_monitors
}

const HTML: (&str, &str) = ("accept", "text/html");

async fn get(client: &Client, path: &str) -> Answer {
    let answer = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

/// Names in the order of the page.
fn names(page: &Answer) -> Vec<String> {
    let rows = page.text().split("<div class=\"who\"><a href=\"").skip(1);
    let name = |row: &str| row.split('>').nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned);
    rows.filter_map(name).collect()
}

async fn the_list_shows_every_endpoint_the_worst_first_in_its_group(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (name, group, good) in
        [("Loose", "", true), ("Alpha", "Core", true), ("Beta", "Core", false), ("Gamma", "Edge", true)]
    {
        let stored = put(&fresh.store, &endpoint(name, group)).await;
        checked(&fresh.store, &stored, &[true, good]).await;
    }
    let page = get(&client, "/monitors").await;
    assert_eq!(names(&page), ["Beta", "Alpha", "Gamma", "Loose"]);
    let text = page.text();
    assert!(text.contains("1 down, 1 up") && text.contains("the answer was 503, not 200"), "{text}");
    assert!(text.contains("https://alpha.example/health<"), "the target: {text}");
    assert!(!text.contains("pa55") && !text.contains("s3cret"), "and no secret of it");
    assert_eq!(names(&get(&client, "/monitors?sort=name").await), ["Alpha", "Beta", "Gamma", "Loose"]);
    let front = get(&client, "/").await;
    assert!(front.text().contains("href=\"/monitors\"") && front.text().contains("href=\"/status-pages\""));
}

async fn the_list_is_searched_and_filtered_by_its_address(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (name, group, good) in
        [("Shop API", "Core", true), ("Shop Web", "Edge", false), ("Mail", "Core", false)]
    {
        let mut new = endpoint(name, group);
        new.namespace = "default".into();
        new.spec.labels.insert("team".into(), if name == "Mail" { "post" } else { "shop" }.into());
        let stored = put(&fresh.store, &new).await;
        checked(&fresh.store, &stored, &[good]).await;
    }
    let shown = async |query: &str| names(&get(&client, &format!("/monitors?{query}")).await);
    assert_eq!(shown("q=SHOP").await, ["Shop API", "Shop Web"]);
    assert_eq!(shown("q=shop+web").await, ["Shop Web"]);
    assert_eq!(shown("q=team%3Dpost").await, ["Mail"]);
    assert_eq!(shown("group=Core").await, ["Mail", "Shop API"]);
    assert_eq!(shown("state=Down&sort=name").await, ["Mail", "Shop Web"]);
    assert_eq!(shown("state=Down&group=Core").await, ["Mail"]);
    assert!(shown("q=nothing").await.is_empty());
    let page = get(&client, "/monitors?q=shop").await;
    assert!(
        page.text().contains("/monitors?q=shop&#38;state=Down")
            || page.text().contains("/monitors?q=shop&amp;state=Down")
    );
}

async fn a_thousand_endpoints_are_turned_by_pages(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for number in 0..1_000 {
        let name = format!("E{number:04}");
        fresh.store.put_endpoint(&endpoint(&name, "")).await.expect("put");
    }
    let first = get(&client, "/monitors?sort=name").await;
    assert_eq!((names(&first).len(), names(&first)[0].as_str()), (200, "E0000"));
    assert!(first.text().contains("1 to 200 of 1000"));
    assert!(first.body.len() < 400_000, "{} bytes", first.body.len());
    let last = get(&client, "/monitors?sort=name&page=5").await;
    assert_eq!((names(&last).len(), names(&last)[199].as_str()), (200, "E0999"));
    assert_eq!(
        names(&get(&client, "/monitors?sort=name&page=99").await),
        names(&last),
        "past the end is the end"
    );
}

async fn an_endpoints_page_tells_its_past(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let stored = put(&fresh.store, &endpoint("Web", "Core")).await;
    checked(&fresh.store, &stored, &[vec![true; 50], vec![false; 10]].concat()).await;
    let page = get(&client, &format!("/monitors/{}", stored.id)).await;
    let text = page.text();
    for part in ["24 hours", "7 days", "30 days", "90 days", "1 year"] {
        assert!(text.contains(&format!("<h2>{part}</h2>")), "no {part}");
    }
    assert!(
        text.contains("Down for 9 min") || text.contains("Down for 10 min"),
        "the outage goes on: {text}"
    );
    assert!(text.contains("10 checks") && text.contains("the answer was 503, not 200"), "{text}");
    assert!(
        text.contains(
            "aria-label=\"resolve 10 ms, connect 20 ms, TLS 30 ms, processing 50 ms, transfer 10 ms\""
        ),
        "{text}"
    );
    assert!(text.contains("class=\"c-mean\"") && text.contains("<td class=\"number\">120 ms</td>"), "{text}");
    assert!(text.contains("Nobody has been told of anything yet."), "{text}");
    assert!(!text.contains("pa55") && !text.contains("s3cret"));
    for period in ["7d", "30d", "90d", "1y", "nonsense"] {
        get(&client, &format!("/monitors/{}?period={period}", stored.id)).await;
    }
    for path in ["/monitors/0", "/monitors/x"] {
        let answer = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

/// The uptime that a tile tells, percent.
fn uptime(page: &Answer, window: &str) -> f64 {
    let tile = page.text().split(&format!("<h2>{window}</h2><p class=\"value")).nth(1).expect("a tile");
    let (_, value) = tile.split_once('>').expect("a value");
    value.split(" %").next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{value}"))
}

async fn each_window_tells_the_uptime_of_its_own_time(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let stored = put(&fresh.store, &endpoint("Web", "")).await;
    let start = now_ms() - 2 * DAY_MS;
    let bad = |minute: i64| Check {
        project: stored.project,
        endpoint: stored.id,
        result: LastCheck { at: start + minute * EVERY, status: Some(503), ..LastCheck::default() },
    };
    let hour: Vec<_> = (0..60).map(bad).collect();
    fresh.store.record_checks(&hour).await.expect("record");
    checked(&fresh.store, &stored, &[vec![true; 50], vec![false; 10]].concat()).await;
    let page = get(&client, &format!("/monitors/{}", stored.id)).await;
    // 3,000 s were good; bad were 599 s to 610 s of the last hour, by when it is looked at, and 3,610 s before.
    let day = uptime(&page, "24 hours");
    assert!((83.0..=83.5).contains(&day), "{day}");
    for window in ["7 days", "30 days", "90 days", "1 year"] {
        let longer = uptime(&page, window);
        assert!((41.4..=41.8).contains(&longer), "{window}: {longer}");
    }
    let list = get(&client, "/monitors").await;
    assert!(list.text().contains("<b>41."), "{}", list.text());
}

/// Stores a good check with a certificate that expires in so many milliseconds; returns the endpoint's page.
async fn certified(store: &Store, client: &Client, name: &str, expires_in: Option<i64>) -> Answer {
    let stored = put(store, &endpoint(name, "")).await;
    let result = LastCheck {
        at: now_ms() - 1_000,
        ok: true,
        status: Some(200),
        certificate_expires_at: expires_in.map(|ms| now_ms() + ms),
        ..LastCheck::default()
    };
    let check = Check { project: stored.project, endpoint: stored.id, result };
    store.record_checks(&[check]).await.expect("record");
    get(client, &format!("/monitors/{}", stored.id)).await
}

async fn a_certificate_is_told_by_when_it_expires(fresh: Fresh) {
    const HOUR: i64 = 3_600_000;
    let client = client(&fresh.store).await;
    for (name, expires_in, told) in [
        ("Far", 62 * DAY_MS + HOUR, "<dt>Certificate expires</dt><dd>in 62 d, "),
        ("Soon", 10 * DAY_MS + HOUR, "<dt>Certificate expires</dt><dd class=\"bad\">in 10 d, "),
        ("Over", -3 * HOUR - HOUR / 2, "<dt>Certificate expires</dt><dd class=\"bad\">3 h ago, "),
    ] {
        let page = certified(&fresh.store, &client, name, Some(expires_in)).await;
        assert!(page.text().contains(told), "{name}: {}", page.text());
    }
    let page = certified(&fresh.store, &client, "None", None).await;
    assert!(!page.text().contains("Certificate expires"), "{}", page.text());
}

async fn an_endpoints_page_tells_who_was_told_of_it(fresh: Fresh) {
    let (store, client) = (&fresh.store, client(&fresh.store).await);
    let channel = Channel { kind: "slack".into(), ..Channel::missing("ops", true) };
    store.put_channels(&[channel]).await.expect("channels");
    let page = async |endpoint: &Endpoint| get(&client, &format!("/monitors/{}", endpoint.id)).await;
    let row = |state: &str, error: &str| {
        format!("<td>down</td><td>ops</td><td>{state}</td><td class=\"said\">{error}</td>")
    };
    let stored = put(store, &endpoint("Web", "")).await;
    let other = put(store, &endpoint("Api", "")).await;
    checked(store, &stored, &[true, false]).await;
    let waiting = page(&stored).await;
    assert!(waiting.text().contains(&row("waiting", "")), "{}", waiting.text());
    let claim = store.claim_notices("ops", Duration::from_secs(60)).await.expect("claim").expect("one");
    let dead = Verdict::Dead { error: "it answered 404".into() };
    assert!(store.settle_notices(&claim, &dead).await.expect("settle"));
    let given_up = page(&stored).await;
    assert!(given_up.text().contains(&row("dead", "it answered 404")), "{}", given_up.text());
    let quiet = page(&other).await;
    assert!(quiet.text().contains("Nobody has been told of anything yet."), "{}", quiet.text());
}

async fn what_nobody_observed_is_said_and_not_counted_as_up(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let stored = put(&fresh.store, &endpoint("Quiet", "")).await;
    let page = get(&client, &format!("/monitors/{}", stored.id)).await;
    assert!(
        page.text().contains("<p class=\"value\">–</p>") && !page.text().contains("100 %</p>"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("24 hours: nothing observed"), "{}", page.text());
    let list = get(&client, "/monitors").await;
    assert!(list.text().contains("30 days: nothing observed") && list.text().contains("<b>–</b>"));
}

async fn an_outage_that_nobody_watches_any_more_is_not_said_to_go_on(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let down = async |name: &str, ago: &[i64]| {
        let stored = put(&fresh.store, &endpoint(name, "")).await;
        let check = |ago: &i64| Check {
            project: stored.project,
            endpoint: stored.id,
            result: LastCheck { at: now_ms() - ago, status: Some(503), ..LastCheck::default() },
        };
        let checks: Vec<_> = ago.iter().map(check).collect();
        fresh.store.record_checks(&checks).await.expect("record");
        format!("/monitors/{}", stored.id)
    };
    let left = down("Left", &[5 * 3_600_000]).await;
    let watched = down("Watched", &[5 * 3_600_000, 125_000, 63_000, 1_000]).await;
    let page = get(&client, &left).await;
    assert!(page.text().contains(" min, then not observed</b>"), "{}", page.text());
    assert!(!page.text().contains("Down for"), "{}", page.text());
    let page = get(&client, &watched).await;
    assert!(page.text().contains("Down for 2 min"), "{}", page.text());
    assert!(page.text().contains(" min, then not observed</b>"), "nobody looked in between: {}", page.text());
}

async fn whoever_may_see_the_overview_sees_the_monitors(fresh: Fresh) {
    let closed = client(&fresh.store).await;
    assert_eq!(closed.call("GET", "/monitors", &[HTML], Body::empty()).await.status, 303);
    let auth = AuthConfig { open_overview: true, ..options().auth };
    let open = client_with(&fresh.store, watchkeeper_api::ApiOptions { auth, ..options() }).await;
    let stored = put(&fresh.store, &endpoint("Web", "")).await;
    let here = ("host", "127.0.0.1:8080");
    for path in ["/monitors".to_owned(), format!("/monitors/{}", stored.id), "/status-pages".into()] {
        let page = open.call("GET", &path, &[HTML, here], Body::empty()).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text().contains("name=\"token\" value=\""), "looking only: {path}");
        let elsewhere = open.call("GET", &path, &[HTML, ("host", "evil.example")], Body::empty()).await;
        assert_eq!(elsewhere.status, 303, "{path}");
    }
}

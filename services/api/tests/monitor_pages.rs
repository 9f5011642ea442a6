//! Pages of what is watched, over the real router on both stores.

mod common;
#[path = "common/watched.rs"]
mod watched;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client, client_with, options};
use watched::{checked, endpoint, put};
use watchkeeper_api::AuthConfig;

on_both_stores! {
    the_list_shows_every_endpoint_the_worst_first_in_its_group
    the_list_is_searched_and_filtered_by_its_address
    a_thousand_endpoints_are_turned_by_pages
    an_endpoints_page_tells_its_past
    what_nobody_observed_is_said_and_not_counted_as_up
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
    for number in 0..450 {
        let name = format!("E{number:04}");
        fresh.store.put_endpoint(&endpoint(&name, "")).await.expect("put");
    }
    let first = get(&client, "/monitors?sort=name").await;
    assert_eq!((names(&first).len(), names(&first)[0].as_str()), (200, "E0000"));
    assert!(first.text().contains("1 to 200 of 450"));
    assert!(first.body.len() < 400_000, "{} bytes", first.body.len());
    let last = get(&client, "/monitors?sort=name&page=3").await;
    assert_eq!((names(&last).len(), names(&last)[49].as_str()), (50, "E0449"));
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

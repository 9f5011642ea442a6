//! The page of notices, over the real router and on both stores.

mod common;
#[path = "common/pages.rs"]
mod pages;
#[path = "common/watched.rs"]
mod watched;

use std::time::Duration;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client, client_with, options};
use pages::{HTML, post_form, token};
use watched::{checked, endpoint, put};
use watchkeeper_api::{ApiOptions, AuthConfig};
use watchkeeper_store::{
    Store,
    alerts::{Channel, NoticeFilter, NoticeState, Verdict},
};

on_both_stores! {
    dead_letters_of_all_endpoints_stand_on_one_page_and_are_tried_again
    notices_are_filtered_by_state_channel_and_endpoint
    the_page_of_notices_is_turned
    only_the_administrator_sees_notices_and_only_a_form_of_ours_retries
    what_a_channel_says_is_text_and_never_markup
}

async fn get(client: &Client, path: &str) -> Answer {
    let answer = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

/// Two channels, and two endpoints of which both are told that they are down.
async fn told(store: &Store) {
    let channels =
        ["boss", "ops"].map(|name| Channel { kind: "slack".into(), ..Channel::missing(name, true) });
    store.put_channels(&channels).await.expect("channels");
    for name in ["Api", "Web"] {
        let stored = put(store, &endpoint(name, "")).await;
        checked(store, &stored, &[true, false]).await;
    }
}

/// Lets a channel refuse for good all that it is due.
async fn refuse(store: &Store, channel: &str, error: &str) {
    while let Some(claim) = store.claim_notices(channel, Duration::from_secs(60)).await.expect("claim") {
        let dead = Verdict::Dead { error: error.into() };
        assert!(store.settle_notices(&claim, &dead).await.expect("settle"));
    }
}

async fn dead(store: &Store) -> Vec<(i64, String)> {
    let filter = NoticeFilter { state: Some(NoticeState::Dead), ..NoticeFilter::default() };
    let notices = store.notices(&filter, 100).await.expect("notices");
    notices.into_iter().map(|notice| (notice.id, notice.channel)).collect()
}

/// Endpoint and channel of every row, in the order of the page.
fn rows(page: &Answer) -> Vec<(String, String)> {
    let rows = page.text().split("<th scope=\"row\">").skip(1).map(|row| {
        let name = row.split("</th>").next().expect("an endpoint").split("<br>").next().expect("a name");
        let name = name.trim_end_matches("</a>").rsplit('>').next().expect("a text");
        let channel = row.split("</td><td>").nth(1).and_then(|rest| rest.split('<').next());
        (name.to_owned(), channel.expect("a channel").to_owned())
    });
    rows.collect()
}

fn pair(endpoint: &str, channel: &str) -> (String, String) {
    (endpoint.into(), channel.into())
}

async fn dead_letters_of_all_endpoints_stand_on_one_page_and_are_tried_again(fresh: Fresh) {
    let store = &fresh.store;
    let client = client(store).await;
    told(store).await;
    refuse(store, "ops", "it answered 404").await;
    assert!(get(&client, "/monitors").await.text().contains("href=\"/notices\""));

    let page = get(&client, "/notices?state=dead").await;
    assert_eq!(rows(&page), [pair("Web", "ops"), pair("Api", "ops")]);
    let text = page.text();
    for part in [
        "Dead letters (2)",
        "Up → Down",
        "https://web.example/health",
        "<td class=\"number\">1</td><td class=\"said\">it answered 404</td><td>–</td>",
        "href=\"/monitors/",
    ] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    assert!(!text.contains("pa55") && !text.contains("s3cret"), "{text}");

    let letters = dead(store).await;
    assert_eq!(letters.len(), 2);
    let token = token(&page);
    let post = async |path: &str| post_form(&client, path, &[ADMIN], &[("token", &token)]).await;
    let one = format!("/notices/{}/retry?state=dead", letters[0].0);
    assert!(text.contains(&format!("action=\"{one}\"")), "{text}");
    let taken = post(&one).await;
    assert_eq!((taken.status, taken.header("location")), (303, Some("/notices?state=dead")));
    assert_eq!(dead(store).await, letters[1..]);
    let again = post(&one).await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("The notice is waiting"), "{}", again.text());
    for nothing in ["/notices/0/retry", "/notices/x/retry"] {
        assert_eq!(post(nothing).await.status, 404, "{nothing}");
    }

    refuse(store, "ops", "it answered 404").await;
    refuse(store, "boss", "it answered 410").await;
    assert_eq!(dead(store).await.len(), 4);
    let page = get(&client, "/notices?state=dead&channel=boss").await;
    assert!(page.text().contains(">Try all dead letters to boss again</button>"), "{}", page.text());
    let taken = post("/notices/retry?state=dead&channel=boss").await;
    assert_eq!((taken.status, taken.header("location")), (303, Some("/notices?state=dead&channel=boss")));
    assert_eq!(dead(store).await, letters, "those to others are left");
    assert_eq!(post("/notices/retry").await.status, 303);
    assert!(dead(store).await.is_empty());
    let waiting = get(&client, "/notices?state=waiting").await;
    assert_eq!(rows(&waiting).len(), 4);
    assert!(
        waiting.text().contains("<td class=\"number\">0</td>") && waiting.text().contains("<td>now</td>")
    );
    let none = get(&client, "/notices?state=dead").await;
    assert!(none.text().contains("No notice is like that.") && !none.text().contains("Try all"));
}

async fn notices_are_filtered_by_state_channel_and_endpoint(fresh: Fresh) {
    let store = &fresh.store;
    let client = client(store).await;
    assert!(get(&client, "/notices").await.text().contains("Nobody has been told of anything yet."));
    told(store).await;
    let claim = store.claim_notices("boss", Duration::from_secs(60)).await.expect("claim").expect("one");
    assert!(store.settle_notices(&claim, &Verdict::Sent).await.expect("settle"));
    refuse(store, "ops", "no").await;
    store.enqueue_test("ops").await.expect("enqueue");
    let shown = async |query: &str| rows(&get(&client, &format!("/notices?{query}")).await);
    assert_eq!(shown("").await.len(), 5);
    assert_eq!(shown("state=sent").await, [pair("Api", "boss")]);
    assert_eq!(shown("state=dead").await, [pair("Web", "ops"), pair("Api", "ops")]);
    assert_eq!(shown("state=waiting").await, [pair("Test", "ops"), pair("Web", "boss")]);
    assert_eq!(shown("channel=boss").await.len(), 2);
    assert_eq!(shown("channel=ops&endpoint=uid-Web").await, [pair("Web", "ops")]);
    assert!(shown("channel=nobody").await.is_empty());
    assert_eq!(shown("state=nonsense").await.len(), 5, "a typing error shows all");
    let page = get(&client, "/notices?endpoint=uid-Web&state=dead").await;
    assert!(page.text().contains("Endpoint is <b>Web</b>"), "{}", page.text());
    assert!(page.text().contains("Try all dead letters of this endpoint again"), "{}", page.text());
    let id =
        store.endpoints().await.expect("endpoints").iter().find(|it| it.uid == "uid-Web").expect("web").id;
    let monitor = get(&client, &format!("/monitors/{id}")).await;
    assert!(monitor.text().contains("href=\"/notices?endpoint=uid-Web\""), "{}", monitor.text());
}

async fn the_page_of_notices_is_turned(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for _ in 0..105 {
        fresh.store.enqueue_test("ops").await.expect("enqueue");
    }
    let first = get(&client, "/notices?channel=ops").await;
    assert_eq!(rows(&first).len(), 100);
    let older = first.text().split("\" rel=\"next\"").next().filter(|before| *before != first.text());
    let older = older.and_then(|before| before.rsplit("href=\"").next()).expect("a link");
    let older = older.replace("&#38;", "&").replace("&amp;", "&");
    assert!(older.contains("channel=ops"), "{older}");
    let last = get(&client, &older).await;
    assert_eq!(rows(&last).len(), 5);
    assert!(last.text().contains("href=\"/notices?channel=ops\">Newest</a>"), "{}", last.text());
    assert!(!last.text().contains("rel=\"next\""));
}

async fn only_the_administrator_sees_notices_and_only_a_form_of_ours_retries(fresh: Fresh) {
    let store = &fresh.store;
    let closed = client(store).await;
    told(store).await;
    refuse(store, "ops", "no").await;
    let letters = dead(store).await;
    let retry = format!("/notices/{}/retry", letters[0].0);
    // What is open on the own machine shows no channels.
    let auth = AuthConfig { open_overview: true, ..options().auth };
    let open = client_with(store, ApiOptions { auth, ..options() }).await;
    for client in [&closed, &open] {
        let person = client.call("GET", "/notices?state=dead", &[HTML], Body::empty()).await;
        assert_eq!(person.header("location"), Some("/login?next=%2Fnotices%3Fstate%3Ddead"));
        assert_eq!(client.get("/notices").await.status, 401);
        assert_eq!(post_form(client, &retry, &[], &[]).await.status, 303, "to the sign-in");
    }
    let token = token(&get(&closed, "/notices").await);
    for path in [retry.as_str(), "/notices/retry"] {
        assert_eq!(post_form(&closed, path, &[ADMIN], &[]).await.status, 403, "without a token: {path}");
        let foreign = [ADMIN, ("sec-fetch-site", "cross-site")];
        let sent = post_form(&closed, path, &foreign, &[("token", &token)]).await;
        assert_eq!(sent.status, 403, "from another site: {path}");
        let unsigned = post_form(&closed, path, &[], &[("token", &token)]).await;
        assert_eq!(unsigned.status, 303, "{path}");
    }
    assert_eq!(dead(store).await, letters);
}

async fn what_a_channel_says_is_text_and_never_markup(fresh: Fresh) {
    const HOSTILE: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>"#;
    let store = &fresh.store;
    let client = client(store).await;
    store.enqueue_test(HOSTILE).await.expect("enqueue");
    refuse(store, HOSTILE, HOSTILE).await;
    let name: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for query in [String::new(), format!("channel={name}"), format!("endpoint={name}")] {
        let page = get(&client, &format!("/notices?{query}")).await;
        assert!(page.text().contains("alert("), "{query}: it is shown");
        for markup in ["<script>", "<img"] {
            assert!(!page.text().contains(markup), "{markup} got into the page of {query}");
        }
    }
}

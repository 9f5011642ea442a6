//! Status pages, what is posted on them, their feeds and badges, over the real router on both stores.

mod common;
#[path = "common/watched.rs"]
mod watched;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, client};
use serde_json::{Value, json};
use watched::{EVERY, checked, endpoint, put, unchecked_for};
use watchkeeper_store::{DAY_MS, Store, now_ms};

on_both_stores! {
    a_page_shows_its_groups_with_states_bars_and_uptime
    what_nobody_observed_is_never_called_up
    what_is_checked_no_more_is_not_known_any_more
    an_incident_is_told_from_its_beginning_to_its_end
    a_maintenance_is_planned_goes_on_and_ends_by_the_clock
    a_maintenance_goes_on_as_long_as_somebody_says_so
    a_maintenance_of_the_whole_page_takes_the_blame_for_all_of_it
    an_incident_moves_what_it_is_about
    an_incident_about_what_has_gone_moves_the_banner
    the_feeds_and_the_json_tell_the_same
    a_reader_who_has_the_page_gets_304
    a_page_answers_at_a_host_of_its_own_and_nowhere_else
    pages_are_put_renamed_and_deleted_by_json
    what_cannot_stand_on_a_page_is_refused_by_its_field
    only_the_administrator_edits_and_only_from_a_form_of_ours
    the_forms_do_what_the_json_does
    what_is_posted_is_text_and_never_markup
    badges_are_public_only_where_somebody_made_them_so
}

const HTML: (&str, &str) = ("accept", "text/html");

async fn send(client: &Client, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.call(method, path, &[ADMIN], body).await
}

/// A page of one group with two endpoints: `Api`, which is up, and `Web`, which is down.
async fn shop(store: &Store) -> Client {
    let client = client(store).await;
    let (api, web) = (put(store, &endpoint("Api", "Core")).await, put(store, &endpoint("Web", "Core")).await);
    checked(store, &api, &[true; 60]).await;
    checked(store, &web, &[vec![true; 54], vec![false; 6]].concat()).await;
    let page = json!({
        "title": "Shop status",
        "description": "How the shop is.",
        "groups": [{ "name": "Everything", "endpoints": ["shop/api", "uid-Web"] }],
    });
    let put = send(&client, "PUT", "/api/v1/status-pages/shop", &page).await;
    assert_eq!(put.status, 201, "{}", put.text());
    client
}

async fn text(client: &Client, path: &str) -> String {
    let answer = client.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text().to_owned()
}

async fn as_json(client: &Client) -> Value {
    let answer = client.get("/status/shop.json").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    answer.json()
}

async fn post(client: &Client, body: &Value) -> i64 {
    let answer = send(client, "POST", "/api/v1/status-pages/shop/incidents", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_i64().expect("an id")
}

async fn a_page_shows_its_groups_with_states_bars_and_uptime(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let page = text(&client, "/status/shop").await;
    for part in
        ["<h1 id=\"state\">Partial outage</h1>", "Everything", "Operational", "Outage", "How the shop is."]
    {
        assert!(page.contains(part), "no {part}: {page}");
    }
    assert!(page.contains("<b>100 %</b> uptime"), "what was never down: {page}");
    assert!(page.contains("<b>90.00 %</b> uptime") || page.contains("<b>90.0"), "54 of 60 minutes: {page}");
    // Just after midnight, a part of the outage was on the day before.
    let parted = now_ms() % DAY_MS < 7 * EVERY && page.contains("down for ");
    assert!(
        parted || page.contains("down for 6 min") || page.contains("down for 5 min"),
        "its day says so: {page}"
    );
    assert!(
        !page.contains("<script") && !page.contains("pa55") && !page.contains("s3cret"),
        "no script, no secret"
    );
    assert!(!page.contains("web.example"), "the public does not read what is asked");
    let data = as_json(&client).await;
    assert_eq!(data["state"], json!({ "is": "partial", "text": "Partial outage", "unknown": 0 }));
    let states: Vec<_> =
        data["groups"][0]["endpoints"].as_array().expect("a list").iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["operational", "down"]);
    assert_eq!(client.get("/status/nothing").await.status, 404);
    assert_eq!(client.get("/status/shop/nothing").await.status, 404);
}

async fn what_nobody_observed_is_never_called_up(fresh: Fresh) {
    let client = client(&fresh.store).await;
    put(&fresh.store, &endpoint("Quiet", "Core")).await;
    let page = json!({ "title": "Shop", "groups": [{ "name": "All", "allOf": "Core" }] });
    assert_eq!(send(&client, "PUT", "/api/v1/status-pages/shop", &page).await.status, 201);
    let page = text(&client, "/status/shop").await;
    assert!(page.contains("State not known") && page.contains("1 of 1 not observed"), "{page}");
    assert!(page.contains("<b>not known</b> uptime") && !page.contains("100 %</b>"), "{page}");
    let endpoint = &as_json(&client).await["groups"][0]["endpoints"][0];
    assert_eq!((&endpoint["state"], &endpoint["uptime90d"]), (&json!("unknown"), &Value::Null));
}

async fn what_is_checked_no_more_is_not_known_any_more(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let stored = put(&fresh.store, &endpoint("Web", "Core")).await;
    let page = json!({ "title": "Shop", "groups": [{ "name": "All", "allOf": "Core" }] });
    assert_eq!(send(&client, "PUT", "/api/v1/status-pages/shop", &page).await.status, 201);
    unchecked_for(&fresh.store, &stored, 3_600_000).await;
    let page = text(&client, "/status/shop").await;
    assert!(page.contains("State not known") && page.contains("1 of 1 not observed"), "{page}");
    assert_eq!(as_json(&client).await["groups"][0]["endpoints"][0]["state"], "unknown");
    let badge = client.get(&format!("/badges/{}/state.json", stored.id)).await.json();
    assert_eq!((&badge["message"], &badge["color"]), (&json!("unknown"), &json!("lightgrey")));
    let list = client.call("GET", "/monitors?state=Unknown", &[ADMIN, HTML], Body::empty()).await;
    assert!(list.text().contains("no check has come for 1 h"), "{}", list.text());
    let one = client.call("GET", &format!("/monitors/{}", stored.id), &[ADMIN, HTML], Body::empty()).await;
    assert!(one.text().contains("no checker is at work"), "{}", one.text());
    for path in ["/api/v1/endpoints?origin=all", "/api/v1/transitions"] {
        let told = send(&client, "GET", path, &Value::Null).await.json();
        let told = told.get("endpoints").or(told.get("transitions")).expect("a list")[0].clone();
        assert_eq!((&told["state"], &told["observed"]), (&json!("Unknown"), &json!(false)), "{path}");
    }
    // One check, and all is as it was.
    checked(&fresh.store, &stored, &[true]).await;
    let told = send(&client, "GET", "/api/v1/endpoints?origin=all", &Value::Null).await.json();
    assert_eq!(
        (&told["endpoints"][0]["state"], &told["endpoints"][0]["observed"]),
        (&json!("Up"), &json!(true))
    );
}

async fn an_incident_is_told_from_its_beginning_to_its_end(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let first = json!({ "title": "Orders fail", "text": "We look into it.", "status": "investigating", "impact": "major" });
    let id = post(&client, &first).await;
    let page = text(&client, "/status/shop").await;
    assert!(page.contains("<h2 id=\"h-active\">Now</h2>") && page.contains("We look into it."), "{page}");
    assert!(
        page.contains("<h1 id=\"state\">Major outage</h1>"),
        "an incident of the whole page moves the banner"
    );
    let path = format!("/api/v1/status-pages/shop/incidents/{id}");
    for status in ["identified", "monitoring", "resolved"] {
        let update = json!({ "status": status, "text": format!("Now {status}.") });
        let told = send(&client, "POST", &format!("{path}/updates"), &update).await;
        assert_eq!((told.status, &told.json()["status"]), (201, &json!(status)));
    }
    let page = text(&client, "/status/shop").await;
    assert!(!page.contains("h-active") && page.contains("Partial outage"), "it is over: {page}");
    let (last, before) =
        (page.find("Now resolved.").expect("told"), page.find("We look into it.").expect("told"));
    assert!(last < before, "the newest comes first");
    let one = send(&client, "GET", &path, &Value::Null).await.json();
    assert_eq!(one["updates"].as_array().map(Vec::len), Some(4));
    assert!(one["endsAt"].is_string());
    assert!(text(&client, &format!("/status/shop/incidents/{id}")).await.contains("Now monitoring."));
    assert!(text(&client, "/status/shop/history").await.contains("Orders fail"));
    let empty = text(&client, "/status/shop/history?month=2020-01").await;
    assert!(empty.contains("January 2020") && empty.contains("No incidents were reported."));
    assert_eq!(client.get("/status/shop/history?month=x").await.status, 400);
    // It begins again: the end is taken back.
    let again =
        send(&client, "POST", &format!("{path}/updates"), &json!({ "status": "open", "text": "Again." }))
            .await;
    assert_eq!(again.json()["endsAt"], Value::Null);
    assert_eq!(send(&client, "DELETE", &path, &Value::Null).await.status, 204);
    assert!(!text(&client, "/status/shop/history").await.contains("Orders fail"));
    assert_eq!(client.get(&format!("/status/shop/incidents/{id}")).await.status, 404);
}

fn at(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).expect("a time").to_string()
}

async fn a_maintenance_is_planned_goes_on_and_ends_by_the_clock(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let now = now_ms();
    let plan = |title: &str, from: i64, to: i64| {
        json!({ "kind": "maintenance", "title": title, "text": "x", "endpoints": ["uid-Web"],
                "startsAt": at(now + from), "endsAt": at(now + to) })
    };
    post(&client, &plan("Next week", 600_000_000, 700_000_000)).await;
    let data = as_json(&client).await;
    assert_eq!((&data["planned"][0]["status"], &data["active"]), (&json!("scheduled"), &json!([])));
    assert!(text(&client, "/status/shop").await.contains("<h2 id=\"h-planned\">Planned</h2>"));
    post(&client, &plan("Right now", -60_000, 600_000)).await;
    let data = as_json(&client).await;
    assert_eq!(data["active"][0]["status"], "in_progress");
    assert_eq!(data["groups"][0]["endpoints"][1]["state"], "maintenance", "announced work is no outage");
    assert_eq!(data["state"]["text"], "Maintenance under way");
    post(&client, &plan("Over", -600_000, -60_000)).await;
    assert_eq!(as_json(&client).await["past"][0]["status"], "completed");
}

async fn a_maintenance_goes_on_as_long_as_somebody_says_so(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let now = now_ms();
    let plan = json!({ "kind": "maintenance", "title": "Move", "text": "x", "endpoints": ["uid-Web"],
                       "startsAt": at(now - 600_000), "endsAt": at(now - 60_000) });
    let id = post(&client, &plan).await;
    let tell = async |update: Value| {
        let path = format!("/api/v1/status-pages/shop/incidents/{id}/updates");
        let told = send(&client, "POST", &path, &update).await;
        assert_eq!(told.status, 201, "{}", told.text());
        told.json()
    };
    // A word after its end does not begin it again.
    assert_eq!(tell(json!({ "text": "All moved." })).await["status"], "completed");
    assert_eq!(as_json(&client).await["active"], json!([]));
    // It takes longer than was planned.
    assert_eq!(tell(json!({ "status": "in_progress", "text": "Not quite." })).await["endsAt"], Value::Null);
    let data = as_json(&client).await;
    assert_eq!(
        (&data["active"][0]["status"], &data["groups"][0]["endpoints"][1]["state"]),
        (&json!("in_progress"), &json!("maintenance"))
    );
    let form = client
        .call("GET", &format!("/status-pages/shop/incidents/{id}"), &[ADMIN, HTML], Body::empty())
        .await;
    assert!(form.text().contains("<option value=\"in_progress\" selected>"), "{}", form.text());
    assert!(tell(json!({ "status": "completed", "text": "Done." })).await["endsAt"].is_string());
    assert_eq!(as_json(&client).await["past"][0]["status"], "completed");
}

async fn a_maintenance_of_the_whole_page_takes_the_blame_for_all_of_it(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let now = now_ms();
    let plan = json!({ "kind": "maintenance", "title": "Move", "text": "x",
                       "startsAt": at(now - 60_000), "endsAt": at(now + 600_000) });
    post(&client, &plan).await;
    let data = as_json(&client).await;
    let states = [0, 1].map(|n| data["groups"][0]["endpoints"][n]["state"].clone());
    assert_eq!(states, [json!("maintenance"), json!("maintenance")]);
    assert_eq!(data["state"]["text"], "Maintenance under way");
    // What somebody says went wrong is not part of it.
    post(&client, &json!({ "title": "Lost", "text": "x", "impact": "major", "endpoints": ["Web"] })).await;
    let data = as_json(&client).await;
    let states = [0, 1].map(|n| data["groups"][0]["endpoints"][n]["state"].clone());
    assert_eq!(states, [json!("maintenance"), json!("down")]);
}

async fn an_incident_about_what_has_gone_moves_the_banner(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    post(&client, &json!({ "title": "Lost", "text": "x", "impact": "major", "endpoints": ["Web"] })).await;
    assert_eq!(as_json(&client).await["state"]["text"], "Partial outage", "the other one is up");
    assert!(fresh.store.delete_endpoint("uid-Web").await.expect("deleted"));
    let data = as_json(&client).await;
    assert_eq!(data["groups"][0]["endpoints"].as_array().map(Vec::len), Some(1));
    assert_eq!(data["state"]["text"], "Major outage", "nothing on the page tells of it any more");
}

async fn an_incident_moves_what_it_is_about(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let incident =
        json!({ "title": "Slow", "text": "x", "impact": "degraded", "endpoints": ["Api", "shop/web"] });
    post(&client, &incident).await;
    let data = as_json(&client).await;
    let states = [0, 1].map(|n| data["groups"][0]["endpoints"][n]["state"].clone());
    assert_eq!(states, [json!("degraded"), json!("down")], "the worse of measured and posted");
    assert_eq!(data["active"][0]["endpoints"], json!(["Api", "Web"]));
}

async fn the_feeds_and_the_json_tell_the_same(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let id = post(&client, &json!({ "title": "A & B <fail>", "text": "one\ntwo" })).await;
    let host = ("host", "watch.example");
    for (path, label, parts) in [
        ("/status/shop/rss", "application/rss+xml; charset=utf-8", ["<rss version=\"2.0\"", "<pubDate>"]),
        ("/status/shop/atom", "application/atom+xml; charset=utf-8", ["<feed xmlns=", "<updated>20"]),
    ] {
        let feed = client.call("GET", path, &[host], Body::empty()).await;
        assert_eq!((feed.status, feed.header("content-type")), (200, Some(label)));
        let feed = feed.text();
        for part in parts {
            assert!(feed.contains(part), "no {part}: {feed}");
        }
        assert!(feed.contains(&format!("http://watch.example/status/shop/incidents/{id}")), "{feed}");
        assert!(!feed.contains("<fail>"), "{feed}");
    }
    let data = as_json(&client).await;
    assert_eq!((&data["active"][0]["title"], &data["active"][0]["id"]), (&json!("A & B <fail>"), &json!(id)));
}

async fn a_reader_who_has_the_page_gets_304(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    for path in ["/status/shop/atom", "/status/shop/rss", "/status/shop/history"] {
        let first = client.get(path).await;
        let tag = first.header("etag").expect("a tag").to_owned();
        assert!(first.header("cache-control").is_some_and(|it| it.starts_with("public, max-age=")));
        let again = client.call("GET", path, &[("if-none-match", &tag)], Body::empty()).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        post(&client, &json!({ "title": "News", "text": "x" })).await;
        let changed = client.call("GET", path, &[("if-none-match", &tag)], Body::empty()).await;
        assert_eq!(changed.status, 200, "{path} has changed");
    }
    let page = client.get("/status/shop").await;
    assert!(page.header("etag").is_some() && page.header("x-robots-tag").is_none());
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"));
}

async fn a_page_answers_at_a_host_of_its_own_and_nowhere_else(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let body = json!({ "title": "Shop status", "host": "Status.Shop.example" });
    assert_eq!(send(&client, "PUT", "/api/v1/status-pages/shop", &body).await.status, 200);
    let at = async |host| client.call("GET", "/", &[("host", host), HTML], Body::empty()).await;
    for host in ["status.shop.example", "STATUS.shop.example:8443"] {
        let page = at(host).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().contains("Shop status") && page.header("x-robots-tag") == Some("all"));
    }
    assert_eq!(at("other.shop.example").await.status, 303, "to the sign-in");
    let other = json!({ "title": "Other", "host": "status.shop.example" });
    send(&client, "PUT", "/api/v1/status-pages/other", &other).await.blames(409, "host");
}

async fn pages_are_put_renamed_and_deleted_by_json(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let one = send(&client, "GET", "/api/v1/status-pages/shop", &Value::Null).await.json();
    assert_eq!(one["spec"]["groups"][0]["endpoints"], json!(["uid-Api", "uid-Web"]));
    let same = send(&client, "PUT", "/api/v1/status-pages/shop", &one["spec"]).await;
    assert_eq!(
        (same.status, &same.json()["updatedAt"]),
        (200, &one["updatedAt"]),
        "what is so already stays"
    );
    // An endpoint that has gone meanwhile does not keep the page from being put.
    assert!(fresh.store.delete_endpoint("uid-Web").await.expect("deleted"));
    assert_eq!(send(&client, "PUT", "/api/v1/status-pages/shop", &one["spec"]).await.status, 200);
    let list = send(&client, "GET", "/api/v1/status-pages", &Value::Null).await.json();
    assert_eq!(list["statusPages"].as_array().map(Vec::len), Some(1));
    for _ in 0..2 {
        assert_eq!(send(&client, "DELETE", "/api/v1/status-pages/shop", &Value::Null).await.status, 204);
    }
    assert_eq!(client.get("/status/shop").await.status, 404);
    assert_eq!(client.get("/api/v1/status-pages").await.status, 401);
}

async fn what_cannot_stand_on_a_page_is_refused_by_its_field(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let long = "a".repeat(201);
    for (body, field) in [
        (json!({ "title": "" }), "title"),
        (json!({ "title": long }), "title"),
        (json!({ "title": "a\u{7}" }), "title"),
        (json!({ "title": "a", "link": "javascript:alert(1)" }), "link"),
        (json!({ "title": "a", "host": "localhost" }), "host"),
        (json!({ "title": "a", "groups": [{ "name": "" }] }), "groups[0].name"),
        (
            json!({ "title": "a", "groups": [{ "name": "b", "endpoints": ["Api", "gone"] }] }),
            "groups[0].endpoints[1]",
        ),
        (json!({ "title": "a", "titel": "b" }), "body"),
    ] {
        send(&client, "PUT", "/api/v1/status-pages/shop", &body).await.blames(422, field);
    }
    send(&client, "PUT", "/api/v1/status-pages/Shop", &json!({ "title": "a" })).await.blames(422, "slug");
    let now = now_ms();
    for (body, field) in [
        (json!({ "title": "a", "text": "" }), "text"),
        (json!({ "title": "a", "text": "b", "status": "completed" }), "status"),
        (json!({ "title": "a", "text": "b", "impact": "huge" }), "impact"),
        (json!({ "title": "a", "text": "b", "kind": "party" }), "kind"),
        (json!({ "title": "a", "text": "b", "endpoints": ["gone"] }), "endpoints[0]"),
        (json!({ "title": "a", "text": "b", "startsAt": "soon" }), "startsAt"),
        (json!({ "title": "a", "text": "b", "startsAt": at(now + 600_000) }), "startsAt"),
        (json!({ "title": "a", "text": "b", "kind": "maintenance" }), "endsAt"),
        (json!({ "title": "a", "text": "b", "kind": "maintenance", "endsAt": at(now - 600_000) }), "endsAt"),
    ] {
        send(&client, "POST", "/api/v1/status-pages/shop/incidents", &body).await.blames(422, field);
    }
    send(&client, "GET", "/api/v1/status-pages/shop/incidents/x", &Value::Null).await.blames(400, "id");
}

/// The value that a form of a page must send back.
async fn token(client: &Client, path: &str) -> String {
    let page = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let rest = page.text().split("name=\"token\" value=\"").nth(1).expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

async fn form(client: &Client, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let label = ("content-type", "application/x-www-form-urlencoded");
    let headers: Vec<_> = headers.iter().copied().chain([label, HTML]).collect();
    client.call("POST", path, &headers, body).await
}

async fn only_the_administrator_edits_and_only_from_a_form_of_ours(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    for path in ["/status-pages", "/status-pages/shop", "/monitors"] {
        let answer = client.call("GET", path, &[HTML], Body::empty()).await;
        assert_eq!((answer.status, answer.header("location").is_some()), (303, true), "{path}");
        assert_eq!(client.get(path).await.status, 401, "{path}");
    }
    let token = token(&client, "/status-pages").await;
    let fields = [("title", "New"), ("token", token.as_str())];
    assert_eq!(form(&client, "/status-pages", &[], &fields).await.status, 303);
    assert!(fresh.store.status_page("new").await.expect("read").is_none(), "nobody was signed in");
    assert_eq!(
        form(&client, "/status-pages", &[ADMIN], &[("title", "New"), ("token", "x")]).await.status,
        403
    );
    let foreign = [ADMIN, ("sec-fetch-site", "cross-site")];
    assert_eq!(form(&client, "/status-pages", &foreign, &fields).await.status, 403);
    assert!(fresh.store.status_page("new").await.expect("read").is_none());
    assert_eq!(form(&client, "/status-pages", &[ADMIN], &fields).await.status, 303);
    assert!(fresh.store.status_page("new").await.expect("read").is_some());
}

async fn the_forms_do_what_the_json_does(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let token = token(&client, "/status-pages").await;
    let submit = async |path: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        form(&client, path, &[ADMIN], &fields).await
    };
    let saved = submit(
        "/status-pages/shop",
        &[
            ("title", "Renamed"),
            ("slug", "shop-eu"),
            ("description", "d"),
            ("latency", "1"),
            ("group", "One"),
            ("all-of", ""),
            ("endpoints", "Web\r\nshop/api"),
            ("add", ""),
            ("group", ""),
            ("all-of", "Core"),
            ("endpoints", ""),
            ("add", ""),
            ("group", "Two"),
            ("all-of", "Core"),
            ("endpoints", ""),
            ("add", "Api"),
        ],
    )
    .await;
    assert_eq!(
        (saved.status, saved.header("location")),
        (303, Some("/status-pages/shop-eu")),
        "{}",
        saved.text()
    );
    let spec = fresh.store.status_page("shop-eu").await.expect("read").expect("renamed").spec;
    let groups: Vec<_> =
        spec.groups.iter().map(|it| (it.name.as_str(), it.endpoints.clone(), it.all_of.clone())).collect();
    assert_eq!(
        groups,
        [
            ("One", vec!["uid-Web".to_owned(), "uid-Api".into()], None),
            ("Two", vec!["uid-Api".into()], Some("Core".into()))
        ]
    );
    assert!(spec.latency && spec.title == "Renamed");
    let wrong = submit(
        "/status-pages/shop-eu",
        &[("title", "x"), ("slug", "x"), ("group", "a"), ("endpoints", "nobody")],
    )
    .await;
    assert!(wrong.status == 422 && wrong.text().contains("groups[0].endpoints[0]"), "{}", wrong.text());

    let posted = submit(
        "/status-pages/shop-eu/incidents",
        &[
            ("kind", "incident"),
            ("title", "Down"),
            ("text", "We know."),
            ("status", "open"),
            ("impact", "major"),
            ("endpoint", "uid-Web"),
        ],
    )
    .await;
    let path = posted.header("location").expect("its page").to_owned();
    assert!(path.starts_with("/status-pages/shop-eu/incidents/"), "{}", posted.text());
    let told = submit(&format!("{path}/updates"), &[("status", "resolved"), ("text", "Mended.")]).await;
    assert_eq!(told.status, 303);
    // Saving the form as it stands keeps every moment.
    let page = fresh.store.status_page("shop-eu").await.expect("read").expect("there").id;
    let before = fresh.store.incidents(page, i64::MIN, i64::MAX, 9).await.expect("read").remove(0);
    let shown = client.call("GET", &path, &[ADMIN, HTML], Body::empty()).await;
    let value = |name: &str| {
        let field = format!("name=\"{name}\" value=\"");
        let rest = shown.text().split(&field).nth(1).unwrap_or_else(|| panic!("no {name}"));
        rest.split('"').next().expect("a value").to_owned()
    };
    let (starts, ends) = (value("starts"), value("ends"));
    let fields = [
        ("title", "Was down"),
        ("impact", "major"),
        ("starts", &*starts),
        ("ends", &*ends),
        ("endpoint", "uid-Api"),
    ];
    let edited = submit(&path, &fields).await;
    assert_eq!(edited.status, 303, "{}", edited.text());
    let after = fresh.store.incident(page, before.id).await.expect("read").expect("there");
    assert_eq!((after.facts.starts_at, after.facts.ends_at), (before.facts.starts_at, before.facts.ends_at));
    assert_eq!((after.facts.title.as_str(), after.facts.endpoints), ("Was down", vec!["uid-Api".to_owned()]));
    assert_eq!(submit(&format!("{path}/delete"), &[]).await.status, 303);
    assert_eq!(submit("/status-pages/shop-eu/delete", &[("confirm", "shop")]).await.status, 422);
    assert_eq!(submit("/status-pages/shop-eu/delete", &[("confirm", "shop-eu")]).await.status, 303);
    assert!(fresh.store.status_pages().await.expect("read").is_empty());
}

async fn what_is_posted_is_text_and_never_markup(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let evil = "<script>alert(1)</script>\"'&";
    let body =
        json!({ "title": evil, "description": evil, "groups": [{ "name": evil, "endpoints": ["Api"] }] });
    assert_eq!(send(&client, "PUT", "/api/v1/status-pages/shop", &body).await.status, 200);
    let id = post(&client, &json!({ "title": evil, "text": evil })).await;
    let public =
        ["/status/shop".to_owned(), "/status/shop/history".into(), format!("/status/shop/incidents/{id}")];
    let edits = [
        "/status-pages".to_owned(),
        "/status-pages/shop".into(),
        format!("/status-pages/shop/incidents/{id}"),
    ];
    for path in
        public.iter().chain(&edits).chain(&["/status/shop/rss".to_owned(), "/status/shop/atom".into()])
    {
        let page = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(!page.text().contains("<script>alert"), "{path}");
    }
}

async fn badges_are_public_only_where_somebody_made_them_so(fresh: Fresh) {
    let client = shop(&fresh.store).await;
    let hidden = put(&fresh.store, &endpoint("Hidden", "")).await;
    checked(&fresh.store, &hidden, &[true; 10]).await;
    let shown = fresh
        .store
        .endpoints()
        .await
        .expect("read")
        .into_iter()
        .find(|it| it.uid == "uid-Web")
        .expect("there");
    let badge = async |id: i64, file: &str| client.get(&format!("/badges/{id}/{file}")).await;
    for file in ["state.svg", "uptime.svg", "latency.svg", "state.json"] {
        assert_eq!(badge(hidden.id, file).await.status, 404, "{file}");
        assert_eq!(badge(shown.id, file).await.status, 200, "{file}: a status page shows it");
    }
    let svg = badge(shown.id, "state.svg").await;
    assert_eq!(svg.header("content-type"), Some("image/svg+xml; charset=utf-8"));
    assert!(
        svg.text().contains("Web: down")
            && svg.header("cross-origin-resource-policy") == Some("cross-origin")
    );
    let shields = badge(shown.id, "uptime.json?window=24h").await.json();
    assert_eq!(
        (&shields["schemaVersion"], &shields["label"], &shields["color"]),
        (&json!(1), &json!("uptime 24h"), &json!("red"))
    );
    let latency = badge(shown.id, "latency.json").await.json();
    assert_eq!(latency["message"], "120 ms");
    assert_eq!(badge(shown.id, "uptime.svg?window=5y").await.status, 400);
    for file in ["state.png", "nothing.svg", "state"] {
        assert_eq!(badge(shown.id, file).await.status, 404, "{file}");
    }

    let path = format!("/api/v1/badges/{}", hidden.id);
    assert_eq!(client.call("PUT", &path, &[], Body::empty()).await.status, 401);
    assert_eq!(send(&client, "PUT", &path, &Value::Null).await.status, 204);
    let json = badge(hidden.id, "uptime.json?window=24h&label=Core").await.json();
    assert_eq!((&json["message"], &json["label"]), (&json!("100 %"), &json!("Core")));
    assert_eq!(send(&client, "DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(badge(hidden.id, "state.svg").await.status, 404);
    // The form on its page does the same.
    let page = format!("/monitors/{}", hidden.id);
    let token = token(&client, &page).await;
    let fields = [("token", token.as_str()), ("public", "1")];
    assert_eq!(form(&client, &format!("{page}/badge"), &[ADMIN], &fields).await.status, 303);
    assert_eq!(badge(hidden.id, "state.svg").await.status, 200);
}

//! What people may ask for, and what projects demand, on both stores.

mod common;

use common::{ADMIN, Answer, Client, Fresh, START, account, batch, client, row, stored};
use serde_json::{Value, json};
use uuid::Uuid;
use watchkeeper_store::{Hit, day_of, now_ms};

on_both_stores! {
    one_person_is_erased_wherever_their_hits_lie
    erasing_is_for_who_may_write_and_names_one_person
    a_persons_data_is_told
    an_address_that_is_none_is_told_and_erased_as_it_was_posted
    settings_are_put_whole_and_told
    a_projects_privacy_level_holds_for_new_hits
    who_asks_not_to_be_tracked_is_not_where_that_is_honoured
    projects_are_listed_with_what_they_hold
    visitors_are_told_apart_within_a_day_and_projects_stay_apart
}

fn person(ts: i64, user: &str, ip: &str) -> Hit {
    Hit { ts, user: Some(user.into()), ip: Some(ip.into()), ..Hit::default() }
}

async fn call(client: &Client, method: &str, path: &str, body: Value) -> Answer {
    client.call(method, path, &[ADMIN], body.to_string()).await
}

async fn shop(client: &Client) -> Uuid {
    let key = Uuid::new_v4();
    call(client, "PUT", "/api/v1/projects/shop", json!({ "key": key })).await;
    key
}

async fn one_person_is_erased_wherever_their_hits_lie(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = shop(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("project").id;
    let day = watchkeeper_store::DAY_MS;
    let hits: Vec<_> = (0..100)
        .map(|n| {
            person(n % 5 * day + n, ["ann", "bob", "eve"][usize::try_from(n % 3).expect("small")], "1.2.3.4")
        })
        .collect();
    fresh.store.append(project, hits[..60].to_vec()).await.expect("append");
    fresh.store.seal_all().await.expect("seal");
    fresh.store.append(project, hits[60..].to_vec()).await.expect("append");
    // A file of hers alone goes whole.
    fresh.store.append(project, vec![person(9 * day, "ann", "1.2.3.5")]).await.expect("append");
    let other = fresh.store.register_key(Uuid::new_v4()).await.expect("register").id;
    fresh.store.append(other, vec![person(1, "ann", "1.2.3.4")]).await.expect("append");

    let answer = call(&client, "POST", "/api/v1/projects/shop/erase", json!({ "user": "ann" })).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "hits": 35, "addresses": 0 })));
    let mut expected: Vec<_> = hits.into_iter().filter(|hit| hit.user.as_deref() != Some("ann")).collect();
    expected.sort_by_key(|hit| hit.ts);
    assert_eq!(stored(&fresh.store, key).await, expected);
    // Sealing afterwards brings nothing back.
    fresh.store.seal_all().await.expect("seal");
    assert_eq!(stored(&fresh.store, key).await, expected);
    let again = call(&client, "POST", "/api/v1/projects/shop/erase", json!({ "user": "ann" })).await;
    assert_eq!(again.json()["hits"], 0);
    let mapped =
        call(&client, "POST", "/api/v1/projects/shop/erase", json!({ "ip": "::ffff:1.2.3.4" })).await;
    assert_eq!(mapped.json()["hits"], 66);
    assert!(stored(&fresh.store, key).await.is_empty());
    assert_eq!(fresh.store.first_hit(other).await.expect("first"), Some(1));
}

async fn erasing_is_for_who_may_write_and_names_one_person(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    let path = format!("/api/v1/projects/{user}/erase");
    assert_eq!(client.post(&path, &json!({ "user": "ann" })).await.status, 401);
    let keyed = [("x-auth-token", key.to_string())];
    let keyed = [(keyed[0].0, keyed[0].1.as_str())];
    for (body, field) in [
        (json!({}), "user"),
        (json!({ "user": "a", "ip": "1.2.3.4" }), "user"),
        (json!({ "user": "" }), "user"),
        (json!({ "ip": " " }), "ip"),
        (json!({ "name": "ann" }), "name"),
    ] {
        client.call("POST", &path, &keyed, body.to_string()).await.blames(422, field);
    }
    let good = client.call("POST", &path, &keyed, json!({ "user": "ann" }).to_string()).await;
    assert_eq!(good.status, 200, "{}", good.text());
}

async fn a_persons_data_is_told(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = shop(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("project").id;
    let hits = vec![person(5, "ann", "1.2.3.4"), person(6, "bob", "1.2.3.4"), person(7, "ann", "1.2.3.5")];
    fresh.store.append(project, hits).await.expect("append");
    let answer = call(&client, "POST", "/api/v1/projects/shop/person", json!({ "user": "ann" })).await;
    let expected = json!({
        "hits": [{ "ts": 5, "ip": "1.2.3.4", "user": "ann" }, { "ts": 7, "ip": "1.2.3.5", "user": "ann" }],
        "addresses": [],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    let other = call(&client, "POST", "/api/v1/projects/shop/person", json!({ "ip": "1.2.3.5" })).await;
    assert_eq!(other.json()["hits"].as_array().map(Vec::len), Some(1));
}

async fn an_address_that_is_none_is_told_and_erased_as_it_was_posted(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let view =
        json!({ "url": "/", "ip_address": " 1234 ", "user_agent": "UA", "timestamp": "2023-11-14T22:13:20" });
    let auth = [("authorization", common::SECRET)];
    assert_eq!(client.call("POST", "/api/v1/traffic", &auth, view.to_string()).await.status, 200);
    let whom = json!({ "ip": "1234" });
    let told = call(&client, "POST", "/api/v1/projects/site/person", whom.clone()).await;
    assert_eq!(told.json()["hits"][0]["ip"], "1234", "{}", told.text());
    let erased = call(&client, "POST", "/api/v1/projects/site/erase", whom).await;
    assert_eq!(erased.json()["hits"], 1, "{}", erased.text());
    assert!(common::stored_views(&fresh.store).await.is_empty());
}

async fn settings_are_put_whole_and_told(fresh: Fresh) {
    let client = client(&fresh.store).await;
    shop(&client).await;
    let path = "/api/v1/projects/shop/settings";
    let none = json!({ "retentionHits": null, "privacyLevel": null, "honorGpc": false });
    let get = async || client.call("GET", path, &[ADMIN], axum::body::Body::empty()).await;
    assert_eq!(get().await.json(), none);
    let all = json!({ "retentionHits": "90d", "privacyLevel": 1, "honorGpc": true });
    assert_eq!(call(&client, "PUT", path, all.clone()).await.json(), all);
    assert_eq!(get().await.json(), all);
    assert_eq!(call(&client, "PUT", path, json!({})).await.json(), none);
    for (body, field) in [
        (json!({ "retentionHits": "soon" }), "retentionHits"),
        (json!({ "retentionHits": "36h" }), "retentionHits"),
        (json!({ "privacyLevel": 3 }), "privacyLevel"),
        (json!({ "honorGpc": 1 }), "honorGpc"),
        (json!({ "retention": "1d" }), "retention"),
    ] {
        call(&client, "PUT", path, body).await.blames(422, field);
    }
    call(&client, "PUT", "/api/v1/projects/none/settings", json!({})).await.blames(404, "project");
    assert_eq!(client.call("PUT", path, &[], "{}").await.status, 401);
}

async fn a_projects_privacy_level_holds_for_new_hits(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = shop(&client).await;
    call(&client, "PUT", "/api/v1/projects/shop/settings", json!({ "privacyLevel": 1 })).await;
    client.post("/api/log-request", &batch(key, &json!([row(0, "/")]))).await;
    let hit = stored(&fresh.store, key).await.remove(0);
    assert_eq!((hit.ip, hit.user.as_deref()), (None, Some("u1")));
    assert!(hit.visitor.is_some());
}

async fn who_asks_not_to_be_tracked_is_not_where_that_is_honoured(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for honoured in [false, true] {
        let (key, path) = (Uuid::new_v4(), format!("/api/v1/projects/honoured-{honoured}"));
        call(&client, "PUT", &path, json!({ "key": key })).await;
        call(&client, "PUT", &format!("{path}/settings"), json!({ "honorGpc": honoured })).await;
        let signals = [
            json!({}),
            json!({ "gpc": true }),
            json!({ "dnt": "1" }),
            json!({ "gpc": 1 }),
            json!({ "dnt": 0 }),
        ];
        let rows: Vec<_> = signals
            .iter()
            .enumerate()
            .map(|(second, signal)| {
                let mut row = row(i64::try_from(second).expect("small"), "/");
                row.as_object_mut().expect("object").extend(signal.as_object().expect("object").clone());
                row
            })
            .collect();
        client.post("/api/log-request", &batch(key, &json!(rows))).await;
        let known: Vec<_> = stored(&fresh.store, key)
            .await
            .into_iter()
            .map(|hit| {
                (hit.ip.is_some(), hit.user.is_some(), hit.visitor.is_some(), hit.user_agent.is_some())
            })
            .collect();
        let (seen, unseen) = ((true, true, true, true), (false, false, false, true));
        let expected = if honoured { vec![seen, unseen, unseen, unseen, seen] } else { vec![seen; 5] };
        assert_eq!(known, expected, "{honoured}");
    }
}

async fn projects_are_listed_with_what_they_hold(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = shop(&client).await;
    let project = fresh.store.project_by_key(key).await.expect("find").expect("project");
    fresh.store.append(project.id, vec![person(5, "a", "1.2.3.4")]).await.expect("append");
    fresh.store.seal_all().await.expect("seal");
    fresh.store.append(project.id, vec![person(START, "a", "1.2.3.4")]).await.expect("append");
    account(&client).await;
    let list = client.call("GET", "/api/v1/projects", &[ADMIN], axum::body::Body::empty()).await.json();
    let projects = list["projects"].as_array().expect("projects");
    assert_eq!(projects.len(), 2);
    let shop = projects.iter().find(|project| project["name"] == "shop").expect("shop");
    assert_eq!(
        (&shop["id"], &shop["userId"], &shop["hits"], &shop["lastSeen"]),
        (&json!(project.id.0), &json!(project.user_id), &json!(2), &json!("2023-11-14T22:13:20.397Z"))
    );
    let nameless = projects.iter().find(|project| project["name"].is_null()).expect("nameless");
    assert_eq!((&nameless["hits"], &nameless["lastSeen"]), (&json!(0), &Value::Null));
    assert_eq!(client.get("/api/v1/projects").await.status, 401);
    let one =
        client.call("GET", "/api/v1/projects?limit=1", &[ADMIN], axum::body::Body::empty()).await.json();
    assert_eq!(one["projects"].as_array().map(Vec::len), Some(1));
    client
        .call("GET", "/api/v1/projects?limit=0", &[ADMIN], axum::body::Body::empty())
        .await
        .blames(422, "limit");
}

async fn visitors_are_told_apart_within_a_day_and_projects_stay_apart(fresh: Fresh) {
    // Two processes on one store agree, for today and for a day long gone.
    let (one, two) = (client(&fresh.store).await, client(&fresh.store).await);
    let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
    let rows = json!([row(0, "/"), row(86_400, "/")]);
    for (client, key) in [(&one, key), (&two, key), (&one, other)] {
        client.post("/api/log-request", &batch(key, &rows)).await;
    }
    let visitors = async |key| -> Vec<i64> {
        stored(&fresh.store, key).await.into_iter().map(|hit| hit.visitor.expect("visitor")).collect()
    };
    let (mine, theirs) = (visitors(key).await, visitors(other).await);
    assert_eq!((mine[0], mine[2]), (mine[1], mine[3]));
    assert!(mine[0] != mine[2] && mine[0] != theirs[0]);
    // Their salts live two days more and no longer.
    let days = [day_of(START), day_of(START) + 1];
    for salt in fresh.store.visitor_salts(&days).await.expect("salts").values() {
        assert!(salt.expires_at <= now_ms() + 2 * watchkeeper_store::DAY_MS);
    }
}

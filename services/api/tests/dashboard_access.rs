//! Who may see the dashboard's pages and who may change something, over the real router and on both
//! stores.

mod common;
#[path = "common/pages.rs"]
mod pages;

use axum::body::Body;
use common::{ADMIN, Fresh, TOKEN, client, client_with, options};
use pages::{HTML, Project, RANGE, known, post_form, project, tile, token};
use serde_json::json;
use uuid::Uuid;
use watchkeeper_api::{ApiOptions, AuthConfig};

on_both_stores! {
    only_who_may_look_looks
    who_only_looks_comes_to_the_settings_by_the_sign_in
    a_form_without_a_session_leads_over_the_sign_in_to_a_page
    a_session_begins_by_the_token_and_ends
    a_form_from_elsewhere_changes_nothing
    a_share_shows_what_it_is_limited_to_until_it_is_revoked
    a_limit_that_is_not_understood_whole_makes_no_share
    a_share_with_a_password_opens_by_it_alone
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
    let filtered = closed.call("GET", "/p/shop?path=/v1/*&period=30d", &[HTML], Body::empty()).await;
    let to = "/login?next=%2Fp%2Fshop%3Fpath%3D%2Fv1%2F*%26period%3D30d";
    assert_eq!(filtered.header("location"), Some(to), "the filters are there after the sign-in");
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

async fn who_only_looks_comes_to_the_settings_by_the_sign_in(fresh: Fresh) {
    fresh.store.put_project("a b&c", Uuid::new_v4()).await.expect("put");
    let auth = AuthConfig { open_overview: true, ..options().auth };
    let open = client_with(&fresh.store, ApiOptions { auth, ..options() }).await;
    let page = open.get("/p/a%20b%26c").await;
    let link = "/login?next=%2Fp%2Fa%2520b%2526c%2Fsettings";
    assert!(page.text().contains(&format!("href=\"{link}\"")), "{}", page.text());
    let form = open.get(link).await;
    let settings = "/p/a%20b%26c/settings";
    assert!(form.text().contains(&format!("name=\"next\" value=\"{settings}\"")), "{}", form.text());
    let fields = [("password", TOKEN), ("next", settings)];
    assert_eq!(post_form(&open, "/login", &[], &fields).await.header("location"), Some(settings));
}

async fn a_form_without_a_session_leads_over_the_sign_in_to_a_page(fresh: Fresh) {
    fresh.store.put_project("shop", Uuid::new_v4()).await.expect("put");
    let client = client(&fresh.store).await;
    for path in ["/notices/1/retry", "/monitors/1/badge", "/status-pages/shop/delete", "/p/shop/shares"] {
        let sent = post_form(&client, path, &[], &[]).await;
        // Nothing answers a GET of these.
        assert_eq!((sent.status, sent.header("location")), (303, Some("/login?next=%2F")), "{path}");
    }
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
    for personal in [
        "userID=u1",
        "not-ipAddress=1.2.3.4",
        "query=x*",
        "path=/v2/b%3Fx=1",
        "query-strings=1",
        // The route of a website's view is its whole URL.
        "route=*x=1*",
        "not-route=/v2/*",
        "route=/v2/b%3Fx=1",
    ] {
        assert_eq!(get(format!("{share}?{RANGE}&{personal}")).await.status, 403, "{personal}");
    }
    let routed = get(format!("{share}?{RANGE}&route=/v1/a")).await;
    assert_eq!(tile(routed.text(), "Requests"), "4");
    assert_eq!(get(format!("{share}/table/users?{RANGE}")).await.status, 404);
    assert_eq!(get(format!("{share}/table/users.csv?{RANGE}")).await.status, 404);
    let each = get(format!("{share}/requests?{RANGE}")).await;
    assert!(each.text().contains("4 from here on") && !each.text().contains("requests.csv"));
    assert!(!each.text().contains("u1<") && !each.text().contains("/v2/b"), "{}", each.text());
    assert_eq!(get(format!("{share}/requests.csv?{RANGE}")).await.status, 404);
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

async fn a_limit_that_is_not_understood_whole_makes_no_share(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    for (field, value) in [
        ("filter", "paths=/v1/*"),
        ("filter", "path=/v1/*&period=7d"),
        ("filter", "path=/v1/*&from=2023-11-13&to=2023-11-15"),
        ("filter", "https://watchkeeper.example/p/shop"),
        ("password", "correct horse"),
    ] {
        let answer = project.form("/shares", &[("title", "v1"), ("reach", "secret"), (field, value)]).await;
        assert_eq!(answer.status, 422, "{value}");
        assert!(answer.text().contains(&format!("<code>{field}</code>")), "{value}: {}", answer.text());
    }
    assert!(!project.get("/settings").await.text().contains("/revoke\""), "none was made");
    for limit in ["?path=/v1/*", "https://watchkeeper.example/p/shop?path=%2Fv1%2F*#usage"] {
        let fields = [("title", "v1"), ("reach", "secret"), ("password", ""), ("filter", limit)];
        let made = project.form("/shares", &fields).await;
        let link = made.text().split("value=\"/s/").nth(1).and_then(|rest| rest.split('"').next());
        let share = format!("/s/{}?{RANGE}", link.expect("a link"));
        let page = project.client.call("GET", &share, &[HTML], Body::empty()).await;
        assert_eq!((page.status, tile(page.text(), "Requests").as_str()), (200, "4"), "{limit}");
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
    for path in ["", "/requests", "/live", "/live/events", "/table/hosts", "/table/hosts.csv"] {
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

//! The page of all projects, over the real router and on both stores.

mod common;
#[path = "common/pages.rs"]
mod pages;

use axum::body::Body;
use common::{ADMIN, Fresh, client};
use pages::{HTML, hit, project, tile};
use serde_json::json;
use uuid::Uuid;

on_both_stores! {
    the_overview_lists_every_project
    the_overview_has_pages_and_a_search_and_shows_named_projects_first
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

async fn the_overview_has_pages_and_a_search_and_shows_named_projects_first(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for name in ["beta_1", "Alpha", "betaX1"] {
        fresh.store.put_project(name, Uuid::new_v4()).await.expect("put");
    }
    // Keys that anybody made up, all of them newer.
    for _ in 0..40 {
        fresh.store.register_key(Uuid::new_v4()).await.expect("register");
    }
    let get = async |path: &str| {
        let page = client.call("GET", path, &[ADMIN, HTML], Body::empty()).await;
        assert_eq!(page.status, 200, "{path}");
        page.text().to_owned()
    };
    let projects = |page: &str| -> Vec<String> {
        let rows = page.split("<a href=\"/p/").skip(1);
        rows.map(|rest| rest.split('"').next().expect("an end").to_owned()).collect()
    };
    let first = get("/").await;
    assert_eq!(projects(&first)[..3], ["Alpha", "beta_1", "betaX1"]);
    let mut all = projects(&first);
    let mut page = first;
    while let Some(next) = page.split("rel=\"next\"").next().filter(|before| *before != page) {
        let next = next.rsplit("href=\"").next().and_then(|link| link.split('"').next()).expect("a link");
        page = get(&next.replace("&#38;", "&")).await;
        all.extend(projects(&page));
    }
    assert_eq!(all.len(), 43);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 43, "each stands on one page");
    assert!(page.contains("41 to 43 of 43") && page.contains("rel=\"prev\""), "{page}");

    assert_eq!(projects(&get("/?q=BETA").await), ["beta_1", "betaX1"]);
    assert_eq!(projects(&get("/?q=beta_").await), ["beta_1"], "no wildcard");
    assert!(get("/?q=%22%3E%3Cb%3E").await.contains("No project here is called so"));
    let (unnamed, _) = fresh.store.find_projects("", 3, 1).await.expect("find");
    let shown = unnamed[0].user_id.simple().to_string();
    assert_eq!(projects(&get(&format!("/?q={}", &shown[..8])).await), [unnamed[0].id.0.to_string()]);
    assert!(
        projects(&get(&format!("/?q={}", &shown[..7])).await).is_empty(),
        "nothing can be guessed digit by digit"
    );
}

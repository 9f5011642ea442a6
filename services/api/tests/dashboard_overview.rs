//! The page of all projects, over the real router and on both stores.

mod common;
#[path = "common/pages.rs"]
mod pages;

use axum::body::Body;
use common::{ADMIN, Answer, Client, Fresh, account, client, log};
use pages::{HTML, RANGE, hit, known, project, tile};
use serde_json::json;
use uuid::Uuid;
use watchkeeper_store::DashboardSettings;

on_both_stores! {
    the_overview_lists_every_project
    the_overview_has_pages_and_a_search_and_shows_named_projects_first
    projects_stand_beside_each_other_over_one_period
    a_project_beside_others_counts_as_its_own_page_does
    an_overview_that_cannot_be_understood_is_refused_by_its_field
}

async fn overview(client: &Client, query: &str) -> Answer {
    client.call("GET", &format!("/?{query}"), &[ADMIN, HTML], Body::empty()).await
}

/// The numbers of a project's row, or of the row of all: requests, change, users, error rate, median, p95.
fn numbers(page: &Answer, project: Option<&str>) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.text());
    let head = match project {
        Some(name) => format!("<b>{name}</b></a></span></th>"),
        None => "<th scope=\"row\">Together</th>".into(),
    };
    let row = page.text().split(&head).nth(1).and_then(|rest| rest.split("</tr>").next()).expect(&head);
    let cells = row.split("<td class=\"number").skip(1).map(|cell| {
        let (_, cell) = cell.split_once('>').expect("a cell");
        cell.trim_start_matches("<span aria-hidden=\"true\">").split('<').next().expect("a text").to_owned()
    });
    cells.collect()
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

async fn projects_stand_beside_each_other_over_one_period(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    let client = &project.client;
    fresh.store.put_project("shop", project.key).await.expect("put");
    let none = json!({});
    for (name, rows) in [
        (
            "mail",
            json!([
                hit(0, "GET", "/", 200, 100, &none),
                hit(1, "GET", "/", 200, 100, &none),
                hit(2, "GET", "/", 500, 300, &none)
            ]),
        ),
        ("unasked", json!([hit(0, "GET", "/", 200, 1, &none)])),
    ] {
        let (key, _) = account(client).await;
        fresh.store.put_project(name, key).await.expect("put");
        log(client, key, &rows).await;
    }
    let page = overview(client, &format!("project=shop&project=mail&{RANGE}")).await;
    assert_eq!(numbers(&page, Some("shop")), ["10", "–", "3", "20 %", "30 ms", "4 s"]);
    assert_eq!(numbers(&page, Some("mail")), ["3", "–", "1", "33.3 %", "100 ms", "300 ms"]);
    assert_eq!(numbers(&page, None), ["13", "–", "4", "23.1 %", "–", "–"]);
    let text = page.text();
    assert!(!text.contains("unasked"), "{text}");
    assert!(text.contains("href=\"/p/shop?from=2023-11-13"), "its own page is in the same period: {text}");
    assert_eq!(text.matches("viewBox=\"0 0 12 100\"").count(), 3, "a trend of six hours a bar each: {text}");
    assert!(text.contains("Requests of shop, at most 9 in six hours"), "{text}");
    assert!(text.contains("name=\"project\" value=\"mail\" aria-label=\"Choose mail\" checked"), "{text}");

    // A day, and the change against the day before.
    let day = overview(client, "project=mail&project=shop&from=2023-11-15&to=2023-11-15").await;
    assert_eq!(numbers(&day, Some("shop"))[..3], ["1", "▼ 89 %", "1"]);
    assert_eq!(numbers(&day, Some("mail"))[..5], ["0", "▼ 100 %", "0", "–", "–"]);
    assert_eq!(numbers(&day, None)[..4], ["1", "▼ 92 %", "1", "0 %"]);

    // In Tokyo all of it was that day; the period may be all there is.
    let tokyo = overview(client, "project=shop&from=2023-11-15&to=2023-11-15&zone=Asia/Tokyo").await;
    assert_eq!(numbers(&tokyo, Some("shop"))[0], "10");
    let id = fresh.store.project_by_key(project.key).await.expect("find").expect("project").id.0;
    let all = overview(client, &format!("project=shop&project={id}&project=nobody&period=all")).await;
    assert!(!all.text().contains("Together"), "by its name and by its number it is the same: {}", all.text());
    assert!(all.text().contains("There is no project called <b>nobody</b>"), "{}", all.text());
    assert_eq!(numbers(&all, Some("shop"))[0], "10");
    for period in ["24h", "7d", "30d", "12mo"] {
        let page = overview(client, &format!("period={period}")).await;
        assert_eq!(numbers(&page, Some("unasked"))[0], "0", "{period}");
    }
    let whole = overview(client, &format!("{RANGE}&q=a")).await;
    assert_eq!(numbers(&whole, None)[0], "4", "what the search finds comes together too");
}

async fn a_project_beside_others_counts_as_its_own_page_does(fresh: Fresh) {
    let project = project(&fresh, &known()).await;
    fresh.store.put_project("shop", project.key).await.expect("put");
    let id = fresh.store.project_by_key(project.key).await.expect("find").expect("project").id;
    let settings = DashboardSettings {
        hide_not_found: true,
        hidden: vec!["/old".into()],
        ..DashboardSettings::default()
    };
    fresh.store.put_dashboard_settings(id, &settings).await.expect("put");
    let own = project.get(&format!("?{RANGE}")).await;
    let page = overview(&project.client, &format!("project=shop&{RANGE}")).await;
    assert_eq!(numbers(&page, Some("shop"))[0], "8");
    assert_eq!(tile(own.text(), "Requests"), "8");
    assert!(!page.text().contains("Together"), "of one there is nothing to add");
}

async fn an_overview_that_cannot_be_understood_is_refused_by_its_field(fresh: Fresh) {
    let client = client(&fresh.store).await;
    for (query, field) in [
        ("period=fortnight", "period"),
        ("zone=Mars", "zone"),
        ("from=2023-11-15", "from"),
        ("from=2023-11-15&to=2023-11-13", "from"),
    ] {
        let page = overview(&client, query).await;
        assert_eq!(page.status, 400, "{query}");
        assert!(page.text().contains(&format!("<code>{field}</code>")), "{query}: {}", page.text());
    }
    let many: String = (0..21).map(|number| format!("project=p{number}&")).collect();
    let page = overview(&client, &many).await;
    assert!(page.status == 400 && page.text().contains("<code>project</code>"), "{}", page.text());
}

//! Status pages and what is posted on them, on each database.

#[macro_use]
mod common;

use common::{Fresh, open};
use watchkeeper_store::{
    Impact, IncidentFacts, IncidentKind, IncidentStatus, StatusGroup, StatusPageSpec, StatusUpdate,
    StoreError,
};

on_both! {
    a_page_is_found_by_slug_and_host_and_no_other_takes_them
    what_was_posted_is_told_with_its_updates_newest_first
    a_deleted_page_takes_its_posts_along_and_leaves_others
    a_badge_is_public_until_it_is_switched_off
}

fn spec(host: Option<&str>) -> StatusPageSpec {
    StatusPageSpec {
        title: "Shop".into(),
        host: host.map(str::to_owned),
        groups: vec![StatusGroup { name: "API".into(), endpoints: vec!["u1".into()], all_of: None }],
        ..StatusPageSpec::default()
    }
}

fn facts(kind: IncidentKind, starts_at: i64, ends_at: Option<i64>) -> IncidentFacts {
    let endpoints = vec!["u1".into()];
    IncidentFacts { kind, title: "t".into(), impact: Impact::Partial, endpoints, starts_at, ends_at }
}

fn update(at: i64, status: IncidentStatus) -> StatusUpdate {
    StatusUpdate { at, status, text: format!("at {at}") }
}

async fn a_page_is_found_by_slug_and_host_and_no_other_takes_them(fresh: Fresh) {
    let store = open(&fresh).await;
    let id = store.create_status_page("shop", &spec(Some("status.example"))).await.expect("made");
    let found = store.status_page_at("status.example").await.expect("read").expect("there");
    assert_eq!((found.id, found.slug.as_str(), &found.spec), (id, "shop", &spec(Some("status.example"))));
    assert!(matches!(store.create_status_page("shop", &spec(None)).await, Err(StoreError::SlugTaken)));
    let other = store.create_status_page("other", &spec(Some("status.example"))).await;
    assert!(matches!(other, Err(StoreError::HostTaken)));
    let other = store.create_status_page("other", &spec(None)).await.expect("made");
    let taken = |slug, host| {
        let store = store.clone();
        async move { store.update_status_page(other, slug, &spec(host)).await }
    };
    assert!(matches!(taken("shop", None).await, Err(StoreError::SlugTaken)));
    assert!(matches!(taken("other", Some("status.example")).await, Err(StoreError::HostTaken)));
    assert!(taken("renamed", None).await.expect("changed"));
    assert!(store.status_page("other").await.expect("read").is_none());
    assert!(!store.update_status_page(other + 1_000, "x", &spec(None)).await.expect("nothing there"));
    let slugs: Vec<_> = store.status_pages().await.expect("read").into_iter().map(|page| page.slug).collect();
    assert_eq!(slugs, ["renamed", "shop"]);
}

async fn what_was_posted_is_told_with_its_updates_newest_first(fresh: Fresh) {
    let store = open(&fresh).await;
    let page = store.create_status_page("shop", &spec(None)).await.expect("made");
    let first = update(1_000, IncidentStatus::Investigating);
    let old =
        store.post_incident(page, &facts(IncidentKind::Incident, 1_000, None), &first).await.expect("posted");
    let planned = facts(IncidentKind::Maintenance, 9_000, Some(10_000));
    let planned =
        store.post_incident(page, &planned, &update(1_500, IncidentStatus::Scheduled)).await.expect("posted");
    let resolved = update(2_000, IncidentStatus::Resolved);
    assert!(store.update_incident(page, old, &resolved, Some(2_000)).await.expect("told"));
    assert!(!store.update_incident(page + 1, old, &resolved, None).await.expect("another page's"));

    let told = store.incidents(page, 0, 20_000, 10).await.expect("read");
    assert_eq!(told.iter().map(|it| it.id).collect::<Vec<_>>(), [planned, old]);
    assert_eq!(told[1].updates, [resolved, first]);
    assert_eq!((told[1].status, told[1].facts.ends_at), (IncidentStatus::Resolved, Some(2_000)));
    assert_eq!(store.incident(page, old).await.expect("read").as_ref(), Some(&told[1]));
    let ids = async |from, to, limit| {
        let found = store.incidents(page, from, to, limit).await.expect("read");
        found.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(0, 9_000, 10).await, [old], "what begins at the end is not in it");
    assert_eq!(ids(2_001, 20_000, 10).await, [planned], "what ended before is not in it");
    assert_eq!(ids(0, 20_000, 1).await, [planned], "the last to begin comes first");

    let later = IncidentFacts {
        title: "later".into(),
        starts_at: 12_000,
        ..facts(IncidentKind::Maintenance, 0, None)
    };
    assert!(store.edit_incident(page, planned, &later).await.expect("edited"));
    let edited = store.incident(page, planned).await.expect("read").expect("there");
    assert_eq!((edited.facts, edited.updates.len()), (later, 1));
}

async fn a_deleted_page_takes_its_posts_along_and_leaves_others(fresh: Fresh) {
    let store = open(&fresh).await;
    let pages =
        [store.create_status_page("a", &spec(None)).await, store.create_status_page("b", &spec(None)).await]
            .map(|page| page.expect("made"));
    for page in pages {
        for _ in 0..2 {
            let first = update(1, IncidentStatus::Open);
            store.post_incident(page, &facts(IncidentKind::Incident, 1, None), &first).await.expect("posted");
        }
    }
    let gone = store.incidents(pages[1], 0, 10, 10).await.expect("read")[0].id;
    assert!(store.delete_incident(pages[1], gone).await.expect("deleted"));
    assert!(!store.delete_incident(pages[1], gone).await.expect("already gone"));
    assert!(store.delete_status_page(pages[0]).await.expect("deleted"));
    assert!(store.incidents(pages[0], 0, 10, 10).await.expect("read").is_empty());
    let left = store.incidents(pages[1], 0, 10, 10).await.expect("read");
    assert_eq!((left.len(), left[0].updates.len()), (1, 1));
}

async fn a_badge_is_public_until_it_is_switched_off(fresh: Fresh) {
    let store = open(&fresh).await;
    for _ in 0..2 {
        store.set_badge("u1", true).await.expect("set");
    }
    assert!(store.badges().await.expect("read").contains("u1"));
    store.set_badge("u1", false).await.expect("set");
    assert!(store.badges().await.expect("read").is_empty());
}

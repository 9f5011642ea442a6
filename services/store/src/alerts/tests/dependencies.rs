//! Endpoints that depend on each other.

use std::collections::BTreeSet;

use super::*;

on_both! {
    a_parent_that_nobody_looks_at_any_more_holds_nothing
    endpoints_that_depend_on_each_other_are_told_of
    a_child_of_two_that_depend_on_each_other_waits_for_them
    a_child_is_not_told_of_while_its_parent_is_down
    a_child_waits_until_its_parent_was_looked_at
}

/// An endpoint that depends on another.
async fn child(store: &Store, name: &str, parent: &str) -> i64 {
    let url = format!("http://{name}.example/");
    endpoint(store, name, &url, |spec| spec.depends_on = vec![parent.into()]).await
}

/// Has the endpoint's last check have been then, and nothing come of it.
async fn checked(store: &Store, endpoint: i64, at: i64, ok: bool) {
    let check = LastCheck { at, ok, ..LastCheck::default() };
    sqlx::query("UPDATE endpoints SET last_check = $2 WHERE id = $1")
        .bind(endpoint)
        .bind(serde_json::to_string(&check).expect("JSON"))
        .execute(store.db.write())
        .await
        .expect("update");
}

/// Names of the endpoints that the channel is told of.
async fn names(store: &Store) -> BTreeSet<String> {
    sent(store, "ops").await.into_iter().flat_map(|(_, names)| names).collect()
}

async fn a_parent_that_nobody_looks_at_any_more_holds_nothing(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let router = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let shop = child(store, "shop", "default/router").await;
    becomes(store, router, State::Down).await;
    becomes(store, shop, State::Down).await;
    time_passes(store).await;
    assert_eq!(names(store).await, BTreeSet::from(["router".to_owned()]));
    checked(store, router, now_ms() - 3_600_000, false).await;
    // Where nobody has looked for as long, it has time to be checked first.
    time_passes(store).await;
    assert_eq!(names(store).await, BTreeSet::new());
    assert_eq!(held(store).await, [(Kind::Down, Hold::Dependency)]);
    sqlx::query("UPDATE notices SET due_at = $1 WHERE state = 'waiting'")
        .bind(now_ms() - 1_000)
        .execute(store.db.write())
        .await
        .expect("update");
    assert_eq!(names(store).await, BTreeSet::from(["shop".to_owned()]));
}

async fn endpoints_that_depend_on_each_other_are_told_of(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let mut ids = Vec::new();
    for (name, parent) in [("a", "b"), ("b", "c"), ("c", "a"), ("alone", "alone")] {
        ids.push(child(store, name, parent).await);
    }
    for id in ids {
        becomes(store, id, State::Down).await;
    }
    time_passes(store).await;
    let all = ["a", "alone", "b", "c"].map(str::to_owned);
    assert_eq!(names(store).await, BTreeSet::from(all));
}

async fn a_child_of_two_that_depend_on_each_other_waits_for_them(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let router = child(store, "router", "switch").await;
    child(store, "switch", "router").await;
    let shop = child(store, "shop", "router").await;
    becomes(store, router, State::Down).await;
    becomes(store, shop, State::Down).await;
    time_passes(store).await;
    assert_eq!(names(store).await, BTreeSet::from(["router".to_owned()]));
    assert_eq!(held(store).await, [(Kind::Down, Hold::Dependency)]);
}

async fn a_child_is_not_told_of_while_its_parent_is_down(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let parent = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let child = child(store, "shop", "router").await;
    becomes(store, parent, State::Up).await;
    becomes(store, child, State::Up).await;
    becomes(store, child, State::Down).await;
    becomes(store, parent, State::Down).await;
    for _ in 0..3 {
        time_passes(store).await;
        assert!(!sent(store, "ops").await.iter().any(|(_, names)| names.contains(&"shop".to_owned())));
    }
    assert_eq!(held(store).await, [(Kind::Down, Hold::Dependency)]);
    // Both are well again, and only the parent's recovery is news.
    becomes(store, parent, State::Up).await;
    becomes(store, child, State::Up).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, [(Kind::Recovery, vec!["router".to_owned()])]);
    // A child that stays down after its parent was found well is told of.
    becomes(store, parent, State::Down).await;
    becomes(store, child, State::Down).await;
    becomes(store, parent, State::Up).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await.len(), 2, "the parent's two");
    checked(store, child, now_ms() + 1, false).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["shop".to_owned()])]);
}

async fn a_child_waits_until_its_parent_was_looked_at(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let parent = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let child = child(store, "shop", "default/router").await;
    becomes(store, parent, State::Up).await;
    // So that the child's failure is later than that.
    sqlx::query("UPDATE endpoints SET since = since - 1 WHERE id = $1")
        .bind(parent)
        .execute(store.db.write())
        .await
        .expect("update");
    checked(store, parent, now_ms() - 1, true).await;
    becomes(store, child, State::Down).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    // The parent is looked at and well: it was the child itself.
    checked(store, parent, now_ms() + 1, true).await;
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

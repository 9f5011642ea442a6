//! Endpoints that depend on each other.

use super::*;

on_both! {
    a_parent_that_nobody_looks_at_any_more_holds_nothing
    endpoints_that_depend_on_each_other_are_told_of
    a_child_of_two_that_depend_on_each_other_waits_for_them
}

/// An endpoint that depends on another.
async fn child(store: &Store, name: &str, parent: &str) -> i64 {
    let url = format!("http://{name}.example/");
    endpoint(store, name, &url, |spec| spec.depends_on = vec![parent.into()]).await
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
    let long_ago = LastCheck { at: now_ms() - 3_600_000, ok: false, ..LastCheck::default() };
    sqlx::query("UPDATE endpoints SET last_check = $2 WHERE id = $1")
        .bind(router)
        .bind(serde_json::to_string(&long_ago).expect("JSON"))
        .execute(store.db.write())
        .await
        .expect("update");
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

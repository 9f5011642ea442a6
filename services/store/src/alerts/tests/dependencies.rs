//! Endpoints that depend on each other.

use super::*;

on_both! {
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

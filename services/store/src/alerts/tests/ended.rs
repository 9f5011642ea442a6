//! Endpoints that are not watched any more.

use super::*;
use crate::Retention;

on_both! {
    a_suspended_endpoint_ends_its_trouble
    a_deleted_endpoint_ends_its_trouble
    the_notices_of_a_deleted_endpoint_go_once_they_are_told
    in_quiet_hours_the_trouble_of_what_is_not_watched_any_more_ends_after_them
}

async fn a_suspended_endpoint_ends_its_trouble(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    endpoint(store, "shop", "http://shop.example/", |spec| spec.suspended = true).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
    endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    assert_eq!(sent(store, "ops").await, []);
}

async fn a_deleted_endpoint_ends_its_trouble(store: &Store) {
    down_with_a_reminder(store).await;
    assert!(store.delete_endpoint("uid-shop").await.expect("delete"));
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

async fn the_notices_of_a_deleted_endpoint_go_once_they_are_told(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    for name in ["gone", "stays"] {
        let id = endpoint(store, name, &format!("http://{name}.example/"), |_| {}).await;
        becomes(store, id, State::Down).await;
    }
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Down]);
    assert!(store.delete_endpoint("uid-gone").await.expect("delete"));
    let logged = async || {
        let notices = store.notices(&NoticeFilter::default(), 10).await.expect("notices");
        notices.into_iter().map(|notice| (notice.details.name, notice.kind, notice.state)).collect::<Vec<_>>()
    };
    let stays = ("stays".to_owned(), Kind::Down, NoticeState::Sent);
    let end = |state| ("gone".to_owned(), Kind::Recovery, state);
    assert_eq!(logged().await, [end(NoticeState::Waiting), stays.clone()]);
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(logged().await, [end(NoticeState::Waiting), stays.clone()], "it is still to be told");
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
    assert_eq!(logged().await, [end(NoticeState::Sent), stays.clone()]);
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(logged().await, [stays]);
}

async fn in_quiet_hours_the_trouble_of_what_is_not_watched_any_more_ends_after_them(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    for name in ["gone", "still"] {
        let id = endpoint(store, name, &format!("http://{name}.example/"), |_| {}).await;
        becomes(store, id, State::Down).await;
    }
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Down]);
    let quiet = Channel { quiet_hours: vec![window()], ..channel("ops") };
    store.put_channels(&[quiet]).await.expect("channels");
    assert!(store.delete_endpoint("uid-gone").await.expect("delete"));
    endpoint(store, "still", "http://still.example/", |spec| spec.suspended = true).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [(Kind::Recovery, Hold::Quiet), (Kind::Recovery, Hold::Quiet)]);
    store.put_channels(&[channel("ops")]).await.expect("channels");
    time_passes(store).await;
    let told = |name: &str| (Kind::Recovery, vec![name.to_owned()]);
    assert_eq!(sent(store, "ops").await, [told("gone"), told("still")]);
}

//! What flaps: told once, and ended by what it settles to.

use super::*;
use crate::FlappingSpec;

on_both! {
    what_settles_up_after_flapping_recovers
    what_settles_down_after_flapping_is_down_and_recovers_later
    flapping_is_told_once_to_those_who_are_told_no_recoveries
    in_quiet_hours_flapping_is_not_told_and_if_it_goes_on_afterwards_it_is
    a_child_flaps_for_nobody_while_its_parent_is_down
    flapping_is_told_once_and_what_settles_is_told_then
}

async fn flapping(store: &Store, name: &str, change: impl FnOnce(&mut EndpointSpec)) -> i64 {
    endpoint(store, name, &format!("http://{name}.example/"), |spec| {
        spec.alerts.flapping = Some(FlappingSpec { changes: 3, within: Duration::from_secs(600) });
        change(spec);
    })
    .await
}

/// Goes down and up until it flaps; it is down then.
async fn begins_to_flap(store: &Store, endpoint: i64) {
    becomes(store, endpoint, State::Down).await;
    becomes(store, endpoint, State::Up).await;
    becomes_flapping(store, endpoint, State::Down, Flapping::Begins).await;
}

async fn goes_on(store: &Store, endpoint: i64, states: &[State]) {
    for state in states {
        becomes_flapping(store, endpoint, *state, Flapping::GoesOn).await;
    }
}

/// The episodes of all notices, oldest first.
async fn episodes(store: &Store) -> Vec<i64> {
    let notices = store.notices(&NoticeFilter::default(), 100).await.expect("notices");
    let sent = notices.iter().rev().filter(|notice| notice.state == NoticeState::Sent);
    sent.map(|notice| notice.episode).collect()
}

async fn what_settles_up_after_flapping_recovers(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = flapping(store, "shop", |_| {}).await;
    begins_to_flap(store, shop).await;
    goes_on(store, shop, &[State::Up, State::Down, State::Up]).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery, Kind::Flapping]);
    assert_eq!(held(store).await, [(Kind::Recovery, Hold::Flapping)]);
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    let [first, ended, flaps, settled, next] = episodes(store).await[..] else { panic!("five were sent") };
    assert_eq!((first, flaps), (ended, settled), "the end of each has its identity");
    assert!(first < flaps && flaps < next);
}

async fn what_settles_down_after_flapping_is_down_and_recovers_later(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = flapping(store, "shop", |_| {}).await;
    begins_to_flap(store, shop).await;
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery, Kind::Flapping, Kind::Down]);
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

async fn flapping_is_told_once_to_those_who_are_told_no_recoveries(store: &Store) {
    store.put_channels(&[Channel { send_recovery: false, ..channel("ops") }]).await.expect("channels");
    let shop = flapping(store, "shop", |_| {}).await;
    begins_to_flap(store, shop).await;
    goes_on(store, shop, &[State::Up, State::Down, State::Up, State::Down]).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Flapping]);
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

async fn in_quiet_hours_flapping_is_not_told_and_if_it_goes_on_afterwards_it_is(store: &Store) {
    let quiet = Channel { quiet_hours: vec![window()], ..channel("ops") };
    store.put_channels(&[quiet]).await.expect("channels");
    let shop = flapping(store, "shop", |_| {}).await;
    begins_to_flap(store, shop).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Quiet)]);
    // Nothing of it was told, so there is nothing to end.
    goes_on(store, shop, &[State::Up]).await;
    assert_eq!(held(store).await, []);
    store.put_channels(&[channel("ops")]).await.expect("channels");
    goes_on(store, shop, &[State::Down]).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Flapping]);
}

async fn a_child_flaps_for_nobody_while_its_parent_is_down(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let router = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let shop = flapping(store, "shop", |spec| spec.depends_on = vec!["router".into()]).await;
    becomes(store, router, State::Down).await;
    begins_to_flap(store, shop).await;
    goes_on(store, shop, &[State::Up, State::Down, State::Up]).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["router".to_owned()])]);
    // Alone it does.
    becomes(store, router, State::Up).await;
    // So that the child's next check is later than the end of that.
    sqlx::query("UPDATE endpoints SET since = since - 1 WHERE id = $1")
        .bind(router)
        .execute(store.db.write())
        .await
        .expect("update");
    goes_on(store, shop, &[State::Down]).await;
    let told = |kind: Kind, name: &str| (kind, vec![name.to_owned()]);
    assert_eq!(sent(store, "ops").await, [told(Kind::Recovery, "router"), told(Kind::Flapping, "shop")]);
}

async fn flapping_is_told_once_and_what_settles_is_told_then(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = flapping(store, "shop", |_| {}).await;
    begins_to_flap(store, shop).await;
    goes_on(store, shop, &[State::Up, State::Down, State::Up, State::Down]).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery, Kind::Flapping]);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Flapping)]);
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

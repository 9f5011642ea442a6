//! Trouble from before there was a channel.

use super::*;
use crate::Check;

on_both! {
    trouble_from_before_the_first_channel_is_told_once_and_so_is_its_end
    a_first_check_that_failed_before_there_was_a_channel_is_told_as_it_was
    a_channel_that_comes_later_is_not_told_of_what_others_know
    what_nobody_wants_to_be_told_of_is_not_told_to_a_new_channel
    a_channel_that_lacked_something_is_told_once_it_is_whole
}

async fn trouble_from_before_the_first_channel_is_told_once_and_so_is_its_end(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    assert_eq!(sent(store, "ops").await, []);
    assert!(store.put_channels(&[channel("ops")]).await.expect("channels"));
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["shop".to_owned()])]);
    // Neither the same channels again, nor others, nor its way back tells it once more.
    let later = Channel { cooldown: Duration::from_secs(1), ..channel("ops") };
    for channels in [vec![channel("ops")], vec![later], vec![], vec![channel("ops")]] {
        store.put_channels(&channels).await.expect("channels");
        assert_eq!(sent(store, "ops").await, []);
    }
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

async fn a_first_check_that_failed_before_there_was_a_channel_is_told_as_it_was(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let at = now_ms() - 5_000;
    let message = Some("status 500".to_owned());
    let result = LastCheck { at, ok: false, status: Some(500), message, ..LastCheck::default() };
    let check = Check { project: ProjectId::INSTALLATION, endpoint: shop, result };
    store.record_checks(&[check]).await.expect("record");
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let claim = store.claim_notices("ops", LEASE).await.expect("claim").expect("the trouble");
    let [notice] = claim.notices.as_slice() else { panic!("{claim:?}") };
    let details = &notice.details;
    assert_eq!((notice.kind, notice.at), (Kind::Down, at));
    assert_eq!((details.from, details.to), (State::Unknown, State::Down));
    assert_eq!((details.status, details.message.as_deref()), (Some(500), Some("status 500")));
}

async fn a_channel_that_comes_later_is_not_told_of_what_others_know(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let held_back = endpoint(store, "blog", "http://blog.example/", |spec| {
        spec.alerts.cooldown = Some(Duration::from_secs(300));
    })
    .await;
    becomes(store, shop, State::Down).await;
    for state in [State::Down, State::Up, State::Down] {
        becomes(store, held_back, state).await;
    }
    assert_eq!(held(store).await, [(Kind::Down, Hold::Cooldown)]);
    store.put_channels(&[channel("ops"), channel("team")]).await.expect("channels");
    assert_eq!(sent(store, "team").await, []);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Cooldown)], "it still waits");
}

async fn what_nobody_wants_to_be_told_of_is_not_told_to_a_new_channel(store: &Store) {
    let silent =
        endpoint(store, "silent", "http://a.example/", |spec| spec.alerts.channels = Some(Vec::new())).await;
    let slow = endpoint(store, "slow", "http://b.example/", |spec| spec.alerts.degraded = false).await;
    let well = endpoint(store, "well", "http://c.example/", |_| {}).await;
    let aside = endpoint(store, "aside", "http://d.example/", |_| {}).await;
    for (endpoint, state) in
        [(silent, State::Down), (slow, State::Degraded), (well, State::Up), (aside, State::Down)]
    {
        becomes(store, endpoint, state).await;
    }
    let on_request = Channel { default: false, ..channel("ops") };
    store.put_channels(&[on_request]).await.expect("channels");
    assert_eq!(sent(store, "ops").await, [], "nobody asks for it");
    store.put_channels(&[channel("ops")]).await.expect("channels");
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["aside".to_owned()])]);
}

async fn a_channel_that_lacked_something_is_told_once_it_is_whole(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    store.put_channels(&[Channel::missing("ops", true)]).await.expect("channels");
    assert_eq!(sent(store, "ops").await, []);
    store.put_channels(&[channel("ops")]).await.expect("channels");
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

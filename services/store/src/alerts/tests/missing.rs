//! Channels that are not there at times, as while their Secret is missing.

use super::*;

on_both! {
    a_default_channel_that_lacks_something_leaves_dead_letters
    a_channel_that_was_away_at_a_recovery_is_told_of_the_next_trouble
    each_trouble_and_its_end_are_dead_letters_of_a_channel_that_is_away
    trouble_that_was_told_late_ends_by_its_recovery
    what_is_held_for_a_channel_that_is_away_goes_out_when_it_is_back
    a_reminder_that_finds_no_channel_is_followed_by_the_next
    an_unknown_channel_is_a_dead_letter_that_can_be_retried
}

/// Kinds of the dead letters, oldest first.
async fn dead(store: &Store) -> Vec<Kind> {
    let filter = NoticeFilter { state: Some(NoticeState::Dead), ..NoticeFilter::default() };
    let letters = store.notices(&filter, 100).await.expect("notices");
    letters.iter().rev().map(|notice| notice.kind).collect()
}

async fn a_default_channel_that_lacks_something_leaves_dead_letters(store: &Store) {
    let lacking = [Channel::missing("aside", false), Channel::missing("ops", true)];
    store.put_channels(&lacking).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    becomes(store, shop, State::Up).await;
    assert_eq!(dead(store).await, [Kind::Down, Kind::Recovery], "of the one that it uses");
    store.put_channels(&[channel("ops")]).await.expect("channels");
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

async fn a_channel_that_was_away_at_a_recovery_is_told_of_the_next_trouble(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    store.put_channels(&[]).await.expect("channels");
    becomes(store, shop, State::Up).await;
    store.put_channels(&[channel("ops")]).await.expect("channels");
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    assert_eq!(dead(store).await, [Kind::Recovery], "somebody can still tell it");
}

async fn each_trouble_and_its_end_are_dead_letters_of_a_channel_that_is_away(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.channels = Some(vec!["later".into()]);
    })
    .await;
    for state in [State::Down, State::Up, State::Down, State::Up] {
        becomes(store, shop, state).await;
    }
    assert_eq!(dead(store).await, [Kind::Down, Kind::Recovery, Kind::Down, Kind::Recovery]);
}

async fn trouble_that_was_told_late_ends_by_its_recovery(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.channels = Some(vec!["later".into()]);
    })
    .await;
    becomes(store, shop, State::Down).await;
    store.put_channels(&[channel("later")]).await.expect("channels");
    let letter = store.notices(&NoticeFilter::default(), 1).await.expect("notices").remove(0);
    assert!(store.retry_notice(letter.id).await.expect("retry"));
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "later").await, [Kind::Down, Kind::Recovery]);
}

async fn what_is_held_for_a_channel_that_is_away_goes_out_when_it_is_back(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.channels = Some(vec!["later".into()]);
        spec.alerts.cooldown = Some(Duration::from_secs(300));
    })
    .await;
    for state in [State::Down, State::Up, State::Down] {
        becomes(store, shop, state).await;
    }
    assert_eq!(dead(store).await, [Kind::Down, Kind::Recovery]);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Cooldown)]);
    store.put_channels(&[channel("later")]).await.expect("channels");
    time_passes(store).await;
    assert_eq!(kinds(store, "later").await, [Kind::Down]);
}

async fn a_reminder_that_finds_no_channel_is_followed_by_the_next(store: &Store) {
    down_with_a_reminder(store).await;
    store.put_channels(&[]).await.expect("channels");
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(dead(store).await, []);
    store.put_channels(&[channel("ops")]).await.expect("channels");
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Reminder]);
}

async fn an_unknown_channel_is_a_dead_letter_that_can_be_retried(store: &Store) {
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.channels = Some(vec!["later".into()]);
    })
    .await;
    becomes(store, shop, State::Down).await;
    let filter = NoticeFilter {
        state: Some(NoticeState::Dead),
        endpoint: Some("uid-shop".into()),
        channel: Some("later".into()),
        before: None,
    };
    let dead = store.notices(&filter, 10).await.expect("notices");
    assert_eq!(dead.len(), 1);
    assert!(dead[0].error.as_ref().is_some_and(|error| error.contains("no channel `later`")), "{dead:?}");
    store.put_channels(&[channel("later")]).await.expect("channels");
    assert!(store.retry_notice(dead[0].id).await.expect("retry"));
    assert!(!store.retry_notice(dead[0].id).await.expect("retry"), "it is not dead any more");
    assert_eq!(kinds(store, "later").await, [Kind::Down]);
    assert_eq!(store.notices(&filter, 10).await.expect("notices"), []);
}

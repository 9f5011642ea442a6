//! What waits with a hold: for how long, and what becomes of it.

use super::*;
use crate::{AlertSpec, Escalation};

on_both! {
    a_cooldown_holds_a_notice_and_tells_what_lasts
    a_cooldown_is_as_long_as_the_endpoint_or_else_its_channel_says
    reminders_follow_each_other_until_the_recovery
    an_escalation_reaches_others_and_so_does_the_recovery
    quiet_hours_hold_what_still_holds_afterwards
    maintenance_keeps_trouble_told_and_reminders_back
}

async fn a_cooldown_holds_a_notice_and_tells_what_lasts(store: &Store) {
    let cool = Channel { cooldown: Duration::from_secs(300), ..channel("ops") };
    store.put_channels(&[cool]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery]);
    // Within the cooldown, what comes and goes is not told at all.
    becomes(store, shop, State::Down).await;
    assert_eq!(held(store).await, [(Kind::Down, Hold::Cooldown)]);
    becomes(store, shop, State::Up).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    // What lasts longer than the cooldown is.
    becomes(store, shop, State::Down).await;
    assert_eq!(sent(store, "ops").await, []);
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

async fn a_cooldown_is_as_long_as_the_endpoint_or_else_its_channel_says(store: &Store) {
    let cool = Channel { cooldown: Duration::from_secs(300), ..channel("ops") };
    store.put_channels(&[cool]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let blog = endpoint(store, "blog", "http://blog.example/", |spec| {
        spec.alerts.cooldown = Some(Duration::from_secs(60));
    })
    .await;
    for (endpoint, uid, cooldown) in [(shop, "uid-shop", 300_000), (blog, "uid-blog", 60_000)] {
        for state in [State::Down, State::Up, State::Down] {
            becomes(store, endpoint, state).await;
        }
        let filter = NoticeFilter { endpoint: Some(uid.into()), ..NoticeFilter::default() };
        let notices = store.notices(&filter, 10).await.expect("notices");
        let [held, _, told] = notices.as_slice() else { panic!("{notices:?}") };
        assert_eq!((told.kind, held.kind, held.hold), (Kind::Down, Kind::Down, Some(Hold::Cooldown)));
        assert_eq!(held.due_at - told.created_at, cooldown, "{uid}");
    }
}

async fn reminders_follow_each_other_until_the_recovery(store: &Store) {
    let shop = down_with_a_reminder(store).await;
    for _ in 0..3 {
        assert_eq!(held(store).await, [(Kind::Reminder, Hold::Reminder)]);
        time_passes(store).await;
        assert_eq!(kinds(store, "ops").await, [Kind::Reminder]);
    }
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
}

async fn an_escalation_reaches_others_and_so_does_the_recovery(store: &Store) {
    let boss = Channel { default: false, ..channel("boss") };
    store.put_channels(&[channel("ops"), boss]).await.expect("channels");
    let alerts = AlertSpec {
        escalation: vec![Escalation { after: Duration::from_secs(900), channels: vec!["boss".into()] }],
        ..AlertSpec::default()
    };
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| spec.alerts = alerts).await;
    // What is over soon does not reach them.
    becomes(store, shop, State::Down).await;
    becomes(store, shop, State::Up).await;
    time_passes(store).await;
    assert_eq!(sent(store, "boss").await, []);
    becomes(store, shop, State::Down).await;
    assert_eq!(sent(store, "boss").await, []);
    time_passes(store).await;
    assert_eq!(kinds(store, "boss").await, [Kind::Escalation]);
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "boss").await, [Kind::Recovery]);
}

async fn quiet_hours_hold_what_still_holds_afterwards(store: &Store) {
    let quiet = Channel { quiet_hours: vec![window()], ..channel("ops") };
    store.put_channels(&[quiet]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let blog = endpoint(store, "blog", "http://blog.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    becomes(store, blog, State::Down).await;
    becomes(store, blog, State::Up).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Quiet)]);
    // They are over at once where they are taken back.
    store.put_channels(&[channel("ops")]).await.expect("channels");
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["shop".to_owned()])]);
}

async fn maintenance_keeps_trouble_told_and_reminders_back(store: &Store) {
    let shop = down_with_a_reminder(store).await;
    becomes(store, shop, State::Maintenance).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [(Kind::Reminder, Hold::Maintenance)]);
    // It was told before, so that it is still down is no news; that it recovers is.
    becomes(store, shop, State::Down).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [(Kind::Reminder, Hold::Reminder)]);
    becomes(store, shop, State::Maintenance).await;
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

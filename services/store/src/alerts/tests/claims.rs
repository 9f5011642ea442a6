//! Who may send what, and what goes out together.

use std::collections::BTreeSet;

use super::*;

on_both! {
    endpoints_of_one_host_go_out_as_one_message
    a_claim_that_ended_is_taken_over_under_the_same_identity
    many_senders_take_each_notice_once
    a_channel_of_single_requests_gets_few_notices_at_once
    the_queue_counts_what_waits_is_held_and_is_dead
}

async fn endpoints_of_one_host_go_out_as_one_message(store: &Store) {
    let patient = Channel { group_wait: Duration::from_secs(30), ..channel("ops") };
    store.put_channels(&[patient]).await.expect("channels");
    let mut ids = Vec::new();
    for (name, url) in [
        ("a", "https://shop.example/a"),
        ("b", "http://shop.example:8080/b"),
        ("c", "https://blog.example/"),
        ("d", "https://shop.example/d"),
    ] {
        ids.push(endpoint(store, name, url, |_| {}).await);
    }
    for id in &ids {
        becomes(store, *id, State::Down).await;
    }
    assert_eq!(sent(store, "ops").await, [], "they wait for each other");
    time_passes(store).await;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let messages = sent(store, "ops").await;
    assert_eq!(messages, [(Kind::Down, names(&["a", "b", "d"])), (Kind::Down, names(&["c"]))]);
    for id in &ids {
        becomes(store, *id, State::Up).await;
    }
    time_passes(store).await;
    let messages = sent(store, "ops").await;
    assert_eq!(messages, [(Kind::Recovery, names(&["a", "b", "d"])), (Kind::Recovery, names(&["c"]))]);
}

async fn a_claim_that_ended_is_taken_over_under_the_same_identity(store: &Store) {
    let patient = Channel { group_wait: Duration::from_millis(1), ..channel("ops") };
    store.put_channels(&[patient]).await.expect("channels");
    for name in ["a", "b"] {
        let id = endpoint(store, name, "https://shop.example/", |_| {}).await;
        becomes(store, id, State::Down).await;
    }
    time_passes(store).await;
    let first = store.claim_notices("ops", LEASE).await.expect("claim").expect("a message");
    assert_eq!((first.notices.len(), first.uncertain), (2, false));
    // Another endpoint of the host goes down meanwhile; it has a message of its own.
    let late = endpoint(store, "c", "https://shop.example/", |_| {}).await;
    becomes(store, late, State::Down).await;
    time_passes(store).await;
    let second = store.claim_notices("ops", LEASE).await.expect("claim").expect("the same again");
    assert_eq!((second.notices.len(), second.uncertain), (2, true));
    assert_eq!(second.delivery, first.delivery);
    // The first sender wakes up and finds that it is not its own any more.
    assert!(!store.settle_notices(&first, &Verdict::Sent).await.expect("settle"));
    let again = Verdict::Again { error: "busy".into(), after: Duration::ZERO };
    assert!(store.settle_notices(&second, &again).await.expect("settle"));
    // What has waited longer goes first.
    let other = store.claim_notices("ops", LEASE).await.expect("claim").expect("the late one");
    assert_eq!(other.notices[0].details.name, "c");
    let third = store.claim_notices("ops", LEASE).await.expect("claim").expect("the same again");
    assert_eq!((third.delivery == first.delivery, third.uncertain), (true, false));
    assert_eq!(third.notices.iter().map(|notice| notice.attempts).collect::<Vec<_>>(), [2, 2]);
    for claim in [other, third] {
        assert!(store.settle_notices(&claim, &Verdict::Sent).await.expect("settle"));
    }
    assert_eq!(sent(store, "ops").await, []);
}

async fn many_senders_take_each_notice_once(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    for number in 0..40 {
        let name = format!("e{number}");
        let id = endpoint(store, &name, &format!("http://{name}.example/"), |_| {}).await;
        becomes(store, id, State::Down).await;
    }
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        senders.spawn(async move { sent(&store, "ops").await });
    }
    let taken: Vec<String> =
        senders.join_all().await.into_iter().flatten().flat_map(|(_, names)| names).collect();
    assert_eq!(taken.len(), 40);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 40);
}

async fn a_channel_of_single_requests_gets_few_notices_at_once(store: &Store) {
    let pager = Channel { kind: "pagerduty".into(), group_wait: Duration::from_secs(30), ..channel("pager") };
    store.put_channels(&[pager]).await.expect("channels");
    for number in 0..25 {
        let id = endpoint(store, &format!("e{number}"), "https://shop.example/", |_| {}).await;
        becomes(store, id, State::Down).await;
    }
    time_passes(store).await;
    let sizes: Vec<usize> = sent(store, "pager").await.iter().map(|(_, names)| names.len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

async fn the_queue_counts_what_waits_is_held_and_is_dead(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.reminder = Some(Duration::from_secs(3_600));
    })
    .await;
    becomes(store, shop, State::Down).await;
    let queue = store.notice_queue().await.expect("queue");
    assert_eq!((queue.waiting, queue.held, queue.dead), (1, 1, 0));
    let claim = store.claim_notices("ops", LEASE).await.expect("claim").expect("a message");
    let dead = Verdict::Dead { error: "gone".into() };
    store.settle_notices(&claim, &dead).await.expect("settle");
    let queue = store.notice_queue().await.expect("queue");
    assert_eq!((queue.waiting, queue.held, queue.dead, queue.oldest_ms), (0, 1, 1, 0));
    assert_eq!(store.channels_due().await.expect("channels"), Vec::<String>::new());
}

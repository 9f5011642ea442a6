//! How long a notice has been tried for, and has been due.

use super::*;

on_both! {
    the_time_of_a_notice_begins_with_its_first_attempt
    what_was_held_for_long_is_not_overdue_for_long
}

async fn claim(store: &Store) -> Claim {
    store.claim_notices("ops", LEASE).await.expect("claim").expect("a message")
}

async fn the_time_of_a_notice_begins_with_its_first_attempt(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    let again = Verdict::Again { error: "busy".into(), after: Duration::ZERO };
    let mut tried = Vec::new();
    for _ in 0..3 {
        let claim = claim(store).await;
        tried.push(claim.notices[0].tried_at);
        assert!(store.settle_notices(&claim, &again).await.expect("settle"));
    }
    assert_eq!((tried[0], tried[1]), (None, tried[2]));
    assert!(tried[1].is_some());
    // Whoever retries a dead letter gives it its time anew.
    let last = claim(store).await;
    store.settle_notices(&last, &Verdict::Dead { error: "gone".into() }).await.expect("settle");
    assert!(store.retry_notice(last.notices[0].id).await.expect("retry"));
    assert_eq!(claim(store).await.notices[0].tried_at, None);
}

async fn what_was_held_for_long_is_not_overdue_for_long(store: &Store) {
    let quiet = Channel { quiet_hours: vec![window()], ..channel("ops") };
    store.put_channels(&[quiet]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    sqlx::query("UPDATE notices SET created_at = 0").execute(store.db.write()).await.expect("update");
    store.put_channels(&[channel("ops")]).await.expect("channels");
    time_passes(store).await;
    assert_eq!(claim(store).await.notices[0].created_at, 0);
    let queue = store.notice_queue().await.expect("queue");
    assert_eq!((queue.waiting, queue.held), (1, 0));
    assert!(queue.oldest_ms < 60_000, "{queue:?}");
}

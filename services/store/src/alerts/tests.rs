//! The outbox on both databases: what a transition causes, and who may send it.

use std::{collections::BTreeSet, time::Duration};

use super::*;
use crate::{
    AlertSpec, EndpointSpec, Escalation, Flapping, FlappingSpec, HttpProbe, LastCheck, MaintenanceWindow,
    NewEndpoint, Origin, Probe, ProjectId, Retention, State, Store, Transition, endpoints::next, now_ms,
    testing::on_both,
};

mod attempts;
mod dependencies;
mod edits;
mod flapping;
mod missing;
mod untold;

on_both! {
    a_transition_is_told_once_to_each_default_channel
    a_recovery_is_told_after_its_trouble_and_to_those_who_were_told
    a_notice_of_a_transaction_that_fails_does_not_exist
    endpoints_of_one_host_go_out_as_one_message
    a_claim_that_ended_is_taken_over_under_the_same_identity
    many_senders_take_each_notice_once
    a_cooldown_holds_a_notice_and_tells_what_lasts
    a_cooldown_is_as_long_as_the_endpoint_or_else_its_channel_says
    a_child_is_not_told_of_while_its_parent_is_down
    a_child_waits_until_its_parent_was_looked_at
    reminders_follow_each_other_until_the_recovery
    an_escalation_reaches_others_and_so_does_the_recovery
    flapping_is_told_once_and_what_settles_is_told_then
    quiet_hours_hold_what_still_holds_afterwards
    maintenance_keeps_trouble_told_and_reminders_back
    a_suspended_endpoint_ends_its_trouble
    a_deleted_endpoint_ends_its_trouble
    the_notices_of_a_deleted_endpoint_go_once_they_are_told
    in_quiet_hours_the_trouble_of_what_is_not_watched_any_more_ends_after_them
    a_channel_of_single_requests_gets_few_notices_at_once
    a_monitor_of_a_stranger_disturbs_nobody
    an_unknown_channel_is_a_dead_letter_that_can_be_retried
    what_gets_worse_and_better_is_told_as_such
    the_queue_counts_what_waits_is_held_and_is_dead
}

const LEASE: Duration = Duration::from_secs(60);

fn channel(name: &str) -> Channel {
    Channel::new(name, "webhook", serde_json::json!({}))
}

async fn endpoint(store: &Store, name: &str, url: &str, change: impl FnOnce(&mut EndpointSpec)) -> i64 {
    let mut spec = EndpointSpec::new(name, Probe::Http(HttpProbe::new(url)));
    change(&mut spec);
    put(store, name, spec).await
}

async fn put(store: &Store, name: &str, spec: EndpointSpec) -> i64 {
    let new = NewEndpoint {
        uid: format!("uid-{name}"),
        origin: Origin::Kubernetes,
        project: ProjectId::INSTALLATION,
        namespace: "default".into(),
        name: name.into(),
        generation: 1,
        spec,
    };
    store.put_endpoint(&new).await.expect("put");
    let all = store.endpoints().await.expect("endpoints");
    all.into_iter().find(|endpoint| endpoint.uid == new.uid).expect("it is stored").id
}

/// Moves an endpoint as a recorder would: state, transition and notices at once.
async fn becomes(store: &Store, endpoint: i64, to: State) {
    becomes_flapping(store, endpoint, to, Flapping::No).await;
}

async fn becomes_flapping(store: &Store, endpoint: i64, to: State, flapping: Flapping) {
    let mut transaction = store.db.begin().await.expect("begin");
    let moved = move_to(&mut transaction, endpoint, to, flapping).await;
    enqueue(&mut transaction, &[moved]).await.expect("enqueue");
    transaction.commit().await.expect("commit");
}

async fn move_to(
    transaction: &mut sqlx::Transaction<'static, sqlx::Any>,
    endpoint: i64,
    to: State,
    flapping: Flapping,
) -> Transition {
    let before = crate::endpoints::among(transaction, &[endpoint].into()).await.expect("endpoint").remove(0);
    let seq = next(transaction, "transitions").await.expect("sequence");
    let at = now_ms();
    let check =
        LastCheck { at, ok: to != State::Down, message: Some("said so".into()), ..LastCheck::default() };
    sqlx::query(
        "UPDATE endpoints SET state = $2, since = $3, last_check = $4, transition_seq = $5 WHERE id = $1",
    )
    .bind(endpoint)
    .bind(to.as_str())
    .bind(at)
    .bind(serde_json::to_string(&check).expect("JSON"))
    .bind(seq)
    .execute(&mut **transaction)
    .await
    .expect("move");
    Transition {
        endpoint,
        project: ProjectId::INSTALLATION,
        seq,
        at,
        from: before.status.state,
        from_since: before.status.since,
        to,
        message: check.message,
        flapping,
    }
}

/// Takes what is due for a channel and says that it was sent: kind and endpoints of each message.
async fn sent(store: &Store, channel: &str) -> Vec<(Kind, Vec<String>)> {
    let mut messages = Vec::new();
    while let Some(claim) = store.claim_notices(channel, LEASE).await.expect("claim") {
        assert!(store.settle_notices(&claim, &Verdict::Sent).await.expect("settle"));
        let names = claim.notices.iter().map(|notice| notice.details.name.clone()).collect();
        messages.push((claim.notices[0].kind, names));
    }
    messages
}

async fn kinds(store: &Store, channel: &str) -> Vec<Kind> {
    sent(store, channel).await.into_iter().map(|(kind, _)| kind).collect()
}

/// Lets everything that waits be due, as if the time had come.
async fn time_passes(store: &Store) {
    sqlx::query("UPDATE notices SET due_at = 0 WHERE state IN ('waiting', 'sending')")
        .execute(store.db.write())
        .await
        .expect("update");
}

async fn held(store: &Store) -> Vec<(Kind, Hold)> {
    let filter = NoticeFilter { state: Some(NoticeState::Waiting), ..NoticeFilter::default() };
    let mut held: Vec<_> = store
        .notices(&filter, 100)
        .await
        .expect("notices")
        .into_iter()
        .filter_map(|notice| Some((notice.kind, notice.hold?)))
        .collect();
    held.sort();
    held
}

async fn a_transition_is_told_once_to_each_default_channel(store: &Store) {
    let aside = Channel { default: false, ..channel("aside") };
    store.put_channels(&[channel("ops"), channel("team"), aside]).await.expect("channels");
    let all = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let some = endpoint(store, "blog", "http://blog.example/", |spec| {
        spec.alerts.channels = Some(vec!["aside".into()]);
    })
    .await;
    let none =
        endpoint(store, "toy", "http://toy.example/", |spec| spec.alerts.channels = Some(Vec::new())).await;
    for endpoint in [all, some, none] {
        becomes(store, endpoint, State::Up).await;
        becomes(store, endpoint, State::Down).await;
    }
    let shop = || vec![(Kind::Down, vec!["shop".to_owned()])];
    assert_eq!(sent(store, "ops").await, shop());
    assert_eq!(sent(store, "team").await, shop());
    assert_eq!(sent(store, "aside").await, [(Kind::Down, vec!["blog".to_owned()])]);
    assert_eq!(sent(store, "ops").await, []);
}

async fn a_recovery_is_told_after_its_trouble_and_to_those_who_were_told(store: &Store) {
    let silent = Channel { send_recovery: false, ..channel("silent") };
    store.put_channels(&[channel("ops"), silent]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Down).await;
    becomes(store, shop, State::Up).await;
    let down = store.claim_notices("ops", LEASE).await.expect("claim").expect("the trouble");
    assert_eq!(down.notices[0].kind, Kind::Down);
    // While somebody sends the trouble, the recovery waits.
    assert!(store.claim_notices("ops", LEASE).await.expect("claim").is_none());
    store.settle_notices(&down, &Verdict::Sent).await.expect("settle");
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
    assert_eq!(kinds(store, "silent").await, [Kind::Down]);
    // The next trouble is another one.
    becomes(store, shop, State::Down).await;
    let again = store.claim_notices("ops", LEASE).await.expect("claim").expect("the trouble");
    assert_ne!(again.notices[0].episode, down.notices[0].episode);
    assert_eq!(kinds(store, "silent").await, [Kind::Down]);
}

async fn a_notice_of_a_transaction_that_fails_does_not_exist(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let mut transaction = store.db.begin().await.expect("begin");
    let moved = move_to(&mut transaction, shop, State::Down, Flapping::No).await;
    enqueue(&mut transaction, &[moved]).await.expect("enqueue");
    transaction.rollback().await.expect("roll back");
    assert_eq!(sent(store, "ops").await, []);
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
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

async fn a_child_is_not_told_of_while_its_parent_is_down(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let parent = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let child =
        endpoint(store, "shop", "http://shop.example/", |spec| spec.depends_on = vec!["router".into()]).await;
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
    let check = LastCheck { at: now_ms() + 1, ok: false, ..LastCheck::default() };
    sqlx::query("UPDATE endpoints SET last_check = $2 WHERE id = $1")
        .bind(child)
        .bind(serde_json::to_string(&check).expect("JSON"))
        .execute(store.db.write())
        .await
        .expect("update");
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, [(Kind::Down, vec!["shop".to_owned()])]);
}

async fn a_child_waits_until_its_parent_was_looked_at(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let parent = endpoint(store, "router", "http://router.example/", |_| {}).await;
    let child = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.depends_on = vec!["default/router".into()]
    })
    .await;
    becomes(store, parent, State::Up).await;
    // So that the child's failure is later than the parent's last check.
    tokio::time::sleep(Duration::from_millis(5)).await;
    becomes(store, child, State::Down).await;
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    // The parent is looked at and well: it was the child itself.
    let check = LastCheck { at: now_ms() + 1, ok: true, ..LastCheck::default() };
    sqlx::query("UPDATE endpoints SET last_check = $2 WHERE id = $1")
        .bind(parent)
        .bind(serde_json::to_string(&check).expect("JSON"))
        .execute(store.db.write())
        .await
        .expect("update");
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

/// An endpoint that is down and has a reminder an hour; the channel `ops` was told that it is.
async fn down_with_a_reminder(store: &Store) -> i64 {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.reminder = Some(Duration::from_secs(3_600));
    })
    .await;
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    shop
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

async fn flapping_is_told_once_and_what_settles_is_told_then(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.flapping = Some(FlappingSpec { changes: 3, within: Duration::from_secs(600) });
    })
    .await;
    becomes(store, shop, State::Down).await;
    becomes(store, shop, State::Up).await;
    becomes_flapping(store, shop, State::Down, Flapping::Begins).await;
    for state in [State::Up, State::Down, State::Up, State::Down] {
        becomes_flapping(store, shop, state, Flapping::GoesOn).await;
    }
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery, Kind::Flapping]);
    assert_eq!(held(store).await, [(Kind::Down, Hold::Flapping)]);
    time_passes(store).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
}

/// A window that began an hour ago.
fn window() -> MaintenanceWindow {
    let start = jiff::Timestamp::from_millisecond(now_ms() - 3_600_000).expect("a moment");
    MaintenanceWindow {
        start: start.to_string(),
        duration: Duration::from_secs(7_200),
        recurrence: None,
        timezone: "UTC".into(),
    }
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

async fn a_monitor_of_a_stranger_disturbs_nobody(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let mut spec = EndpointSpec::new("theirs", Probe::Http(HttpProbe::new("http://their.example/")));
    spec.alerts.channels = Some(vec!["ops".into()]);
    let new = NewEndpoint {
        uid: "theirs".into(),
        origin: Origin::Monitor,
        project: ProjectId(77),
        namespace: String::new(),
        name: "http://their.example/".into(),
        generation: 0,
        spec,
    };
    store.put_endpoint(&new).await.expect("put");
    let id = store.endpoints().await.expect("endpoints")[0].id;
    becomes(store, id, State::Down).await;
    assert_eq!(store.notices(&NoticeFilter::default(), 10).await.expect("notices"), []);
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

async fn what_gets_worse_and_better_is_told_as_such(store: &Store) {
    let calm = Channel { default: false, ..channel("calm") };
    store.put_channels(&[channel("ops"), calm]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    let blog = endpoint(store, "blog", "http://blog.example/", |spec| {
        spec.alerts.channels = Some(vec!["calm".into()]);
        spec.alerts.degraded = false;
    })
    .await;
    for state in [State::Up, State::Degraded, State::Down, State::Degraded, State::Up] {
        becomes(store, shop, state).await;
        becomes(store, blog, state).await;
    }
    let told = [Kind::Degraded, Kind::Down, Kind::Degraded, Kind::Recovery];
    assert_eq!(kinds(store, "ops").await, told);
    assert_eq!(kinds(store, "calm").await, [Kind::Down, Kind::Recovery]);
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

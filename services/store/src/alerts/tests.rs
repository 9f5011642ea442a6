//! The outbox on both databases: what a transition causes, and who may send it.

use std::time::Duration;

use super::*;
use crate::{
    EndpointSpec, Flapping, HttpProbe, LastCheck, MaintenanceWindow, NewEndpoint, Origin, Probe, ProjectId,
    State, Store, Transition, endpoints::next, now_ms, testing::on_both,
};

mod attempts;
mod claims;
mod dependencies;
mod edits;
mod ended;
mod flapping;
mod holds;
mod missing;
mod untold;

on_both! {
    a_transition_is_told_once_to_each_default_channel
    a_recovery_is_told_after_its_trouble_and_to_those_who_were_told
    a_notice_of_a_transaction_that_fails_does_not_exist
    a_monitor_of_a_stranger_disturbs_nobody
    what_gets_worse_and_better_is_told_as_such
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

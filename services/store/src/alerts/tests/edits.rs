//! Endpoints whose manifests change while they are down.

use watchkeeper_testkit::wait;

use super::*;
use crate::{Escalation, db::Dialect};

on_both! {
    a_recovery_has_the_names_that_its_trouble_was_told_under
    an_endpoint_that_is_edited_while_it_goes_down_is_down
    what_an_endpoint_does_not_ask_for_any_more_is_not_sent
    a_reminder_of_what_is_over_is_not_sent
}

/// The one notice that is due, sent.
async fn one(store: &Store) -> Notice {
    let claim = store.claim_notices("ops", LEASE).await.expect("claim").expect("a message");
    assert!(store.settle_notices(&claim, &Verdict::Sent).await.expect("settle"));
    let [notice] = claim.notices.as_slice() else { panic!("{:?}", claim.notices) };
    notice.clone()
}

async fn a_recovery_has_the_names_that_its_trouble_was_told_under(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let labelled = async |url: &str, team: &str, group: Option<&str>| {
        endpoint(store, "shop", url, |spec| {
            spec.display_name = format!("Shop of {team}");
            spec.group = group.map(str::to_owned);
            spec.labels.insert("team".into(), team.into());
        })
        .await
    };
    let shop = labelled("http://shop.example/", "web", None).await;
    becomes(store, shop, State::Down).await;
    let down = one(store).await;
    labelled("https://new.example/", "core", Some("front")).await;
    becomes(store, shop, State::Up).await;
    let up = one(store).await;
    let names = |notice: &Notice| {
        let details = notice.details.clone();
        (details.display_name, details.target, details.group, details.labels)
    };
    assert_eq!((up.kind, up.details.to, names(&up)), (Kind::Recovery, State::Up, names(&down)));
    // The next trouble is another one.
    becomes(store, shop, State::Down).await;
    let (name, target, group, labels) = names(&one(store).await);
    assert_eq!((name.as_str(), target.as_str()), ("Shop of core", "https://new.example/"));
    assert_eq!((group.as_deref(), labels["team"].as_str()), (Some("front"), "core"));
}

async fn an_endpoint_that_is_edited_while_it_goes_down_is_down(store: &Store) {
    store.put_channels(&[channel("ops")]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    becomes(store, shop, State::Up).await;
    // A recorder has moved it, and nobody sees that yet.
    let mut recorder = store.db.begin().await.expect("begin");
    let moved = move_to(&mut recorder, shop, State::Down, Flapping::No).await;
    enqueue(&mut recorder, std::slice::from_ref(&moved)).await.expect("enqueue");
    let other = store.clone();
    let spec = EndpointSpec::new("shop", Probe::Http(HttpProbe::new("https://new.example/")));
    let edit = tokio::spawn(async move { put(&other, "shop", spec).await });
    // It reads what there is, and waits for the row; on SQLite for the one writer.
    if store.db.dialect == Dialect::Postgres {
        let waiting = async || {
            let sql = "SELECT COUNT(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
            let count: i64 = sqlx::query_scalar(sql).fetch_one(store.db.read()).await?;
            Ok((count > 0).then_some(()))
        };
        wait::until_async("the edit waits", Duration::from_secs(20), waiting).await.expect("it waits");
    }
    recorder.commit().await.expect("commit");
    assert_eq!(edit.await.expect("edit"), shop);
    let found = store.endpoints().await.expect("endpoints").remove(0);
    assert_eq!((found.status.state, found.status.since), (State::Down, moved.at));
    assert_eq!((found.transition, found.spec.probe.target()), (moved.seq, "https://new.example/"));
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down, Kind::Recovery]);
}

async fn what_an_endpoint_does_not_ask_for_any_more_is_not_sent(store: &Store) {
    let boss = Channel { default: false, ..channel("boss") };
    store.put_channels(&[channel("ops"), boss]).await.expect("channels");
    let shop = endpoint(store, "shop", "http://shop.example/", |spec| {
        spec.alerts.reminder = Some(Duration::from_secs(3_600));
        spec.alerts.escalation =
            vec![Escalation { after: Duration::from_secs(900), channels: vec!["boss".into()] }];
    })
    .await;
    becomes(store, shop, State::Down).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Down]);
    assert_eq!(held(store).await, [(Kind::Reminder, Hold::Reminder), (Kind::Escalation, Hold::Escalation)]);
    endpoint(store, "shop", "http://shop.example/", |_| {}).await;
    time_passes(store).await;
    assert_eq!((kinds(store, "ops").await, kinds(store, "boss").await), (vec![], vec![]));
    assert_eq!(held(store).await, []);
    becomes(store, shop, State::Up).await;
    assert_eq!(kinds(store, "ops").await, [Kind::Recovery]);
}

async fn a_reminder_of_what_is_over_is_not_sent(store: &Store) {
    let shop = down_with_a_reminder(store).await;
    // As a recorder leaves it that dropped what waited just before the reminder was planned.
    let mut recorder = store.db.begin().await.expect("begin");
    move_to(&mut recorder, shop, State::Up, Flapping::No).await;
    recorder.commit().await.expect("commit");
    time_passes(store).await;
    assert_eq!(sent(store, "ops").await, []);
    assert_eq!(held(store).await, [], "nor is there another");
}

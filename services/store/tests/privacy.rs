//! Salts, retention of one project, and erasing, on both databases.

#[macro_use]
mod common;

use std::{collections::HashSet, sync::Arc, time::Duration};

use common::{Fresh, execute, open};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;
use watchkeeper_store::{
    AddressFacts, AddressUpdate, DAY_MS, Hit, Person, ProjectId, ProjectSettings, Retention, Store, day_of,
    now_ms,
};

on_both! {
    replicas_that_ask_at_once_have_one_random_salt_a_day
    a_salt_whose_time_is_over_is_not_given_out_and_deleted
    an_upgrade_keeps_the_ids_of_its_day_and_forgets_the_old_key
    a_project_drops_its_hits_sooner_than_the_others
    erasing_beside_writers_and_sealers_loses_nobody_elses_hits
    erasing_holds_no_writer_up
    what_was_learnt_of_an_address_that_was_erased_meanwhile_is_not_stored
}

async fn replicas_that_ask_at_once_have_one_random_salt_a_day(fresh: Fresh) {
    let (one, two) = (open(&fresh).await, open(&fresh).await);
    let today = day_of(now_ms());
    let days: Vec<i64> = (today - 20..=today + 1).collect();
    let asked = (0..6).map(|n| {
        let (store, mut days) = (if n % 2 == 0 { one.clone() } else { two.clone() }, days.clone());
        days.rotate_left(n * 3);
        tokio::spawn(async move { store.visitor_salts(&days).await.expect("salts") })
    });
    let answers = futures::future::join_all(asked).await;
    let first = answers[0].as_ref().expect("join").clone();
    assert_eq!(first.len(), days.len());
    for answer in answers {
        assert_eq!(answer.expect("join"), first);
    }
    let distinct: HashSet<_> = first.values().map(|salt| salt.bytes).collect();
    assert_eq!(distinct.len(), days.len());
    assert_eq!(first[&today].expires_at, (today + 3) * DAY_MS);
}

async fn a_salt_whose_time_is_over_is_not_given_out_and_deleted(fresh: Fresh) {
    let store = open(&fresh).await;
    let today = day_of(now_ms());
    let before = store.visitor_salts(&[today, today - 1]).await.expect("salts");
    execute(&fresh, &["UPDATE visitor_salts SET expires_at = 1"]).await;
    let after = store.visitor_salts(&[today]).await.expect("salts");
    assert_ne!(after[&today].bytes, before[&today].bytes);
    assert_eq!(store.expire(Retention::default()).await.expect("expire"), 1);
    assert_eq!(store.visitor_salts(&[today]).await.expect("salts"), after);
}

async fn an_upgrade_keeps_the_ids_of_its_day_and_forgets_the_old_key(fresh: Fresh) {
    let store = open(&fresh).await;
    let key = store.installation_key("visitor").await.expect("key");
    store.close().await;
    // As the release before left it.
    execute(
        &fresh,
        &[
            "DELETE FROM _sqlx_migrations WHERE version = 5",
            "DROP TABLE visitor_salts",
            "ALTER TABLE settings DROP COLUMN expires_at",
            "ALTER TABLE projects DROP COLUMN retention_hits",
            "ALTER TABLE projects DROP COLUMN privacy_level",
            "ALTER TABLE projects DROP COLUMN honor_gpc",
        ],
    )
    .await;
    let store = open(&fresh).await;
    let today = day_of(now_ms());
    let old = |day: i64| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("key");
        mac.update(b"watchkeeper visitor salt");
        mac.update(&day.to_be_bytes());
        mac.finalize().into_bytes().into()
    };
    let salts = store.visitor_salts(&[today - 40, today, today + 1, today + 3]).await.expect("salts");
    for day in [today - 40, today, today + 1] {
        assert_eq!(salts[&day].bytes, old(day), "{}", day - today);
    }
    assert_ne!(salts[&(today + 3)].bytes, old(today + 3));
    // The old release's processes still find their key, and it goes when its time is over.
    assert_eq!(store.installation_key("visitor").await.expect("key"), key);
    store.expire(Retention::default()).await.expect("expire");
    assert_eq!(store.installation_key("visitor").await.expect("key"), key);
    execute(&fresh, &["UPDATE settings SET expires_at = 1 WHERE name = 'visitor'"]).await;
    assert_ne!(
        store.visitor_salts(&[today - 41]).await.expect("salts")[&(today - 41)].bytes,
        old(today - 41)
    );
    store.expire(Retention::default()).await.expect("expire");
    assert_ne!(store.installation_key("visitor").await.expect("key"), key);
}

async fn project(store: &Store) -> ProjectId {
    store.register_key(Uuid::new_v4()).await.expect("register").id
}

async fn held(store: &Store, project: ProjectId) -> Vec<Hit> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    hits
}

async fn a_project_drops_its_hits_sooner_than_the_others(fresh: Fresh) {
    let store = open(&fresh).await;
    let (own, other) = (project(&store).await, project(&store).await);
    let days = |age: u64| Some(Duration::from_secs(age * 86_400));
    let settings = ProjectSettings { retention_hits: days(3), ..ProjectSettings::default() };
    store.set_project_settings(own, settings).await.expect("settings");
    let now = now_ms();
    for project in [own, other] {
        let hits = [1, 2, 5, 8, 20].map(|age| Hit { ts: now - age * DAY_MS, ..Hit::default() });
        store.append(project, hits[..3].to_vec()).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, hits[3..].to_vec()).await.expect("append");
    }
    store.expire(Retention { hits: days(10), checks: None }).await.expect("expire");
    let ages = async |project| -> Vec<i64> {
        held(&store, project).await.iter().map(|hit| (now - hit.ts) / DAY_MS).collect()
    };
    // What is unsealed goes a batch at a time, once its last hit is too old.
    assert_eq!(ages(own).await, [2, 1]);
    assert_eq!(ages(other).await, [20, 8, 5, 2, 1]);
    // A project cannot keep its hits for longer than the installation.
    let settings = ProjectSettings { retention_hits: days(100), ..ProjectSettings::default() };
    store.set_project_settings(other, settings).await.expect("settings");
    store.seal_all().await.expect("seal");
    store.expire(Retention { hits: days(10), checks: None }).await.expect("expire");
    assert_eq!(ages(other).await, [8, 5, 2, 1]);
}

async fn erasing_beside_writers_and_sealers_loses_nobody_elses_hits(fresh: Fresh) {
    const BATCHES: i64 = 40;
    let store = open(&fresh).await;
    let project = project(&store).await;
    let hit = |n: i64, user: &str| Hit { ts: n, user: Some(user.into()), ..Hit::default() };
    let ann: Vec<_> = (0..500).map(|n| hit(n, "ann")).collect();
    store.append(project, ann).await.expect("append");
    let done = Arc::new(tokio::sync::Notify::new());
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for batch in 0..BATCHES {
                let hits = (0..50).map(|n| hit(batch * 50 + n, "bob")).collect();
                store.append(project, hits).await.expect("append");
            }
        })
    };
    let sealer = {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let end = done.notified();
            tokio::pin!(end);
            loop {
                tokio::select! {
                    () = &mut end => return,
                    // A seal that meets an erasing gives way, and is tried again.
                    sealed = store.seal_all() => drop(sealed),
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let mut erased = 0;
    for _ in 0..5 {
        erased += store.erase(project, &Person::User("ann".into())).await.expect("erase").hits;
    }
    writer.await.expect("writer");
    done.notify_one();
    sealer.await.expect("sealer");
    assert_eq!(erased, 500);
    let left = held(&store, project).await;
    assert_eq!(left.len(), usize::try_from(BATCHES * 50).expect("small"));
    assert!(left.iter().all(|hit| hit.user.as_deref() == Some("bob")));
    let times: HashSet<i64> = left.iter().map(|hit| hit.ts).collect();
    assert_eq!(times.len(), left.len());
}

async fn erasing_holds_no_writer_up(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let hit = |n: i64, user: &str| Hit { ts: n, user: Some(user.into()), ..Hit::default() };
    for _ in 0..60 {
        let both = (0..1_000).flat_map(|n| [hit(n, "ann"), hit(n, "bob")]).collect();
        store.append(project, both).await.expect("append");
    }
    let erasing = {
        let store = store.clone();
        tokio::spawn(async move { store.erase(project, &Person::User("ann".into())).await })
    };
    let mut written = 0;
    while !erasing.is_finished() {
        store.append(project, vec![hit(1, "bob")]).await.expect("append");
        written += 1;
    }
    assert_eq!(erasing.await.expect("join").expect("erase").hits, 60_000);
    // Of sixty files one after another, a writer would otherwise have waited for all.
    assert!(written > 3, "{written} written meanwhile");
    let left = held(&store, project).await;
    assert_eq!(left.len(), 60_000 + written);
    assert!(left.iter().all(|hit| hit.user.as_deref() == Some("bob")));
}

async fn what_was_learnt_of_an_address_that_was_erased_meanwhile_is_not_stored(fresh: Fresh) {
    let store = open(&fresh).await;
    let (project, other) = (project(&store).await, project(&store).await);
    let learnt = |ip: &str| AddressUpdate {
        ip: ip.into(),
        facts: AddressFacts { host: Some("dsl-1.example".into()), ..AddressFacts::default() },
        asked: true,
        last_seen: 5,
    };
    let put =
        async |project, before, ip| store.put_addresses(project, before, &[learnt(ip)]).await.expect("put");
    let erasures = async |project| store.erasures(project).await.expect("erasures");
    let (before, elsewhere) = (erasures(project).await, erasures(other).await);
    assert!(put(project, before, "1.1.1.1").await);
    let erased = store.erase(project, &Person::Ip("1.1.1.1".into())).await.expect("erase");
    assert_eq!(erased.addresses, 1);
    assert!(!put(project, before, "1.1.1.1").await);
    assert!(store.address_facts(project).await.expect("facts").is_empty());
    assert!(put(other, elsewhere, "1.1.1.1").await, "another project erased nobody");
    // Whoever reads the hits now finds nothing of who was erased.
    assert!(put(project, erasures(project).await, "2.2.2.2").await);
    assert_eq!(store.address_facts(project).await.expect("facts").len(), 1);
}

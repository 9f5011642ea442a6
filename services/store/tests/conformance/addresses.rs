//! What is known of the addresses that hits came from.

use std::time::Duration;

use uuid::Uuid;
use watchkeeper_store::{AddressFacts, AddressUpdate, DAY_MS, Retention, now_ms};

use crate::common::{Fresh, open, project};

on_both! {
    a_project_takes_in_what_another_knew_of_addresses_that_both_know
    what_is_known_of_addresses_goes_with_retention_and_project
}

fn learnt(ip: &str, host: Option<&str>, bot: bool, last_seen: i64) -> AddressUpdate {
    let facts = AddressFacts { host: host.map(str::to_owned), bot: Some(bot), ..AddressFacts::default() };
    AddressUpdate { ip: ip.into(), facts, asked: host.is_some(), last_seen }
}

async fn a_project_takes_in_what_another_knew_of_addresses_that_both_know(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", old).await.expect("put");
    let named = store.project_by_key(old).await.expect("find").expect("project").id;
    // A client was quicker with the new key.
    let nameless = store.register_key(new).await.expect("register").id;
    let known = [learnt("1.1.1.1", None, false, 5), learnt("2.2.2.2", Some("two"), true, 5)];
    assert!(store.put_addresses(named, 0, &known).await.expect("put"));
    let known = [learnt("1.1.1.1", Some("one"), true, 9), learnt("3.3.3.3", None, false, 9)];
    assert!(store.put_addresses(nameless, 0, &known).await.expect("put"));
    store.note_site(nameless).await.expect("note");
    store.put_processed_day(named, 1, 1).await.expect("day");
    assert!(store.put_project("shop", new).await.expect("put"));

    let facts = store.address_facts(named).await.expect("facts");
    let told = |ip: &str| facts.get(ip).map(|facts| (facts.host.as_deref(), facts.bot));
    assert_eq!(told("1.1.1.1"), Some((Some("one"), Some(true))));
    assert_eq!(told("2.2.2.2"), Some((Some("two"), Some(true))));
    assert_eq!(told("3.3.3.3"), Some((None, Some(false))));
    let states = store.address_states(named, &["1.1.1.1", "9.9.9.9"]).await.expect("states");
    assert_eq!((states["1.1.1.1"].last_seen, states["1.1.1.1"].asked), (9, true));
    assert_eq!(states.len(), 1, "of those that were asked for");
    assert!(store.address_facts(nameless).await.expect("facts").is_empty());
    assert_eq!(store.sites().await.expect("sites"), [named]);
    assert!(store.processed_days(named).await.expect("days").is_empty(), "its days have other hits now");
}

async fn what_is_known_of_addresses_goes_with_retention_and_project(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let now = now_ms();
    let old = now - 40 * DAY_MS;
    let known = [learnt("1.1.1.1", None, true, old), learnt("2.2.2.2", None, true, now)];
    assert!(store.put_addresses(project, 0, &known).await.expect("put"));
    // What is learnt later takes nothing away, and a bot stays one.
    let later = [learnt("2.2.2.2", Some("host"), false, 0)];
    assert!(store.put_addresses(project, 0, &later).await.expect("put"));
    let facts = store.address_facts(project).await.expect("facts");
    assert_eq!((facts["2.2.2.2"].host.as_deref(), facts["2.2.2.2"].bot), (Some("host"), Some(true)));
    let states = store.address_states(project, &["2.2.2.2"]).await.expect("states");
    assert_eq!(states["2.2.2.2"].last_seen, now);
    let retention = Retention { hits: Some(Duration::from_secs(30 * 86_400)), checks: None };
    store.expire(retention).await.expect("expire");
    let facts = store.address_facts(project).await.expect("facts");
    assert_eq!(facts.keys().collect::<Vec<_>>(), ["2.2.2.2"]);
    store.delete_project(project).await.expect("delete");
    assert!(!store.put_addresses(project, 0, &later).await.expect("put"), "it was being learnt meanwhile");
    assert!(store.address_facts(project).await.expect("facts").is_empty());
}

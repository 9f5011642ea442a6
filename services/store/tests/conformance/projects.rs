//! Projects: their keys, their names and all that is theirs.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinSet;
use uuid::Uuid;
use watchkeeper_store::{Check, SiteAccess, State, StoreError};

use crate::{
    common::{Fresh, open, project},
    harness::{endpoint, hit, read_all, result},
};

on_both! {
    one_key_is_one_project_whoever_registers_it_first
    a_named_project_changes_its_key_and_keeps_its_data
    a_key_of_another_project_is_not_given_away
    a_project_takes_in_the_nameless_one_that_used_its_new_key_first
    a_websites_project_is_made_once_and_opened_by_its_secret_or_by_keys
    a_new_user_id_replaces_the_old
    deleting_a_project_leaves_nothing_of_it
}

async fn one_key_is_one_project_whoever_registers_it_first(fresh: Fresh) {
    let store = open(&fresh).await;
    let key = Uuid::new_v4();
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let store = store.clone();
        tasks.spawn(async move { store.register_key(key).await.expect("register").id });
    }
    let ids: BTreeSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    let found = store.project_by_key(key).await.expect("find").expect("is there");
    assert_eq!(store.project_by_user(found.user_id).await.expect("find"), Some(found));
    assert_eq!(store.project_by_key(Uuid::new_v4()).await.expect("find"), None);
}

async fn a_named_project_changes_its_key_and_keeps_its_data(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    assert!(store.put_project("shop", old).await.expect("put"));
    assert!(!store.put_project("shop", old).await.expect("put again"));
    let before = store.project_by_key(old).await.expect("find").expect("is there");
    assert!(store.put_project("shop", new).await.expect("rotate"));
    let after = store.project_by_key(new).await.expect("find").expect("is there");
    assert_eq!(after.id, before.id);
    assert_eq!(store.project_by_key(old).await.expect("find"), None);
    store.forget_project_name("shop").await.expect("forget");
    assert_eq!(store.project_by_key(new).await.expect("find").expect("is there").name, None);
}

async fn a_key_of_another_project_is_not_given_away(fresh: Fresh) {
    let store = open(&fresh).await;
    let [shop, blog, loose] = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    store.put_project("shop", shop).await.expect("put");
    store.put_project("blog", blog).await.expect("put");
    let nameless = store.register_key(loose).await.expect("register").id;
    for (name, key) in [("shop", blog), ("new", shop)] {
        let refused = store.put_project(name, key).await;
        assert!(matches!(refused, Err(StoreError::KeyTaken)), "{name}: {refused:?}");
    }
    assert!(store.put_project("new", loose).await.expect("adopt"));
    let adopted = store.project_by_key(loose).await.expect("find").expect("is there");
    assert_eq!((adopted.id, adopted.name.as_deref()), (nameless, Some("new")));
}

async fn a_project_takes_in_the_nameless_one_that_used_its_new_key_first(fresh: Fresh) {
    let store = open(&fresh).await;
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", old).await.expect("put");
    let shop = store.project_by_key(old).await.expect("find").expect("is there").id;
    store.append(shop, vec![hit(0, "before")]).await.expect("append");

    // A monitor with a past, sealed and not yet sealed.
    let nameless = store.register_key(new).await.expect("register").id;
    store.put_endpoint(&endpoint("monitor", nameless)).await.expect("put");
    let monitor = store.endpoints_of(nameless).await.expect("endpoints")[0].id;
    for (at, ok) in [(1, true), (2, false), (3, true)] {
        let check = Check { project: nameless, endpoint: monitor, result: result(at, ok) };
        store.record_checks(&[check]).await.expect("record");
        if at == 2 {
            store.seal_all_checks().await.expect("seal");
        }
    }

    // Clients use the new key before it is put, while it is put, and after it.
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (store, stop) = (store.clone(), Arc::clone(&stop));
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let path = format!("{writer}/{number}");
                let project = store.register_key(new).await.expect("register").id;
                match store.append(project, vec![hit(1, &path)]).await {
                    Ok(()) => acknowledged.push(path),
                    Err(StoreError::NoProject) => {}
                    Err(error) => panic!("{error}"),
                }
                if number >= 20 && stop.load(Ordering::Relaxed) {
                    return acknowledged;
                }
            }
            acknowledged
        });
    }
    store.register_key(new).await.expect("register");
    store.seal_all().await.expect("seal");
    assert!(store.put_project("shop", new).await.expect("rotate"));
    stop.store(true, Ordering::Relaxed);

    let mut expected: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    expected.insert("before".into());
    let found: Vec<_> = read_all(&store, shop).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(found.len(), expected.len(), "nothing is there twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(store.project_by_key(new).await.expect("find").map(|p| p.id), Some(shop));
    assert_eq!(store.stored().await.expect("stored").projects, 1);

    let watched = store.endpoints_of(shop).await.expect("endpoints");
    assert_eq!(watched.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), [monitor]);
    let past = [result(1, true), result(2, false), result(3, true)];
    assert_eq!(store.checks(shop, monitor, 0).await.expect("checks"), past);
    let changes = store.transitions_between(shop, monitor, 0, 10).await.expect("transitions");
    let changes: Vec<_> = changes.into_iter().map(|change| (change.at, change.to)).collect();
    assert_eq!(changes, [(1, State::Up), (2, State::Down), (3, State::Up)]);
    let check = Check { project: shop, endpoint: monitor, result: result(4, true) };
    store.record_checks(&[check]).await.expect("record");
    assert_eq!(store.checks(shop, monitor, 4).await.expect("checks"), [result(4, true)]);
}

async fn a_websites_project_is_made_once_and_opened_by_its_secret_or_by_keys(fresh: Fresh) {
    let store = open(&fresh).await;
    let access = SiteAccess::new(Some("s3cret"), "www");
    let [one, other] = [open(&fresh).await, open(&fresh).await];
    let (one, other) =
        tokio::join!(one.site_project(&access, b"s3cret"), other.site_project(&access, b"s3cret"));
    let (one, other) = (one.expect("find").expect("project"), other.expect("find").expect("project"));
    assert_eq!(one, other);
    assert_eq!(store.project_by_name("www").await.expect("find").map(|project| project.id), Some(one));
    let key = Uuid::new_v4();
    let keyed = store.register_key(key).await.expect("register").id;
    assert_eq!(store.site_project(&access, key.to_string().as_bytes()).await.expect("find"), Some(keyed));
    let unknown = Uuid::new_v4().to_string();
    for wrong in [&b""[..], b"s3cre", b"s3cret ", b"Bearer s3cret", b"\xff", unknown.as_bytes()] {
        assert_eq!(store.site_project(&access, wrong).await.expect("find"), None);
        assert_eq!(store.site_project(&SiteAccess::new(None, "www"), wrong).await.expect("find"), None);
    }
}

async fn a_new_user_id_replaces_the_old(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = store.register_key(Uuid::new_v4()).await.expect("register");
    let new = store.regenerate_user_id(project.id).await.expect("regenerate");
    assert_eq!(store.project_by_user(project.user_id).await.expect("find"), None);
    assert_eq!(store.project_by_user(new).await.expect("find").map(|p| p.id), Some(project.id));
}

async fn deleting_a_project_leaves_nothing_of_it(fresh: Fresh) {
    let store = open(&fresh).await;
    let (gone, kept) = (project(&store).await, project(&store).await);
    for project in [gone, kept] {
        store.append(project, vec![hit(1, "sealed")]).await.expect("append");
        store.seal_all().await.expect("seal");
        store.append(project, vec![hit(1, "unsealed")]).await.expect("append");
        store.put_endpoint(&endpoint(&format!("e{}", project.0), project)).await.expect("put");
    }
    store.delete_project(gone).await.expect("delete");
    assert!(read_all(&store, gone).await.is_empty());
    assert!(store.endpoints_of(gone).await.expect("endpoints").is_empty());
    assert_eq!(read_all(&store, kept).await.len(), 2);
    assert_eq!(store.stored().await.expect("stored").hits, 2);
    assert_eq!(store.endpoints_of(kept).await.expect("endpoints").len(), 1);
}

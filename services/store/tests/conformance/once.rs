//! Batches that are sent again are stored once.

use tokio::task::JoinSet;
use watchkeeper_store::{Identity, StoreError};

use crate::{
    common::{Fresh, open, project},
    harness::{hit, read_all},
};

on_both! {
    a_batch_sent_again_under_its_key_is_stored_once
    one_key_stands_for_one_payload_of_one_project
    replicas_that_get_one_batch_at_once_store_it_once
    a_grown_buffer_is_stored_once_and_equal_batches_are_two
}

fn key(name: &str, payload: u8) -> Identity {
    Identity::Key { key: name.into(), payload: [payload; 32] }
}

async fn a_batch_sent_again_under_its_key_is_stored_once(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    for _ in 0..3 {
        store.append_once(project, vec![hit(1, "a"), hit(2, "b")], key("k", 1)).await.expect("append");
    }
    store.seal_all().await.expect("seal");
    store.append_once(project, vec![hit(1, "a"), hit(2, "b")], key("k", 1)).await.expect("after sealing");
    store.append_once(project, vec![hit(3, "c")], key("l", 2)).await.expect("another key");
    assert_eq!(read_all(&store, project).await, [hit(1, "a"), hit(2, "b"), hit(3, "c")]);
}

async fn one_key_stands_for_one_payload_of_one_project(fresh: Fresh) {
    let store = open(&fresh).await;
    let (one, other) = (project(&store).await, project(&store).await);
    store.append_once(one, vec![hit(1, "a")], key("k", 1)).await.expect("append");
    let reused = store.append_once(one, vec![hit(2, "b")], key("k", 2)).await;
    assert!(matches!(reused, Err(StoreError::KeyReused)), "{reused:?}");
    store.append_once(other, vec![hit(2, "b")], key("k", 2)).await.expect("another project");
    assert_eq!(read_all(&store, one).await, [hit(1, "a")]);
    assert_eq!(read_all(&store, other).await, [hit(2, "b")]);
}

async fn replicas_that_get_one_batch_at_once_store_it_once(fresh: Fresh) {
    let replicas = [open(&fresh).await, open(&fresh).await];
    let project = project(&replicas[0]).await;
    let mut tasks = JoinSet::new();
    for number in 0..40_usize {
        let store = replicas[number % 2].clone();
        tasks.spawn(async move {
            let name = (number / 8).to_string();
            let batch = vec![hit(i64::try_from(number / 8).expect("small"), &name)];
            store.append_once(project, batch, key(&name, 1)).await
        });
    }
    for result in tasks.join_all().await {
        result.expect("append");
    }
    let paths: Vec<_> = read_all(&replicas[1], project).await.into_iter().filter_map(|h| h.path).collect();
    assert_eq!(paths, ["0", "1", "2", "3", "4"]);
}

async fn a_grown_buffer_is_stored_once_and_equal_batches_are_two(fresh: Fresh) {
    let store = open(&fresh).await;
    let buffer = |rows: i64| (0..rows).map(|n| hit(n, &n.to_string())).collect::<Vec<_>>();
    let grown = project(&store).await;
    for rows in [3, 5, 4, 7] {
        store.append_once(grown, buffer(rows), Identity::Buffer).await.expect("append");
    }
    assert_eq!(read_all(&store, grown).await, buffer(7));

    let equal = project(&store).await;
    for rows in [3, 3, 1, 1] {
        store.append_once(equal, buffer(rows), Identity::Buffer).await.expect("append");
    }
    assert_eq!(read_all(&store, equal).await.len(), 8);
}

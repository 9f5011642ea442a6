//! What the replicas of an installation have in common: duties, the schema, the key.

use std::time::Duration;

use tokio::task::JoinSet;
use watchkeeper_store::{Lease, Store, StoreError};

use crate::common::{Fresh, execute, open};

on_both! {
    a_lease_has_one_holder_until_it_is_released_or_ends
    replicas_that_start_at_once_migrate_once
    a_newer_schema_is_refused
    the_installation_key_is_made_once
}

async fn a_lease_has_one_holder_until_it_is_released_or_ends(fresh: Fresh) {
    let store = open(&fresh).await;
    let lease = |holder: &str, ttl| Lease { name: "duty".into(), holder: holder.into(), ttl };
    let (a, b) = (lease("a", Duration::from_secs(60)), lease("b", Duration::ZERO));
    assert!(store.hold(&a).await.expect("hold"));
    assert!(!store.hold(&b).await.expect("hold"));
    assert!(store.hold(&a).await.expect("renew"));
    store.release(&a).await.expect("release");
    assert!(store.hold(&b).await.expect("hold"));
    // The grant of b ended at once.
    assert!(store.hold(&a).await.expect("hold"));
}

async fn replicas_that_start_at_once_migrate_once(fresh: Fresh) {
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let options = fresh.options.clone();
        tasks.spawn(async move { Store::open(&options).await.map(|_| ()) });
    }
    for opened in tasks.join_all().await {
        opened.expect("open");
    }
}

async fn a_newer_schema_is_refused(fresh: Fresh) {
    let store = open(&fresh).await;
    store.close().await;
    pretend_newer(&fresh).await;
    let refused = Store::open(&fresh.options).await.map(|_| ());
    assert!(matches!(refused, Err(StoreError::NewerSchema { found: 9_999, .. })), "{refused:?}");
}

/// Records a migration that only a later release could have made.
async fn pretend_newer(fresh: &Fresh) {
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'from the future', success, checksum, execution_time FROM _sqlx_migrations LIMIT 1";
    execute(fresh, &[newer]).await;
}

async fn the_installation_key_is_made_once(fresh: Fresh) {
    let store = open(&fresh).await;
    let key = store.installation_key("visitor").await.expect("key");
    assert_eq!(store.installation_key("visitor").await.expect("key"), key);
    assert_ne!(store.installation_key("other").await.expect("key"), key);
}

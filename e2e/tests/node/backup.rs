//! A copy of the database, and an installation made from it.

use jiff::Timestamp;
use serde_json::json;
use watchkeeper_e2e::upstream::row;

use crate::harness::World;

#[tokio::test]
async fn an_instance_restored_from_a_backup_answers_the_same_numbers() {
    let world = World::new("backup").await.unwrap();
    let backup = json!({"schedule": "@yearly", "keep": 2, "storage": {"size": "1Gi"}});
    let shop = world.instance("shop", json!({"database": {"managed": {"backup": backup}}})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let key = upstream.generate().await.unwrap();
    let hits: Vec<_> = (0..500).map(|n| row(&format!("/{}", n % 7), &Timestamp::now().to_string())).collect();
    assert_eq!(upstream.post(&key, "Axum", &hits).await.unwrap(), 201);
    shop.holds(&key, hits.len()).await.unwrap();
    let mut before = upstream.dashboard(&key).await.unwrap();

    // The CronJob's own work, now.
    world.kubectl(&["create", "job", "first", "--from=cronjob/shop-backup"]).unwrap();
    let done = world.kubectl(&["wait", "job/first", "--for=condition=Complete", "--timeout=180s"]);
    done.unwrap_or_else(|error| {
        panic!("{error}\n{}\n{}", world.kubectl(&["logs", "job/first"]).unwrap(), world.explain())
    });
    // What comes after the copy is not in it.
    upstream.post(&key, "Axum", &hits[..1]).await.unwrap();

    let restore = json!({"claimName": "shop-backup"});
    let copy = world.instance("copy", json!({"database": {"managed": {"restore": restore}}})).await.unwrap();
    copy.holds(&key, hits.len()).await.unwrap();
    let mut after = copy.upstream().await.unwrap().dashboard(&key).await.unwrap();
    before.sort();
    after.sort();
    assert_eq!(after, before);
    // A life of its own from here on.
    assert_eq!(copy.upstream().await.unwrap().post(&key, "Axum", &hits[..2]).await.unwrap(), 201);
    copy.holds(&key, hits.len() + 2).await.unwrap();
    shop.holds(&key, hits.len() + 1).await.unwrap();
}

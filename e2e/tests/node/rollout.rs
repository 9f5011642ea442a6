//! Changes under load: nothing that was acknowledged may be lost, and nobody may notice.

use serde_json::json;

use crate::harness::{Storm, World};

const POSTERS: usize = 8;

#[tokio::test]
async fn a_rolling_update_of_the_logger_under_load_loses_nothing_and_refuses_nothing() {
    let world = World::new("rollout").await.unwrap();
    let shop = world.instance("shop", json!({"logger": {"replicas": 2}})).await.unwrap();
    let storm = Storm::over(&shop, POSTERS).await.unwrap();

    // Any change of the template replaces every pod.
    let round = json!({"metadata": {"annotations": {"example.com/round": "2"}}});
    shop.change(json!({"logger": {"podTemplate": round}})).await.unwrap();
    shop.ready().await.unwrap();
    shop.rolled_out("deployment/shop-logger").unwrap();

    let calm = storm.settle("rolling update of the logger").await.unwrap();
    assert_eq!(calm.turned_away(), []);
    // A server may close an idle connection while a post is on its way: the client knows nothing then.
    assert!(calm.unanswered() <= POSTERS, "{} posts without an answer", calm.unanswered());
}

//! Traffic of an application that knows nothing but its key and the logger's address.

use serde_json::json;

use crate::harness::{World, sample_app};

#[tokio::test]
async fn hits_of_an_application_with_a_mounted_key_are_visible_through_the_api() {
    let world = World::new("traffic").await.unwrap();
    let spec = json!({"access": {"projects": [{"name": "web", "keySecretName": "web-key"}]}});
    let shop = world.instance("shop", spec).await.unwrap();
    world.apply(&sample_app("web-key", "http://shop-logger:8000")).unwrap();
    world.kubectl(&["rollout", "status", "deployment/app", "--timeout=120s"]).unwrap();
    let app = world.address("app", 8080).await.unwrap();

    let http = watchkeeper_e2e::upstream::http_client().unwrap();
    for _ in 0..5 {
        let answer = http.get(format!("http://{app}/ok")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    let key = world.secret("web-key", "api-key").await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    // The client keeps them for up to a minute.
    let rows = world
        .until("the hits are in the dashboard's data", async || {
            let rows = upstream.dashboard(&key).await.unwrap_or_default();
            Ok((rows.len() >= 5).then_some(rows))
        })
        .await
        .unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.path == "/ok" && row.status == 200), "{rows:?}");
}

//! Another release of everything, under load.

use serde_json::json;
use watchkeeper_testkit::cluster::image_tagged;
use watchkeeper_testkit::helm::succeed;

use crate::harness::{IMAGE, Storm, World, helm_install, install};

#[tokio::test]
async fn an_upgrade_under_load_replaces_operator_and_services_and_loses_nothing() {
    let world = World::alone("upgrade").await.unwrap();
    install(&world.cluster, "watchkeeper", &[]).unwrap();
    world.cluster.import(&image_tagged("watchkeeper", "next").unwrap()).unwrap();
    let shop = world.instance("shop", json!({"logger": {"replicas": 2}})).await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    succeed(&mut helm_install(&world.cluster, "watchkeeper", &["--set=image.tag=next"]).unwrap()).unwrap();
    let services = "app.kubernetes.io/instance=shop,app.kubernetes.io/component!=database";
    let new = format!("{IMAGE}:next");
    world
        .until("every service runs the new image", async || {
            let path = "jsonpath={.items[*].spec.containers[*].image}";
            let images = world.kubectl(&["get", "pods", "-l", services, "-o", path])?;
            Ok((!images.is_empty() && images.split(' ').all(|image| image == new)).then_some(()))
        })
        .await
        .unwrap();
    let status = shop.ready().await.unwrap().status.unwrap();
    assert_eq!(status.version.as_deref(), Some("next"));

    let calm = storm.settle("upgrade of operator and services").await.unwrap();
    assert_eq!(calm.turned_away(), []);
}

#[tokio::test]
async fn a_release_that_does_not_fit_the_database_never_replaces_the_one_that_serves() {
    let world = World::new("misfit").await.unwrap();
    let shop = world.instance("shop", json!({"logger": {"replicas": 2}})).await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    // As if a newer release had been here.
    let psql = |sql: &str| {
        let psql =
            ["exec", "shop-database-0", "-c", "postgres", "--", "psql", "-U", "watchkeeper", "-c", sql];
        world.kubectl(&psql)
    };
    let insert = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (999, 'of a newer release', true, '', 0)";
    psql(insert).unwrap();
    let round = json!({"metadata": {"annotations": {"example.com/round": "2"}}});
    shop.change(json!({"logger": {"podTemplate": round}})).await.unwrap();
    world
        .until("a new logger has given up twice", async || {
            let pods = world.pods("shop", "logger").await?;
            let statuses = pods.into_iter().filter_map(|pod| pod.status?.container_statuses).flatten();
            Ok(statuses.map(|status| status.restart_count).max().filter(|restarts| *restarts >= 2))
        })
        .await
        .unwrap();
    storm.goes_on().await.unwrap();

    psql("DELETE FROM _sqlx_migrations WHERE version = 999").unwrap();
    shop.rolled_out("deployment/shop-logger").unwrap();
    shop.ready().await.unwrap();
    let calm = storm.settle("release that does not fit the database").await.unwrap();
    assert_eq!(calm.turned_away(), []);
}

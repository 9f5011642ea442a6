//! Another release of everything, under load.

use std::fs::{self, File};

use serde_json::{Value, json};
use watchkeeper_e2e::upstream::Upstream;
use watchkeeper_testkit::cluster::image_tagged;
use watchkeeper_testkit::helm::succeed;
use watchkeeper_testkit::paths;

use crate::credentials::postgres;
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

#[tokio::test]
async fn the_database_of_release_0_1_0_is_migrated_by_whichever_pod_comes_first_and_keeps_its_numbers() {
    let world = World::new("migration").await.unwrap();
    world.apply(&postgres()).unwrap();
    world.kubectl(&["rollout", "status", "deployment/pg", "--timeout=120s"]).unwrap();
    let fixture = paths::workspace().join("e2e/fixtures/0.1.0");
    let mut psql = world.cluster.kubectl();
    psql.args(["--namespace", &world.namespace, "exec", "-i", "deployment/pg", "--"])
        .args(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "app", "-f", "-"])
        .stdin(File::open(fixture.join("postgres.sql")).unwrap());
    succeed(&mut psql).unwrap();

    // Two loggers, an API and a checker start at once on a schema that is behind all of them.
    let database = json!({"external": {"urlFrom": {"name": "pg-url", "key": "url"}}});
    let shop =
        world.instance("shop", json!({"database": database, "logger": {"replicas": 2}})).await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();
    let answers: Value = serde_json::from_slice(&fs::read(fixture.join("postgres.json")).unwrap()).unwrap();
    let address = world.address("shop-api", 3000).await.unwrap();
    let rows = Upstream::new(format!("http://{address}"))
        .unwrap()
        .dashboard(answers["key"].as_str().unwrap())
        .await
        .unwrap();
    let rows: Vec<_> = rows.iter().map(|row| json!([row.created_at, row.path, row.status])).collect();
    assert_eq!(json!(rows), answers["rows"]);
    storm.settle("migration of a database of release 0.1.0").await.unwrap();
}

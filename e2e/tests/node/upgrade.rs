//! Another release of everything, under load.

use std::time::Instant;

use serde_json::json;
use watchkeeper_e2e::load::{Account, Fate, Load};
use watchkeeper_testkit::cluster::image_tagged;
use watchkeeper_testkit::helm::succeed;

use crate::harness::{IMAGE, Instance, World, apply, helm_install, install, report};

const ROWS: usize = 10;

/// The posts that the server had no place for.
fn turned_away(account: &Account) -> Vec<Fate> {
    let fates = account.fates.iter().copied();
    fates.filter(|fate| matches!(fate, Fate::Refused(_) | Fate::Unreachable)).collect()
}

#[tokio::test]
async fn an_upgrade_under_load_replaces_operator_and_services_and_loses_nothing() {
    let world = World::alone("upgrade").await.unwrap();
    install(&world.cluster, "watchkeeper", &[]).unwrap();
    world.cluster.import(&image_tagged("watchkeeper", "next").unwrap()).unwrap();
    apply(
        &world.cluster,
        &world.namespace,
        &json!({
        "apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
        "metadata": {"name": "shop"}, "spec": {"logger": {"replicas": 2}}}),
    )
    .unwrap();
    let shop = Instance { world: &world, name: "shop".into() };
    shop.ready().await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    let started = Instant::now();
    succeed(&mut helm_install(&world.cluster, "watchkeeper", &["--set=image.tag=next"]).unwrap()).unwrap();
    world
        .until("every service runs the new image", async || {
            let images = world.kubectl(&[
                "get",
                "pods",
                "-l",
                "app.kubernetes.io/instance=shop,app.kubernetes.io/component!=database",
                "-o",
                "jsonpath={.items[*].spec.containers[*].image}",
            ])?;
            let new = format!("{IMAGE}:next");
            Ok((!images.is_empty() && images.split(' ').all(|image| image == new)).then_some(()))
        })
        .await
        .unwrap();
    let status = shop.ready().await.unwrap().status.unwrap();
    assert_eq!(status.version.as_deref(), Some("next"));
    let before = load.acknowledged();
    world.until("posts go on", async || Ok((load.acknowledged() > before + 50).then_some(()))).await.unwrap();
    let took = started;
    let accounts = load.finish().await.unwrap();

    let mut acknowledged = 0;
    for account in &accounts {
        account.settle(&upstream, ROWS).await.unwrap();
        assert_eq!(turned_away(account), []);
        acknowledged += account.count(Fate::Acknowledged) * ROWS;
    }
    report("upgrade of operator and services", acknowledged, acknowledged, took);
}

#[tokio::test]
async fn a_release_that_does_not_fit_the_database_never_replaces_the_one_that_serves() {
    let world = World::new("misfit").await.unwrap();
    let shop = world.instance("shop", json!({"logger": {"replicas": 2}})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    // As if a newer release had been here.
    let psql = |sql: &str| {
        let sql = format!("SET client_min_messages = warning; {sql}");
        world.kubectl(&[
            "exec",
            "shop-database-0",
            "-c",
            "postgres",
            "--",
            "psql",
            "-U",
            "watchkeeper",
            "-c",
            &sql,
        ])
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
    let before = load.acknowledged();
    world.until("posts go on", async || Ok((load.acknowledged() > before + 50).then_some(()))).await.unwrap();

    psql("DELETE FROM _sqlx_migrations WHERE version = 999").unwrap();
    shop.rolled_out("deployment/shop-logger").unwrap();
    shop.ready().await.unwrap();
    for account in load.finish().await.unwrap() {
        account.settle(&upstream, ROWS).await.unwrap();
        assert_eq!(turned_away(&account), []);
    }
}

//! From an empty cluster to an installation and back again, with the README's words.

use jiff::Timestamp;
use serde_json::json;
use watchkeeper_e2e::upstream::row;
use watchkeeper_testkit::helm::{helm, succeed};
use watchkeeper_testkit::paths;

use crate::harness::{Instance, World, helm_install, install};

const KINDS: [&str; 2] = ["analyticsinstances.watchkeeper.dev", "monitoredendpoints.watchkeeper.dev"];

#[tokio::test]
async fn an_installation_outlives_the_release_and_its_data_outlives_the_installation() {
    let world = World::alone("install").await.unwrap();
    install(&world.cluster, "watchkeeper", &[]).unwrap();
    let samples = paths::workspace().join("crds/samples");
    world.kubectl(&["apply", "-f", samples.to_str().unwrap()]).unwrap();
    let shop = Instance { world: &world, name: "shop".into() };
    shop.ready().await.unwrap();
    // As `kubectl wait` understands it.
    world.kubectl(&["wait", "wki/shop", "--for=condition=Ready", "--timeout=60s"]).unwrap();
    let endpoint =
        world.kubectl(&["wait", "wke/front-page", "--for=jsonpath={.status.state}=Down", "--timeout=90s"]);
    endpoint.unwrap_or_else(|error| panic!("{error}\n{}", world.explain()));

    let key = world.secret("shop-web-key", "api-key").await.unwrap();
    let hits: Vec<_> = (0..3).map(|n| row(&format!("/{n}"), &Timestamp::now().to_string())).collect();
    let posted = shop.upstream().await.unwrap().post(&key, "Axum", &hits).await.unwrap();
    assert_eq!(posted, 201);
    shop.holds(&key, 3).await.unwrap();

    // The release goes; what it installed goes on without it.
    let mut uninstall = helm().unwrap();
    world.cluster.aim(&mut uninstall);
    succeed(uninstall.args(["uninstall", "watchkeeper", "--namespace=watchkeeper", "--wait"])).unwrap();
    for kind in KINDS {
        succeed(world.cluster.kubectl().args(["get", "crd", kind])).unwrap();
    }
    shop.holds(&key, 3).await.unwrap();

    // Again, and the same installation is served again.
    succeed(&mut helm_install(&world.cluster, "watchkeeper", &[]).unwrap()).unwrap();
    shop.ready().await.unwrap();

    // The installation goes, and its claim stays, with everything that is in it.
    world.kubectl(&["delete", "wke/front-page", "wki/shop", "--timeout=120s"]).unwrap();
    world
        .until("its pods are gone", async || {
            let left =
                world.kubectl(&["get", "pods", "-l", "app.kubernetes.io/instance=shop", "-o", "name"])?;
            Ok(left.is_empty().then_some(()))
        })
        .await
        .unwrap();
    world.kubectl(&["get", "pvc/data-shop-database-0"]).unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    shop.holds(&key, 3).await.unwrap();

    // Unless it was asked to take its data along.
    shop.change(json!({"database": {"managed": {"storage": {"reclaim": "Delete"}}}})).await.unwrap();
    shop.ready().await.unwrap();
    world.kubectl(&["delete", "wki/shop", "--timeout=120s"]).unwrap();
    world.kubectl(&["wait", "--for=delete", "pvc/data-shop-database-0", "--timeout=120s"]).unwrap();
}

//! Passwords change while everybody uses them.

use std::time::Instant;

use serde_json::{Value, json};
use watchkeeper_e2e::load::{Fate, Load};

use crate::harness::{POSTGRES, World, report};

const ROWS: usize = 10;

/// A Postgres that the operator knows nothing of, with its first password.
fn postgres() -> Value {
    let labels = json!({"app": "pg"});
    let container = json!({
        "name": "postgres",
        "image": POSTGRES,
        "env": [
            {"name": "POSTGRES_USER", "value": "app"},
            {"name": "POSTGRES_DB", "value": "app"},
            {"name": "POSTGRES_PASSWORD", "value": "first"},
            {"name": "PGDATA", "value": "/data/pgdata"},
        ],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "run", "mountPath": "/var/run/postgresql"}],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    let pod = json!({
        "securityContext": {"runAsNonRoot": true, "runAsUser": 999, "fsGroup": 999,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}, {"name": "run", "emptyDir": {}}],
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pg"}, "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pg"},
         "spec": {"selector": labels, "ports": [{"port": 5432}]}},
        url("first"),
    ]})
}

fn url(password: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-url"},
           "stringData": {"url": format!("postgres://app:{password}@pg:5432/app")}})
}

/// Waits until posts are acknowledged that were not yet, and settles all accounts.
async fn settle(
    world: &World,
    load: Load,
    upstream: &watchkeeper_e2e::upstream::Upstream,
    what: &str,
    since: Instant,
) {
    let before = load.acknowledged();
    world.until("posts go on", async || Ok((load.acknowledged() > before + 50).then_some(()))).await.unwrap();
    let accounts = load.finish().await.unwrap();
    let mut acknowledged = 0;
    for account in &accounts {
        account.settle(upstream, ROWS).await.unwrap();
        acknowledged += account.count(Fate::Acknowledged) * ROWS;
    }
    report(what, acknowledged, acknowledged, since);
}

#[tokio::test]
async fn an_external_databases_new_password_rolls_the_services_and_nothing_is_lost() {
    let world = World::new("external").await.unwrap();
    world.apply(&postgres()).unwrap();
    world.kubectl(&["rollout", "status", "deployment/pg", "--timeout=120s"]).unwrap();
    let external = json!({"database": {"external": {"urlFrom": {"name": "pg-url", "key": "url"}}}});
    let shop = world.instance("shop", external).await.unwrap();
    assert!(world.pods("shop", "database").await.unwrap().is_empty());
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    let changed = Instant::now();
    let alter =
        ["exec", "deployment/pg", "--", "psql", "-U", "app", "-c", "ALTER ROLE app PASSWORD 'second'"];
    world.kubectl(&alter).unwrap();
    // Connections that are open stay so; those of old pods that are made now are refused.
    world.apply(&url("second")).unwrap();
    rolled(&world).await;
    shop.ready().await.unwrap();
    settle(&world, load, &upstream, "password of an external database changed", changed).await;
}

#[tokio::test]
async fn a_managed_databases_new_password_reaches_the_database_and_the_services() {
    let world = World::new("credentials").await.unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    let upstream = shop.upstream().await.unwrap();
    let load = Load::start_lasting(&upstream, 4, ROWS).await.unwrap();
    world
        .until("posts are acknowledged", async || Ok((load.acknowledged() > 50).then_some(())))
        .await
        .unwrap();

    let changed = Instant::now();
    let new = json!({"stringData": {"password": "a-new-password"}}).to_string();
    world.kubectl(&["patch", "secret", "shop-database", "--patch", &new]).unwrap();
    rolled(&world).await;
    shop.ready().await.unwrap();
    settle(&world, load, &upstream, "password of the managed database changed", changed).await;
}

/// Waits until every service has replaced its first pods and is done.
async fn rolled(world: &World) {
    for deployment in ["shop-logger", "shop-api", "shop-checker"] {
        world
            .until("the pods are replaced", async || {
                let path = r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}";
                Ok((world.kubectl(&["get", "deployment", deployment, "-o", path])? != "1").then_some(()))
            })
            .await
            .unwrap();
        let deployment = format!("deployment/{deployment}");
        world.kubectl(&["rollout", "status", &deployment, "--timeout=240s"]).unwrap();
    }
}

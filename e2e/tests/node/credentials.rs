//! Passwords change while everybody uses them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::harness::{POSTGRES, Storm, World};

/// A Postgres that the operator knows nothing of, with its first password.
pub fn postgres() -> Value {
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

#[tokio::test]
async fn an_external_databases_new_password_rolls_the_services_and_nothing_is_lost() {
    let world = World::new("external").await.unwrap();
    world.apply(&postgres()).unwrap();
    world.kubectl(&["rollout", "status", "deployment/pg", "--timeout=120s"]).unwrap();
    let external = json!({"database": {"external": {"urlFrom": {"name": "pg-url", "key": "url"}}}});
    let shop = world.instance("shop", external).await.unwrap();
    assert!(world.pods("shop", "database").await.unwrap().is_empty());
    let before = revisions(&world).unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    let alter =
        ["exec", "deployment/pg", "--", "psql", "-U", "app", "-c", "ALTER ROLE app PASSWORD 'second'"];
    world.kubectl(&alter).unwrap();
    // Connections that are open stay so; those of old pods that are made now are refused.
    world.apply(&url("second")).unwrap();
    rolled(&world, &before).await;

    storm.settle("password of an external database changed").await.unwrap();
    shop.ready().await.unwrap();
}

#[tokio::test]
async fn a_managed_databases_new_password_reaches_the_database_and_the_services() {
    let world = World::new("credentials").await.unwrap();
    let shop = world.instance("shop", json!({})).await.unwrap();
    let before = revisions(&world).unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();

    let new = json!({"stringData": {"password": "a-new-password"}}).to_string();
    world.kubectl(&["patch", "secret", "shop-database", "--patch", &new]).unwrap();
    rolled(&world, &before).await;

    storm.settle("password of the managed database changed").await.unwrap();
    shop.ready().await.unwrap();
}

const SERVICES: [&str; 3] = ["deployment/shop-logger", "deployment/shop-api", "deployment/shop-checker"];

/// Which template each service runs, as a number that grows.
fn revisions(world: &World) -> Result<Vec<String>> {
    let path = r"jsonpath={.metadata.annotations.deployment\.kubernetes\.io/revision}";
    SERVICES.iter().map(|service| world.kubectl(&["get", service, "-o", path])).collect()
}

/// Waits until every service has replaced its pods of before and is done.
async fn rolled(world: &World, before: &[String]) {
    let replaced = async || {
        let now = revisions(world)?;
        Ok(now.iter().zip(before).all(|(now, before)| now != before).then_some(()))
    };
    world.until("the pods are replaced", replaced).await.unwrap();
    for service in SERVICES {
        world.kubectl(&["rollout", "status", service, "--timeout=240s"]).unwrap();
    }
}

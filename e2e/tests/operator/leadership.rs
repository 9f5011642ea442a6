//! Two operators, one Lease.

use anyhow::{Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use watchkeeper_testkit::wait::until_async;

use crate::harness::{Operator, SOON, World};

async fn takes_over(operator: &Operator) -> Result<()> {
    until_async("the standby leads", SOON, async || Ok(operator.leads().then_some(()))).await
}

#[tokio::test]
async fn of_two_operators_one_works_and_the_other_takes_over_when_it_dies() -> Result<()> {
    let world = World::new("lease").await?;
    let first = world.operator().await?;
    first.leading().await?;
    let second = world.operator().await?;
    world.instance("shop", json!({})).await?;
    world.ready("shop").await?;
    // The standby is warm: it has seen the instance, and touched nothing.
    until_async("the standby is warm", SOON, async || Ok(second.health.pending().is_empty().then_some(())))
        .await?;
    ensure!(!second.leads() && second.metrics.writes() == 0, "the standby has written");
    ensure!(first.metrics.writes() > 0);

    first.kill().await;
    takes_over(&second).await?;
    world.change("shop", json!({"api": {"replicas": 2}})).await?;
    let instance = world.ready("shop").await?;
    let components = instance.status.unwrap_or_default().components;
    ensure!(components.iter().any(|component| component.name == "api" && component.ready == 2));
    ensure!(second.metrics.writes() > 0);
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let transitions = leases.get("watchkeeper-operator").await?.spec.and_then(|spec| spec.lease_transitions);
    ensure!(transitions == Some(1), "{transitions:?}");
    second.stop(&world).await
}

#[tokio::test]
async fn an_operator_that_stops_gives_the_lease_back() -> Result<()> {
    let world = World::new("release").await?;
    let first = world.operator().await?;
    first.leading().await?;
    first.stop(&world).await?;
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), &world.namespace);
    let holder = leases.get("watchkeeper-operator").await?.spec.and_then(|spec| spec.holder_identity);
    ensure!(holder.is_none(), "{holder:?}");
    let second = world.operator().await?;
    second.leading().await?;
    second.stop(&world).await
}

//! A watched thing in the cluster that goes away and comes back.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Api;
use serde_json::json;
use watchkeeper_crds::MonitoredEndpoint;
use watchkeeper_crds::monitored_endpoint::EndpointState;

use crate::harness::{World, sample_app};

const INTERVAL: Duration = Duration::from_secs(10);

async fn state(world: &World, endpoints: &Api<MonitoredEndpoint>, wanted: EndpointState) -> Timestamp {
    let what = format!("the endpoint is {wanted:?}");
    let since = world.until(&what, async || {
        let status = endpoints.get("front").await?.status.unwrap_or_default();
        Ok((status.state == Some(wanted)).then_some(status.since).flatten())
    });
    since.await.unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_endpoint_goes_up_and_down_and_up_and_its_status_follows_within_two_intervals() {
    let world = World::new("endpoints").await.unwrap();
    let projects = json!([{"name": "web", "keySecretName": "web-key"}]);
    world.instance("shop", json!({"access": {"projects": projects}})).await.unwrap();
    world.apply(&sample_app("web-key", "http://shop-logger:8000")).unwrap();
    world.kubectl(&["rollout", "status", "deployment/app", "--timeout=120s"]).unwrap();

    let endpoints = world
        .endpoint("front", json!({"interval": "10s", "timeout": "2s", "http": {"url": "http://app:8080/ok"}}))
        .unwrap();
    state(&world, &endpoints, EndpointState::Up).await;

    for (replicas, wanted) in [("0", EndpointState::Down), ("1", EndpointState::Up)] {
        world.kubectl(&["scale", "deployment/app", "--replicas", replicas]).unwrap();
        // The change is there when the application is gone, or back.
        if replicas == "0" {
            world.kubectl(&["wait", "--for=delete", "pod", "-l", "app=app", "--timeout=120s"]).unwrap();
        } else {
            world.kubectl(&["rollout", "status", "deployment/app", "--timeout=120s"]).unwrap();
        }
        let changed = Instant::now();
        let since = state(&world, &endpoints, wanted).await;
        let late = changed.elapsed();
        println!("{wanted:?} since {since}, in the status {late:?} after the change");
        assert!(late <= 2 * INTERVAL, "{wanted:?} only after {late:?}");
    }
    let listed = world.kubectl(&["get", "wke", "front"]).unwrap();
    assert!(listed.contains("Up"), "{listed}");
}

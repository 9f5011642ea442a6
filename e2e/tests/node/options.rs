//! What an installation may have beside the usual: a spool, a website of its own, probes for others.

use serde_json::json;

use crate::harness::{Storm, World};

#[tokio::test]
async fn with_a_spool_no_post_is_turned_away_while_the_database_is_gone() {
    let world = World::new("spool").await.unwrap();
    let shop = world.instance("shop", json!({"spool": {"ephemeral": true, "size": "64Mi"}})).await.unwrap();
    let storm = Storm::over(&shop, 4).await.unwrap();
    shop.kill("database").await.unwrap();
    let http = watchkeeper_e2e::upstream::http_client().unwrap();
    let metrics = format!("http://{}/metrics", world.address("shop-logger", 9090).await.unwrap());
    world
        .until("what waited on disk is in the database", async || {
            let text = http.get(&metrics).send().await?.error_for_status()?.text().await?;
            let value = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(name))?;
                line.rsplit(' ').next()?.parse::<f64>().ok()
            };
            let replayed =
                value("watchkeeper_logger_replayed_batches_total").is_some_and(|count| count > 0.0);
            Ok((replayed && value("watchkeeper_logger_spool_bytes") == Some(0.0)).then_some(()))
        })
        .await
        .unwrap();
    let calm = storm.settle("database pod deleted at once, with a spool").await.unwrap();
    assert_eq!((calm.turned_away(), calm.unanswered()), (Vec::new(), 0));
    shop.ready().await.unwrap();
}

#[tokio::test]
async fn a_website_reports_its_views_with_the_secret_that_the_instance_names() {
    let world = World::new("site").await.unwrap();
    world
        .apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "blog"},
            "stringData": {"secret": "open sesame"}}))
        .unwrap();
    let site =
        json!({"secretRef": {"name": "blog", "key": "secret"}, "project": "blog", "sessionTimeout": "5m"});
    world.instance("shop", json!({"site": site, "reverseDns": {"enabled": false}})).await.unwrap();

    let http = watchkeeper_e2e::upstream::http_client().unwrap();
    let logger = world.address("shop-logger", 8000).await.unwrap();
    let post = async |secret: &str| {
        let view = json!({"url": "/about", "ip_address": "192.0.2.7", "user_agent": "Mozilla/5.0 (X11; Linux)",
            "timestamp": jiff::Timestamp::now().to_string()});
        let request = http.post(format!("http://{logger}/api/v1/traffic")).header("authorization", secret);
        request.json(&json!({ "traffic": [view] })).send().await.unwrap().status()
    };
    assert_eq!(post("open barley").await, 401);
    assert_eq!(post("open sesame").await, 200);
    let api = world.address("shop-api", 3000).await.unwrap();
    world
        .until("the view is in the website's data", async || {
            let dates =
                [("start_date", "2026-01-01"), ("end_date", "2036-01-01"), ("classification", "USER")];
            let urls = http.get(format!("http://{api}/api/v1/data/urls")).query(&dates);
            let urls =
                urls.header("authorization", "open sesame").send().await?.error_for_status()?.text().await?;
            Ok(urls.contains("/about").then_some(()))
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_prometheus_in_the_cluster_has_the_checkers_service_probe_for_it() {
    let world = World::new("blackbox").await.unwrap();
    let spec = json!({"observability": {"blackbox": {"enabled": true}},
        "probeNetworks": {"allow": ["0.0.0.0/0"], "hosts": [{"namespace": "elsewhere", "hosts": ["*.example.com"]}]}});
    world.instance("shop", spec).await.unwrap();
    let http = watchkeeper_e2e::upstream::http_client().unwrap();
    let checker = world.address("shop-checker", 9115).await.unwrap();
    for (target, success) in
        [("http://shop-api:3000/api/health", "probe_success 1"), ("http://shop-api:1/", "probe_success 0")]
    {
        let query = [("module", "http_2xx"), ("target", target)];
        // The node may route the Service's address a moment after its pods are ready.
        world
            .until(&format!("{target} gives {success}"), async || {
                let answer = http.get(format!("http://{checker}/probe")).query(&query).send().await?;
                let text = answer.error_for_status()?.text().await?;
                Ok(text.lines().any(|line| line == success).then_some(()))
            })
            .await
            .unwrap();
    }
}

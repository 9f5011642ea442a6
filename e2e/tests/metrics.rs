//! What Prometheus' own tool says about our metrics.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use watchkeeper_e2e::promtool;
use watchkeeper_e2e::upstream::{Upstream, http_client, row};
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const CHECKED: Duration = Duration::from_secs(30);

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics_of_local() {
    let manifests = RunDir::new("metrics").unwrap();
    endpoint(&manifests, "nobody", "http://127.0.0.1:1/");
    let server = Watchkeeper::local().manifest(manifests.path()).start().unwrap();
    endpoint(&manifests, "itself", &format!("{}/api/health", server.base_url()));
    // Labelled metrics show only after something has happened.
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = upstream.generate().await.unwrap();
    let rows = [row("/", &Timestamp::now().to_string())];
    assert!(upstream.post(&key, "FastAPI", &rows).await.unwrap().is_success());
    assert!(upstream.post(&key, "unheard of", &rows).await.unwrap().is_client_error());
    assert_eq!(upstream.dashboard(&key).await.unwrap().len(), 1);

    let http = http_client().unwrap();
    let url = format!("{}/metrics", server.metrics_url());
    let metrics = wait::until_async("both endpoints are checked", CHECKED, async || {
        let answer = http.get(&url).send().await?.error_for_status()?;
        let metrics = answer.text().await?;
        let checked = value(&metrics, "nobody") == Some("0") && value(&metrics, "itself") == Some("1");
        Ok(checked.then_some(metrics))
    })
    .await
    .unwrap();

    assert!(metrics.lines().any(|line| line.starts_with("watchkeeper_")), "{metrics}");
    assert!(!metrics.contains(&key), "a key is a secret");
    assert_eq!(promtool::check_metrics(&metrics).unwrap(), (true, String::new()));
}

fn endpoint(directory: &RunDir, name: &str, url: &str) {
    let manifest = format!(
        "apiVersion: watchkeeper.dev/v1alpha1\n\
         kind: MonitoredEndpoint\n\
         metadata: {{name: {name}, namespace: default}}\n\
         spec: {{instanceRef: {{name: local}}, interval: 1s, timeout: 1s, http: {{url: '{url}'}}}}\n"
    );
    std::fs::write(directory.path().join(format!("{name}.yaml")), manifest).unwrap();
}

/// The value of `probe_success` for an endpoint.
fn value<'a>(metrics: &'a str, endpoint: &str) -> Option<&'a str> {
    let label = format!("endpoint=\"{endpoint}\"");
    let mut lines =
        metrics.lines().filter(|line| line.starts_with("probe_success{") && line.contains(&label));
    lines.next()?.rsplit(' ').next()
}

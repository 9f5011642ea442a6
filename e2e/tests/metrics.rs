//! What Prometheus' own tool says about our metrics.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::json;
use watchkeeper_e2e::prometheus::Prometheus;
use watchkeeper_e2e::promtool;
use watchkeeper_e2e::upstream::{Upstream, http_client, row};
use watchkeeper_testkit::ports::free_port;
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

#[tokio::test]
async fn a_scrape_configuration_for_blackbox_exporter_works_with_a_checker() {
    let blackbox = format!("127.0.0.1:{}", free_port().unwrap());
    let server = Watchkeeper::local()
        .arg("--blackbox-listen")
        .arg(&blackbox)
        .arg("--probe-allow")
        .arg("127.0.0.0/8")
        .start()
        .unwrap();
    let (up, down) = (format!("{}/api/health", server.base_url()), "http://127.0.0.1:1/".to_owned());
    // As blackbox_exporter's documentation has it.
    let configuration = json!({"scrape_configs": [{
        "job_name": "blackbox",
        "scrape_interval": "1s",
        "scrape_timeout": "900ms",
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx"]},
        "static_configs": [{"targets": [up, down]}],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": blackbox},
        ],
    }]});
    let prometheus = Prometheus::start(&configuration).unwrap();
    let value = |expression: String| -> Result<Option<String>> {
        let series = prometheus.query(&expression)?;
        Ok(series.first().and_then(|one| one["value"][1].as_str()).map(str::to_owned))
    };
    for (target, success) in [(&up, "1"), (&down, "0")] {
        let labels = format!("{{job=\"blackbox\", instance=\"{target}\"}}");
        let found =
            wait::until("both are scraped", CHECKED, || value(format!("probe_success{labels}"))).unwrap();
        assert_eq!(found, success, "{target}");
        assert_eq!(
            value(format!("up{labels}")).unwrap().as_deref(),
            Some("1"),
            "a failed probe is no failed scrape"
        );
    }
    let status = value(format!("probe_http_status_code{{instance=\"{up}\"}}")).unwrap();
    assert_eq!(status.as_deref(), Some("200"));
}

#[tokio::test]
async fn modules_of_a_file_as_blackbox_exporter_has_it_are_asked_by_their_terms() {
    let blackbox = format!("127.0.0.1:{}", free_port().unwrap());
    let files = RunDir::new("modules").unwrap();
    let file = files.path().join("blackbox.yml");
    let modules = "modules:\n  words:\n    prober: http\n    timeout: 5s\n    http:\n      \
                   fail_if_body_not_matches_regexp: ['no such words']\n";
    std::fs::write(&file, modules).unwrap();
    let server = Watchkeeper::local()
        .arg("--blackbox-listen")
        .arg(&blackbox)
        .arg("--blackbox-modules")
        .arg(file.display().to_string())
        .arg("--probe-allow")
        .arg("127.0.0.0/8")
        .start()
        .unwrap();
    let http = http_client().unwrap();
    let ask = async |module: &str| {
        let target = format!("{}/api/health", server.base_url());
        let url = format!("http://{blackbox}/probe?module={module}&target={target}");
        http.get(&url).send().await.unwrap().text().await.unwrap()
    };
    let own = ask("words").await;
    for line in ["probe_success 0", "probe_failed_due_to_regex 1", "probe_timeout_seconds 5"] {
        assert!(own.lines().any(|told| told == line), "{line}: {own}");
    }
    let usual = ask("http_2xx").await;
    assert!(usual.lines().any(|told| told == "probe_success 1"), "{usual}");
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

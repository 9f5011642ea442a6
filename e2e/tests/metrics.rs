//! What Prometheus' own tool says about our metrics.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use watchkeeper_e2e::stores::{self, Store};
use watchkeeper_e2e::upstream::{Upstream, http_client, row};
use watchkeeper_testkit::paths;

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics_of_local() {
    let server = stores::start(Store::Sqlite).unwrap();
    // Labelled metrics show only after something has happened.
    let upstream = Upstream::new(server.base_url()).unwrap();
    let key = upstream.generate().await.unwrap();
    let rows = [row("/", &Timestamp::now().to_string())];
    assert!(
        upstream
            .post(&key, "FastAPI", &rows)
            .await
            .unwrap()
            .is_success()
    );
    assert_eq!(upstream.dashboard(&key).await.unwrap().len(), 1);

    let url = format!("{}/metrics", server.metrics_url());
    let answer = http_client().unwrap().get(url).send().await.unwrap();
    assert!(answer.status().is_success());
    let metrics = answer.text().await.unwrap();

    assert!(
        metrics.lines().any(|line| line.starts_with("watchkeeper_")),
        "{metrics}"
    );
    assert!(!metrics.contains(&key), "a key is a secret");
    assert_eq!(promtool_check(&metrics), (true, String::new()));
}

/// Whether promtool is content, and all that it says.
fn promtool_check(metrics: &str) -> (bool, String) {
    let mut promtool = Command::new(paths::packaged("prometheus").unwrap().join("promtool"));
    promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

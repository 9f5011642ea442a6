//! A program as users of api-monitoring-system write it, with Python's `requests`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use watchkeeper_e2e::clients::python;
use watchkeeper_e2e::stores::Store;
use watchkeeper_testkit::paths;

use crate::harness::{Server, World};

on_both_stores! {
    a_program_in_python_watches_something_from_beginning_to_end
}

async fn a_program_in_python_watches_something_from_beginning_to_end(store: Store) {
    let target = Server::start(200).await;
    let config = "api: {auth: {enabled: true, api_key: s3cret}}\n";
    let world = World::start(store, config).await;
    let script = paths::workspace().join("e2e/clients/python/api_monitoring.py");
    let output = Command::new(python().unwrap())
        .arg("-B")
        .arg(script)
        .args([&world.watchkeeper.base_url(), target.url()])
        .env("API_KEY", "s3cret")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, error) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{out}{error}");
    let told: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(
        told,
        json!({ "statuses": [401, 201, 200, 200, 200, 200, 200, 200, 200, 400, 422, 204, 404], "success": true })
    );
    assert_eq!(target.seen().len(), 1, "one manual check");
}

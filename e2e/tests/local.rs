//! `watchkeeper local`: its manifests while it runs, and what keeps it from starting.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use watchkeeper_testkit::{http, program, wait, watchkeeper::Watchkeeper};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn documentation_is_protected_while_the_manifest_says_so_and_what_has_no_effect_is_told() {
    let manifests = tempfile::tempdir().unwrap();
    let file = manifests.path().join("instance.yaml");
    let write = |protect: bool, more: &str| {
        let head = "apiVersion: watchkeeper.dev/v1alpha1\nkind: AnalyticsInstance\nmetadata: {name: main}\n";
        let spec = format!("spec: {{access: {{protectDocs: {protect}}}, {more}}}\n");
        std::fs::write(&file, format!("{head}{spec}")).unwrap();
    };
    write(true, "reverseDns: {enabled: false}");
    let watchkeeper = Watchkeeper::local().manifest(&file).start().unwrap();
    let address: SocketAddr = watchkeeper.base_url().strip_prefix("http://").unwrap().parse().unwrap();
    let asked = |path: &str| http::get(address, path).map(|(status, _)| status);
    assert_eq!(asked("/openapi.json").unwrap(), 401);
    assert_eq!(asked("/docs/").unwrap(), 401);
    let told = |what: &str| std::fs::read_to_string(watchkeeper.log()).unwrap().contains(what);
    assert!(told(
        "spec.reverseDns of the AnalyticsInstance has no effect in this process: use --reverse-dns"
    ));

    write(false, "spool: {ephemeral: true}");
    wait::until("the documentation is open", PATIENCE, || Ok((asked("/openapi.json")? == 200).then_some(())))
        .unwrap();
    assert!(told("spec.spool of the AnalyticsInstance has no effect in this process: use --spool"));
}

#[test]
fn an_endpoint_outlives_a_mistake_in_its_renamed_manifest_and_goes_with_it() {
    let manifests = tempfile::tempdir().unwrap();
    let file = |name: &str| manifests.path().join(name);
    let text = "apiVersion: watchkeeper.dev/v1alpha1\nkind: MonitoredEndpoint\nmetadata: {name: shop}\n\
                spec: {instanceRef: {name: main}, interval: 1h, http: {url: 'http://127.0.0.1:1/'}}\n";
    std::fs::write(file("a.yaml"), text).unwrap();
    let watchkeeper = Watchkeeper::local().manifest(manifests.path()).start().unwrap();
    let address: SocketAddr = watchkeeper.base_url().strip_prefix("http://").unwrap().parse().unwrap();
    let numbers = || -> anyhow::Result<Vec<i64>> {
        let (_, body) = http::get(address, "/api/v1/endpoints")?;
        let told: Value = serde_json::from_str(&body)?;
        Ok(told["endpoints"].as_array().unwrap().iter().filter_map(|it| it["id"].as_i64()).collect())
    };
    let before = numbers().unwrap();
    assert_eq!(before.len(), 1);
    let told = |what: &str| {
        let log = watchkeeper.log();
        wait::until(what, PATIENCE, || Ok(std::fs::read_to_string(log)?.contains(what).then_some(())))
            .unwrap();
    };

    std::fs::write(file("b.yaml"), text.replace("interval", "intervall")).unwrap();
    std::fs::remove_file(file("a.yaml")).unwrap();
    told("a.yaml: it is gone, and stays in force until");
    assert_eq!(numbers().unwrap(), before);
    // Its number is its past's: another would be another endpoint.
    std::fs::write(file("b.yaml"), text.replace("1h", "2h")).unwrap();
    told("manifests applied");
    assert_eq!(numbers().unwrap(), before);
    std::fs::remove_file(file("b.yaml")).unwrap();
    wait::until("the endpoint goes", PATIENCE, || Ok(numbers()?.is_empty().then_some(()))).unwrap();
}

#[test]
fn an_address_that_is_taken_is_told_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--metrics-listen"), ("--metrics-listen", "--listen")] {
        let data = tempfile::tempdir().unwrap();
        let output = Command::new(program::find("watchkeeper").unwrap())
            .args(["local", flag, &address, other, "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{flag}");
        assert!(error.contains(&format!("{flag}: cannot listen on {address}")), "{error}");
    }
}

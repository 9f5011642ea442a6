//! `watchkeeper local` by an AnalyticsInstance that was written for a cluster.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use watchkeeper_testkit::{http, wait, watchkeeper::Watchkeeper};

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

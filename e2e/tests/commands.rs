//! `watchkeeper notify test` and `watchkeeper import monitors` as a user types them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use watchkeeper_e2e::stores::Store;
use watchkeeper_e2e::upstream::http_client;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::program;
use watchkeeper_testkit::sink::{Answer, HttpSink};
use watchkeeper_testkit::wait;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program::find("watchkeeper").unwrap());
    command.env_remove("WATCHKEEPER_DATABASE_URL").args(arguments).stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_channel_is_tried_out_on_sqlite() {
    a_channel_is_tried_out(Store::Sqlite);
}

#[test]
fn a_channel_is_tried_out_on_postgres() {
    a_channel_is_tried_out(Store::Postgres);
}

fn a_channel_is_tried_out(store: Store) {
    let (taking, refusing) = (HttpSink::start().unwrap(), HttpSink::start().unwrap());
    refusing.answer(Answer::status(404));
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let channel = |name: &str, sink: &HttpSink| {
        let secret = directory.path().join(name);
        fs::write(&secret, format!("{}/hook\n", sink.url())).unwrap();
        json!({ "name": name, "webhook": { "url": { "valueFrom": { "file": secret } } } })
    };
    let instance = json!({
        "apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance", "metadata": { "name": "main" },
        "spec": { "notifications": { "channels": [channel("taking", &taking), channel("refusing", &refusing)] } },
    });
    let file = directory.path().join("instance.yaml");
    fs::write(&file, instance.to_string()).unwrap();
    let database = (store == Store::Postgres).then(|| Postgres::shared().unwrap().database().unwrap());
    let mut local = Watchkeeper::local().manifest(&file).data(&data);
    if let Some(url) = &database {
        local = local.database(url);
    }
    let server = local.start().unwrap();
    let test = |channel: &str| -> Output {
        let mut command = command(&["notify", "test", "--channel", channel, "--data"]);
        if let Some(url) = &database {
            command.env("WATCHKEEPER_DATABASE_URL", url);
        }
        command.arg(&data).output().unwrap()
    };
    if store == Store::Sqlite {
        let locked = test("taking");
        let told = stderr(&locked);
        assert!(!locked.status.success() && locked.stdout.is_empty(), "{told}");
        for words in ["another watchkeeper uses the data directory", "POST /api/v1/channels/NAME/test"] {
            assert!(told.contains(words), "{told}");
        }
        assert!(server.stop().unwrap());
        assert!(taking.taken().is_empty(), "nothing was left behind for the server to send");
    }

    let took = test("taking");
    assert!(took.status.success(), "{}", stderr(&took));
    assert_eq!(stdout(&took), "The channel taking took the test.\n");
    let taken = taking.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].path.as_str(), &taken[0].json()["kind"]), ("/hook", &json!("test")));

    for (channel, words) in [
        ("refusing", "the channel `refusing` did not take it: it answered 404"),
        ("none", "there is no channel `none`; add it to the instance's manifest"),
    ] {
        let output = test(channel);
        let told = stderr(&output);
        assert!(!output.status.success() && output.stdout.is_empty(), "{channel}: {told}");
        assert!(told.contains(words), "{channel}: {told}");
        assert!(!told.contains(&refusing.url()), "an address is a secret: {told}");
    }
    assert_eq!(refusing.taken().len(), 1, "what will stay so is asked once");
}

/// A server's two endpoints as api-monitoring-system has them. The second rests.
fn of_api_monitoring_system(url: &str) -> String {
    format!(
        "endpoints:
  - name: Shop front
    url: {url}/shop
    interval: 10
    timeout: 5
    headers: {{Authorization: Bearer s3cret}}
  - {{name: Blog, url: '{url}/blog', interval: 10, timeout: 5, is_active: false}}
"
    )
}

/// The same as Gatus has them.
fn of_gatus(url: &str) -> String {
    format!(
        "endpoints:
  - name: Shop front
    url: {url}/shop
    interval: 10s
    headers: {{Authorization: Bearer s3cret}}
    conditions: ['[STATUS] == 200']
  - {{name: Blog, url: '{url}/blog', interval: 10s, enabled: false, conditions: ['[STATUS] == 200']}}
"
    )
}

/// The same as Uptime Kuma has them.
fn of_uptime_kuma(url: &str) -> String {
    let headers = json!({ "Authorization": "Bearer s3cret" }).to_string();
    json!({
        "version": "1.23.0",
        "monitorList": [
            { "id": 1, "type": "http", "name": "Shop front", "url": format!("{url}/shop"), "interval": 20, "active": 1,
              "headers": headers },
            { "id": 2, "type": "http", "name": "Blog", "url": format!("{url}/blog"), "interval": 20, "active": 0 },
        ],
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_api_monitoring_system_watched_is_watched() {
    what_another_monitor_watched_is_watched(of_api_monitoring_system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gatus_watched_is_watched() {
    what_another_monitor_watched_is_watched(of_gatus).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uptime_kuma_watched_is_watched() {
    what_another_monitor_watched_is_watched(of_uptime_kuma).await;
}

async fn what_another_monitor_watched_is_watched(configuration: fn(&str) -> String) {
    let target = HttpSink::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (theirs, ours) = (directory.path().join("theirs"), directory.path().join("endpoints.yaml"));
    fs::write(&theirs, configuration(&target.url())).unwrap();
    let import = ["import", "monitors", "--strict"];

    let printed = command(&import).arg(&theirs).output().unwrap();
    assert!(printed.status.success(), "{}", stderr(&printed));
    assert!(!stderr(&printed).contains("not translated"), "{}", stderr(&printed));
    let manifests = stdout(&printed);
    let (secrets, endpoints): (Vec<&str>, Vec<&str>) =
        manifests.split("---\n").partition(|manifest| manifest.contains("kind: Secret"));
    assert!(secrets.concat().contains("Bearer s3cret") && !endpoints.concat().contains("s3cret"));
    let written = command(&import).arg(&theirs).arg("-o").arg(&ours).output().unwrap();
    assert!(written.status.success() && written.stdout.is_empty(), "{}", stderr(&written));
    assert_eq!(fs::read_to_string(&ours).unwrap(), manifests);
    assert_eq!(piped(&import, &configuration(&target.url())), manifests);

    let server = Watchkeeper::local().manifest(&ours).start().unwrap();
    let token = fs::read_to_string(server.data().join("admin-token")).unwrap();
    let (client, url) =
        (http_client().unwrap(), format!("{}/api/v1/endpoints?origin=all", server.base_url()));
    let listed = wait::until_async("the shop is up", PATIENCE, async || {
        let answer = client.get(&url).bearer_auth(token.trim()).send().await?.error_for_status()?;
        let listed: Value = serde_json::from_str(&answer.text().await?)?;
        let endpoints = listed["endpoints"].as_array().cloned().unwrap_or_default();
        let up = endpoints.iter().any(|it| it["displayName"] == "Shop front" && it["state"] == "Up");
        Ok(up.then_some(endpoints))
    })
    .await
    .unwrap();
    let mut names: Vec<_> = listed.iter().map(|it| (it["displayName"].clone(), it["name"].clone())).collect();
    names.sort_by_key(|(_, name)| name.to_string());
    assert_eq!(names, [(json!("Blog"), json!("blog")), (json!("Shop front"), json!("shop-front"))]);
    let taken = target.taken();
    assert!(!taken.is_empty() && taken.iter().all(|request| request.path == "/shop"), "the blog rests");
    let credential = taken[0].headers.get("authorization").map(String::as_str);
    assert_eq!(credential, Some("Bearer s3cret"), "the Secret beside the manifest counts");
}

/// What the command prints for a file that comes through a pipe.
fn piped(arguments: &[&str], text: &str) -> String {
    let mut child = command(arguments)
        .arg("/dev/stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn an_import_of_monitors_fails_where_it_cannot_do_what_it_was_asked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup.json");
    let import =
        |arguments: &[&str]| command(&["import", "monitors"]).args(arguments).arg(&file).output().unwrap();
    let missing = import(&[]);
    assert!(!missing.status.success());
    assert!(stderr(&missing).contains(&file.display().to_string()), "{}", stderr(&missing));

    fs::write(&file, "{}").unwrap();
    let unknown = import(&[]);
    assert!(!unknown.status.success() && unknown.stdout.is_empty());
    assert!(stderr(&unknown).contains("say what it is by --from"), "{}", stderr(&unknown));

    // One monitor of two has a probe here.
    let backup = json!({ "monitorList": [
        { "id": 1, "type": "http", "name": "front", "url": "http://127.0.0.1:1/", "interval": 60 },
        { "id": 2, "type": "mqtt", "name": "queue", "interval": 60 },
    ]});
    fs::write(&file, backup.to_string()).unwrap();
    for (arguments, success) in [(&[][..], true), (&["--strict"][..], false)] {
        let output = import(arguments);
        let told = stderr(&output);
        assert_eq!(output.status.success(), success, "{told}");
        assert!(told.contains("not translated: queue: monitors of type `mqtt`"), "{told}");
        assert!(stdout(&output).contains("name: front") && !stdout(&output).contains("queue"));
        assert_eq!(told.contains("--strict was given"), !success, "{told}");
    }
}

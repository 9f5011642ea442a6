//! A website reports its views with Python's `requests`, and its owner reads them back and runs the jobs,
//! as the README of site-analytics describes it: the real binary, on both stores.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use watchkeeper_e2e::clients::python;
use watchkeeper_testkit::dns::{Dns, Reply};
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::rundir::RunDir;
use watchkeeper_testkit::watchkeeper::Watchkeeper;
use watchkeeper_testkit::{paths, program};

const SECRET: &str = "site s3cret";

/// What the website or its owner got as answers, in order.
fn answers(url: &str, what: &str) -> Result<Vec<(i64, String)>> {
    let script = paths::workspace().join("e2e/clients/python/site_analytics.py");
    let output = Command::new(python()?)
        .arg("-B")
        .arg(script)
        .args([url, what])
        .env("SECRET", SECRET)
        .env("NO_PROXY", "127.0.0.1")
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{what}: {}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    let answer = |line: &str| -> Result<(i64, String)> {
        let answer: Value = serde_json::from_str(line)?;
        Ok((
            answer["status"].as_i64().context("status")?,
            answer["text"].as_str().context("text")?.to_owned(),
        ))
    };
    lines.lines().map(answer).collect()
}

/// Where a job finds the store.
#[derive(Clone)]
struct Place {
    data: PathBuf,
    database: Option<String>,
}

/// Runs `watchkeeper site` and gives what it wrote.
fn job(place: &Place, arguments: &[&str]) -> Result<(String, String)> {
    let mut command = Command::new(program::find("watchkeeper")?);
    command.arg("site").args(arguments).arg("--data").arg(&place.data).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WATCHKEEPER_")) {
        command.env_remove(name);
    }
    if let Some(url) = &place.database {
        command.env("WATCHKEEPER_DATABASE_URL", url);
    }
    let output = command.output()?;
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success(), "{arguments:?}: {}: {out}{err}", output.status);
    Ok((out, err))
}

fn postgres() -> String {
    Postgres::shared().and_then(Postgres::database).unwrap()
}

#[test]
fn a_website_and_its_owner_are_served_on_the_embedded_store() {
    a_website_and_its_owner(None);
}

#[test]
fn a_website_and_its_owner_are_served_on_postgres() {
    a_website_and_its_owner(Some(postgres()));
}

fn a_website_and_its_owner(database: Option<String>) {
    let directory = RunDir::new("site").unwrap();
    let (secret, log) = (directory.path().join("secret"), directory.path().join("traffic.csv"));
    std::fs::write(&secret, SECRET).unwrap();
    let dns = Dns::start().unwrap();
    dns.say([8, 8, 8, 8], Reply::Name("dsl-8.provider.example".into()));
    let server = dns.address().to_string();
    let mut local = Watchkeeper::local()
        .arg("--site-secret-file")
        .arg(&secret)
        .arg("--dns-server")
        .arg(&server)
        // The original's name of it.
        .env("SITEANALYTICS_LOG_PATH", &log);
    if let Some(url) = &database {
        local = local.database(url);
    }
    let watchkeeper = local.start().unwrap();
    let url = watchkeeper.base_url();

    let reported = answers(&url, "report").unwrap();
    let statuses: Vec<i64> = reported.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 401, 400], "{reported:?}");
    assert!(reported[..3].iter().all(|(_, text)| text.is_empty()));
    assert!(reported[4].1.starts_with("Invalid parameters: {'ip_address': ['Missing data"), "{reported:?}");
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert!(lines.contains(",/post?id=1&x=%20,8.8.8.8,Mozilla/5.0 (X11;"), "{lines}");

    // Beside the running process, which may have been quicker.
    let place = Place { data: watchkeeper.data().to_owned(), database };
    let (out, _) = job(&place, &["process-data", "--dns-server", &server]).unwrap();
    assert!(out.starts_with("Processed "), "{out}");

    let read = answers(&url, "read").unwrap();
    let (unauthorized, unclassified) = (&read[read.len() - 2], &read[read.len() - 1]);
    assert_eq!((unauthorized.0, unclassified.0), (401, 400));
    let rows: Vec<Value> = read[..read.len() - 2]
        .iter()
        .map(|(status, text)| {
            assert_eq!(*status, 200, "{text}");
            serde_json::from_str(text).unwrap()
        })
        .collect();
    let sum = |rows: &Value, column: &str| -> i64 {
        rows.as_array().unwrap().iter().filter_map(|row| row[column].as_i64()).sum()
    };
    assert_eq!((sum(&rows[0], "bot"), sum(&rows[1], "user"), sum(&rows[1], "bot")), (1, 3, 1));
    let lists: BTreeMap<&str, &Value> = ["countries", "cities", "urls", "hostnames"]
        .into_iter()
        .zip(rows[2..].chunks(2).map(|pair| &pair[0]))
        .collect();
    assert_eq!(
        *lists["urls"],
        json!([{ "url": "/", "value": 2 }, { "url": "/post?id=1&x=%20", "value": 1 }])
    );
    assert_eq!(
        *lists["hostnames"],
        json!([{ "hostname": "provider.example", "value": 2 }, { "hostname": null, "value": 1 }])
    );
    assert_eq!(rows[7], json!([{ "url": "/", "value": 1 }]), "the README's Googlebot");
    assert_eq!(dns.asked().get("8.8.8.8.in-addr.arpa"), Some(&1));
    assert!(!dns.asked().contains_key("1.0.0.127.in-addr.arpa"), "{:?}", dns.asked());
}

#[test]
fn the_jobs_work_on_the_embedded_store() {
    the_jobs(None);
}

#[test]
fn the_jobs_work_on_postgres() {
    the_jobs(Some(postgres()));
}

fn the_jobs(database: Option<String>) {
    let directory = RunDir::new("site-jobs").unwrap();
    let place = Place { data: directory.path().join("data"), database };
    let run = |arguments: &[&str]| job(&place, arguments).unwrap();
    let said = |arguments: &[&str]| run(arguments).0.trim().to_owned();

    assert!(said(&["reset-db"]).contains("nothing to delete"));
    for _ in 0..2 {
        assert_eq!(said(&["init-db"]), "The database is ready; the website's project is `site`.");
    }
    let log = directory.path().join("log.csv");
    let agent = "Mozilla/5.0 (KHTML, like Gecko) Firefox/120.0";
    std::fs::write(
        &log,
        format!(
            "11-14-2023-12:00:00:000000,/old,1.1.1.1,{agent}\nnonsense\n{},/new,2.2.2.2,\"{agent}\"\n",
            jiff::Timestamp::now()
        ),
    )
    .unwrap();
    let log = log.to_str().unwrap();
    let (out, err) = run(&["run-import", log]);
    assert_eq!(out.trim(), "Imported 2 views, skipped 1 lines.");
    assert!(err.contains("2 views so far") && err.contains("skipped line 2: "), "{err}");

    // Nothing that was not processed goes.
    assert_eq!(said(&["garbage-collect", "--max_age_days", "30"]), "Deleted 0 views.");
    assert_eq!(said(&["process-data", "--reverse-dns", "off"]), "Processed 2 addresses of 2 days.");
    assert_eq!(said(&["process-data", "--reverse-dns", "off"]), "Processed 0 addresses of 0 days.");
    assert_eq!(said(&["garbage-collect", "--max_age_days", "30"]), "Deleted 1 views.");
    assert_eq!(said(&["garbage-collect", "--max_age_days", "30"]), "Deleted 0 views.");
    assert_eq!(said(&["reset-db"]), "Deleted every view of the project `site`.");
    assert_eq!(said(&["process-data", "--reverse-dns", "off"]), "Processed 0 addresses of 0 days.");

    let other = said(&["run-import", log, "--site-project", "elsewhere"]);
    assert_eq!(other, "Imported 2 views, skipped 1 lines.");
    assert!(job(&place, &["garbage-collect"]).is_err(), "an age has no default");
    assert!(job(&place, &["run-import", "/no/such/file"]).is_err());
}

//! `watchkeeper export`, `import`, `person` and `erase` as a user types them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use watchkeeper_e2e::oracles::Oracles;
use watchkeeper_e2e::upstream::http_client;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::program;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const KEYS: [(&str, &str); 2] =
    [("shop", "00000000-0000-4000-8000-00000000a001"), ("copy", "00000000-0000-4000-8000-00000000a002")];

/// Runs a command on a store: an embedded one's directory, or Postgres by its URL.
fn run(data: &Path, database: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(program::find("watchkeeper").unwrap());
    command.env_remove("WATCHKEEPER_DATABASE_URL");
    if let Some(url) = database {
        command.env("WATCHKEEPER_DATABASE_URL", url);
    }
    command.args(arguments).arg("--data").arg(data).output().unwrap()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A server with two projects, of which `shop` has hits.
async fn seeded(data: &Path, database: Option<&str>) -> Watchkeeper {
    let mut local = Watchkeeper::local().data(data);
    if let Some(url) = database {
        local = local.database(url);
    }
    let server = local.start().unwrap();
    let token = fs::read_to_string(data.join("admin-token")).unwrap();
    let client = http_client().unwrap();
    for (name, key) in KEYS {
        let url = format!("{}/api/v1/projects/{name}", server.base_url());
        let put = client.put(url).bearer_auth(token.trim()).body(json!({ "key": key }).to_string());
        assert!(put.send().await.unwrap().status().is_success());
    }
    let requests: Vec<Value> = (0..300)
        .map(|n| {
            json!({
                "path": format!("/page/{}", n % 7), "method": "GET", "status": if n % 10 == 0 { 500 } else { 200 },
                "response_time": n, "hostname": "shop.example", "ip_address": "8.8.8.8",
                "user_agent": "=HYPERLINK(\"https://evil.example\")", "user_id": if n % 3 == 0 { "ann" } else { "bob" },
                "created_at": "2026-02-03T04:05:06Z",
            })
        })
        .collect();
    let batch = json!({ "api_key": KEYS[0].1, "framework": "FastAPI", "requests": requests });
    let post = client.post(format!("{}/api/log-request", server.base_url())).body(batch.to_string());
    assert_eq!(post.send().await.unwrap().status(), 201);
    server
}

/// Lines of an export, in an order of their own.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn tells_of_what_it_did(data: &Path, database: Option<&str>) {
    let run = |arguments: &[&str]| run(data, database, arguments);
    let all = good(&run(&["export", "--project", "shop", "--format", "ndjson"]));
    assert_eq!(all.lines().count(), 300);
    let failed =
        ["export", "--project", "shop", "--format", "ndjson", "--filters", "[[\"is\",\"status\",[500]]]"];
    assert_eq!(good(&run(&failed)).lines().count(), 30);

    for extension in ["csv", "ndjson", "parquet"] {
        let file = data.join(format!("hits.{extension}"));
        let file = file.to_str().unwrap();
        good(&run(&["export", "--project", "shop", "--format", extension, "--output", file]));
        let imported = run(&["import", "hits", "--project", "copy", file]);
        good(&imported);
        let told = String::from_utf8_lossy(&imported.stderr).into_owned();
        assert!(told.contains("300 rows read, 300 hits stored, 0 rows not taken"), "{told}");
        let copy = good(&run(&["export", "--project", "copy", "--format", "ndjson"]));
        assert_eq!(lines(&copy), lines(&all), "{extension}");
        let erased = ["ann", "bob"].map(|user| {
            let text = good(&run(&["erase", "--project", "copy", "--user", user]));
            serde_json::from_str::<Value>(&text).unwrap()["hits"].as_u64().unwrap()
        });
        assert_eq!(erased, [100, 200], "{extension}");
    }
    let file = data.join("hits.csv");
    good(&run(&["import", "hits", "--project", "copy", "--privacy-level", "1", file.to_str().unwrap()]));
    let copy = good(&run(&["export", "--project", "copy", "--format", "ndjson"]));
    assert!(!copy.contains("8.8.8.8"), "the installation's level holds for an import too");

    let person = good(&run(&["person", "--project", "shop", "--user", "ann"]));
    let person: Value = serde_json::from_str(&person).unwrap();
    assert_eq!(person["hits"].as_array().unwrap().len(), 100);

    let csv = fs::read_to_string(data.join("hits.csv")).unwrap();
    assert!(csv.contains(",\"'=HYPERLINK(") && !csv.contains(",\"=HYPERLINK("), "{}", &csv[..600]);
    for (arguments, message) in [
        (vec!["export", "--project", "none"], "There is no such project."),
        (vec!["export", "--project", "shop", "--period", "8d"], "date_range: There is no period `8d`"),
        (vec!["import", "hits", "--project", "none", "x.csv"], "cannot read x.csv"),
        (vec!["erase", "--project", "shop", "--ip", ""], "ip: Must not be empty."),
    ] {
        let output = run(&arguments);
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(message), "{arguments:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_go_out_and_in_on_an_embedded_store() {
    let directory = tempfile::tempdir().unwrap();
    let server = seeded(directory.path(), None).await;
    let file = directory.path().join("hits.ndjson");
    // Reading beside a running server is fine; writing is its business alone.
    good(&run(
        directory.path(),
        None,
        &["export", "--project", "shop", "--format", "ndjson", "-o", file.to_str().unwrap()],
    ));
    let refused =
        run(directory.path(), None, &["import", "hits", "--project", "copy", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("another watchkeeper uses the data directory"));
    drop(server);
    tells_of_what_it_did(directory.path(), None);

    // Another engine reads the Parquet file, without knowing anything of us.
    let statement = "SELECT path, count(*), max(duration_us), sum(CASE WHEN status >= 500 THEN 1 ELSE 0 END)::BIGINT \
                     FROM hits WHERE bot IS NOT NULL GROUP BY path ORDER BY path LIMIT 2";
    let rows =
        Oracles::new().unwrap().query_parquet(&directory.path().join("hits.parquet"), statement).unwrap();
    assert_eq!(rows, json!([["/page/0", 43, 294_000, 5], ["/page/1", 43, 295_000, 4]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_go_out_and_in_on_postgres_while_it_serves() {
    let url = Postgres::shared().and_then(Postgres::database).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let _server = seeded(directory.path(), Some(&url)).await;
    tells_of_what_it_did(directory.path(), Some(&url));
}

/// Hits of an export, in an order of their own.
fn hits(ndjson: &str) -> Vec<BTreeMap<String, Value>> {
    let mut hits: Vec<BTreeMap<_, _>> =
        ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    hits.sort_by_cached_key(|hit| format!("{hit:?}"));
    hits
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_engine_are_taken_in_whatever_its_codec_and_its_types() {
    let directory = tempfile::tempdir().unwrap();
    drop(seeded(directory.path(), None).await);
    let run = |arguments: &[&str]| run(directory.path(), None, arguments);
    let own = directory.path().join("hits.parquet");
    good(&run(&["export", "--project", "shop", "--format", "parquet", "-o", own.to_str().unwrap()]));
    let mut wanted = hits(&good(&run(&["export", "--project", "shop", "--format", "ndjson"])));
    assert_eq!(wanted.len(), 300);
    for hit in &mut wanted {
        hit.insert("response_bytes".into(), json!(200));
    }
    wanted.sort_by_cached_key(|hit| format!("{hit:?}"));

    let oracles = Oracles::new().unwrap();
    let columns = "* REPLACE (make_timestamp(ts * 1000) AS ts, status::INTEGER AS status, \
                   duration_us::UINTEGER AS duration_us, 200::UTINYINT AS response_bytes)";
    for (number, options) in [
        "COMPRESSION snappy",
        "COMPRESSION gzip",
        "COMPRESSION zstd",
        "COMPRESSION brotli",
        "COMPRESSION lz4_raw",
        "COMPRESSION uncompressed",
        "COMPRESSION snappy, PARQUET_VERSION V2",
    ]
    .into_iter()
    .enumerate()
    {
        let file = directory.path().join(format!("foreign-{number}.parquet"));
        let file = file.to_str().unwrap();
        let written = format!("COPY (SELECT {columns} FROM hits) TO '{file}' (FORMAT parquet, {options})");
        assert_eq!(oracles.query_parquet(&own, &written).unwrap(), json!([[300]]), "{options}");
        good(&run(&["import", "hits", "--project", "copy", file]));
        let found = hits(&good(&run(&["export", "--project", "copy", "--format", "ndjson"])));
        assert_eq!(found, wanted, "{options}");
        for user in ["ann", "bob"] {
            good(&run(&["erase", "--project", "copy", "--user", user]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_valid() {
    let server = Watchkeeper::local().start().unwrap();
    let get = http_client().unwrap().get(format!("{}/openapi.json", server.base_url()));
    let document = get.send().await.unwrap().text().await.unwrap();
    let oracles = Oracles::new().unwrap();
    oracles.judge_openapi(&document).unwrap();
    let broken = document.replacen("\"responses\"", "\"answers\"", 1).replacen("\"info\"", "\"about\"", 1);
    assert!(oracles.judge_openapi(&broken).is_err());
}

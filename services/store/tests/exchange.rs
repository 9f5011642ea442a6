//! Files: what is written is read back exactly, whatever the hits hold and whatever store takes them.

use std::{fs::File, io::Write};

use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_store::{
    Hit, Options, ProjectId, Store, StoreError,
    exchange::{Format, HitWriter, ImportCause, Imported, Source, columns},
};
use watchkeeper_testkit::postgres::Postgres;

/// Texts as strangers send them: formulas, quotes, line ends, and nothing at all.
fn text() -> impl Strategy<Value = Option<String>> {
    let nasty = prop::sample::select(vec![
        "",
        "'",
        "''",
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\t=1",
        "\r",
        "\n",
        "a\r\nb",
        "\"",
        ",",
        "a,\"b\"",
        "null",
        "true",
        " ",
        "é\u{1F600}",
        "'=x",
        "\0",
    ]);
    option::of(prop_oneof![nasty.prop_map(str::to_owned), ".{0,20}"])
}

fn hit() -> impl Strategy<Value = Hit> {
    let number = || option::of(any::<i64>());
    let flag = || option::of(any::<bool>());
    let times = 0..253_402_300_800_000_i64;
    let texts = vec(text(), 16);
    (times, texts, option::of(any::<i32>()), (number(), number(), number(), number()), (flag(), flag()))
        .prop_map(
            |(ts, texts, status, (duration_us, request_bytes, response_bytes, visitor), (bot, home))| {
                let mut texts = texts.into_iter();
                let mut next = || texts.next().flatten();
                Hit {
                    ts,
                    source: next(),
                    method: next(),
                    host: next(),
                    path: next(),
                    query: next(),
                    route: next(),
                    status,
                    duration_us,
                    request_bytes,
                    response_bytes,
                    http_version: next(),
                    ip: next(),
                    user_agent: next(),
                    user: next(),
                    referrer: next(),
                    country: next(),
                    framework: next(),
                    visitor,
                    client: next(),
                    os: next(),
                    device: next(),
                    bot,
                    home,
                    log: next(),
                }
            },
        )
}

fn write(format: Format, hits: &[Hit]) -> Vec<u8> {
    let mut writer = HitWriter::new(format).expect("writer");
    let mut file = Vec::new();
    for batch in hits.chunks(7) {
        file.extend(writer.write(batch).expect("write"));
    }
    file.extend(writer.finish().expect("finish"));
    file
}

async fn import(store: &Store, project: ProjectId, format: Format, file: Vec<u8>) -> Imported {
    let source = Source::Stream(Box::new(std::io::Cursor::new(file)));
    store.import(project, format, source, None, |_| {}, |_| {}).await.expect("import")
}

/// What a project holds, in an order of its own.
async fn held(store: &Store, project: ProjectId) -> Vec<Hit> {
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    sorted(hits)
}

fn sorted(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_by_cached_key(|hit| format!("{hit:?}"));
    hits
}

async fn project(store: &Store) -> ProjectId {
    store.register_key(Uuid::new_v4()).await.expect("register").id
}

fn files_are_read_back_exactly_into(runtime: &tokio::runtime::Runtime, store: &Store) {
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    runner
        .run(&vec(hit(), 0..40), |hits| {
            for format in Format::ALL {
                let found = runtime.block_on(async {
                    let project = project(store).await;
                    let done = import(store, project, format, write(format, &hits)).await;
                    assert_eq!((done.imported, done.rejected), (hits.len() as u64, 0), "{:?}", done.errors);
                    held(store, project).await
                });
                prop_assert_eq!(&found, &sorted(hits.clone()), "{}", format);
            }
            Ok(())
        })
        .expect("a round trip");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("runtime")
}

async fn sqlite() -> (TempDir, Store) {
    let directory = TempDir::new().expect("temporary directory");
    let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
    (directory, store)
}

#[test]
fn files_are_read_back_exactly_into_sqlite() {
    let runtime = runtime();
    let (_directory, store) = runtime.block_on(sqlite());
    files_are_read_back_exactly_into(&runtime, &store);
}

#[test]
fn files_are_read_back_exactly_into_postgres() {
    let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
    let runtime = runtime();
    let options = Options::postgres(&url, None).expect("options");
    let store = runtime.block_on(Store::open(&options)).expect("open");
    files_are_read_back_exactly_into(&runtime, &store);
}

#[test]
fn no_cell_of_a_text_begins_a_formula() {
    let hits: Vec<_> = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
        .into_iter()
        .map(|path| Hit { path: Some(path.into()), ..Hit::default() })
        .collect();
    let file = write(Format::Csv, &hits);
    let mut reader = csv::Reader::from_reader(file.as_slice());
    let path = columns().position(|name| name == "path").expect("a column");
    let mut cells = 0;
    for record in reader.records() {
        assert!(record.expect("record")[path].starts_with('\''));
        cells += 1;
    }
    assert_eq!(cells, hits.len());
}

#[tokio::test]
async fn a_bad_row_costs_none_of_the_others_and_is_told() {
    let (_directory, store) = sqlite().await;
    for (format, file) in [
        (
            Format::Csv,
            "path,ts,extra,status\r\n/a,5,x,200\r\n/b,,x,200\r\n/c,6,x,many\r\n/d,7\r\n/e,1970-01-01T00:00:00.008Z,x,\r\n",
        ),
        (
            Format::Ndjson,
            "{\"ts\": 5, \"path\": \"/a\", \"status\": 200, \"extra\": 1}\n{\"path\": \"/b\"}\n\
             {\"ts\": 6, \"path\": \"/c\", \"status\": \"many\"}\n[1]\n\n{\"ts\": \"1970-01-01T00:00:00.008Z\", \"path\": \"/e\"}",
        ),
    ] {
        let project = project(&store).await;
        let done = import(&store, project, format, file.into()).await;
        assert_eq!((done.rows, done.imported, done.rejected), (5, 2, 3), "{format}");
        assert_eq!(done.ignored, ["extra"], "{format}");
        let errors: Vec<_> = done.errors.iter().map(|error| (error.row, error.field.as_str())).collect();
        assert_eq!(errors, [(2, "ts"), (3, "status"), (4, "")], "{format}");
        let found: Vec<_> = held(&store, project).await.into_iter().map(|hit| (hit.ts, hit.path)).collect();
        assert_eq!(found, [(5, Some("/a".into())), (8, Some("/e".into()))], "{format}");
    }
}

#[tokio::test]
async fn a_file_that_is_none_stores_nothing_and_says_why() {
    let (_directory, store) = sqlite().await;
    let project = project(&store).await;
    for (format, file) in [
        (Format::Csv, "path,status\n/a,200\n".as_bytes().to_vec()),
        (Format::Parquet, b"PAR1 this is none".to_vec()),
        (Format::Csv, [b"ts,path\n1,\"".to_vec(), vec![b'x'; 3 << 20]].concat()),
        (Format::Ndjson, vec![b'x'; 3 << 20]),
    ] {
        let source = Source::Stream(Box::new(std::io::Cursor::new(file)));
        let error = store.import(project, format, source, None, |_| {}, |_| {}).await.expect_err("no file");
        assert!(matches!(error.cause, ImportCause::File(_)), "{error}");
        assert_eq!(error.done.imported, 0);
    }
    assert!(held(&store, project).await.is_empty());
}

#[tokio::test]
async fn a_parquet_file_on_disk_of_several_row_groups_is_read_and_counted() {
    let (directory, store) = sqlite().await;
    let hits: Vec<_> = (0..70_000).map(|ts| Hit { ts, path: Some("/".into()), ..Hit::default() }).collect();
    let path = directory.path().join("hits.parquet");
    File::create(&path).and_then(|mut file| file.write_all(&write(Format::Parquet, &hits))).expect("file");
    let project = project(&store).await;
    let source = Source::File(File::open(&path).expect("open"));
    let mut told = Vec::new();
    let done = store
        .import(
            project,
            Format::Parquet,
            source,
            None,
            |hit| hit.host = Some("h".into()),
            |done| told.push(done.imported),
        )
        .await
        .expect("import");
    assert_eq!((done.rows, done.imported), (70_000, 70_000));
    assert!(told.is_sorted() && told.last() == Some(&70_000) && told.len() > 5, "{told:?}");
    let found = held(&store, project).await;
    assert!(found.len() == 70_000 && found.iter().all(|hit| hit.host.as_deref() == Some("h")));
}

/// A file of so many rows that ends well, or breaks off.
fn rows(count: i64, ends: bool) -> Source {
    let lines: String = (0..count).map(|ts| format!("{ts},/\n")).collect();
    let file = std::io::Cursor::new(format!("ts,path\n{lines}"));
    let end: Box<dyn std::io::Read + Send> = if ends { Box::new(std::io::empty()) } else { Box::new(Broken) };
    Source::Stream(Box::new(std::io::Read::chain(file, end)))
}

struct Broken;

impl std::io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("it broke off"))
    }
}

async fn a_file_under_a_key_is_stored_once_also_after_it_broke_off(store: Store) {
    let project = project(&store).await;
    let import = async |source, key: &str| {
        let key = Some(key.as_bytes().to_vec());
        // What is stored may change; what is compared is the file.
        store.import(project, Format::Csv, source, key, |hit| hit.visitor = Some(rand_id()), |_| {}).await
    };
    let broken = import(rows(7_000, false), "k").await.expect_err("broken off");
    assert_eq!(broken.done.imported, 5_000, "no part of a batch");
    assert_eq!(import(rows(12_000, true), "k").await.expect("whole").imported, 12_000);
    assert_eq!(import(rows(12_000, true), "k").await.expect("again").imported, 12_000);
    assert_eq!(held(&store, project).await.len(), 12_000);
    let other = import(rows(11, true), "k").await.expect_err("another file");
    assert!(matches!(other.cause, ImportCause::Store(StoreError::KeyReused)), "{other}");
    assert_eq!(import(rows(11, true), "l").await.expect("another key").imported, 11);
    assert_eq!(held(&store, project).await.len(), 12_011);
}

fn rand_id() -> i64 {
    Uuid::new_v4().as_u64_pair().0.cast_signed()
}

#[tokio::test]
async fn a_file_under_a_key_is_stored_once_in_sqlite() {
    let (_directory, store) = sqlite().await;
    a_file_under_a_key_is_stored_once_also_after_it_broke_off(store).await;
}

#[tokio::test]
async fn a_file_under_a_key_is_stored_once_in_postgres() {
    let url = Postgres::shared().and_then(Postgres::database).expect("a Postgres database");
    let options = Options::postgres(&url, None).expect("options");
    a_file_under_a_key_is_stored_once_also_after_it_broke_off(Store::open(&options).await.expect("open"))
        .await;
}

#[tokio::test]
async fn a_parquet_file_that_repeats_a_long_text_is_read_in_little_memory() {
    let (_directory, store) = sqlite().await;
    let project = project(&store).await;
    // Together they would be more than any array of texts can hold.
    let text = "x".repeat(600 << 10);
    let hits: Vec<_> = (0..8).map(|ts| Hit { ts, path: Some(text.clone()), ..Hit::default() }).collect();
    let mut writer = HitWriter::new(Format::Parquet).expect("writer");
    let mut file = Vec::new();
    for _ in 0..512 {
        file.extend(writer.write(&hits).expect("write"));
    }
    file.extend(writer.finish().expect("finish"));
    assert!(file.len() < 1 << 20, "{} bytes", file.len());
    let done = import(&store, project, Format::Parquet, file).await;
    assert_eq!((done.rows, done.imported, done.rejected), (4_096, 0, 4_096), "{:?}", done.errors.first());
    assert_eq!(done.errors[0].field, "path");
}

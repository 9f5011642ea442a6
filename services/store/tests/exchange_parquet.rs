//! Parquet as other programs write it: any codec, any type of integer, moments of any precision.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array, types::Int32Type,
};
use parquet::{
    arrow::ArrowWriter,
    basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel},
    file::properties::{WriterProperties, WriterVersion},
};
use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_store::{
    Hit, Options, ProjectId, Store,
    exchange::{Format, ImportCause, ImportError, Imported, Source},
};

async fn sqlite() -> (TempDir, Store) {
    let directory = TempDir::new().expect("temporary directory");
    let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
    (directory, store)
}

fn file(codec: Compression, version: WriterVersion, columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("batch");
    let properties = WriterProperties::builder().set_compression(codec).set_writer_version(version).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("writer");
    writer.write(&batch).expect("write");
    writer.into_inner().expect("file")
}

fn plain(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    file(Compression::UNCOMPRESSED, WriterVersion::PARQUET_1_0, columns)
}

/// Imports a file into a project of its own.
async fn import(store: &Store, file: Vec<u8>) -> (ProjectId, Result<Imported, ImportError>) {
    let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
    let source = Source::Stream(Box::new(std::io::Cursor::new(file)));
    (project, store.import(project, Format::Parquet, source, None, |_| {}, |_| {}).await)
}

/// What a file becomes, by time, when all its rows are taken.
async fn taken(store: &Store, file: Vec<u8>) -> Vec<Hit> {
    let (project, done) = import(store, file).await;
    let done = done.expect("import");
    assert_eq!((done.imported, done.rejected), (done.rows, 0), "{:?}", done.errors);
    let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
    let mut hits = Vec::new();
    for day in snapshot.days().to_vec() {
        hits.extend(snapshot.load(day.day).await.expect("load"));
    }
    hits.sort_by_key(|hit| hit.ts);
    hits
}

#[tokio::test]
async fn a_file_of_every_codec_is_read() {
    let (_directory, store) = sqlite().await;
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let paths = (0..2_000).map(|n| (n % 3 != 0).then(|| format!("/products/{}", n % 700)));
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("ts", Arc::new((0..2_000_i64).collect::<Int64Array>())),
                ("path", Arc::new(paths.collect::<StringArray>())),
            ];
            let hits = taken(&store, file(codec, version, columns)).await;
            assert_eq!(hits.len(), 2_000, "{codec:?} {version:?}");
            for (n, hit) in hits.iter().enumerate() {
                let path = (n % 3 != 0).then(|| format!("/products/{}", n % 700));
                let ts = i64::try_from(n).expect("small");
                assert_eq!(hit, &Hit { ts, path, ..Hit::default() }, "{codec:?} {version:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_integer_of_every_type_is_read() {
    let (_directory, store) = sqlite().await;
    let columns: [ArrayRef; 8] = [
        Arc::new(Int8Array::from(vec![Some(127), None])),
        Arc::new(Int16Array::from(vec![Some(127), None])),
        Arc::new(Int32Array::from(vec![Some(127), None])),
        Arc::new(Int64Array::from(vec![Some(127), None])),
        Arc::new(UInt8Array::from(vec![Some(127), None])),
        Arc::new(UInt16Array::from(vec![Some(127), None])),
        Arc::new(UInt32Array::from(vec![Some(127), None])),
        Arc::new(UInt64Array::from(vec![Some(127), None])),
    ];
    for column in columns {
        let data = column.data_type().clone();
        let ts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let file = plain(vec![
            ("ts", ts),
            ("status", Arc::clone(&column)),
            ("duration_us", Arc::clone(&column)),
            ("visitor", column),
        ]);
        let known =
            Hit { ts: 1, status: Some(127), duration_us: Some(127), visitor: Some(127), ..Hit::default() };
        assert_eq!(taken(&store, file).await, [known, Hit { ts: 2, ..Hit::default() }], "{data}");
    }
}

#[tokio::test]
async fn the_largest_values_of_unsigned_types_are_read() {
    let (_directory, store) = sqlite().await;
    let columns: [(ArrayRef, i64); 3] = [
        (Arc::new(UInt8Array::from(vec![u8::MAX])), 255),
        (Arc::new(UInt16Array::from(vec![u16::MAX])), 65_535),
        (Arc::new(UInt32Array::from(vec![u32::MAX])), 4_294_967_295),
    ];
    for (column, value) in columns {
        let ts: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let hits = taken(&store, plain(vec![("ts", ts), ("response_bytes", column)])).await;
        assert_eq!(hits, [Hit { ts: 1, response_bytes: Some(value), ..Hit::default() }]);
    }
    // What has no room costs its row, and is told.
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(Int64Array::from(vec![1, 2]))),
        ("visitor", Arc::new(UInt64Array::from(vec![u64::MAX, 7]))),
    ];
    let done = import(&store, plain(columns)).await.1.expect("import");
    assert_eq!((done.imported, done.rejected), (1, 1));
    let error = &done.errors[0];
    assert_eq!((error.row, error.field.as_str(), error.message.as_str()), (1, "visitor", "is too large"));
}

/// A moment, UTC milliseconds.
const MS: i64 = 1_700_000_000_123;

#[tokio::test]
async fn moments_of_every_precision_are_milliseconds() {
    let (_directory, store) = sqlite().await;
    let columns: [ArrayRef; 6] = [
        Arc::new(TimestampMillisecondArray::from(vec![MS])),
        Arc::new(TimestampMicrosecondArray::from(vec![MS * 1_000 + 999])),
        Arc::new(TimestampNanosecondArray::from(vec![MS * 1_000_000 + 999_999])),
        Arc::new(TimestampMillisecondArray::from(vec![MS]).with_timezone("UTC")),
        Arc::new(TimestampMicrosecondArray::from(vec![MS * 1_000]).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(vec![MS * 1_000_000]).with_timezone("UTC")),
    ];
    for column in columns {
        let data = column.data_type().clone();
        let hits = taken(&store, plain(vec![("ts", column)])).await;
        assert_eq!(hits, [Hit { ts: MS, ..Hit::default() }], "{data}");
    }
    // A moment before the first is the millisecond before it, and no time here.
    let before: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 0]));
    let (_, done) = import(&store, plain(vec![("ts", before)])).await;
    let done = done.expect("import");
    assert_eq!((done.imported, done.rejected, done.errors[0].field.as_str()), (1, 1, "ts"));
}

#[tokio::test]
async fn a_column_that_cannot_be_read_is_named() {
    let (_directory, store) = sqlite().await;
    let ts = || -> ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), Some(2)])]);
    for (columns, told) in [
        (
            vec![("ts", ts()), ("status", Arc::new(Float64Array::from(vec![200.0])) as ArrayRef)],
            "column `status` has type Float64, which cannot be read",
        ),
        (vec![("ts", ts()), ("path", ts())], "column `path` has type Int64, which cannot be read"),
        (
            vec![("ts", ts()), ("path", Arc::new(list) as ArrayRef)],
            "column `path` is nested, which cannot be read",
        ),
        (vec![("path", Arc::new(StringArray::from(vec!["/"])) as ArrayRef)], "there is no column `ts`"),
    ] {
        let (_, done) = import(&store, plain(columns)).await;
        let error = done.expect_err("no such file");
        assert!(matches!(&error.cause, ImportCause::File(why) if why == told), "{error}");
        assert_eq!(error.done.imported, 0);
    }
}

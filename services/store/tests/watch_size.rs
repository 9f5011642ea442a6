//! What results take at rest on each database: everything that it keeps of them, rows, pages and indexes.

#[macro_use]
mod common;

use std::time::Duration;

use common::{Fresh, open};
use sqlx::{AnyConnection, Connection, Row};
use watchkeeper_store::{
    Check, DAY_MS, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Origin, Phases, Probe, ProjectId, Store,
    now_ms,
};

const PROJECT: ProjectId = ProjectId::INSTALLATION;

on_both! {
    a_day_of_checks_a_minute_takes_at_most_eight_bytes_each
    an_hour_of_checks_a_second_takes_at_most_eight_bytes_each
    few_checks_of_hours_become_one_row
}

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % most).expect("small")
    }
}

/// New endpoints; their ids.
async fn endpoints(store: &Store, count: usize, interval: i64) -> Vec<i64> {
    for number in 0..count {
        let uid = format!("e{number}");
        let new = NewEndpoint {
            uid: uid.clone(),
            origin: Origin::Kubernetes,
            project: PROJECT,
            namespace: "default".into(),
            name: uid.clone(),
            generation: 1,
            spec: EndpointSpec {
                interval: Duration::from_millis(interval.unsigned_abs()),
                ..EndpointSpec::new(uid, Probe::Http(HttpProbe::new("https://example.com/")))
            },
        };
        store.put_endpoint(&new).await.expect("put");
    }
    store.endpoints().await.expect("endpoints").iter().map(|endpoint| endpoint.id).collect()
}

/// Records checks as busy endpoints have them: late by some milliseconds, each phase different, few bad.
async fn record(store: &Store, numbers: &mut Numbers, ids: &[i64], from: i64, interval: i64, count: i64) {
    let mut checks = Vec::new();
    for number in 0..count {
        for id in ids {
            let [resolve_us, connect_us, tls_us, processing_us, transfer_us] = [
                numbers.below(400),
                300 + numbers.below(800),
                2_000 + numbers.below(3_000),
                9_000 + numbers.below(60_000),
                numbers.below(700),
            ];
            let bad = numbers.below(2_000) == 0;
            let result = LastCheck {
                at: from + number * interval + numbers.below(5),
                ok: !bad,
                status: Some(if bad { 503 } else { 200 }),
                duration_us: resolve_us + connect_us + tls_us + processing_us,
                message: bad.then(|| "status 503, expected 2xx".into()),
                phases: Some(Phases { resolve_us, connect_us, tls_us, processing_us, transfer_us }),
                certificate_expires_at: Some(1_900_000_000_000),
                ..LastCheck::default()
            };
            checks.push(Check { project: PROJECT, endpoint: *id, result });
        }
    }
    store.record_checks(&checks).await.expect("record");
}

/// Bytes that the database keeps in use: of the table and all that belongs to it, or of the whole file.
async fn size(fresh: &Fresh) -> i64 {
    let mut connection = AnyConnection::connect(fresh.options.url()).await.expect("connect");
    let sql = if fresh.options.is_embedded() {
        "SELECT CAST((c.page_count - f.freelist_count) * s.page_size AS BIGINT) \
         FROM pragma_page_count() c, pragma_freelist_count() f, pragma_page_size() s"
    } else {
        // Pages of what was merged are free for what comes next.
        sqlx::query("VACUUM FULL check_segments").execute(&mut connection).await.expect("vacuum");
        "SELECT pg_total_relation_size('check_segments')"
    };
    sqlx::query(sql).fetch_one(&mut connection).await.expect("size").get(0)
}

async fn pieces(fresh: &Fresh) -> (i64, i64) {
    let mut connection = AnyConnection::connect(fresh.options.url()).await.expect("connect");
    let sql = "SELECT CAST(COUNT(*) AS BIGINT), CAST(SUM(rows) AS BIGINT) FROM check_segments";
    let row = sqlx::query(sql).fetch_one(&mut connection).await.expect("pieces");
    (row.get(0), row.get(1))
}

async fn a_day_of_checks_a_minute_takes_at_most_eight_bytes_each(fresh: Fresh) {
    let store = open(&fresh).await;
    let ids = endpoints(&store, 60, 60_000).await;
    let before = size(&fresh).await;
    // A day that is past: its pieces are one.
    let start = (now_ms() / DAY_MS - 6) * DAY_MS;
    let mut numbers = Numbers(11);
    for hour in 0..24 {
        record(&store, &mut numbers, &ids, start + hour * 3_600_000, 60_000, 60).await;
    }
    store.seal_all_checks().await.expect("seal");
    assert_eq!(pieces(&fresh).await, (60, 60 * 1_440));
    let bytes = size(&fresh).await - before;
    assert!(bytes <= 8 * 60 * 1_440, "{bytes} bytes for {} checks", 60 * 1_440);
}

async fn an_hour_of_checks_a_second_takes_at_most_eight_bytes_each(fresh: Fresh) {
    let store = open(&fresh).await;
    let ids = endpoints(&store, 30, 1_000).await;
    let before = size(&fresh).await;
    // As recent as can be without midnight in it; what comes in a quarter of an hour is sealed at once.
    let start = (now_ms() / DAY_MS - 1) * DAY_MS;
    let mut numbers = Numbers(11);
    for quarter in 0..4 {
        for minute in 0..15 {
            let from = start + (quarter * 15 + minute) * 60_000;
            record(&store, &mut numbers, &ids, from, 1_000, 60).await;
        }
        store.seal_all_checks().await.expect("seal");
    }
    assert_eq!(pieces(&fresh).await, (4 * 30, 3_600 * 30));
    let bytes = size(&fresh).await - before;
    assert!(bytes <= 8 * 30 * 3_600, "{bytes} bytes for {} checks", 30 * 3_600);
}

async fn few_checks_of_hours_become_one_row(fresh: Fresh) {
    let store = open(&fresh).await;
    let ids = endpoints(&store, 1, 60_000).await;
    let start = (now_ms() / DAY_MS - 1) * DAY_MS;
    let mut numbers = Numbers(11);
    for quarter in 0..16 {
        record(&store, &mut numbers, &ids, start + quarter * 900_000, 60_000, 15).await;
        store.seal_all_checks().await.expect("seal");
    }
    // The last of them show that there are enough; the next ones begin another row.
    record(&store, &mut numbers, &ids, start + 16 * 900_000, 60_000, 15).await;
    store.seal_all_checks().await.expect("seal");
    assert_eq!(pieces(&fresh).await, (2, 255));
}

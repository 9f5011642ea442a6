//! Counts and quantiles that no longer fit into memory say by how much they may be off, and are off by
//! no more.
#![allow(clippy::unwrap_used)]

use watchkeeper_analytics::{Analytics, AnalyticsOptions, Dimension, Metric, Panel, Question, Table};
use watchkeeper_store::{Hit, Options, ProjectId, Store};

/// A store whose only project has these hits, sealed.
async fn filled(hits: impl Iterator<Item = Hit>) -> (tempfile::TempDir, Store, ProjectId) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.unwrap();
    let project = store.register_key(uuid::Uuid::new_v4()).await.unwrap().id;
    let mut hits = hits.peekable();
    while hits.peek().is_some() {
        store.append(project, hits.by_ref().take(50_000).collect()).await.unwrap();
    }
    store.seal_all().await.unwrap();
    (directory, store, project)
}

async fn ask(analytics: &Analytics, project: ProjectId, panel: Panel) -> Table {
    let question = Question::new(0, 10).panel(panel);
    analytics.ask(project, &question).await.unwrap().tables.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_distinct_values_than_are_kept_count_within_the_stated_error() {
    // Each path has a hundredth of all addresses: 1.2 M pairs of few texts.
    const PATHS: usize = 1_200;
    const ADDRESSES: usize = 100_000;
    let hit = |n: usize| {
        let (path, turn) = (n % PATHS, n / PATHS);
        let address = std::net::Ipv4Addr::from_bits(u32::try_from(turn * 100 + path % 100).unwrap());
        Hit { ts: 1, path: Some(format!("/{path}")), ip: Some(address.to_string()), ..Hit::default() }
    };
    let (_directory, store, project) = filled((0..PATHS * ADDRESSES / 100).map(hit)).await;
    let analytics = Analytics::new(store);

    let exact = ask(&analytics, project, Panel::by([], [Metric::Addresses])).await;
    assert_eq!((exact.number(), exact.distinct_error), (100_000.0, 0.0));

    let sampled = ask(&analytics, project, Panel::by([Dimension::Path], [Metric::Addresses])).await;
    assert_eq!(sampled.rows.len(), PATHS);
    let error = sampled.distinct_error;
    assert!((0.001..0.1).contains(&error), "{error}");
    for row in &sampled.rows {
        let found = row.metrics[0].unwrap();
        assert!((found / 1_000.0 - 1.0).abs() <= 5.0 * error, "{found} with an error of {error}");
    }
}

#[tokio::test]
async fn quantiles_without_room_for_all_values_are_within_the_stated_error() {
    const HITS: i64 = 100_000;
    // Times in microseconds, each once, in no order.
    let hit = |n: i64| Hit { ts: 1, duration_us: Some(n * 7_919 % HITS * 10), ..Hit::default() };
    let (_directory, store, project) = filled((0..HITS).map(hit)).await;
    let panel = || Panel::by([], [250, 500, 990].map(Metric::Duration));
    let wanted = [0.25, 0.5, 0.99].map(|share| share * 1_000.0);
    let found = |table: &Table| [0, 1, 2].map(|place| table.rows[0].metrics[place].unwrap());

    let exact = ask(&Analytics::new(store.clone()), project, panel()).await;
    assert_eq!(exact.quantile_error, 0.0);
    for (found, wanted) in found(&exact).into_iter().zip(wanted) {
        assert!((found - wanted).abs() <= 0.02, "{found} for {wanted}");
    }

    let narrow = AnalyticsOptions { question_bytes: 300_000, threads: 1, ..AnalyticsOptions::default() };
    let rough = ask(&Analytics::with_options(store, narrow), project, panel()).await;
    let error = rough.quantile_error;
    assert!((0.0001..0.01).contains(&error), "{error}");
    for (found, wanted) in found(&rough).into_iter().zip(wanted) {
        assert!((found / wanted - 1.0).abs() <= error + 0.0001, "{found} for {wanted}");
    }
}

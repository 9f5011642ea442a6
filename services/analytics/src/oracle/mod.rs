//! The engine beside two others that say what its answers must be: the plain meaning of a question,
//! row by row ([`crate::rows`]), and the same question as SQL in SQLite ([`sql`]). Random hits lie in
//! both stores as hits do: in the inbox, sealed, merged, and late.

mod data;
mod questions;
mod sql;

use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use watchkeeper_store::{DAY_MS, Hit, Options, ProjectId, Store};
use watchkeeper_testkit::postgres::Postgres;

use crate::{Analytics, AnalyticsOptions, Answer, AskError, Question, row::Facts, rows};

/// A store with a project full of hits.
struct Filled {
    _directory: Option<TempDir>,
    store: Store,
    project: ProjectId,
    hits: Vec<Hit>,
    facts: Facts,
}

impl Filled {
    async fn sqlite(seed: u64) -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let options = Options::sqlite(directory.path().join("s.db"));
        Self::fill(Some(directory), &options, seed).await
    }

    async fn postgres(seed: u64) -> Self {
        let url = Postgres::shared().expect("postgres").database().expect("database");
        Self::fill(None, &Options::postgres(&url, None).expect("url"), seed).await
    }

    async fn fill(directory: Option<TempDir>, options: &Options, seed: u64) -> Self {
        let store = Store::open(options).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        let other = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        data::tell_addresses(options, project.0).await;
        let mut random = StdRng::seed_from_u64(seed);
        // Eight seals of a day make a merge.
        for round in 0..10 {
            for _ in 0..3 {
                let count = random.random_range(1..40);
                store.append(project, data::hits(&mut random, count)).await.expect("append");
                store.append(other, data::hits(&mut random, 5)).await.expect("append");
            }
            if round < 9 {
                store.seal_all().await.expect("seal");
            }
        }
        store.append(project, data::hits(&mut random, 1)).await.expect("append");
        let mut snapshot = store.snapshot(project, data::FIRST, data::END).await.expect("snapshot");
        let mut hits = Vec::new();
        for day in snapshot.days().to_vec() {
            hits.extend(snapshot.load(day.day).await.expect("load"));
        }
        drop(snapshot);
        let facts = store.address_facts(project).await.expect("facts");
        assert_eq!(facts.len(), 3);
        assert!(hits.len() > 200, "{} hits", hits.len());
        Self { _directory: directory, store, project, hits, facts }
    }

    fn plainly(&self, question: &Question) -> Result<Answer, AskError> {
        rows::answer(question, &self.hits, &self.facts)
    }
}

/// Engines that differ in what they may keep and in how many threads they have.
fn engines(store: &Store) -> [Analytics; 3] {
    let some = |cache_bytes, threads| {
        let options = AnalyticsOptions { cache_bytes, threads, ..AnalyticsOptions::default() };
        Analytics::with_options(store.clone(), options)
    };
    [Analytics::new(store.clone()), some(60_000, 1), some(200_000, 3)]
}

async fn agrees_with_rows(filled: Filled, seed: u64, rounds: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let engines = engines(&filled.store);
    let mut rows = 0;
    for round in 0..rounds {
        let question = questions::any(&mut random);
        let wanted = filled.plainly(&question).expect("plain answer");
        rows += wanted.tables.iter().map(|table| table.rows.len()).sum::<usize>();
        for (place, engine) in engines.iter().enumerate() {
            let found = match engine.ask(filled.project, &question).await {
                Ok(found) => found,
                Err(AskError::Question(text)) if place > 0 && text.contains("--analytics-cache-bytes") => {
                    continue;
                }
                Err(error) => panic!("round {round}, engine {place}: {error}"),
            };
            assert_eq!(found, wanted, "round {round}, engine {place}: {question:#?}");
        }
        for (engine, bound) in engines.iter().zip([256 << 20, 60_000, 200_000]) {
            assert!(engine.cached_bytes() <= bound, "{} bytes", engine.cached_bytes());
        }
    }
    assert!(rows > rounds, "the questions have {rows} rows in all, and so prove little");
}

async fn agrees_with_sql(filled: Filled, seed: u64, rounds: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let engine = Analytics::new(filled.store.clone());
    let mut database = sql::load(&filled.hits).await;
    let mut rows = 0;
    for round in 0..rounds {
        let question = questions::for_sql(&mut random);
        let answer = engine.ask(filled.project, &question).await.expect("answer");
        for (panel, table) in question.panels.iter().zip(&answer.tables) {
            let found = sql::rows(table);
            let (statement, wanted) = sql::ask(&mut database, &question, panel).await;
            rows += wanted.len();
            sql::assert_same(&found, &wanted, &format!("round {round}: {question:#?}\n{statement}"));
        }
    }
    assert!(rows > rounds, "the questions have {rows} rows in all, and so prove little");
}

/// Questions a test; the long form asks many more.
fn rounds() -> usize {
    if std::env::var_os("WATCHKEEPER_SOAK").is_some() { 5_000 } else { 300 }
}

#[tokio::test]
async fn answers_are_those_of_the_plain_meaning_on_sqlite() {
    agrees_with_rows(Filled::sqlite(1).await, 2, rounds()).await;
}

#[tokio::test]
async fn answers_are_those_of_the_plain_meaning_on_postgres() {
    agrees_with_rows(Filled::postgres(3).await, 4, rounds()).await;
}

#[tokio::test]
async fn answers_are_those_of_sql_on_sqlite() {
    agrees_with_sql(Filled::sqlite(5).await, 6, rounds()).await;
}

#[tokio::test]
async fn answers_are_those_of_sql_on_postgres() {
    agrees_with_sql(Filled::postgres(7).await, 8, rounds()).await;
}

#[tokio::test]
async fn what_is_cached_never_hides_what_happened_since() {
    let filled = Filled::sqlite(9).await;
    let engine = Analytics::new(filled.store.clone());
    let mut random = StdRng::seed_from_u64(10);
    let (project, store) = (filled.project, &filled.store);
    let question = questions::wide();
    let mut known = filled.hits.clone();
    for round in 0..12 {
        let fresh = data::hits(&mut random, 20);
        known.extend(fresh.clone());
        store.append(project, fresh).await.expect("append");
        if round % 3 == 2 {
            store.seal_all().await.expect("seal");
        }
        let found = engine.ask(project, &question).await.expect("answer");
        let wanted = rows::answer(&question, &known, &filled.facts).expect("plain answer");
        assert_eq!(found, wanted, "round {round}");
    }
}

#[tokio::test]
async fn a_day_of_another_project_or_outside_of_the_range_is_not_read() {
    let filled = Filled::sqlite(11).await;
    let engine = Analytics::new(filled.store.clone());
    let stranger = filled.store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
    let question = questions::wide();
    let all = engine.ask(filled.project, &question).await.expect("answer");
    assert!(all.tables[0].number() > 200.0);
    assert_eq!(engine.ask(stranger, &question).await.expect("answer").tables[0].number(), 0.0);
    let before = Question { from: data::FIRST - 9 * DAY_MS, to: data::FIRST, ..question };
    assert_eq!(engine.ask(filled.project, &before).await.expect("answer").tables[0].number(), 0.0);
}

#[tokio::test]
async fn a_question_that_needs_too_much_is_refused_and_says_what_to_do() {
    let filled = Filled::sqlite(13).await;
    let ask = async |options| {
        let engine = Analytics::with_options(filled.store.clone(), options);
        match engine.ask(filled.project, &questions::wide()).await {
            Err(AskError::Question(text)) => text,
            other => panic!("{other:?}"),
        }
    };
    let defaults = AnalyticsOptions::default();
    let text = ask(AnalyticsOptions { question_bytes: 5_000, ..defaults }).await;
    assert!(text.contains("too much memory") && text.contains("shorter range"), "{text}");
    let text = ask(AnalyticsOptions { question_groups: 4, ..defaults }).await;
    assert!(text.contains("more than 4 rows") && text.contains("fewer dimensions"), "{text}");
    let text = ask(AnalyticsOptions { cache_bytes: 100, ..defaults }).await;
    assert!(text.contains("--analytics-cache-bytes"), "{text}");
}

#[tokio::test]
async fn a_question_that_is_given_up_makes_room_for_the_next() {
    let filled = Filled::sqlite(15).await;
    let options = AnalyticsOptions { questions: 1, ..AnalyticsOptions::default() };
    let engine = Analytics::with_options(filled.store.clone(), options);
    let question = questions::wide();
    let mut given_up = Box::pin(engine.ask(filled.project, &question));
    assert!(futures::poll!(&mut given_up).is_pending());
    let mut waiting = Box::pin(engine.ask(filled.project, &question));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(given_up);
    let found = waiting.await.expect("answer");
    assert_eq!(found, filled.plainly(&question).expect("plain answer"));
}

#[tokio::test]
async fn the_second_time_every_column_is_found() {
    let filled = Filled::sqlite(17).await;
    let engine = Analytics::new(filled.store.clone());
    let registry = prometheus::Registry::new();
    engine.register(&registry).expect("register");
    let counted = || {
        let families = registry.gather();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect(name);
            family.get_metric()[0].get_counter().get_value()
        };
        (value("watchkeeper_analytics_cache_hits_total"), value("watchkeeper_analytics_cache_misses_total"))
    };
    engine.ask(filled.project, &questions::wide()).await.expect("answer");
    let (found, missed) = counted();
    assert!(found == 0.0 && missed > 0.0, "{found} and {missed}");
    engine.ask(filled.project, &questions::wide()).await.expect("answer");
    assert_eq!(counted(), (missed, missed));
}

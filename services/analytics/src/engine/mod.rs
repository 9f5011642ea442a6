//! The engine behind [`Analytics`](crate::Analytics): columns instead of rows.
//!
//! A batch of hits never changes, so its columns are decoded once and kept ([`cache`]): texts as
//! narrow codes of the batch with the project's code of each ([`column`], [`dictionary`]), numbers as
//! narrow integers ([`codes`]). A question is compiled ([`plan`]); workers take one UTC day after the
//! other, load what is missing ([`load`]) and go through its rows in blocks ([`scan`]): conditions
//! are decided once per distinct text and looked up by code ([`filter`]), every dimension gives a
//! code a row ([`space`]), and each panel adds up groups that are numbered as they come
//! ([`groups`]). At the end the workers' groups are united and become tables ([`table`]).

mod cache;
mod codes;
mod column;
mod day;
mod dictionary;
mod distinct;
mod filter;
mod groups;
mod keys;
mod load;
mod plan;
mod quantile;
mod scan;
mod space;
mod table;
mod tally;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::try_join_all;
use watchkeeper_store::{Batch, BatchId, ProjectId, Store, day_of};

pub(crate) use cache::Cache;
use groups::Groups;
use load::{DayChunk, Loader, lost};
pub(crate) use plan::Plan;
use scan::Worker;

use crate::{Answer, AskError, Table, metrics::Metrics};

/// What one question may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Threads that work on it at once.
    pub threads: usize,
    /// Working memory, bytes.
    pub bytes: usize,
    /// Rows of a table before its limit applies.
    pub groups: usize,
}

/// One UTC day that is to be gone through.
struct Task {
    day: i64,
    sealed: Vec<Batch>,
    unsealed: Vec<DayChunk>,
}

/// Answers a plan over one state of the store.
///
/// # Errors
/// As [`Analytics::ask`](crate::Analytics::ask).
pub(crate) async fn answer(
    store: &Store,
    cache: &Arc<Cache>,
    metrics: Option<Metrics>,
    project: ProjectId,
    plan: Plan,
    limits: Limits,
) -> Result<Answer, AskError> {
    let plan = Arc::new(plan);
    let question = &plan.question;
    let mut workers = Vec::new();
    if question.from < question.to {
        let snapshot = store.batches(project, question.from, question.to).await?;
        let batches = snapshot.list().to_vec();
        let loader = Arc::new(Loader {
            cache: Arc::clone(cache),
            metrics,
            project,
            turn: cache.turn(),
            plan: Arc::clone(&plan),
            snapshot: snapshot.into(),
        });
        let tasks = Mutex::new(tasks(&loader, batches).await?);
        let stop = StopOnDrop::default();
        let threads = (0..limits.threads.max(1)).map(|_| work(&loader, &tasks, &stop.0, limits));
        workers = try_join_all(threads).await?;
    }
    let tables = finish(plan, workers, limits).await;
    cache.sweep();
    Ok(Answer { tables: tables? })
}

/// Stops blocking work when the question is dropped.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The days, oldest first. A sealed batch is of one day; those of the inbox have to be looked into.
async fn tasks(loader: &Arc<Loader>, batches: Vec<Batch>) -> Result<VecDeque<Task>, AskError> {
    let (sealed, unsealed): (Vec<Batch>, Vec<Batch>) =
        batches.into_iter().partition(|batch| matches!(batch.id, BatchId::Sealed(_)));
    let mut days: BTreeMap<i64, Task> = BTreeMap::new();
    let new = |day| Task { day, sealed: Vec::new(), unsealed: Vec::new() };
    for batch in sealed {
        let day = day_of(batch.min_ts);
        days.entry(day).or_insert_with(|| new(day)).sealed.push(batch);
    }
    let question = &loader.plan.question;
    let range = day_of(question.from)..=day_of(question.to.saturating_sub(1));
    for batch in loader.load(&unsealed).await? {
        for (day, chunk) in batch.chunks().filter(|(day, _)| range.contains(day)) {
            days.entry(day).or_insert_with(|| new(day)).unsealed.push(chunk);
        }
    }
    Ok(days.into_values().collect())
}

/// One worker: takes days until there are none left.
async fn work(
    loader: &Arc<Loader>,
    tasks: &Mutex<VecDeque<Task>>,
    stop: &Arc<AtomicBool>,
    limits: Limits,
) -> Result<Worker, AskError> {
    // Each has its share of the memory.
    let limits = Limits { bytes: limits.bytes / limits.threads.max(1), ..limits };
    let mut worker = Worker::new(&loader.plan, limits);
    let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(task) = next() {
        let mut chunks = Vec::new();
        for batch in loader.load(&task.sealed).await? {
            chunks.extend(batch.chunks().map(|(_, chunk)| chunk));
        }
        chunks.extend(task.unsealed);
        let (loader, stop) = (Arc::clone(loader), Arc::clone(stop));
        let scanned = tokio::task::spawn_blocking(move || {
            let day = loader.day(task.day, chunks);
            worker.scan(&loader.plan, &day, &stop)?;
            Ok::<_, AskError>(worker)
        });
        worker = scanned.await.map_err(lost)??;
    }
    Ok(worker)
}

/// What several workers have added up for one panel.
struct Unfinished {
    place: usize,
    groups: Groups,
    others: Vec<Groups>,
}

/// Unites what the workers have added up, and makes tables of it.
async fn finish(plan: Arc<Plan>, workers: Vec<Worker>, limits: Limits) -> Result<Vec<Table>, AskError> {
    let mut workers = workers.into_iter();
    let Worker { mut spaces, groups, .. } = workers.next().unwrap_or_else(|| Worker::new(&plan, limits));
    let mut panels: VecDeque<Unfinished> = groups
        .into_iter()
        .enumerate()
        .map(|(place, groups)| Unfinished { place, groups, others: Vec::new() })
        .collect();
    // What the codes of the other workers are among those of the first.
    let mut codes: Vec<Vec<Option<Vec<u32>>>> = Vec::new();
    for other in workers {
        codes.push(spaces.iter_mut().zip(other.spaces).map(|(ours, its)| ours.merge(its)).collect());
        for (panel, groups) in panels.iter_mut().zip(other.groups) {
            panel.others.push(groups);
        }
    }
    // The largest first, so that no thread is left alone with it.
    panels.make_contiguous().sort_by_key(|panel| {
        std::cmp::Reverse(panel.groups.work() + panel.others.iter().map(Groups::work).sum::<usize>())
    });
    let shared = Arc::new((plan, spaces, codes, Mutex::new(panels)));
    let threads = (0..limits.threads.max(1)).map(|_| {
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            let (plan, spaces, codes, panels) = &*shared;
            let next = || panels.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let mut tables = Vec::new();
            while let Some(Unfinished { place, mut groups, others }) = next() {
                let dimensions = &plan.panels[place].dimensions;
                for (other, codes) in others.into_iter().zip(codes) {
                    let codes: Vec<_> = dimensions.iter().map(|it| codes[*it].as_deref()).collect();
                    groups.merge(other, &codes);
                }
                let panel = &plan.question.panels[place];
                tables.push((place, table::table(panel, groups, spaces, dimensions, limits.groups)?));
            }
            Ok::<_, AskError>(tables)
        })
    });
    let mut tables = Vec::new();
    for finished in try_join_all(threads).await.map_err(lost)? {
        tables.extend(finished?);
    }
    tables.sort_by_key(|(place, _)| *place);
    Ok(tables.into_iter().map(|(_, table)| table).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{Condition, Dimension, Metric, Panel, Question, Test};
    use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
    use watchkeeper_store::{Hit, Options, StoreError};

    /// A store with a project that has these hits, sealed.
    async fn filled(hits: Vec<Hit>) -> (tempfile::TempDir, Store, ProjectId) {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        store.append(project, hits).await.expect("append");
        store.seal_all().await.expect("seal");
        (directory, store, project)
    }

    async fn loader(store: &Store, project: ProjectId, question: &Question) -> (Arc<Loader>, Vec<Batch>) {
        let cache = Arc::new(Cache::new(1 << 28));
        let plan = Arc::new(Plan::new(question, HashMap::new(), &cache, project).expect("plan"));
        let snapshot = store.batches(project, question.from, question.to).await.expect("batches");
        let batches = snapshot.list().to_vec();
        let turn = cache.turn();
        let loader = Loader { cache, metrics: None, project, turn, plan, snapshot: snapshot.into() };
        (Arc::new(loader), batches)
    }

    #[tokio::test]
    async fn nobody_goes_on_with_a_question_that_was_dropped() {
        let (_directory, store, project) = filled(vec![Hit { ts: 1, ..Hit::default() }]).await;
        let question = Question::new(0, 10).panel(Panel::by([], [Metric::Hits]));
        let (loader, batches) = loader(&store, project, &question).await;
        let limits = Limits { threads: 1, bytes: 1 << 20, groups: 10 };
        let mut ended = Vec::new();
        for dropped in [false, true] {
            let tasks = Mutex::new(tasks(&loader, batches.clone()).await.expect("tasks"));
            let stop = StopOnDrop::default();
            let flag = Arc::clone(&stop.0);
            let _asked = (!dropped).then_some(stop);
            ended.push(work(&loader, &tasks, &flag, limits).await.is_err());
        }
        assert_eq!(ended, [false, true]);
    }

    #[tokio::test]
    async fn patterns_over_many_texts_are_given_up_in_the_middle() {
        let path = |n: usize| Some(format!("{}{n}", "a".repeat(2_000)));
        let hits = (0..3_000).map(|n| Hit { ts: 1, path: path(n), ..Hit::default() }).collect();
        let (_directory, store, project) = filled(hits).await;
        // Some billions of comparisons.
        let test = Test::Glob(vec![format!("*{}b", "a".repeat(500)); 50]);
        let condition = Condition::Text { dimension: Dimension::Path, test, ignore_case: false };
        let question = Question { condition, ..Question::new(0, 10) }.panel(Panel::by([], [Metric::Hits]));
        let (loader, batches) = loader(&store, project, &question).await;
        let tasks = Mutex::new(tasks(&loader, batches).await.expect("tasks"));
        let (stop, limits) = (StopOnDrop::default(), Limits { threads: 1, bytes: 1 << 28, groups: 10 });
        let flag = Arc::clone(&stop.0);
        let worked = async { work(&loader, &tasks, &flag, limits).await };
        let dropped = async {
            // Until texts are being held against patterns.
            while tasks.lock().expect("lock").front().is_some() {
                tokio::task::yield_now().await;
            }
            drop(stop);
        };
        let minute = std::time::Duration::from_secs(60);
        let ended = tokio::time::timeout(minute, futures::future::join(worked, dropped)).await;
        assert!(ended.expect("it goes on").0.is_err());
    }

    #[tokio::test]
    async fn a_damaged_batch_of_the_inbox_hides_no_other_hit_and_a_damaged_segment_is_told() {
        let hit = |ts| vec![Hit { ts, path: Some("/".into()), ..Hit::default() }];
        let (directory, store, project) = filled(hit(1)).await;
        for ts in [2, 3] {
            store.append(project, hit(ts)).await.expect("append");
        }
        let options = SqliteConnectOptions::new().filename(directory.path().join("s.db"));
        let mut database = SqliteConnection::connect_with(&options).await.expect("connect");
        let question = Question::new(0, 10).panel(Panel::by([Dimension::Path], [Metric::Hits]));
        let damage = "UPDATE inbox SET data = x'07' WHERE min_ts = 2";
        sqlx::query(damage).execute(&mut database).await.expect("damage");
        let analytics = crate::Analytics::new(store.clone());
        let answer = analytics.ask(project, &question).await.expect("answer");
        assert_eq!(answer.tables[0].rows[0].metrics, [Some(2.0)]);
        let (filter, page) = (crate::Filter::default(), crate::Page { skip: 0, take: 9 });
        let mut pages = crate::Reader::open(&store, project, filter, page, &["path"]).await.expect("page");
        let mut times = Vec::new();
        while let Some(rows) = pages.next().await.expect("rows") {
            times.extend(rows.order.into_iter().map(|(ts, ..)| ts));
        }
        assert_eq!(times, [1, 3]);

        let damage = "UPDATE segments SET data = x'07'";
        sqlx::query(damage).execute(&mut database).await.expect("damage");
        let told = crate::Analytics::new(store).ask(project, &question).await;
        assert!(matches!(told, Err(AskError::Store(StoreError::Damaged(_)))), "{told:?}");
    }

    #[tokio::test]
    async fn hits_that_were_counted_when_read_are_those_that_are_counted_now() {
        let method = |n: i64| ["GET", "POST", "PUT"][usize::try_from(n % 7 / 3).expect("few")];
        let hit = |n| Hit { ts: n, method: (n % 5 > 0).then(|| method(n).into()), ..Hit::default() };
        let (_directory, store, project) = filled((0..1_000).map(hit).collect()).await;
        let panels = || {
            [
                Panel::by([Dimension::Method], [Metric::Hits]),
                Panel::by([Dimension::Method], [Metric::Hits, Metric::LastSeen]),
            ]
        };
        for (from, condition) in [
            (0, Condition::default()),
            (1, Condition::default()),
            (0, Condition::is(Dimension::Method, "GET")),
            (0, Condition::is_unknown(Dimension::Method)),
        ] {
            let question = Question { condition, panels: panels().into(), ..Question::new(from, 1_000) };
            let analytics = crate::Analytics::new(store.clone());
            let [counted, other] =
                <[Table; 2]>::try_from(analytics.ask(project, &question).await.expect("answer").tables)
                    .expect("two");
            let rows = |table: Table| -> Vec<_> {
                table.rows.into_iter().map(|row| (row.key, row.metrics[0])).collect()
            };
            let (counted, other) = (rows(counted), rows(other));
            assert!(!counted.is_empty());
            assert_eq!(counted, other);
        }
    }
}

//! Raw hits, oldest first, a page at a time and by column.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::sync::Arc;

use watchkeeper_store::{
    Batch, BatchId, Batches, ColumnValues, DAY_MS, HitFile, ProjectId, Result, Store, StoreError, day_of,
};

use crate::Filter;

/// Which of the matching hits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Matching hits to pass over.
    pub skip: usize,
    /// Matching hits to give at most.
    pub take: usize,
}

impl Page {
    /// Page `number` of `size` hits, counted from 1; one that cannot be is empty.
    pub fn numbered(number: i64, size: usize) -> Self {
        match usize::try_from(number.saturating_sub(1)) {
            Ok(before) => Self { skip: before.saturating_mul(size), take: size },
            Err(_) => Self { skip: 0, take: 0 },
        }
    }
}

/// The columns of one batch of hits; a field that is unknown in all of them has none.
pub type Columns = HashMap<&'static str, ColumnValues>;

/// Some hits of one UTC day, oldest first; those of the same millisecond in the order of their
/// arrival.
#[derive(Debug)]
pub struct Rows {
    /// Where the columns are.
    pub batches: Vec<Arc<Columns>>,
    /// Each hit's time in UTC milliseconds, its place in `batches` and in the columns there.
    pub order: Vec<(i64, usize, usize)>,
}

/// Gives the hits of a page, oldest first, a day at a time. Beside what has arrived lately, one
/// day's columns are in memory; a day that the page passes over entirely is not even read, unless a
/// filter has to look into it.
pub struct Reader {
    batches: Batches,
    filter: Filter,
    fields: Vec<&'static str>,
    unsealed: Vec<Arc<Columns>>,
    days: btree_map::IntoIter<i64, Day>,
    skip: usize,
    take: usize,
}

#[derive(Default)]
struct Day {
    sealed: Vec<Batch>,
    /// Hits of the day, unsealed ones too.
    rows: usize,
}

impl Reader {
    /// Opens a page of one state of the store; `fields` names the columns that are read.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(
        store: &Store,
        project: ProjectId,
        filter: Filter,
        page: Page,
        fields: &[&'static str],
    ) -> Result<Self> {
        let (from, to) = (filter.from.unwrap_or(i64::MIN), filter.to.unwrap_or(i64::MAX));
        let nothing = page.take == 0 || from >= to;
        let mut batches = store.batches(project, from, if nothing { from } else { to }).await?;
        let list = if nothing { &[] } else { batches.list() };
        let (sealed, unsealed): (Vec<Batch>, Vec<Batch>) =
            list.iter().partition(|batch| matches!(batch.id, BatchId::Sealed(_)));
        let fields: Vec<_> = fields.iter().copied().chain(filter.fields()).chain(["ts"]).collect();
        // What has not been sealed yet is of any days, and not much.
        let unsealed = load(&mut batches, unsealed, &fields).await?;

        let mut days: BTreeMap<i64, Day> = BTreeMap::new();
        for batch in sealed {
            let day = days.entry(day_of(batch.min_ts)).or_default();
            day.rows += batch.rows;
            day.sealed.push(batch);
        }
        for ts in unsealed.iter().flat_map(|columns| times(columns)) {
            days.entry(day_of(ts)).or_default().rows += 1;
        }
        let days = days.into_iter();
        Ok(Self { batches, filter, fields, unsealed, days, skip: page.skip, take: page.take })
    }

    /// The next hits of the page, never none of them; `None` at its end.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<Rows>> {
        while self.take > 0 {
            let Some((day, Day { sealed, rows })) = self.days.next() else { break };
            if self.skip >= rows && self.means_all_of(day) {
                self.skip -= rows;
                continue;
            }
            let mut batches = load(&mut self.batches, sealed, &self.fields).await?;
            batches.extend(self.unsealed.iter().cloned());
            let mut order = order(&batches, day, &self.filter);
            let passed = self.skip.min(order.len());
            order.drain(..passed);
            self.skip -= passed;
            order.truncate(self.take);
            self.take -= order.len();
            if !order.is_empty() {
                return Ok(Some(Rows { batches, order }));
            }
        }
        Ok(None)
    }

    fn means_all_of(&self, day: i64) -> bool {
        self.filter.is_only_time()
            && self.filter.from.is_none_or(|from| from <= day.saturating_mul(DAY_MS))
            && self.filter.to.is_none_or(|to| day < day_of(to))
    }
}

/// Decodes columns of batches, in the order of the batches, off the executor; without those of the inbox
/// that are damaged.
async fn load(from: &mut Batches, batches: Vec<Batch>, fields: &[&'static str]) -> Result<Vec<Arc<Columns>>> {
    let project = from.project();
    let mut files: Vec<(BatchId, HitFile)> = Vec::new();
    let mut left = batches;
    while !left.is_empty() {
        let read = from.read(&left).await?;
        left.retain(|batch| !read.iter().any(|(id, _)| *id == batch.id));
        files.extend(read);
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    files.sort_by_key(|(id, _)| *id);
    let fields = fields.to_vec();
    tokio::task::spawn_blocking(move || {
        let decode = |file: HitFile| -> Result<Arc<Columns>> {
            let stored = file.open()?;
            let mut columns = Columns::new();
            for field in &fields {
                if let Some(values) = stored.read(field)? {
                    columns.insert(field, values);
                }
            }
            Ok(Arc::new(columns))
        };
        let read = |(id, file): (BatchId, HitFile)| match decode(file) {
            Err(error) => id.pass_over(project, error).err().map(Err),
            columns => Some(columns),
        };
        files.into_iter().filter_map(read).collect()
    })
    .await
    .map_err(|e| StoreError::Damaged(e.to_string()))?
}

fn times(columns: &Columns) -> impl Iterator<Item = i64> {
    let values = match columns.get("ts") {
        Some(ColumnValues::Integers(values)) => values.as_slice(),
        _ => &[],
    };
    values.iter().map(|ts| ts.unwrap_or_default())
}

/// The hits of one day that a filter means, oldest first.
fn order(batches: &[Arc<Columns>], day: i64, filter: &Filter) -> Vec<(i64, usize, usize)> {
    let mut order = Vec::new();
    for (place, columns) in batches.iter().enumerate() {
        let is_meant = filter.among(columns);
        let rows = times(columns).enumerate();
        order.extend(
            rows.filter(|(row, ts)| day_of(*ts) == day && is_meant(*row, *ts))
                .map(|(row, ts)| (ts, place, row)),
        );
    }
    order.sort_by_key(|(ts, ..)| *ts);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::{Hit, Options};

    /// 100 hits over five days, every fourth a 404: some sealed, some sealed later, some not at all,
    /// and all of them out of order.
    async fn store() -> (tempfile::TempDir, Store, ProjectId) {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        for part in 0..3 {
            let hits = (0..100_i64)
                .rev()
                .filter(|n| n % 3 == part)
                .map(|n| Hit {
                    ts: n * DAY_MS / 20,
                    path: Some(n.to_string()),
                    status: Some(if n % 4 == 0 { 404 } else { 200 }),
                    host: (n % 2 == 0).then(|| "even".into()),
                    ..Hit::default()
                })
                .collect();
            store.append(project, hits).await.expect("append");
            if part < 2 {
                store.seal_all().await.expect("seal");
            }
        }
        (directory, store, project)
    }

    async fn paths(store: &Store, project: ProjectId, filter: &Filter, skip: usize, take: usize) -> Vec<i64> {
        let page = Page { skip, take };
        let mut reader = Reader::open(store, project, filter.clone(), page, &["path"]).await.expect("open");
        let mut found = Vec::new();
        while let Some(rows) = reader.next().await.expect("next") {
            for (ts, batch, row) in rows.order {
                let Some(ColumnValues::Texts { codes, values }) = rows.batches[batch].get("path") else {
                    panic!("no paths")
                };
                let text = values.get(codes[row] as usize - 1).expect("text");
                let n: i64 = text.parse().expect("number");
                assert_eq!(ts, n * DAY_MS / 20);
                found.push(n);
            }
        }
        found
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gap_or_overlap() {
        let (_directory, store, project) = store().await;
        let mut all = Vec::new();
        for page in 0..8 {
            all.extend(paths(&store, project, &Filter::default(), page * 15, 15).await);
        }
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn pages_of_a_filter_count_only_what_matches() {
        let (_directory, store, project) = store().await;
        let missing = Filter { status: Some(404), ..Filter::default() };
        assert_eq!(paths(&store, project, &missing, 10, 3).await, [40, 44, 48]);
        let even = Filter { host: Some("even".into()), ..missing.clone() };
        assert_eq!(paths(&store, project, &even, 0, 3).await, [0, 4, 8]);
        let nobody = Filter { host: Some("odd".into()), ..Filter::default() };
        assert!(paths(&store, project, &nobody, 0, 99).await.is_empty());
        let range = Filter { from: Some(DAY_MS + 1), to: Some(2 * DAY_MS), ..Filter::default() };
        assert_eq!(paths(&store, project, &range, 0, 99).await, (21..40).collect::<Vec<_>>());
        assert_eq!(paths(&store, project, &range, 17, 99).await, [38, 39]);
    }

    #[tokio::test]
    async fn an_empty_range_or_page_is_empty() {
        let (_directory, store, project) = store().await;
        let empty = Filter { from: Some(5), to: Some(5), ..Filter::default() };
        assert!(paths(&store, project, &empty, 0, 9).await.is_empty());
        assert!(paths(&store, project, &Filter::default(), 0, 0).await.is_empty());
        assert!(paths(&store, project, &Filter::default(), 1_000, 5).await.is_empty());
    }
}

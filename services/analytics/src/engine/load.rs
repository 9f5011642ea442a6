//! Getting the columns that a question needs, from the cache or else from the store.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use tokio::sync::Mutex;
use watchkeeper_store::{Batch, BatchId, Batches, HitFile, ProjectId, StoreError};

use super::{
    cache::{Cache, Entry, Part, Turn},
    codes::{Codes, Integers},
    column::{Chunk, Column, ColumnChunk, Layout, TextChunk, VisitorChunk},
    day::{DaySessions, DayVisitors},
    plan::Plan,
};
use crate::{AskError, SESSION_IDLE, metrics::Metrics};

/// The columns of one batch.
#[derive(Debug, Clone)]
pub(crate) struct LoadedBatch {
    id: BatchId,
    layout: Arc<Layout>,
    columns: Arc<BTreeMap<Column, Arc<Vec<ColumnChunk>>>>,
}

/// One chunk with its columns.
#[derive(Debug, Clone)]
pub(crate) struct DayChunk {
    batch: LoadedBatch,
    place: usize,
}

impl LoadedBatch {
    /// Its chunks, each with its day.
    pub fn chunks(&self) -> impl Iterator<Item = (i64, DayChunk)> {
        (0..)
            .zip(&self.layout.chunks)
            .map(|(place, chunk)| (chunk.day, DayChunk { batch: self.clone(), place }))
    }
}

static NO_TEXTS: LazyLock<TextChunk> =
    LazyLock::new(|| TextChunk { codes: Codes::Same(0), shared: Arc::from([0]), hits: Vec::new() });
static NO_INTEGERS: Integers = Integers::Unknown;
static NO_VISITORS: VisitorChunk = VisitorChunk { codes: Codes::Same(0), ids: Vec::new() };

impl DayChunk {
    fn chunk(&self) -> &Chunk {
        &self.batch.layout.chunks[self.place]
    }

    pub fn rows(&self) -> usize {
        self.chunk().rows
    }

    pub fn ts(&self) -> &Integers {
        &self.chunk().ts
    }

    fn column(&self, column: Column) -> Option<&ColumnChunk> {
        self.batch.columns.get(&column)?.get(self.place)
    }

    pub fn texts(&self, column: Column) -> &TextChunk {
        match self.column(column) {
            Some(ColumnChunk::Texts(texts)) => texts,
            _ => &NO_TEXTS,
        }
    }

    pub fn integers(&self, column: Column) -> &Integers {
        match self.column(column) {
            Some(ColumnChunk::Integers(integers)) => integers,
            _ => &NO_INTEGERS,
        }
    }

    pub fn visitors(&self) -> &VisitorChunk {
        match self.column(Column::Visitor) {
            Some(ColumnChunk::Visitors(visitors)) => visitors,
            _ => &NO_VISITORS,
        }
    }
}

/// All that a question needs of one UTC day.
pub(crate) struct Day {
    pub chunks: Vec<DayChunk>,
    pub visitors: Option<Arc<DayVisitors>>,
    pub sessions: Option<Arc<DaySessions>>,
}

/// Loads for one question.
pub(crate) struct Loader {
    pub cache: Arc<Cache>,
    pub metrics: Option<Metrics>,
    pub project: ProjectId,
    pub turn: Turn,
    pub plan: Arc<Plan>,
    pub snapshot: Mutex<Batches>,
}

/// What was found of a batch, and what is missing.
struct Found {
    layout: Option<Arc<Layout>>,
    columns: BTreeMap<Column, Arc<Vec<ColumnChunk>>>,
}

impl Loader {
    /// The columns of batches, in the same order; without those of the inbox that are damaged.
    pub async fn load(self: &Arc<Self>, batches: &[Batch]) -> Result<Vec<LoadedBatch>, AskError> {
        let mut loaded: BTreeMap<BatchId, LoadedBatch> = BTreeMap::new();
        let (mut missing, mut partly) = (Vec::new(), BTreeMap::new());
        for batch in batches {
            match self.find(batch.id).complete(&self.plan, batch.id) {
                Ok(batch) => drop(loaded.insert(batch.id, batch)),
                Err(found) => {
                    missing.push(*batch);
                    partly.insert(batch.id, found);
                }
            }
        }
        while !missing.is_empty() {
            let files = self.snapshot.lock().await.read(&missing).await?;
            missing.retain(|batch| files.iter().all(|(id, _)| *id != batch.id));
            let files: Vec<_> =
                files.into_iter().filter_map(|(id, file)| Some((id, file, partly.remove(&id)?))).collect();
            let loader = Arc::clone(self);
            let decode = move || {
                let decode =
                    |(id, file, found): (BatchId, HitFile, Found)| match loader.decode(id, &file, found) {
                        Err(AskError::Store(error)) => {
                            id.pass_over(loader.project, error).err().map(|error| Err(error.into()))
                        }
                        decoded => Some(decoded),
                    };
                files.into_iter().filter_map(decode).collect::<Result<Vec<_>, AskError>>()
            };
            let decoded = tokio::task::spawn_blocking(decode).await.map_err(lost)??;
            loaded.extend(decoded.into_iter().map(|batch| (batch.id, batch)));
        }
        Ok(batches.iter().filter_map(|batch| loaded.remove(&batch.id)).collect())
    }

    fn find(&self, id: BatchId) -> Found {
        let get = |part| self.cache.get(self.turn, self.project, part);
        let layout = match get(Part::Layout(id)) {
            Some(Entry::Layout(layout)) => Some(layout),
            _ => None,
        };
        let mut columns = BTreeMap::new();
        for column in &self.plan.columns {
            if let Some(Entry::Column(chunks, dictionary)) = get(Part::Column(id, *column))
                && let Some(ours) = self.plan.dictionaries.get(&column.dictionary())
                && Arc::ptr_eq(ours, &dictionary)
            {
                columns.insert(*column, chunks);
            }
        }
        if let Some(metrics) = &self.metrics {
            let found = columns.len() as u64;
            metrics.cache_hits.inc_by(found);
            metrics.cache_misses.inc_by(self.plan.columns.len() as u64 - found);
        }
        Found { layout, columns }
    }

    fn decode(&self, id: BatchId, file: &HitFile, found: Found) -> Result<LoadedBatch, AskError> {
        let file = file.open()?;
        let put = |part, entry| self.cache.put(self.turn, self.project, part, entry);
        let layout = match found.layout {
            Some(layout) => layout,
            None => {
                let layout = Arc::new(Layout::read(&file)?);
                put(Part::Layout(id), Entry::Layout(Arc::clone(&layout)));
                layout
            }
        };
        let mut columns = found.columns;
        for column in &self.plan.columns {
            let Some(dictionary) = self.plan.dictionaries.get(&column.dictionary()) else { continue };
            if !columns.contains_key(column) {
                let chunks = Arc::new(layout.column(&file, *column, dictionary)?);
                put(Part::Column(id, *column), Entry::Column(Arc::clone(&chunks), Arc::clone(dictionary)));
                columns.insert(*column, chunks);
            }
        }
        if !self.cache.settle() {
            return Err(AskError::Question(
                "the different texts of the hits that the question is about do not fit into the memory for \
                 columns; ask for a shorter range, or give more by --analytics-cache-bytes"
                    .into(),
            ));
        }
        Ok(LoadedBatch { id, layout, columns: Arc::new(columns) })
    }

    /// Prepares the chunks of a day. This takes processor time: do it off the executor.
    pub fn day(&self, day: i64, chunks: Vec<DayChunk>) -> Day {
        let wants = self.plan.wants;
        if !wants.visitors && !wants.sessions {
            return Day { chunks, visitors: None, sessions: None };
        }
        let mut hasher = DefaultHasher::new();
        chunks.iter().for_each(|chunk| (chunk.batch.id, chunk.place).hash(&mut hasher));
        let name = hasher.finish();
        let visitors = match self.cache.get(self.turn, self.project, Part::Visitors(day)) {
            Some(Entry::Visitors(its, visitors)) if its == name => visitors,
            _ => {
                let of_chunks: Vec<&VisitorChunk> = chunks.iter().map(DayChunk::visitors).collect();
                let visitors = Arc::new(DayVisitors::unite(&of_chunks));
                let entry = Entry::Visitors(name, Arc::clone(&visitors));
                self.cache.put(self.turn, self.project, Part::Visitors(day), entry);
                visitors
            }
        };
        let sessions = wants.sessions.then(|| self.sessions(day, name, &visitors, &chunks));
        Day { chunks, visitors: Some(visitors), sessions }
    }

    fn sessions(&self, day: i64, name: u64, visitors: &DayVisitors, chunks: &[DayChunk]) -> Arc<DaySessions> {
        let idle = self.plan.question.session_idle;
        let usual = idle == SESSION_IDLE;
        if usual
            && let Some(Entry::Sessions(its, sessions)) =
                self.cache.get(self.turn, self.project, Part::Sessions(day))
            && its == name
        {
            return sessions;
        }
        let rows: Vec<_> = chunks.iter().map(|chunk| (chunk.chunk(), chunk.visitors())).collect();
        let sessions = Arc::new(DaySessions::find(visitors, &rows, idle));
        if usual {
            let entry = Entry::Sessions(name, Arc::clone(&sessions));
            self.cache.put(self.turn, self.project, Part::Sessions(day), entry);
        }
        sessions
    }
}

impl Found {
    fn complete(self, plan: &Plan, id: BatchId) -> Result<LoadedBatch, Self> {
        match self {
            Self { layout: Some(layout), columns } if columns.len() == plan.columns.len() => {
                Ok(LoadedBatch { id, layout, columns: Arc::new(columns) })
            }
            other => Err(other),
        }
    }
}

/// A blocking task was lost, to a panic or the end of the process.
pub(crate) fn lost(error: tokio::task::JoinError) -> StoreError {
    StoreError::Damaged(error.to_string())
}

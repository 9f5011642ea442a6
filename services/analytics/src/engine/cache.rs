//! What questions have decoded, kept for further ones within a bound of bytes.
//!
//! Batches never change, so nothing here gets stale; what is no longer in the store is simply never
//! asked for again and goes when room is needed. What was used longest ago goes first, but a
//! question never pushes out what it has itself used: one that needs more than fits keeps what it
//! can and reads the rest each time, where least-recently-used alone would keep nothing of use.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use watchkeeper_store::{BatchId, ProjectId};

use super::{
    column::{Column, ColumnChunk, Layout},
    day::{DaySessions, DayVisitors},
    dictionary::Dictionary,
};

/// What can be kept of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The chunks of a batch and their times.
    Layout(BatchId),
    /// A column of a batch.
    Column(BatchId, Column),
    /// The visitors of a day.
    Visitors(i64),
    /// Its visits, with the usual idle time.
    Sessions(i64),
}

/// What is kept.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Layout(Arc<Layout>),
    Column(Arc<Vec<ColumnChunk>>, Arc<Dictionary>),
    /// Over the chunks that a hash stands for.
    Visitors(u64, Arc<DayVisitors>),
    /// The same.
    Sessions(u64, Arc<DaySessions>),
}

impl Entry {
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 200; // its places in two maps, and its own size
        OVERHEAD
            + match self {
                Self::Layout(layout) => layout.bytes(),
                Self::Column(chunks, _) => chunks.iter().map(ColumnChunk::bytes).sum(),
                Self::Visitors(_, visitors) => visitors.bytes(),
                Self::Sessions(_, sessions) => sessions.bytes(),
            }
    }

    fn texts(&self) -> usize {
        match self {
            Self::Column(chunks, _) => chunks.first().map_or(0, ColumnChunk::texts),
            _ => 0,
        }
    }
}

/// A number of a question, higher for later ones.
pub(crate) type Turn = u64;

type Key = (ProjectId, Part);

#[derive(Debug)]
pub(crate) struct Cache {
    bound: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    turn: Turn,
    used: u64,
    bytes: usize,
    kept: HashMap<Key, Kept>,
    // By turn and then by use, so that the first is what was used longest ago.
    order: BTreeMap<(Turn, u64), Key>,
    dictionaries: HashMap<(ProjectId, Column), Counted>,
    /// Bytes of these and of those that questions still use.
    texts: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Kept {
    entry: Entry,
    bytes: usize,
    place: (Turn, u64),
}

/// A dictionary with what is kept of its columns.
#[derive(Debug)]
struct Counted {
    dictionary: Arc<Dictionary>,
    columns: usize,
    /// Texts that these use, each column's counted apart.
    texts: usize,
}

impl Cache {
    /// An empty cache of at most `bound` bytes.
    pub fn new(bound: usize) -> Self {
        Self { bound, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a question.
    pub fn turn(&self) -> Turn {
        let mut state = self.lock();
        state.turn += 1;
        state.turn
    }

    /// The dictionary of a project's column; a question uses one from its first column to its last.
    pub fn dictionary(&self, project: ProjectId, column: Column) -> Arc<Dictionary> {
        let state = &mut *self.lock();
        let new =
            || Counted { dictionary: Arc::new(Dictionary::counted_in(&state.texts)), columns: 0, texts: 0 };
        Arc::clone(&state.dictionaries.entry((project, column)).or_insert_with(new).dictionary)
    }

    /// What is kept of a project under a name.
    pub fn get(&self, turn: Turn, project: ProjectId, part: Part) -> Option<Entry> {
        let state = &mut *self.lock();
        let key = (project, part);
        let kept = state.kept.get_mut(&key)?;
        state.order.remove(&kept.place);
        state.used += 1;
        kept.place = (turn.max(kept.place.0), state.used);
        state.order.insert(kept.place, key);
        Some(kept.entry.clone())
    }

    /// Keeps something if there is room for it, or can be made.
    pub fn put(&self, turn: Turn, project: ProjectId, part: Part, entry: Entry) {
        let state = &mut *self.lock();
        let key = (project, part);
        let bytes = entry.bytes();
        // Not what belongs to a dictionary that was dropped meanwhile.
        if let (Part::Column(_, column), Entry::Column(_, dictionary)) = (part, &entry) {
            let current = state.dictionaries.get(&(project, column.dictionary()));
            if !current.is_some_and(|counted| Arc::ptr_eq(&counted.dictionary, dictionary)) {
                return;
            }
        }
        state.remove(key);
        if !state.make_room(self.bound, bytes, turn) {
            return;
        }
        if let Part::Column(_, column) = part
            && let Some(counted) = state.dictionaries.get_mut(&(project, column.dictionary()))
        {
            counted.columns += 1;
            counted.texts += entry.texts();
        }
        state.used += 1;
        let place = (turn, state.used);
        state.bytes += bytes;
        state.order.insert(place, key);
        state.kept.insert(key, Kept { entry, bytes, place });
    }

    /// Bytes that are kept, dictionaries among them.
    pub fn bytes(&self) -> usize {
        self.lock().total()
    }

    /// Brings what grew meanwhile, dictionaries that is, back under the bound; returns whether that
    /// can be, since what a question uses of them has to stay.
    pub fn settle(&self) -> bool {
        self.lock().make_room(self.bound, 0, Turn::MAX)
    }

    /// Drops dictionaries that nobody uses any more, and all of one, columns included, that holds
    /// mostly texts of nobody while room is short.
    pub fn sweep(&self) {
        let state = &mut *self.lock();
        let full = state.total() > self.bound - self.bound / 8;
        let wasteful: Vec<(ProjectId, Column)> = state
            .dictionaries
            .iter()
            .filter(|(_, counted)| {
                let unused = counted.columns == 0 && Arc::strong_count(&counted.dictionary) == 1;
                unused || full && counted.dictionary.read().len() > 1_024 + 2 * counted.texts
            })
            .map(|(key, _)| *key)
            .collect();
        for (project, column) in wasteful {
            let of_it = |key: &&Key| matches!(key, (owner, Part::Column(_, its)) if *owner == project && its.dictionary() == column);
            let keys: Vec<Key> = state.kept.keys().filter(of_it).copied().collect();
            keys.into_iter().for_each(|key| state.remove(key));
            state.dictionaries.remove(&(project, column));
        }
    }
}

impl State {
    fn total(&self) -> usize {
        self.bytes + self.texts.load(Ordering::Relaxed)
    }

    /// Drops what was used before `turn`, longest ago first, until `bytes` more fit.
    fn make_room(&mut self, bound: usize, bytes: usize, turn: Turn) -> bool {
        while self.total() + bytes > bound {
            let Some((&(used, _), &key)) = self.order.first_key_value() else { return false };
            if used >= turn {
                return false;
            }
            self.remove(key);
            self.drop_unused_dictionary(key);
        }
        true
    }

    fn remove(&mut self, key: Key) {
        let Some(kept) = self.kept.remove(&key) else { return };
        self.order.remove(&kept.place);
        self.bytes -= kept.bytes;
        if let (project, Part::Column(_, column)) = key
            && let Some(counted) = self.dictionaries.get_mut(&(project, column.dictionary()))
        {
            counted.columns -= 1;
            counted.texts -= kept.entry.texts();
        }
    }

    /// Drops the dictionary of a column that went, if it was the last.
    fn drop_unused_dictionary(&mut self, (project, part): Key) {
        let Part::Column(_, column) = part else { return };
        let key = (project, column.dictionary());
        let unused = self
            .dictionaries
            .get(&key)
            .is_some_and(|counted| counted.columns == 0 && Arc::strong_count(&counted.dictionary) == 1);
        if unused {
            self.dictionaries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{
        codes::{Codes, Integers},
        column::TextChunk,
    };

    const PROJECT: ProjectId = ProjectId(1);

    fn batch(id: i64, column: Column) -> Part {
        Part::Column(BatchId::Sealed(id), column)
    }

    fn numbers(bytes: usize) -> Entry {
        let column = ColumnChunk::Integers(Integers::Far(vec![0; bytes / 8]));
        Entry::Column(Arc::new(vec![column]), Arc::default())
    }

    fn put(cache: &Cache, turn: Turn, id: i64, bytes: usize) {
        let dictionary = cache.dictionary(PROJECT, Column::DurationUs);
        let Entry::Column(chunks, _) = numbers(bytes) else { unreachable!() };
        cache.put(turn, PROJECT, batch(id, Column::DurationUs), Entry::Column(chunks, dictionary));
    }

    fn has(cache: &Cache, turn: Turn, id: i64) -> bool {
        cache.get(turn, PROJECT, batch(id, Column::DurationUs)).is_some()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_bound_holds() {
        let cache = Cache::new(10_000);
        let first = cache.turn();
        (0..3).for_each(|id| put(&cache, first, id, 2_000));
        let second = cache.turn();
        assert!(has(&cache, second, 0));
        put(&cache, second, 3, 4_000);
        assert!(cache.bytes() <= 10_000, "{}", cache.bytes());
        assert_eq!([0, 1, 2, 3].map(|id| has(&cache, second, id)), [true, false, true, true]);
    }

    #[test]
    fn a_question_that_needs_more_than_fits_keeps_what_it_can() {
        let cache = Cache::new(10_000);
        for _ in 0..2 {
            let turn = cache.turn();
            let found = (0..10).filter(|id| has(&cache, turn, *id)).count();
            (0..10).filter(|id| !has(&cache, turn, *id)).for_each(|id| put(&cache, turn, id, 2_000));
            assert!(cache.bytes() <= 10_000);
            assert!(turn == 1 || found == 4, "{found}");
        }
    }

    #[test]
    fn dictionaries_count_and_go_with_their_last_column() {
        let cache = Cache::new(1_000_000);
        let turn = cache.turn();
        let dictionary = cache.dictionary(PROJECT, Column::Path);
        let texts = (0..100).map(|n| format!("/a/long/path/{n}")).collect();
        let shared: Arc<[u32]> = [0].into_iter().chain(dictionary.encode(&texts)).collect();
        let chunk = ColumnChunk::Texts(TextChunk { codes: Codes::Same(1), shared, hits: Vec::new() });
        cache.put(turn, PROJECT, batch(1, Column::Path), Entry::Column(Arc::new(vec![chunk]), dictionary));
        assert!(cache.bytes() > 100 * (14 + 8 + 4), "{}", cache.bytes());
        let turn = cache.turn();
        assert!(cache.get(turn, PROJECT, batch(1, Column::Path)).is_some());
        put(&cache, cache.turn(), 2, 998_000);
        cache.sweep();
        assert!(cache.get(turn, PROJECT, batch(1, Column::Path)).is_none());
        assert!(cache.bytes() < 999_000, "{}", cache.bytes());
    }
}

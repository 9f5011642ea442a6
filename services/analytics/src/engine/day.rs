//! Visitors and visits of one UTC day, over all its chunks.

use rustc_hash::FxHashMap;

use super::{
    codes::Codes,
    column::{Chunk, VisitorChunk},
};

/// The visitors of a day, numbered from 1; 0 is unknown.
#[derive(Debug)]
pub(crate) struct DayVisitors {
    pub count: usize,
    /// For each chunk, the day's number of each of the chunk's.
    pub shared: Vec<Vec<u32>>,
}

/// The visits of a day, numbered from 1; 0 is unknown.
#[derive(Debug)]
pub(crate) struct DaySessions {
    /// For each chunk, the visit of each row.
    pub chunks: Vec<Codes>,
}

impl DayVisitors {
    /// Unites the visitors of a day's chunks.
    pub fn unite(chunks: &[&VisitorChunk]) -> Self {
        let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        if let [chunk] = chunks {
            return Self { count: chunk.ids.len(), shared: vec![(0..=whole(chunk.ids.len())).collect()] };
        }
        let mut all: FxHashMap<i64, u32> = FxHashMap::default();
        let shared = chunks
            .iter()
            .map(|chunk| {
                let number = |id: &i64| {
                    let next = whole(all.len() + 1);
                    *all.entry(*id).or_insert(next)
                };
                [0].into_iter().chain(chunk.ids.iter().map(number)).collect()
            })
            .collect();
        Self { count: all.len(), shared }
    }

    pub fn bytes(&self) -> usize {
        self.shared.iter().map(|shared| 24 + 4 * shared.len()).sum()
    }
}

impl DaySessions {
    /// Finds the visits of a day: hits of one visitor with less than `idle` milliseconds in between.
    pub fn find(days: &DayVisitors, chunks: &[(&Chunk, &VisitorChunk)], idle: i64) -> Self {
        let mut next = 0;
        let mut last: Vec<(i64, u32)> = vec![(0, 0); days.count + 1];
        let mut session = |ts: i64, visitor: u32| {
            if visitor == 0 {
                return 0;
            }
            let (before, session) = &mut last[visitor as usize];
            if *session == 0 || ts - *before >= idle {
                next += 1;
                *session = next;
            }
            *before = ts;
            *session
        };
        let mut found: Vec<Vec<u32>> = chunks.iter().map(|(chunk, _)| vec![0; chunk.rows]).collect();
        let visitor = |place: usize, row: usize| days.shared[place][chunks[place].1.codes.at(row) as usize];
        if let [(chunk, _)] = chunks {
            for (row, found) in found[0].iter_mut().enumerate() {
                *found = session(chunk.ts.at(row), visitor(0, row));
            }
        } else {
            let mut rows: Vec<(i64, u32, u32)> = Vec::new();
            for (place, (chunk, _)) in (0..).zip(chunks) {
                let count = u32::try_from(chunk.rows).unwrap_or(u32::MAX);
                rows.extend((0..count).map(|row| (chunk.ts.at(row as usize), place, row)));
            }
            rows.sort();
            for (ts, place, row) in rows {
                let (place, row) = (place as usize, row as usize);
                found[place][row] = session(ts, visitor(place, row));
            }
        }
        Self { chunks: found.into_iter().map(Codes::pack).collect() }
    }

    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|codes| size_of::<Codes>() + codes.bytes()).sum()
    }
}

//! Merging segments into one, in memory that does not grow with their hits.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    vec,
};

use bytes::Bytes;

use crate::{
    Hit, Result,
    codec::{
        Encoder, Reader, at_once,
        layout::{SPREAD, Spread},
    },
};

/// A segment that others were merged into.
#[derive(Debug)]
pub(super) struct Merged {
    pub data: Vec<u8>,
    pub rows: i64,
    pub min_ts: i64,
    pub max_ts: i64,
}

impl Merged {
    /// A segment of no hits yet.
    pub fn empty() -> Self {
        Self { data: Vec::new(), rows: 0, min_ts: i64::MAX, max_ts: i64::MIN }
    }

    /// Counts hits that are written into it.
    pub fn count(&mut self, hits: &[Hit]) {
        for hit in hits {
            self.rows += 1;
            self.min_ts = self.min_ts.min(hit.ts);
            self.max_ts = self.max_ts.max(hit.ts);
        }
    }
}

/// Merges files that are sorted by time into one that is. Of hits of the same
/// millisecond, those of an earlier file come first. `None` when the files have
/// more than `most` bytes unpacked, since their dictionaries are held meanwhile.
pub(super) fn merge(files: Vec<Vec<u8>>, most: u64) -> Result<Option<Merged>> {
    let files: Vec<Bytes> = files.into_iter().map(Bytes::from).collect();
    let readers: Vec<Reader> =
        files.iter().map(|file| Reader::open(file.clone(), None)).collect::<Result<_>>()?;
    if readers.iter().map(Reader::unpacked).sum::<u64>() > most {
        return Ok(None);
    }
    let mut columns = BTreeSet::new();
    readers.iter().for_each(|reader| columns.extend(reader.columns()));
    let mut lengths = readers.iter().map(Reader::longest);
    let longest = lengths.try_fold(0_usize, |longest, one| Some(longest.max(one?)));

    let mut encoder = Encoder::new(&columns, &spread(&files)?, longest)?;
    let mut sources: Vec<Source> = readers.into_iter().map(Source::new).collect();
    let mut order = BinaryHeap::new();
    for (at, source) in sources.iter_mut().enumerate() {
        source.step()?;
        order.extend(source.next.as_ref().map(|hit| Reverse((hit.ts, at))));
    }

    let mut merged = Merged::empty();
    let length = at_once(longest);
    let mut piece = Vec::with_capacity(length);
    while let Some(Reverse((_, at))) = order.pop() {
        let source = &mut sources[at];
        piece.extend(source.step()?);
        order.extend(source.next.as_ref().map(|hit| Reverse((hit.ts, at))));
        if piece.len() == length {
            merged.count(&piece);
            encoder.write(&piece)?;
            piece.clear();
        }
    }
    if !piece.is_empty() {
        merged.count(&piece);
        encoder.write(&piece)?;
    }
    merged.data = encoder.finish()?;
    Ok(Some(merged))
}

/// How different the values of all files are.
pub(super) fn spread(files: &[Bytes]) -> Result<Spread> {
    let mut spread = Spread::default();
    for file in files {
        let mut reader = Reader::open(file.clone(), Some(&SPREAD.map(|(name, _)| name)))?;
        while let Some(hits) = reader.next()? {
            spread.add(&hits);
        }
    }
    Ok(spread)
}

/// One of the files, and the hit that it is at.
struct Source {
    reader: Reader,
    hits: vec::IntoIter<Hit>,
    next: Option<Hit>,
}

impl Source {
    fn new(reader: Reader) -> Self {
        Self { reader, hits: Vec::new().into_iter(), next: None }
    }

    /// Goes one hit further; gives the one before.
    fn step(&mut self) -> Result<Option<Hit>> {
        let mut following = self.hits.next();
        if following.is_none()
            && let Some(hits) = self.reader.next()?
        {
            self.hits = hits.into_iter();
            following = self.hits.next();
        }
        Ok(std::mem::replace(&mut self.next, following))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, Purpose};
    use proptest::prelude::*;

    fn file(hits: &[Hit]) -> Vec<u8> {
        codec::encode(hits, Purpose::Segment).expect("encode")
    }

    proptest! {
        #[test]
        fn what_is_merged_is_what_sorting_all_of_it_would_give(
            files in proptest::collection::vec(proptest::collection::vec((0_i64..50, any::<bool>()), 0..60), 1..9)
        ) {
            let mut all = Vec::new();
            let mut encoded = Vec::new();
            for (number, times) in files.into_iter().enumerate() {
                let mut hits: Vec<Hit> = times
                    .into_iter()
                    .map(|(ts, known)| Hit {
                        ts,
                        path: Some(number.to_string()),
                        host: known.then(|| ts.to_string()),
                        duration_us: known.then_some(ts * 7),
                        ..Hit::default()
                    })
                    .collect();
                hits.sort_by_key(|hit| hit.ts);
                encoded.push(file(&hits));
                all.extend(hits);
            }
            all.sort_by_key(|hit| hit.ts);
            let merged = merge(encoded, u64::MAX).expect("merge").expect("they fit");
            prop_assert_eq!(merged.rows, i64::try_from(all.len()).expect("few"));
            if let (Some(first), Some(last)) = (all.first(), all.last()) {
                prop_assert_eq!((merged.min_ts, merged.max_ts), (first.ts, last.ts));
            }
            prop_assert_eq!(codec::decode(merged.data).expect("decode"), all);
        }
    }

    #[test]
    fn files_longer_than_what_is_read_at_once_are_merged_whole() {
        let hits =
            |odd: i64| (0..20_000).map(|n| Hit { ts: n * 2 + odd, ..Hit::default() }).collect::<Vec<_>>();
        let merged = merge(vec![file(&hits(1)), file(&hits(0))], u64::MAX).expect("merge").expect("they fit");
        let times: Vec<_> =
            codec::decode(merged.data).expect("decode").into_iter().map(|hit| hit.ts).collect();
        assert_eq!(times, (0..40_000).collect::<Vec<_>>());
    }

    #[test]
    fn long_texts_are_merged_in_small_pieces_and_the_file_says_how_long_they_are() {
        let hit = |ts, length: usize| Hit { ts, path: Some("x".repeat(length)), ..Hit::default() };
        let files = vec![file(&[hit(0, 10), hit(2, 1 << 20)]), file(&[hit(1, 3 << 20), hit(3, 5)])];
        let merged = merge(files, u64::MAX).expect("merge").expect("they fit");
        let mut reader = Reader::open(merged.data.into(), None).expect("open");
        assert_eq!(reader.longest(), Some(3 << 20));
        let pieces: Vec<_> = std::iter::from_fn(|| reader.next().expect("read"))
            .map(|hits| hits.iter().map(|hit| hit.ts).collect::<Vec<_>>())
            .collect();
        assert_eq!(pieces, [[0, 1], [2, 3]]);
    }

    #[test]
    fn files_that_unpack_to_more_than_may_be_held_are_not_merged() {
        let hits: Vec<_> =
            (0..100).map(|ts| Hit { ts, path: Some(ts.to_string()), ..Hit::default() }).collect();
        let unpacked = Reader::open(file(&hits).into(), None).expect("open").unpacked();
        let merged = |most| merge(vec![file(&hits), file(&hits)], most).expect("merge").is_some();
        assert!(unpacked > 200 && merged(2 * unpacked) && !merged(2 * unpacked - 1));
    }
}

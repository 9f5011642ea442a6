//! Packing: batches of an inbox become segments, in memory that does not grow with what they hold.

use std::{collections::BTreeMap, mem};

use bytes::Bytes;

use super::merge::Merged;
use crate::{
    Hit, Result,
    codec::{self, Purpose, Reader, text_bytes},
    hit::day_of,
};

/// From where on no further batch is packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enough {
    /// Bytes of texts.
    pub text: usize,
    /// Days.
    pub days: usize,
}

/// Batches, and the segments that may take their place.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// The numbers of the batches.
    pub batches: Vec<i64>,
    /// Hits in them.
    pub hits: usize,
    /// The segments and their days; of one day in the order of their hits' arrival.
    pub segments: Vec<(i64, Merged)>,
    /// Whether it was enough, so that batches may have been left.
    pub full: bool,
}

/// Packs batches in their order until it is enough, one at least. A batch is packed whole: one whose
/// texts are more than enough becomes several segments, so that no more of it is held at once.
pub(super) fn pack(batches: Vec<(i64, Vec<u8>)>, enough: Enough) -> Result<Packed> {
    let (mut packed, mut days) = (Packed::default(), Days::default());
    for (number, data) in batches {
        let mut reader = Reader::open(Bytes::from(data), None)?;
        while let Some(hits) = reader.next()? {
            packed.hits += hits.len();
            days.add(hits);
            if days.text >= enough.text {
                packed.full = true;
                days.close(&mut packed.segments)?;
            }
        }
        packed.batches.push(number);
        packed.full |= days.hits.len() >= enough.days;
        if packed.full {
            break;
        }
    }
    days.close(&mut packed.segments)?;
    Ok(packed)
}

/// Hits of a day as a segment, sorted.
fn segment(mut hits: Vec<Hit>) -> Result<Merged> {
    hits.sort_by_key(|hit| hit.ts);
    Ok(Merged {
        rows: i64::try_from(hits.len()).unwrap_or(i64::MAX),
        min_ts: hits.first().map_or(0, |hit| hit.ts),
        max_ts: hits.last().map_or(0, |hit| hit.ts),
        data: codec::encode(&hits, Purpose::Segment)?,
    })
}

/// Hits by their days.
#[derive(Default)]
struct Days {
    hits: BTreeMap<i64, Vec<Hit>>,
    /// Bytes of their texts.
    text: usize,
}

impl Days {
    fn add(&mut self, hits: Vec<Hit>) {
        for hit in hits {
            self.text += text_bytes(&hit);
            self.hits.entry(day_of(hit.ts)).or_default().push(hit);
        }
    }

    /// Makes a segment of each day, and forgets the hits.
    fn close(&mut self, segments: &mut Vec<(i64, Merged)>) -> Result<()> {
        self.text = 0;
        for (day, hits) in mem::take(&mut self.hits) {
            segments.push((day, segment(hits)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DAY_MS;

    const ENDLESS: Enough = Enough { text: usize::MAX, days: usize::MAX };

    fn hit(ts: i64, text: usize) -> Hit {
        Hit { ts, path: Some("x".repeat(text)), ..Hit::default() }
    }

    fn batches(hits: impl IntoIterator<Item = Vec<Hit>>) -> Vec<(i64, Vec<u8>)> {
        (1..)
            .zip(hits.into_iter().map(|hits| codec::encode(&hits, Purpose::Inbox).expect("encode")))
            .collect()
    }

    /// The days of segments, and the times of their hits.
    fn times(packed: Packed) -> Vec<(i64, Vec<i64>)> {
        let times = |data| codec::decode(data).expect("decode").iter().map(|hit| hit.ts).collect();
        packed.segments.into_iter().map(|(day, segment)| (day, times(segment.data))).collect()
    }

    #[test]
    fn batches_become_a_segment_of_each_day() {
        let packed = pack(batches([vec![hit(DAY_MS + 3, 1), hit(2, 1)], vec![hit(1, 1)]]), ENDLESS);
        let packed = packed.expect("pack");
        assert_eq!((packed.batches.as_slice(), packed.hits, packed.full), (&[1, 2][..], 3, false));
        assert_eq!(times(packed), [(0, vec![1, 2]), (1, vec![DAY_MS + 3])]);
    }

    #[test]
    fn no_batch_follows_when_texts_or_days_are_enough() {
        let each = |text| batches((0..5).map(|day| vec![hit(day * DAY_MS, text)]));
        let packed = |text, enough| {
            let packed = pack(each(text), enough).expect("pack");
            (packed.batches, packed.segments.len(), packed.full)
        };
        assert_eq!(packed(100, Enough { text: 250, ..ENDLESS }), (vec![1, 2, 3], 3, true));
        assert_eq!(packed(100, Enough { days: 2, ..ENDLESS }), (vec![1, 2], 2, true));
        assert_eq!(packed(1_000, Enough { text: 1, days: 1 }), (vec![1], 1, true), "one at least");
    }

    #[test]
    fn a_batch_with_more_texts_than_enough_becomes_several_segments() {
        let long: Vec<_> = (0..5_000).map(|n| hit(n, 1_000)).collect();
        let packed = pack(batches([long, vec![hit(0, 1)]]), Enough { text: 2_000_000, ..ENDLESS });
        let packed = packed.expect("pack");
        assert_eq!((packed.batches.as_slice(), packed.hits, packed.full), (&[1][..], 5_000, true));
        let times = times(packed);
        assert!(times.len() > 1 && times.iter().all(|(day, hits)| *day == 0 && hits.len() < 4_000));
        let all: Vec<_> = times.into_iter().flat_map(|(_, hits)| hits).collect();
        assert_eq!(all, (0..5_000).collect::<Vec<_>>());
    }
}

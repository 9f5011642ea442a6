//! How columns are laid out in a file: what makes it quick to write, and what
//! makes it small.

use std::collections::HashSet;

use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};

use crate::Hit;

/// zstd's level for a segment that will be merged soon.
pub(crate) const QUICK: i32 = 3;

/// zstd's level for a segment that stays.
pub(crate) const THOROUGH: i32 = 9;

/// Bytes of a dictionary from which a column goes on without: addresses and agents of a million hits fit.
const DICTIONARY: usize = 16 << 20;

/// Rows of a page: each is compressed by itself.
const PAGE: usize = 65_536;

/// Columns of numbers that may be mostly different ones, and the half bytes that say something in each value:
/// times and sizes are small numbers, and a visitor's id has six bytes that say nothing and two that are nought.
pub(crate) const SPREAD: [(&str, usize); 4] =
    [("duration_us", 5), ("request_bytes", 5), ("response_bytes", 5), ("visitor", 12)];

/// How many different values the columns of [`SPREAD`] have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread {
    rows: usize,
    values: [HashSet<i64>; SPREAD.len()],
}

impl Spread {
    pub fn of(hits: &[Hit]) -> Self {
        let mut spread = Self::default();
        spread.add(hits);
        spread
    }

    pub fn add(&mut self, hits: &[Hit]) {
        self.rows += hits.len();
        let [durations, requests, responses, visitors] = &mut self.values;
        durations.extend(hits.iter().filter_map(|hit| hit.duration_us));
        requests.extend(hits.iter().filter_map(|hit| hit.request_bytes));
        responses.extend(hits.iter().filter_map(|hit| hit.response_bytes));
        visitors.extend(hits.iter().filter_map(|hit| hit.visitor));
    }
}

/// Quick to write, and read again within minutes.
pub(super) fn inbox() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_statistics_enabled(EnabledStatistics::None)
        .build()
}

/// Small. Texts repeat, and so do their codes; times grow, so that their
/// differences are small numbers; what is different in every row is better off
/// without codes. `notes` are what the file says of itself.
pub(super) fn segment(spread: &Spread, level: i32, notes: Option<Vec<KeyValue>>) -> WriterProperties {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()))
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_data_page_row_count_limit(PAGE)
        .set_key_value_metadata(notes)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_dictionary_enabled(column("ts"), false)
        .set_column_encoding(column("ts"), Encoding::DELTA_BINARY_PACKED);
    for ((name, half_bytes), values) in SPREAD.into_iter().zip(&spread.values) {
        if !codes_pay(spread.rows, values.len(), half_bytes) {
            // The bytes of which numbers are made, first by first: the higher are all but constant.
            properties = properties
                .set_column_dictionary_enabled(column(name), false)
                .set_column_encoding(column(name), Encoding::BYTE_STREAM_SPLIT);
        }
    }
    properties.build()
}

/// Whether a dictionary of 8 bytes a value and its codes take fewer bytes than
/// `half_bytes` half bytes a row.
fn codes_pay(rows: usize, distinct: usize, half_bytes: usize) -> bool {
    let bits = (distinct.max(2) - 1).ilog2() as usize + 1;
    distinct * 64 + rows * bits < rows * half_bytes * 4
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::codes_pay;
    use crate::{
        Hit,
        codec::{Purpose, encode},
    };

    #[test]
    fn sizes_that_differ_in_every_row_take_the_bytes_that_say_something() {
        let mut random = StdRng::seed_from_u64(1);
        let mut each = |bits: u32| {
            let mut size = || Some(random.random_range(0..1 << bits));
            let hits: Vec<_> =
                (0..20_000).map(|ts| Hit { ts, response_bytes: size(), ..Hit::default() }).collect();
            encode(&hits, Purpose::Segment).expect("encode").len() * 8 / hits.len()
        };
        // With a dictionary of all of them it would be 40.
        assert!((20..24).contains(&each(20)));
        assert!((3..5).contains(&each(3)), "few repeat");
    }

    #[test]
    fn codes_pay_for_what_repeats() {
        // Milliseconds as microseconds; microseconds.
        assert!(codes_pay(1_000_000, 400, 5));
        assert!(!codes_pay(1_000_000, 300_000, 5));
        // Visitors who come ten times; visitors who never come again.
        assert!(codes_pay(1_000_000, 100_000, 12));
        assert!(!codes_pay(1_000_000, 1_000_000, 12));
    }
}

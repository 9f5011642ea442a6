//! Hits by combination of codes, each combination at a place of its own.

/// Places a row that is to be counted at most, since all of them are gone through at the end.
const PLACES_A_ROW: usize = 64;

/// Hits by combination of the spaces' codes, for tables that want nothing else of them: where
/// nearly every row brings another combination, a place is told by arithmetic, and a number by
/// looking it up level by level.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Where the code of each dimension lies within a place, the first one topmost.
    fields: Vec<Field>,
    counts: Vec<u32>,
    /// Rows that may have been counted, which none of the counts exceeds.
    rows: u64,
    /// Places at most.
    most: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    shift: u32,
    bits: u32,
}

impl Tally {
    /// One of at most so many bytes; of none, it counts nothing.
    pub fn new(bytes: usize) -> Self {
        Self { most: bytes / size_of::<u32>(), ..Self::default() }
    }

    /// Makes room for codes up to `most`, one a dimension, in so many rows; false when that is too much.
    pub fn widen(&mut self, most: &[u32], rows: usize) -> bool {
        let all = self.rows + rows as u64;
        let mut fields = Vec::with_capacity(most.len());
        let mut shift = 0_u32;
        for (dimension, most) in most.iter().enumerate().rev() {
            let known = self.fields.get(dimension).map_or(0, |field| field.bits);
            let bits = known.max(u32::BITS - most.leading_zeros());
            fields.push(Field { shift, bits });
            shift += bits;
        }
        fields.reverse();
        let places = 1_usize.checked_shl(shift).unwrap_or(usize::MAX);
        if places > self.most || all > u64::from(u32::MAX) {
            return false;
        }
        if fields != self.fields || self.counts.is_empty() {
            if places > rows.saturating_mul(PLACES_A_ROW) {
                return false;
            }
            let mut wider = Self { fields, counts: vec![0; places], rows: 0, most: self.most };
            wider.raise(self);
            *self = wider;
        }
        self.rows = all;
        true
    }

    /// What codes of a dimension add to a place.
    pub fn parts(&self, dimension: usize, codes: &[u32]) -> Vec<u32> {
        let shift = self.fields.get(dimension).map_or(0, |field| field.shift);
        codes.iter().map(|code| code << shift).collect()
    }

    /// Counts rows, or those at `picked`; `by` has their codes of a chunk in each dimension, and the
    /// part of the place that each code makes.
    pub fn add(&mut self, by: &[(&[u32], &[u32])], rows: usize, picked: Option<&[u32]>) {
        let counts = &mut self.counts;
        let place = |row: usize| by.iter().map(|(codes, parts)| parts[codes[row] as usize]).sum::<u32>();
        match (by, picked) {
            ([(codes, parts)], None) => {
                codes.iter().for_each(|code| counts[parts[*code as usize] as usize] += 1);
            }
            ([(one, its), (other, others)], None) => {
                for (one, other) in one.iter().zip(*other) {
                    counts[(its[*one as usize] + others[*other as usize]) as usize] += 1;
                }
            }
            (_, None) => (0..rows).for_each(|row| counts[place(row) as usize] += 1),
            (_, Some(picked)) => picked.iter().for_each(|row| counts[place(*row as usize) as usize] += 1),
        }
    }

    /// Takes in what another has counted by the same codes; false when there is no room.
    pub fn unite(&mut self, other: &Self) -> bool {
        if other.counts.is_empty() {
            return true;
        }
        let most: Vec<u32> = other.fields.iter().map(|field| (1 << field.bits) - 1).collect();
        let rows = usize::try_from(other.rows).unwrap_or(usize::MAX);
        if !self.widen(&most, rows) {
            return false;
        }
        if self.fields == other.fields {
            self.counts.iter_mut().zip(&other.counts).for_each(|(ours, its)| *ours += its);
        } else {
            self.raise(other);
        }
        true
    }

    /// Adds what another has counted, by whose codes there is a place for all.
    fn raise(&mut self, other: &Self) {
        for (codes, hits) in other.counted() {
            let parts = self.fields.iter().zip(codes).map(|(field, code)| (code as usize) << field.shift);
            let place: usize = parts.sum();
            self.counts[place] += hits;
        }
    }

    /// The combinations that came up, in the order of their codes, with their hits.
    pub fn counted(&self) -> impl Iterator<Item = (impl Iterator<Item = u32>, u32)> {
        (0_u32..).zip(&self.counts).filter(|(_, hits)| **hits > 0).map(|(place, hits)| {
            let code = move |field: &Field| place >> field.shift & ((1 << field.bits) - 1);
            (self.fields.iter().map(code), *hits)
        })
    }

    /// Takes all that was counted, to count nothing from now on.
    pub fn close(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Places that will be gone through.
    pub fn places(&self) -> usize {
        self.counts.len()
    }

    pub fn bytes(&self) -> usize {
        4 * self.counts.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(tally: &Tally) -> Vec<(Vec<u32>, u32)> {
        tally.counted().map(|(codes, hits)| (codes.collect(), hits)).collect()
    }

    /// Counts rows of chunks whose codes are those of the spaces.
    fn add(tally: &mut Tally, rows: &[[u32; 2]], picked: Option<&[u32]>) -> bool {
        let of = |dimension: usize| rows.iter().map(|row| row[dimension]).collect::<Vec<_>>();
        let (ones, others) = (of(0), of(1));
        let most = [&ones, &others].map(|codes| codes.iter().copied().max().unwrap_or_default());
        if !tally.widen(&most, rows.len()) {
            return false;
        }
        let all = |most: u32| (0..=most).collect::<Vec<_>>();
        let parts = [0, 1].map(|dimension| tally.parts(dimension, &all(most[dimension])));
        tally.add(&[(&ones, &parts[0]), (&others, &parts[1])], rows.len(), picked);
        true
    }

    #[test]
    fn combinations_keep_their_hits_when_codes_grow() {
        let mut tally = Tally::new(1 << 20);
        assert!(add(&mut tally, &[[1, 1], [0, 1], [1, 1]], None));
        assert!(add(&mut tally, &[[1, 1], [5, 1], [5, 9]], Some(&[0, 2])));
        let wanted = [(vec![0, 1], 1), (vec![1, 1], 3), (vec![5, 9], 1)];
        assert_eq!(counted(&tally), wanted);
        let mut other = Tally::new(1 << 20);
        assert!(add(&mut other, &[[5, 9], [6, 0]], None));
        let mut new = Tally::new(1 << 20);
        assert!(new.unite(&tally));
        assert_eq!(counted(&new), wanted);
        let mut closed = tally.close();
        assert!(closed.unite(&other));
        assert_eq!(counted(&closed), [(vec![0, 1], 1), (vec![1, 1], 3), (vec![5, 9], 2), (vec![6, 0], 1)]);
        assert!(!add(&mut tally, &[[1, 1]], None), "it was closed");
        assert!(tally.unite(&Tally::default()) && !tally.unite(&other));
    }

    #[test]
    fn one_of_two_that_have_other_widths_takes_in_the_other() {
        let [mut one, mut other] = [1 << 20; 2].map(Tally::new);
        let rows = |rows: [[u32; 2]; 2]| rows.repeat(20);
        assert!(add(&mut one, &rows([[1, 40], [2, 3]]), None));
        assert!(add(&mut other, &rows([[20, 1], [2, 3]]), None));
        assert!(one.unite(&other));
        assert_eq!(counted(&one), [(vec![1, 40], 20), (vec![2, 3], 40), (vec![20, 1], 20)]);
    }

    #[test]
    fn there_is_no_room_for_few_rows_of_many_combinations_or_too_many_of_them() {
        let mut tally = Tally::new(1 << 20);
        assert!(!tally.widen(&[1 << 10, 1], 10));
        assert!(tally.widen(&[1 << 10, 1], 1 << 10));
        assert!(!tally.widen(&[1 << 16, 1 << 5], 1 << 30));
        assert!(!tally.widen(&[u32::MAX, u32::MAX, u32::MAX], 1 << 30));
        assert!(!tally.widen(&[1, 1], 1 << 32));
    }
}

//! Counting distinct values of groups: exactly as long as it can be afforded, by a sample beyond.

use rustc_hash::FxHashSet;

/// Bytes of bitmaps that one set may have; a set that needs more becomes a list of pairs.
const BITMAP_BYTES: usize = 4 << 20;

/// Pairs of group and value that one set keeps at most.
const PAIRS: usize = 1 << 20;

/// The distinct values of every group, as pairs of numbers.
///
/// Few groups with dense values are bitmaps. Otherwise the pairs are kept, up to [`PAIRS`]; when
/// there are more, only those of values whose hash starts with a zero bit are kept on, then with
/// two, and so on (adaptive distinct sampling, after Wegman). A group of `n` values then counts
/// with a relative standard error of `sqrt((2^bits - 1) / n)`: a group that is small beside
/// `2^bits` can read as `2^bits`, or as the one that it has at least.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    bits: Vec<Vec<u64>>,
    words: usize,
    pairs: Option<FxHashSet<u64>>,
    sampled: u32,
    /// A bit a group: whether it has a value that was not kept.
    thinned: Vec<u64>,
}

fn sampled(value: u32, bits: u32) -> bool {
    bits == 0 || mix(value) >> (64 - bits) == 0
}

/// The finalizer of SplitMix64.
fn mix(value: u32) -> u64 {
    let mut hash = u64::from(value).wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn pair(group: u32, value: u32) -> u64 {
    u64::from(group) << 32 | u64::from(value)
}

#[allow(clippy::cast_possible_truncation)] // the two halves
fn halves(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}

impl Distinct {
    /// Notes that a group has a value.
    #[inline]
    pub fn add(&mut self, group: u32, value: u32) {
        let (word, bit) = (value as usize / 64, 1 << (value % 64));
        if let Some(bits) = self.bits.get_mut(group as usize)
            && let Some(word) = bits.get_mut(word)
        {
            *word |= bit;
            return;
        }
        self.add_slowly(group, value);
    }

    fn add_slowly(&mut self, group: u32, value: u32) {
        if self.pairs.is_none() {
            if self.grow(group as usize, value as usize / 64) {
                self.bits[group as usize][value as usize / 64] |= 1 << (value % 64);
                return;
            }
            self.unpack();
        }
        self.insert(group, value);
    }

    /// Makes room for a bit; false when that would be too much.
    fn grow(&mut self, group: usize, word: usize) -> bool {
        let have = self.bits.get(group).map_or(0, Vec::len);
        // By half more, so that values in ascending order do not move the bits each time.
        let want = (word + 1).max(have + have / 2);
        let groups = (group + 1).saturating_sub(self.bits.len());
        if 8 * (self.words + want - have) + 24 * (self.bits.len() + groups) > BITMAP_BYTES {
            return false;
        }
        if groups > 0 {
            self.bits.resize(group + 1, Vec::new());
        }
        self.bits[group].resize(want, 0);
        self.words += want - have;
        true
    }

    fn unpack(&mut self) {
        self.pairs = Some(FxHashSet::default());
        self.words = 0;
        for (group, bits) in (0..).zip(std::mem::take(&mut self.bits)) {
            each_bit(&bits, |value| self.insert(group, value));
        }
    }

    fn insert(&mut self, group: u32, value: u32) {
        let Some(pairs) = &mut self.pairs else { return };
        if !sampled(value, self.sampled) {
            note(&mut self.thinned, group);
            return;
        }
        pairs.insert(pair(group, value));
        while self.pairs.as_ref().is_some_and(|pairs| pairs.len() > PAIRS) {
            self.sampled += 1;
            self.thin();
        }
    }

    /// Keeps only pairs that are in the sample.
    fn thin(&mut self) {
        let (bits, thinned) = (self.sampled, &mut self.thinned);
        let Some(pairs) = &mut self.pairs else { return };
        pairs.retain(|pair| {
            let (group, value) = halves(*pair);
            let keep = sampled(value, bits);
            if !keep {
                note(thinned, group);
            }
            keep
        });
    }

    /// Takes in another set, whose groups are called `groups` here.
    pub fn merge(&mut self, other: Self, groups: &[u32]) {
        if other.sampled > self.sampled {
            if self.pairs.is_none() {
                self.unpack();
            }
            self.sampled = other.sampled;
            self.thin();
        }
        each_bit(&other.thinned, |group| note(&mut self.thinned, groups[group as usize]));
        for (group, bits) in groups.iter().zip(other.bits) {
            each_bit(&bits, |value| self.add(*group, value));
        }
        for pair in other.pairs.into_iter().flatten() {
            let (group, value) = halves(pair);
            self.add(groups[group as usize], value);
        }
    }

    /// Adds the counts of all groups to `counts`, so that no group that has a value is without one;
    /// returns the bits that the sample was taken by, 0 when the counts are exact.
    pub fn count_into(&self, counts: &mut [u64]) -> u32 {
        for (count, bits) in counts.iter_mut().zip(&self.bits) {
            *count += bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        }
        for pair in self.pairs.iter().flatten() {
            if let Some(count) = counts.get_mut(halves(*pair).0 as usize) {
                *count += 1 << self.sampled;
            }
        }
        each_bit(&self.thinned, |group| {
            if let Some(count) = counts.get_mut(group as usize) {
                *count = (*count).max(1);
            }
        });
        self.sampled
    }

    /// Forgets all values, for the next day's.
    pub fn clear(&mut self) {
        self.bits.iter_mut().for_each(|bits| bits.fill(0));
        if let Some(pairs) = &mut self.pairs {
            pairs.clear();
        }
        self.thinned.clear();
        self.sampled = 0;
    }

    pub fn bytes(&self) -> usize {
        24 * self.bits.len()
            + 8 * (self.words + self.thinned.len())
            + self.pairs.as_ref().map_or(0, |pairs| 9 * pairs.capacity())
    }
}

/// Sets the bit of a group.
fn note(bits: &mut Vec<u64>, group: u32) {
    let word = group as usize / 64;
    if bits.len() <= word {
        bits.resize(word + 1, 0);
    }
    bits[word] |= 1 << (group % 64);
}

fn each_bit(bits: &[u64], mut each: impl FnMut(u32)) {
    for (first, word) in (0..).step_by(64).zip(bits) {
        let mut rest = *word;
        while rest != 0 {
            each(first + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

/// The relative standard error of a count that was taken by a sample of so many bits.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn error(bits: u32, count: f64) -> f64 {
    (((1_u64 << bits) - 1) as f64 / count.max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn counts(set: &Distinct, groups: usize) -> (Vec<u64>, u32) {
        let mut counts = vec![0; groups];
        let bits = set.count_into(&mut counts);
        (counts, bits)
    }

    #[test]
    fn what_fits_is_counted_exactly_in_bitmaps_and_in_pairs() {
        for (groups, values) in [(3, 1_000), (70, 60_000), (500, 400_000)] {
            let (mut set, mut wanted) = (Distinct::default(), vec![BTreeSet::new(); groups as usize]);
            for n in 0..100_000_u32 {
                let (group, value) = (mix(n) as u32 % groups, mix(n / 2) as u32 % values);
                set.add(group, value);
                wanted[group as usize].insert(value);
            }
            let wanted: Vec<u64> = wanted.iter().map(|values| values.len() as u64).collect();
            assert_eq!(counts(&set, groups as usize), (wanted, 0));
        }
    }

    #[test]
    fn sets_of_two_workers_are_one_set() {
        for values in [1_000, 3_000_000] {
            let (mut one, mut other) = (Distinct::default(), Distinct::default());
            (0..values).step_by(2).for_each(|value| one.add(0, value));
            (0..values).step_by(3).for_each(|value| other.add(0, value));
            (0..10).for_each(|value| other.add(1, value));
            one.merge(other, &[0, 1]);
            let (counts, bits) = counts(&one, 2);
            let wanted = u64::from(values.div_ceil(2) + values.div_ceil(3) - values.div_ceil(6));
            if bits == 0 {
                assert_eq!(counts, [wanted, 10]);
            } else {
                let off = (counts[0] as f64 / wanted as f64 - 1.0).abs();
                assert!(off < 5.0 * error(bits, wanted as f64), "{} of {wanted}", counts[0]);
            }
        }
    }

    #[test]
    fn more_than_can_be_kept_is_estimated_within_its_stated_error() {
        let mut set = Distinct::default();
        for n in 0..4_000_000_u32 {
            // Far apart, so that bitmaps are no help.
            set.add(n % 4, n.wrapping_mul(0x9e37_79b1));
        }
        let (counts, bits) = counts(&set, 4);
        assert!(bits > 0 && set.bytes() < 40 << 20, "{bits} bits, {} bytes", set.bytes());
        for count in counts {
            let off = (count as f64 / 1_000_000.0 - 1.0).abs();
            assert!(off < 5.0 * error(bits, 1e6), "{count}");
        }
        set.clear();
        assert_eq!(self::counts(&set, 4).0, [0; 4]);
    }

    #[test]
    fn a_group_with_a_value_is_never_without_one_however_coarse_the_sample() {
        let (small, large) = (1_000, 0);
        let mut one = Distinct::default();
        (1..=small).for_each(|group| one.add(group, group.wrapping_mul(0x9e37_79b1)));
        (0..8_000_000_u32).for_each(|value| one.add(large, value.wrapping_mul(0x85eb_ca6b)));
        let mut other = Distinct::default();
        other.add(0, 7);
        let groups: Vec<u32> = (0..=small).collect();
        other.merge(one, &groups);
        let (counts, bits) = counts(&other, small as usize + 2);
        assert!(bits > 2, "{bits}");
        assert!(counts[1..=small as usize].iter().all(|count| *count >= 1));
        assert_eq!(counts[small as usize + 1], 0, "and one without a value is");
        assert!(error(bits, 1.0) > 1.0 && error(0, 1.0) == 0.0);
    }
}

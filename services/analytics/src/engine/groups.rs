//! The groups of a table while hits are added up.

use rustc_hash::FxHashMap;

use super::{codes::UNKNOWN, distinct::Distinct, plan::Wants, quantile::Quantiles};

/// Sums over the times to the answer of a group, microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durations {
    pub known: u64,
    pub sum: i128,
    pub min: i64,
    pub max: i64,
}

/// Statuses of a group.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Statuses {
    pub known: u64,
    pub errors: u64,
    pub successes: u64,
}

/// What a status is, as bits.
pub(crate) const KNOWN: u8 = 1;
pub(crate) const ERROR: u8 = 2;
pub(crate) const SUCCESS: u8 = 4;

/// Distinct values that belong to one UTC day each: counted day by day and added up.
#[derive(Debug, Default)]
pub(crate) struct Daily {
    today: Distinct,
    pub counts: Vec<u64>,
    /// Bits of the coarsest sample of any day.
    pub sampled: u32,
}

/// All groups of a table, by number.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub keys: Keys,
    wants: Wants,
    pub hits: Vec<u64>,
    pub statuses: Vec<Statuses>,
    pub durations: Vec<Durations>,
    pub quantiles: Quantiles,
    pub request_bytes: Vec<i128>,
    pub response_bytes: Vec<i128>,
    /// First and last time.
    pub seen: Vec<(i64, i64)>,
    pub visitors: Daily,
    pub sessions: Daily,
    pub users: Distinct,
    pub addresses: Distinct,
}

/// Values of a block, a row each.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub statuses: Vec<u8>,
    pub durations: Vec<i64>,
    pub request_bytes: Vec<i64>,
    pub response_bytes: Vec<i64>,
    pub ts: Vec<i64>,
    pub visitors: Vec<u32>,
    pub sessions: Vec<u32>,
    pub users: Vec<u32>,
    pub addresses: Vec<u32>,
}

/// Rows of a block with their groups.
pub(crate) struct Grouped<'a> {
    pub groups: &'a [u32],
    /// Their places in the block; `None` when they are all of it.
    pub places: Option<&'a [u32]>,
}

impl Grouped<'_> {
    /// Calls `each` with the group and the value of every row.
    #[inline]
    fn each<T: Copy>(&self, values: &[T], mut each: impl FnMut(u32, T)) {
        match self.places {
            None => self.groups.iter().zip(values).for_each(|(group, value)| each(*group, *value)),
            Some(places) => {
                self.groups
                    .iter()
                    .zip(places)
                    .for_each(|(group, place)| each(*group, values[*place as usize]));
            }
        }
    }
}

impl Groups {
    pub fn new(dimensions: usize, wants: Wants) -> Self {
        Self { keys: Keys::new(dimensions), wants, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Makes room for groups that came up.
    fn widen(&mut self) {
        fn to<T: Clone>(wanted: bool, values: &mut Vec<T>, groups: usize, new: T) {
            if wanted {
                values.resize(groups, new);
            }
        }
        let (groups, wants) = (self.len(), self.wants);
        if self.hits.len() == groups {
            return;
        }
        self.hits.resize(groups, 0);
        to(wants.status, &mut self.statuses, groups, Statuses::default());
        let durations = Durations { known: 0, sum: 0, min: i64::MAX, max: i64::MIN };
        to(wants.duration, &mut self.durations, groups, durations);
        to(wants.request_bytes, &mut self.request_bytes, groups, 0);
        to(wants.response_bytes, &mut self.response_bytes, groups, 0);
        to(wants.seen, &mut self.seen, groups, (i64::MAX, i64::MIN));
        to(wants.visitors, &mut self.visitors.counts, groups, 0);
        to(wants.sessions, &mut self.sessions.counts, groups, 0);
    }

    /// Adds up a block.
    pub fn add(&mut self, rows: &Grouped, inputs: &Inputs) {
        self.widen();
        let wants = self.wants;
        for group in rows.groups {
            self.hits[*group as usize] += 1;
        }
        if wants.status {
            rows.each(&inputs.statuses, |group, status| {
                let group = &mut self.statuses[group as usize];
                group.known += u64::from(status & KNOWN);
                group.errors += u64::from(status & ERROR != 0);
                group.successes += u64::from(status & SUCCESS != 0);
            });
        }
        if wants.duration {
            rows.each(&inputs.durations, |group, value| {
                if value != UNKNOWN {
                    let group = &mut self.durations[group as usize];
                    group.known += 1;
                    group.sum += i128::from(value);
                    group.min = group.min.min(value);
                    group.max = group.max.max(value);
                }
            });
        }
        if wants.quantiles {
            rows.each(&inputs.durations, |group, value| {
                if value != UNKNOWN {
                    self.quantiles.add(group, value);
                }
            });
            self.quantiles.settle(self.keys.len());
        }
        for (wanted, values, sums) in [
            (wants.request_bytes, &inputs.request_bytes, &mut self.request_bytes),
            (wants.response_bytes, &inputs.response_bytes, &mut self.response_bytes),
        ] {
            if wanted {
                rows.each(values, |group, value| {
                    if value != UNKNOWN {
                        sums[group as usize] += i128::from(value);
                    }
                });
            }
        }
        if wants.seen {
            rows.each(&inputs.ts, |group, ts| {
                let (first, last) = &mut self.seen[group as usize];
                *first = ts.min(*first);
                *last = ts.max(*last);
            });
        }
        for (wanted, values, set) in [
            (wants.visitors, &inputs.visitors, &mut self.visitors.today),
            (wants.sessions, &inputs.sessions, &mut self.sessions.today),
            (wants.users, &inputs.users, &mut self.users),
            (wants.addresses, &inputs.addresses, &mut self.addresses),
        ] {
            if wanted {
                rows.each(values, |group, value| {
                    if value != 0 {
                        set.add(group, value);
                    }
                });
            }
        }
    }

    /// To be called when all hits are added up.
    pub fn finish(&mut self) {
        self.widen();
    }

    /// Ends a UTC day.
    pub fn end_day(&mut self) {
        self.visitors.end_day();
        self.sessions.end_day();
    }

    /// Takes in the groups of another worker; `spaces` has what its codes are here, by dimension.
    pub fn merge(&mut self, other: Self, spaces: &[Option<&[u32]>]) {
        let names = self.keys.merge(&other.keys, spaces);
        self.widen();
        let groups = self.len();
        fn each<T>(names: &[u32], ours: &mut [T], others: Vec<T>, mut merge: impl FnMut(&mut T, T)) {
            for (name, other) in names.iter().zip(others) {
                merge(&mut ours[*name as usize], other);
            }
        }
        each(&names, &mut self.hits, other.hits, |ours, other| *ours += other);
        each(&names, &mut self.statuses, other.statuses, |ours, other| {
            ours.known += other.known;
            ours.errors += other.errors;
            ours.successes += other.successes;
        });
        each(&names, &mut self.durations, other.durations, |ours, other| {
            ours.known += other.known;
            ours.sum += other.sum;
            ours.min = ours.min.min(other.min);
            ours.max = ours.max.max(other.max);
        });
        each(&names, &mut self.request_bytes, other.request_bytes, |ours, other| *ours += other);
        each(&names, &mut self.response_bytes, other.response_bytes, |ours, other| *ours += other);
        each(&names, &mut self.seen, other.seen, |ours, other| {
            *ours = (ours.0.min(other.0), ours.1.max(other.1));
        });
        for (ours, other) in [(&mut self.visitors, other.visitors), (&mut self.sessions, other.sessions)] {
            each(&names, &mut ours.counts, other.counts, |ours, other| *ours += other);
            ours.sampled = ours.sampled.max(other.sampled);
        }
        self.quantiles.merge(other.quantiles, &names, groups);
        self.users.merge(other.users, &names);
        self.addresses.merge(other.addresses, &names);
    }

    /// Gives up exact quantiles of large groups to save memory.
    pub fn compact(&mut self) {
        if self.wants.quantiles {
            self.quantiles.sketch(self.keys.len());
        }
    }

    /// Bytes of working memory.
    pub fn bytes(&self) -> usize {
        let each = 8
            + 24 * usize::from(self.wants.status)
            + size_of::<Durations>() * usize::from(self.wants.duration)
            + 16 * usize::from(self.wants.request_bytes)
            + 16 * usize::from(self.wants.response_bytes)
            + 16 * usize::from(self.wants.seen)
            + 8 * usize::from(self.wants.visitors)
            + 8 * usize::from(self.wants.sessions);
        self.keys.bytes()
            + each * self.hits.capacity()
            + self.quantiles.bytes()
            + self.visitors.today.bytes()
            + self.sessions.today.bytes()
            + self.users.bytes()
            + self.addresses.bytes()
    }
}

impl Daily {
    fn end_day(&mut self) {
        self.sampled = self.sampled.max(self.today.count_into(&mut self.counts));
        self.today.clear();
    }
}

/// Numbers for combinations of codes, a code a dimension: level by level, each prefix has a number.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    /// By prefix and code; on the first level, where there is one prefix only, by code alone.
    numbers: FxHashMap<u64, u32>,
    first: Vec<u32>,
    /// Prefix and code of each number.
    nodes: Vec<(u32, u32)>,
}

const NONE: u32 = u32::MAX;

impl Keys {
    fn new(dimensions: usize) -> Self {
        Self { levels: (0..dimensions).map(|_| Level::default()).collect() }
    }

    /// Combinations with a number; without dimensions there is one.
    pub fn len(&self) -> usize {
        self.levels.last().map_or(1, |level| level.nodes.len())
    }

    /// The number of a combination.
    pub fn number(&mut self, codes: impl Iterator<Item = u32>) -> u32 {
        let mut prefix = 0;
        for (place, (level, code)) in self.levels.iter_mut().zip(codes).enumerate() {
            let Level { numbers, first, nodes } = level;
            let mut new = || {
                nodes.push((prefix, code));
                u32::try_from(nodes.len() - 1).unwrap_or(NONE)
            };
            prefix = if place == 0 {
                if first.len() <= code as usize {
                    first.resize((code as usize + 1).max(first.len() * 2), NONE);
                }
                let number = &mut first[code as usize];
                if *number == NONE {
                    *number = new();
                }
                *number
            } else {
                *numbers.entry(u64::from(prefix) << 32 | u64::from(code)).or_insert_with(new)
            };
        }
        prefix
    }

    /// The codes of one dimension of numbers.
    pub fn codes(&self, dimension: usize, numbers: impl Iterator<Item = usize>) -> Vec<u32> {
        numbers
            .map(|number| {
                let (mut at, mut code) = (number, 0);
                for level in self.levels[dimension..].iter().rev() {
                    let (prefix, its) = level.nodes[at];
                    (at, code) = (prefix as usize, its);
                }
                code
            })
            .collect()
    }

    /// Takes in other combinations; returns what their numbers are here.
    fn merge(&mut self, other: &Self, spaces: &[Option<&[u32]>]) -> Vec<u32> {
        let mut codes = vec![0; self.levels.len()];
        (0..other.len())
            .map(|number| {
                let mut at = number;
                for (place, level) in other.levels.iter().enumerate().rev() {
                    let (prefix, code) = level.nodes[at];
                    at = prefix as usize;
                    codes[place] = spaces[place].map_or(code, |space| space[code as usize]);
                }
                self.number(codes.iter().copied())
            })
            .collect()
    }

    fn bytes(&self) -> usize {
        let bytes = |level: &Level| {
            18 * level.numbers.capacity() + 4 * level.first.capacity() + 8 * level.nodes.capacity()
        };
        self.levels.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_number_of_its_own() {
        let mut keys = Keys::new(3);
        let numbers: Vec<u32> = (0..60).map(|n| keys.number([n % 3, n % 4, n % 5].into_iter())).collect();
        assert_eq!(numbers, (0..60).collect::<Vec<_>>());
        assert_eq!(keys.number([1, 3, 2].into_iter()), 7);
        for (dimension, size) in [(0, 3), (1, 4), (2, 5)] {
            let codes = keys.codes(dimension, 0..60);
            assert_eq!(codes, (0..60).map(|n| n % size).collect::<Vec<_>>());
        }
        let mut other = Keys::new(3);
        other.number([7, 7, 7].into_iter());
        let double: Vec<u32> = (0..9).map(|code| code * 2).collect();
        assert_eq!(other.merge(&keys, &[None, Some(&double), None])[5], other.number([2, 2, 0].into_iter()));
    }

    #[test]
    fn without_dimensions_there_is_one_group() {
        let mut groups = Groups::new(0, Wants::default());
        assert_eq!((groups.keys.number([].into_iter()), groups.len()), (0, 1));
        groups.add(&Grouped { groups: &[0, 0], places: None }, &Inputs::default());
        assert_eq!(groups.hits, [2]);
    }
}

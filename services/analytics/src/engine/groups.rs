//! The groups of a table while hits are added up.

use super::{codes::UNKNOWN, distinct::Distinct, keys::Keys, plan::Wants, quantile::Quantiles, tally::Tally};

/// Sums over the times to the answer of a group, microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durations {
    pub known: u64,
    pub sum: i128,
    pub min: i64,
    pub max: i64,
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
    /// Hits that no number has yet.
    pub tally: Tally,
    /// Groups that the table may have.
    most: usize,
    pub hits: Vec<u64>,
    /// Hits whose status is known, is an error's, and is a success's.
    pub known: Vec<u64>,
    pub errors: Vec<u64>,
    pub successes: Vec<u64>,
    pub durations: Vec<Durations>,
    pub quantiles: Quantiles,
    pub request_bytes: Vec<i128>,
    pub response_bytes: Vec<i128>,
    /// First and last times.
    pub first: Vec<i64>,
    pub last: Vec<i64>,
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
    /// Whether none of these is unknown.
    pub durations_known: bool,
    pub request_bytes: Vec<i64>,
    pub response_bytes: Vec<i64>,
    pub ts: Vec<i64>,
    pub visitors: Vec<u32>,
    pub sessions: Vec<u32>,
    pub users: Vec<u32>,
    pub addresses: Vec<u32>,
}

/// Rows of a block with their groups.
pub(crate) enum Grouped<'a> {
    /// A group for each.
    Each(&'a [u32]),
    /// A group for each of those at these places in the block.
    Picked(&'a [u32], &'a [u32]),
    /// Groups, and how many rows on end each has: what is grouped by the time comes so.
    Runs(&'a [(u32, usize)]),
}

impl Grouped<'_> {
    /// Calls `each` with the group and the value of every row.
    #[inline]
    fn each<T: Copy>(&self, values: &[T], mut each: impl FnMut(u32, T)) {
        match self {
            Self::Each(groups) => groups.iter().zip(values).for_each(|(group, value)| each(*group, *value)),
            Self::Picked(groups, places) => {
                groups.iter().zip(*places).for_each(|(group, place)| each(*group, values[*place as usize]));
            }
            Self::Runs(runs) => runs_of(runs, values, |group, values| {
                values.iter().for_each(|value| each(group, *value));
            }),
        }
    }
}

/// Calls `each` with the group and the values of every run.
fn runs_of<T>(runs: &[(u32, usize)], mut values: &[T], mut each: impl FnMut(u32, &[T])) {
    for (group, length) in runs {
        let (run, rest) = values.split_at((*length).min(values.len()));
        each(*group, run);
        values = rest;
    }
}

impl Durations {
    fn add(&mut self, value: i64) {
        self.known += 1;
        self.sum += i128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds a run; where all values are known and small, without a branch a value.
    fn add_run(&mut self, values: &[i64]) {
        let least = values.iter().copied().fold(i64::MAX, i64::min);
        let most = values.iter().copied().fold(i64::MIN, i64::max);
        // A block has far fewer than 2^20 rows, so that such a sum stays below 2^63.
        if least >= 0 && most < 1 << 43 {
            self.known += values.len() as u64;
            self.sum += i128::from(values.iter().sum::<i64>());
            self.min = self.min.min(least);
            self.max = self.max.max(most);
        } else {
            values.iter().filter(|value| **value != UNKNOWN).for_each(|value| self.add(*value));
        }
    }
}

impl Groups {
    /// None yet, of a table that may have `most`; if it wants nothing but hits, these may be tallied in so
    /// many bytes.
    pub fn new(dimensions: usize, wants: Wants, tally: usize, most: usize) -> Self {
        Self { keys: Keys::new(dimensions), wants, tally: Tally::new(tally), most, ..Self::default() }
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
        to(wants.known, &mut self.known, groups, 0);
        to(wants.errors, &mut self.errors, groups, 0);
        to(wants.successes, &mut self.successes, groups, 0);
        let durations = Durations { known: 0, sum: 0, min: i64::MAX, max: i64::MIN };
        to(wants.duration, &mut self.durations, groups, durations);
        to(wants.request_bytes, &mut self.request_bytes, groups, 0);
        to(wants.response_bytes, &mut self.response_bytes, groups, 0);
        to(wants.first, &mut self.first, groups, i64::MAX);
        to(wants.last, &mut self.last, groups, i64::MIN);
        to(wants.visitors, &mut self.visitors.counts, groups, 0);
        to(wants.sessions, &mut self.sessions.counts, groups, 0);
    }

    /// Adds up hits by the codes of their groups, where nothing else is wanted of any.
    pub fn count(&mut self, counted: impl Iterator<Item = (impl Iterator<Item = u32>, u64)>) {
        for (codes, hits) in counted {
            let group = self.keys.number(codes) as usize;
            if group >= self.hits.len() {
                self.hits.resize(group + 1, 0);
            }
            self.hits[group] += hits;
        }
    }

    /// Adds up a block.
    pub fn add(&mut self, rows: &Grouped, inputs: &Inputs) {
        self.widen();
        let wants = self.wants;
        match rows {
            Grouped::Each(groups) | Grouped::Picked(groups, _) => {
                groups.iter().for_each(|group| self.hits[*group as usize] += 1);
            }
            Grouped::Runs(runs) => {
                runs.iter().for_each(|(group, length)| self.hits[*group as usize] += *length as u64);
            }
        }
        for (wanted, bit, counts) in [
            (wants.known, KNOWN, &mut self.known),
            (wants.errors, ERROR, &mut self.errors),
            (wants.successes, SUCCESS, &mut self.successes),
        ] {
            match rows {
                _ if !wanted => {}
                // In one go over bytes, which the processor does many at a time.
                Grouped::Runs(runs) => runs_of(runs, &inputs.statuses, |group, run| {
                    counts[group as usize] +=
                        run.iter().map(|status| u64::from(status & bit != 0)).sum::<u64>();
                }),
                _ => rows.each(&inputs.statuses, |group, status| {
                    counts[group as usize] += u64::from(status & bit != 0);
                }),
            }
        }
        if wants.duration {
            let durations = &mut self.durations;
            match rows {
                Grouped::Runs(runs) => runs_of(runs, &inputs.durations, |group, run| {
                    durations[group as usize].add_run(run);
                }),
                _ => rows.each(&inputs.durations, |group, value| {
                    if value != UNKNOWN {
                        durations[group as usize].add(value);
                    }
                }),
            }
        }
        if wants.quantiles {
            let quantiles = &mut self.quantiles;
            match rows {
                Grouped::Each(groups) if inputs.durations_known => {
                    quantiles.add_all(groups.iter().copied(), &inputs.durations);
                }
                Grouped::Runs([(0, _)]) if inputs.durations_known => {
                    quantiles.add_to_first(&inputs.durations)
                }
                Grouped::Runs(runs) if inputs.durations_known => {
                    let groups = runs.iter().flat_map(|(group, length)| std::iter::repeat_n(*group, *length));
                    quantiles.add_all(groups, &inputs.durations);
                }
                _ => rows.each(&inputs.durations, |group, value| {
                    if value != UNKNOWN {
                        quantiles.add(group, value);
                    }
                }),
            }
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
        if wants.first {
            rows.each(&inputs.ts, |group, ts| {
                self.first[group as usize] = self.first[group as usize].min(ts)
            });
        }
        if wants.last {
            rows.each(&inputs.ts, |group, ts| self.last[group as usize] = self.last[group as usize].max(ts));
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
        self.number_tally();
        self.widen();
    }

    /// Gives a number to each combination of the tally, which is over then. Numbers take several times the
    /// room that combinations have there: of those that are too many for the table one too many gets one.
    fn number_tally(&mut self) {
        let tally = self.tally.close();
        let counted = tally.counted().take(self.most.saturating_add(1));
        self.count(counted.map(|(codes, hits)| (codes, u64::from(hits))));
    }

    /// How much there is to be done at the end, compared with others.
    pub fn work(&self) -> usize {
        self.len() + self.quantiles.len() + self.tally.places()
    }

    /// Ends a UTC day.
    pub fn end_day(&mut self) {
        self.visitors.end_day();
        self.sessions.end_day();
    }

    /// Takes in the groups of another worker; `spaces` has what its codes are here, by dimension.
    pub fn merge(&mut self, mut other: Self, spaces: &[Option<&[u32]>]) {
        if !spaces.iter().all(Option::is_none) || !self.tally.unite(&other.tally) {
            other.number_tally();
        }
        let names = self.keys.merge(&other.keys, spaces);
        self.widen();
        let groups = self.len();
        fn each<T>(names: &[u32], ours: &mut [T], others: Vec<T>, mut merge: impl FnMut(&mut T, T)) {
            for (name, other) in names.iter().zip(others) {
                merge(&mut ours[*name as usize], other);
            }
        }
        each(&names, &mut self.hits, other.hits, |ours, other| *ours += other);
        each(&names, &mut self.known, other.known, |ours, other| *ours += other);
        each(&names, &mut self.errors, other.errors, |ours, other| *ours += other);
        each(&names, &mut self.successes, other.successes, |ours, other| *ours += other);
        each(&names, &mut self.durations, other.durations, |ours, other| {
            ours.known += other.known;
            ours.sum += other.sum;
            ours.min = ours.min.min(other.min);
            ours.max = ours.max.max(other.max);
        });
        each(&names, &mut self.request_bytes, other.request_bytes, |ours, other| *ours += other);
        each(&names, &mut self.response_bytes, other.response_bytes, |ours, other| *ours += other);
        each(&names, &mut self.first, other.first, |ours, other| *ours = other.min(*ours));
        each(&names, &mut self.last, other.last, |ours, other| *ours = other.max(*ours));
        for (ours, other) in [(&mut self.visitors, other.visitors), (&mut self.sessions, other.sessions)] {
            each(&names, &mut ours.counts, other.counts, |ours, other| *ours += other);
            ours.sampled = ours.sampled.max(other.sampled);
        }
        self.quantiles.merge(other.quantiles, &names, groups);
        self.users.merge(other.users, &names);
        self.addresses.merge(other.addresses, &names);
    }

    /// Gives up exact quantiles of large groups, and what only saves time, to save memory.
    pub fn compact(&mut self) {
        self.number_tally();
        self.sketch();
    }

    /// Gives up exact quantiles of large groups.
    pub fn sketch(&mut self) {
        if self.wants.quantiles {
            self.quantiles.sketch(self.keys.len());
        }
    }

    /// Bytes of working memory.
    pub fn bytes(&self) -> usize {
        let each = 8
            + 8 * usize::from(self.wants.known)
            + 8 * usize::from(self.wants.errors)
            + 8 * usize::from(self.wants.successes)
            + size_of::<Durations>() * usize::from(self.wants.duration)
            + 16 * usize::from(self.wants.request_bytes)
            + 16 * usize::from(self.wants.response_bytes)
            + 8 * usize::from(self.wants.first)
            + 8 * usize::from(self.wants.last)
            + 8 * usize::from(self.wants.visitors)
            + 8 * usize::from(self.wants.sessions);
        self.keys.bytes()
            + self.tally.bytes()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_dimensions_there_is_one_group() {
        let mut groups = Groups::new(0, Wants::default(), 0, 10);
        assert_eq!((groups.keys.number([].into_iter()), groups.len()), (0, 1));
        groups.add(&Grouped::Each(&[0, 0]), &Inputs::default());
        assert_eq!(groups.hits, [2]);
    }

    #[test]
    fn of_a_tally_with_too_many_combinations_no_more_get_a_number_than_show_it() {
        for (most, numbered) in [(1_000, 500), (500, 500), (499, 500), (9, 10)] {
            let mut groups = Groups::new(1, Wants::default(), 1 << 20, most);
            let codes: Vec<u32> = (0..500).collect();
            assert!(groups.tally.widen(&[499], 500));
            groups.tally.add(&[(&codes, &codes)], 500, None);
            groups.finish();
            assert_eq!((groups.len(), groups.hits.len()), (numbered, numbered));
        }
    }

    #[test]
    fn runs_add_up_as_their_rows_do() {
        let wants = Wants {
            known: true,
            errors: true,
            successes: true,
            duration: true,
            quantiles: true,
            first: true,
            last: true,
            users: true,
            ..Wants::default()
        };
        let of_rows = [0, 0, 0, 1, 1, 0, 2];
        let runs = [(0, 3), (1, 2), (0, 1), (2, 1)];
        for durations in [
            [5, 7, UNKNOWN, 1, 2, i64::MAX, i64::MAX],
            [5, 7, 9, 1, 2, 3, 4],
            [-5, 7, i64::MAX, i64::MAX, i64::MAX, 3, UNKNOWN],
        ] {
            let inputs = Inputs {
                statuses: vec![0, KNOWN | ERROR, KNOWN, KNOWN | SUCCESS, 0, KNOWN | SUCCESS, KNOWN | ERROR],
                durations: durations.into(),
                durations_known: !durations.contains(&UNKNOWN),
                ts: vec![9, 8, 7, 6, 5, 4, 3],
                users: vec![0, 1, 1, 2, 3, 4, 0],
                ..Inputs::default()
            };
            let add = |rows: Grouped| {
                let mut groups = Groups::new(1, wants, 0, 10);
                (0..3).for_each(|code| {
                    groups.keys.number([code].into_iter());
                });
                groups.add(&rows, &inputs);
                let mut users = vec![0; 3];
                groups.users.count_into(&mut users);
                let mut quantiles = std::mem::take(&mut groups.quantiles).finish(3, None);
                let quantiles: Vec<_> = (0..3).map(|group| quantiles.quantile(group, 500)).collect();
                let Groups { hits, known, errors, successes, durations, first, last, .. } = groups;
                let statuses = (known, errors, successes);
                format!("{hits:?} {statuses:?} {durations:?} {first:?} {last:?} {users:?} {quantiles:?}")
            };
            assert_eq!(add(Grouped::Runs(&runs)), add(Grouped::Each(&of_rows)));
            let all: Vec<u32> = (0..7).collect();
            assert_eq!(add(Grouped::Picked(&of_rows, &all)), add(Grouped::Each(&of_rows)));
        }
    }
}

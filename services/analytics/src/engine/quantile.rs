//! Quantiles of groups: exact while the values fit into memory, from a histogram beyond.

/// Values of one set that are kept as they came.
const KEPT: usize = 2 << 20;

/// Values of one group from which a histogram is smaller.
const FEW: usize = 2_048;

/// Steps of a histogram between a power of two and the next.
const STEPS: u32 = 128;

/// Half a step: how far a quantile from a histogram is off at most, relative.
pub(crate) const HISTOGRAM_ERROR: f64 = 0.5 / 128.0;

/// Values of every group.
///
/// They are kept as pairs of group and value, up to [`KEPT`]. When there are more, groups with more
/// than [`FEW`] become histograms whose steps grow with the value, each one part in 128 of a power
/// of two wide; smaller groups stay exact. A negative value counts as 0 in a histogram.
#[derive(Debug, Default)]
pub(crate) struct Quantiles {
    groups: Vec<u32>,
    values: Vec<i64>,
    sketches: Vec<Sketch>,
    sketched: bool,
}

/// Values of one group that do not fit as they came.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Few(Vec<i64>),
    Many(Vec<u64>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Quantiles {
    #[inline]
    pub fn add(&mut self, group: u32, value: i64) {
        self.groups.push(group);
        self.values.push(value);
    }

    /// Adds known values, a group each.
    pub fn add_all(&mut self, groups: impl Iterator<Item = u32>, values: &[i64]) {
        self.groups.extend(groups);
        self.values.extend_from_slice(values);
    }

    /// To be called now and then while values are added, with how many groups there are.
    pub fn settle(&mut self, groups: usize) {
        if self.values.len() > KEPT {
            self.sketch(groups);
        }
    }

    /// Makes histograms of groups with many values, however few there are altogether.
    pub fn sketch(&mut self, groups: usize) {
        self.sketched = true;
        let (starts, values) = self.sorted(groups);
        self.groups = Vec::new();
        self.values = Vec::new();
        self.sketches.resize(groups, Sketch::default());
        for (group, sketch) in self.sketches.iter_mut().enumerate() {
            sketch.add(&values[starts[group]..starts[group + 1]]);
        }
    }

    /// Where each group starts in a list of all values, and that list.
    fn sorted(&self, groups: usize) -> (Vec<usize>, Vec<i64>) {
        let mut starts = vec![0; groups + 1];
        for group in &self.groups {
            starts[*group as usize + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let (mut next, mut sorted) = (starts.clone(), vec![0; self.values.len()]);
        for (group, value) in self.groups.iter().zip(&self.values) {
            let place = &mut next[*group as usize];
            sorted[*place] = *value;
            *place += 1;
        }
        (starts, sorted)
    }

    /// Takes in another set, whose groups are called `names` here, of `groups` altogether.
    pub fn merge(&mut self, other: Self, names: &[u32], groups: usize) {
        self.groups.extend(other.groups.iter().map(|group| names[*group as usize]));
        self.values.extend(&other.values);
        if other.sketched {
            self.sketch(groups);
            for (name, sketch) in names.iter().zip(other.sketches) {
                self.sketches[*name as usize].merge(sketch);
            }
        }
        self.settle(groups);
    }

    /// Makes it ready to be asked about `wanted` of so many groups, about all of them when left out.
    pub fn finish(mut self, groups: usize, wanted: Option<&[usize]>) -> Finished {
        if self.sketched {
            self.sketch(groups);
            return Finished::Sketches(self.sketches);
        }
        let (starts, values) = if groups == 1 {
            (vec![0, self.values.len()], self.values)
        } else {
            if let Some(wanted) = wanted {
                self.keep(groups, wanted);
            }
            self.sorted(groups)
        };
        Finished::Exact(Exact { starts, values, steps: (usize::MAX, Vec::new()) })
    }

    /// Forgets the values of all groups but these.
    fn keep(&mut self, groups: usize, wanted: &[usize]) {
        let mut kept = vec![false; groups];
        wanted.iter().for_each(|group| kept[*group] = true);
        let mut next = 0;
        for place in 0..self.groups.len() {
            // Without a branch, which would often be guessed wrong.
            let group = self.groups[place];
            self.groups[next] = group;
            self.values[next] = self.values[place];
            next += usize::from(kept[group as usize]);
        }
        self.groups.truncate(next);
        self.values.truncate(next);
    }

    /// Values that are kept as they came.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn bytes(&self) -> usize {
        let sketches: usize = self.sketches.iter().map(Sketch::bytes).sum();
        4 * self.groups.capacity() + 8 * self.values.capacity() + sketches
    }
}

/// A set that nothing is added to any more.
pub(crate) enum Finished {
    Exact(Exact),
    Sketches(Vec<Sketch>),
}

/// Values as they came.
pub(crate) struct Exact {
    /// Where each group starts.
    starts: Vec<usize>,
    /// In no order within a group.
    values: Vec<i64>,
    /// How many values of the group that was asked about last are in each step.
    steps: (usize, Vec<u64>),
}

impl Exact {
    fn quantile(&mut self, group: usize, permille: u16) -> Option<f64> {
        let values = self.values.get_mut(self.starts[group]..self.starts[group + 1])?;
        if values.len() <= FEW {
            return nearest(values, permille);
        }
        // The step that it must be in is told by counting, and what is in that is little to select from.
        let (of, counts) = &mut self.steps;
        if *of != group {
            *of = group;
            counts.clear();
            values.iter().for_each(|value| count(counts, *value));
        }
        let (wanted, before) = step_of(counts, rank(values.len(), permille))?;
        let mut within: Vec<i64> = values.iter().copied().filter(|value| step(*value) == wanted).collect();
        let place = usize::try_from(rank(values.len(), permille) - before).unwrap_or(usize::MAX);
        #[allow(clippy::cast_precision_loss)] // times stay far below 2^53
        (1..=within.len()).contains(&place).then(|| *within.select_nth_unstable(place - 1).1 as f64)
    }
}

/// The place, from one on, of the smallest of so many values that so many per mille do not exceed.
fn rank(values: usize, permille: u16) -> u64 {
    (values as u64 * u64::from(permille)).div_ceil(1_000).max(1)
}

/// The step that has the value of a rank, and how many values are in the steps below it.
fn step_of(counts: &[u64], rank: u64) -> Option<(usize, u64)> {
    let mut before = 0;
    let place = counts.iter().position(|count| {
        before += count;
        before >= rank
    })?;
    Some((place, before - counts[place]))
}

impl Finished {
    /// The smallest value of a group that at least so many per mille of them do not exceed.
    pub fn quantile(&mut self, group: usize, permille: u16) -> Option<f64> {
        match self {
            Self::Exact(exact) => exact.quantile(group, permille),
            Self::Sketches(sketches) => match sketches.get_mut(group)? {
                Sketch::Few(values) => nearest(values, permille),
                Sketch::Many(counts) => {
                    let total = usize::try_from(counts.iter().sum::<u64>()).ok()?;
                    Some(middle(step_of(counts, rank(total, permille))?.0))
                }
            },
        }
    }

    /// How far a quantile may be off, relative.
    pub fn error(&self) -> f64 {
        match self {
            Self::Exact(_) => 0.0,
            Self::Sketches(_) => HISTOGRAM_ERROR,
        }
    }
}

#[allow(clippy::cast_precision_loss)] // times stay far below 2^53
fn nearest(values: &mut [i64], permille: u16) -> Option<f64> {
    let rank = usize::try_from(rank(values.len(), permille)).ok()?;
    (rank <= values.len()).then(|| *values.select_nth_unstable(rank - 1).1 as f64)
}

impl Sketch {
    fn add(&mut self, values: &[i64]) {
        if let Self::Few(few) = self {
            if few.len() + values.len() <= FEW {
                few.extend_from_slice(values);
                return;
            }
            let mut counts = Vec::new();
            few.iter().for_each(|value| count(&mut counts, *value));
            *self = Self::Many(counts);
        }
        if let Self::Many(counts) = self {
            values.iter().for_each(|value| count(counts, *value));
        }
    }

    fn merge(&mut self, other: Self) {
        match other {
            Self::Few(values) => self.add(&values),
            Self::Many(more) => {
                if let Self::Few(few) = self {
                    let mut counts = Vec::new();
                    few.iter().for_each(|value| count(&mut counts, *value));
                    *self = Self::Many(counts);
                }
                let Self::Many(counts) = self else { return };
                counts.resize(counts.len().max(more.len()), 0);
                counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + 8 * match self {
                Self::Few(values) => values.capacity(),
                Self::Many(counts) => counts.capacity(),
            }
    }
}

fn count(counts: &mut Vec<u64>, value: i64) {
    let step = step(value);
    if step >= counts.len() {
        counts.resize(step + 1, 0);
    }
    counts[step] += 1;
}

/// The step that a value falls into. Below two powers of [`STEPS`] each value has its own.
fn step(value: i64) -> usize {
    let value = u64::try_from(value).unwrap_or_default();
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS.ilog2() + 1);
    #[allow(clippy::cast_possible_truncation)] // below two powers of `STEPS`
    let within = (value >> shift) as usize;
    shift as usize * STEPS as usize + within
}

/// The middle of a step.
#[allow(clippy::cast_precision_loss)]
fn middle(step: usize) -> f64 {
    let shift = (step / STEPS as usize).saturating_sub(1);
    let within = step - shift * STEPS as usize;
    let width = (1_u64 << shift) as f64;
    within as f64 * width + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_near_the_middle_of_its_step() {
        for value in (0..1_000).chain((1..60).map(|n| (1_i64 << n) + (1 << n) / 3)) {
            let middle = middle(step(value));
            assert!((middle - value as f64).abs() <= value as f64 * HISTOGRAM_ERROR, "{value}: {middle}");
        }
        assert_eq!((step(-5), middle(step(0))), (0, 0.0));
    }

    #[test]
    fn more_values_than_are_kept_give_quantiles_within_the_stated_error() {
        let (mut one, mut other) = (Quantiles::default(), Quantiles::default());
        for n in 0..9_000_000_i64 {
            let set = if n % 2 == 0 { &mut one } else { &mut other };
            set.add(0, n * 7_919 % 1_000_003);
            if n % 9_000 == 0 {
                set.add(1, n);
            }
            if n % 4_096 == 0 {
                one.settle(2);
                other.settle(2);
            }
        }
        one.merge(other, &[0, 1], 2);
        assert!(one.bytes() < 80 << 20, "{} bytes", one.bytes());
        let mut finished = one.finish(2, None);
        assert_eq!(finished.error(), HISTOGRAM_ERROR);
        for (permille, wanted) in [(1, 1_000.0), (500, 500_001.0), (990, 990_002.0)] {
            let found = finished.quantile(0, permille).expect("values");
            assert!((found / wanted - 1.0_f64).abs() < HISTOGRAM_ERROR + 0.003, "{found} for {wanted}");
        }
        // A small group beside it stays exact.
        assert_eq!(finished.quantile(1, 500), Some(499.0 * 9_000.0));
    }

    #[test]
    fn ranks_are_the_nearest() {
        let mut set = Quantiles::default();
        [15, 20, 35, 40, 50].into_iter().for_each(|value| set.add(0, value));
        let mut finished = set.finish(2, None);
        let found: Vec<_> = [0, 50, 300, 400, 500, 1_000].map(|p| finished.quantile(0, p)).into();
        assert_eq!(found, [15.0, 15.0, 20.0, 20.0, 35.0, 50.0].map(Some));
        assert_eq!(finished.quantile(1, 500), None);
    }

    #[test]
    fn of_many_values_the_quantile_is_the_one_that_sorting_gives() {
        let value = |n: i64| (n * 7_919 % 100_003) * (n % 7) - 50;
        let mut set = Quantiles::default();
        let mut sorted: [Vec<i64>; 2] = Default::default();
        for n in 0..40_000 {
            let group = u32::from(n % 3 == 0);
            set.add(group, value(n));
            sorted[group as usize].push(value(n));
        }
        sorted.iter_mut().for_each(|values| values.sort_unstable());
        for wanted in [None, Some([1].as_slice())] {
            let copy =
                Quantiles { groups: set.groups.clone(), values: set.values.clone(), ..Quantiles::default() };
            let mut finished = copy.finish(2, wanted);
            for group in wanted.unwrap_or(&[0, 1]) {
                let values = &sorted[*group];
                for permille in [0, 1, 10, 500, 950, 999, 1_000] {
                    let place = usize::try_from(rank(values.len(), permille)).expect("few") - 1;
                    assert_eq!(finished.quantile(*group, permille), Some(values[place] as f64), "{permille}");
                }
            }
        }
    }
}

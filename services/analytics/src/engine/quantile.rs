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
#[derive(Debug, Clone, Default)]
pub(crate) struct Quantiles {
    /// Of each value; empty as long as all belong to the first group.
    groups: Vec<u32>,
    values: Values,
    sketches: Vec<Sketch>,
    sketched: bool,
}

/// Values as they came, in half the space as long as none needs more.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Narrow(Vec<u32>),
    Wide(Vec<i64>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Values {
    fn extend(&mut self, values: &[i64]) {
        // Without a branch a value: nothing above the lower half of any.
        let above = values.iter().fold(0, |above, value| above | (value >> 32));
        match self {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // just looked
            Self::Narrow(narrow) if above == 0 => narrow.extend(values.iter().map(|value| *value as u32)),
            Self::Narrow(narrow) => {
                let mut wide: Vec<i64> = narrow.iter().copied().map(i64::from).collect();
                wide.extend_from_slice(values);
                *self = Self::Wide(wide);
            }
            Self::Wide(wide) => wide.extend_from_slice(values),
        }
    }

    /// Adds values that come rarely and in many sets: with no more room than they take.
    fn extend_exactly<T: Copy + Into<i64>>(&mut self, values: &[T]) {
        if let Self::Narrow(narrow) = self {
            if values.iter().all(|value| u32::try_from((*value).into()).is_ok()) {
                narrow.reserve_exact(values.len());
                narrow.extend(values.iter().filter_map(|value| u32::try_from((*value).into()).ok()));
                return;
            }
            *self = Self::Wide(narrow.iter().copied().map(i64::from).collect());
        }
        if let Self::Wide(wide) = self {
            wide.reserve_exact(values.len());
            wide.extend(values.iter().map(|value| (*value).into()));
        }
    }

    fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Narrow(ours), Self::Narrow(others)) => ours.extend(others),
            (Self::Wide(ours), Self::Narrow(others)) => ours.extend(others.into_iter().map(i64::from)),
            (_, Self::Wide(others)) => self.extend(&others),
        }
    }

    /// How many there are in each step of a histogram.
    fn counts(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        match self {
            Self::Narrow(values) => values.iter().for_each(|value| count(&mut counts, (*value).into())),
            Self::Wide(values) => values.iter().for_each(|value| count(&mut counts, *value)),
        }
        counts
    }

    fn len(&self) -> usize {
        match self {
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Narrow(values) => 4 * values.capacity(),
            Self::Wide(values) => 8 * values.capacity(),
        }
    }
}

/// Values of one group that do not fit as they came.
#[derive(Debug, Clone)]
pub(crate) enum Sketch {
    Few(Values),
    Many(Vec<u64>),
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Few(Values::default())
    }
}

impl Quantiles {
    #[inline]
    pub fn add(&mut self, group: u32, value: i64) {
        self.add_all([group].into_iter(), &[value]);
    }

    /// Adds known values, a group each.
    pub fn add_all(&mut self, groups: impl Iterator<Item = u32>, values: &[i64]) {
        self.name();
        self.groups.extend(groups);
        self.values.extend(values);
    }

    /// Adds known values of the first group.
    pub fn add_to_first(&mut self, values: &[i64]) {
        if !self.groups.is_empty() {
            self.groups.resize(self.groups.len() + values.len(), 0);
        }
        self.values.extend(values);
    }

    /// Gives every value its group.
    fn name(&mut self) {
        self.groups.resize(self.values.len(), 0);
    }

    /// To be called now and then while values are added, with how many groups there are.
    pub fn settle(&mut self, groups: usize) {
        if self.len() > KEPT {
            self.sketch(groups);
        }
    }

    /// Makes histograms of groups with many values, however few there are altogether.
    pub fn sketch(&mut self, groups: usize) {
        self.sketched = true;
        self.name();
        self.sketches.resize(groups, Sketch::default());
        let names = std::mem::take(&mut self.groups);
        match std::mem::take(&mut self.values) {
            Values::Narrow(values) => add_sorted(&mut self.sketches, &Exact::new(groups, &names, values)),
            Values::Wide(values) => add_sorted(&mut self.sketches, &Exact::new(groups, &names, values)),
        }
    }

    /// Takes in another set, whose groups are called `names` here, of `groups` altogether.
    pub fn merge(&mut self, other: Self, names: &[u32], groups: usize) {
        let first = names.first().copied().unwrap_or_default();
        if first > 0 || !self.groups.is_empty() || !other.groups.is_empty() {
            self.name();
            if other.groups.is_empty() {
                self.groups.resize(self.groups.len() + other.values.len(), first);
            } else {
                self.groups.extend(other.groups.iter().map(|group| names[*group as usize]));
            }
        }
        self.values.append(other.values);
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
        if groups > 1 {
            self.name();
        }
        match self.values {
            Values::Narrow(values) => Finished::Narrow(Exact::of(groups, self.groups, values, wanted)),
            Values::Wide(values) => Finished::Wide(Exact::of(groups, self.groups, values, wanted)),
        }
    }

    /// Values that are kept as they came.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn bytes(&self) -> usize {
        let sketches: usize = self.sketches.iter().map(Sketch::bytes).sum();
        4 * self.groups.capacity() + self.values.bytes() + sketches
    }
}

/// A set that nothing is added to any more.
pub(crate) enum Finished {
    Narrow(Exact<u32>),
    Wide(Exact<i64>),
    Sketches(Vec<Sketch>),
}

/// Values, group after group.
pub(crate) struct Exact<T> {
    /// Where each group starts.
    starts: Vec<usize>,
    /// In no order within a group.
    values: Vec<T>,
    /// How many values of the group that was asked about last are in each step.
    steps: (usize, Vec<u64>),
}

impl<T: Copy + Default + Ord + Into<i64>> Exact<T> {
    /// Of the `wanted` of so many groups, or of all of them; `names` has the group of each value, and
    /// nothing when there is but one.
    fn of(groups: usize, mut names: Vec<u32>, mut values: Vec<T>, wanted: Option<&[usize]>) -> Self {
        if groups == 1 {
            return Self { starts: vec![0, values.len()], values, steps: (usize::MAX, Vec::new()) };
        }
        if let Some(wanted) = wanted {
            keep(groups, &mut names, &mut values, wanted);
        }
        Self::new(groups, &names, values)
    }

    /// Sorts values by their groups.
    fn new(groups: usize, names: &[u32], values: Vec<T>) -> Self {
        let mut starts = vec![0; groups + 1];
        for group in names {
            starts[*group as usize + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let (mut next, mut sorted) = (starts.clone(), vec![T::default(); values.len()]);
        for (group, value) in names.iter().zip(values) {
            let place = &mut next[*group as usize];
            sorted[*place] = value;
            *place += 1;
        }
        Self { starts, values: sorted, steps: (usize::MAX, Vec::new()) }
    }

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
            values.iter().for_each(|value| count(counts, (*value).into()));
        }
        let (wanted, before) = step_of(counts, rank(values.len(), permille))?;
        let (least, most) = bounds(wanted);
        let mut within: Vec<T> =
            values.iter().copied().filter(|value| (least..=most).contains(&(*value).into())).collect();
        let place = usize::try_from(rank(values.len(), permille) - before).unwrap_or(usize::MAX);
        #[allow(clippy::cast_precision_loss)] // times stay far below 2^53
        (1..=within.len()).contains(&place).then(|| (*within.select_nth_unstable(place - 1).1).into() as f64)
    }
}

/// Forgets the values of all groups but these.
fn keep<T: Copy>(groups: usize, names: &mut Vec<u32>, values: &mut Vec<T>, wanted: &[usize]) {
    let mut kept = vec![false; groups];
    wanted.iter().for_each(|group| kept[*group] = true);
    let mut next = 0;
    for place in 0..names.len() {
        // Without a branch, which would often be guessed wrong.
        let group = names[place];
        names[next] = group;
        values[next] = values[place];
        next += usize::from(kept[group as usize]);
    }
    names.truncate(next);
    values.truncate(next);
}

/// Adds the values of each group to its sketch.
fn add_sorted<T: Copy + Into<i64>>(sketches: &mut [Sketch], exact: &Exact<T>) {
    for (group, sketch) in sketches.iter_mut().enumerate() {
        sketch.add(&exact.values[exact.starts[group]..exact.starts[group + 1]]);
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
            Self::Narrow(exact) => exact.quantile(group, permille),
            Self::Wide(exact) => exact.quantile(group, permille),
            Self::Sketches(sketches) => match sketches.get_mut(group)? {
                Sketch::Few(Values::Narrow(values)) => nearest(values, permille),
                Sketch::Few(Values::Wide(values)) => nearest(values, permille),
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
            Self::Narrow(_) | Self::Wide(_) => 0.0,
            Self::Sketches(_) => HISTOGRAM_ERROR,
        }
    }
}

#[allow(clippy::cast_precision_loss)] // times stay far below 2^53
fn nearest<T: Copy + Ord + Into<i64>>(values: &mut [T], permille: u16) -> Option<f64> {
    let rank = usize::try_from(rank(values.len(), permille)).ok()?;
    (rank <= values.len()).then(|| (*values.select_nth_unstable(rank - 1).1).into() as f64)
}

impl Sketch {
    fn add<T: Copy + Into<i64>>(&mut self, values: &[T]) {
        if let Self::Few(few) = self {
            if few.len() + values.len() <= FEW {
                few.extend_exactly(values);
                return;
            }
            *self = Self::Many(few.counts());
        }
        if let Self::Many(counts) = self {
            values.iter().for_each(|value| count(counts, (*value).into()));
        }
    }

    fn merge(&mut self, other: Self) {
        match other {
            Self::Few(Values::Narrow(values)) => self.add(&values),
            Self::Few(Values::Wide(values)) => self.add(&values),
            Self::Many(more) => {
                if let Self::Few(few) = self {
                    *self = Self::Many(few.counts());
                }
                let Self::Many(counts) = self else { return };
                counts.resize(counts.len().max(more.len()), 0);
                counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Few(values) => values.bytes(),
                Self::Many(counts) => 8 * counts.capacity(),
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

/// The least and the greatest value of a step.
fn bounds(step: usize) -> (i64, i64) {
    let shift = (step / STEPS as usize).saturating_sub(1);
    let within = (step - shift * STEPS as usize) as u64;
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let least = if step == 0 { i64::MIN } else { whole(within << shift) };
    (least, whole(((within + 1) << shift) - 1))
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
    fn a_step_has_the_values_between_its_bounds() {
        for value in (-2..1_000).chain((1..63).map(|n| (1_i64 << n) + (1 << n) / 3)).chain([i64::MAX]) {
            let (least, most) = bounds(step(value));
            assert!((least..=most).contains(&value), "{value}: {least} to {most}");
            assert!(most == i64::MAX || step(most) + 1 == step(most + 1), "{value}: {most}");
        }
    }

    #[test]
    fn values_of_the_first_group_alone_and_of_any_are_one_set() {
        let (mut one, mut other) = (Quantiles::default(), Quantiles::default());
        one.add_to_first(&[1, 2, 3]);
        other.add_to_first(&[5]);
        let mut alone = one.clone();
        alone.merge(other.clone(), &[0], 1);
        assert_eq!((alone.groups.len(), alone.finish(1, None).quantile(0, 1_000)), (0, Some(5.0)));
        one.merge(other, &[2], 3);
        one.add(1, -7);
        one.add_to_first(&[i64::MAX]);
        let mut finished = one.finish(3, None);
        let most = [0, 1, 2].map(|group| finished.quantile(group, 1_000));
        assert_eq!(most, [Some(i64::MAX as f64), Some(-7.0), Some(5.0)]);
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
    fn small_groups_stay_exact_whatever_their_values() {
        let mut set = Quantiles::default();
        for (group, value) in [(0, 7), (1, -3), (0, 9), (1, i64::MAX - 1), (2, 5)] {
            set.add(group, value);
            set.sketch(3);
        }
        let mut finished = set.finish(3, None);
        let both = |group, finished: &mut Finished| [1, 1_000].map(|at| finished.quantile(group, at));
        assert_eq!(both(0, &mut finished), [7.0, 9.0].map(Some));
        assert_eq!(both(1, &mut finished), [-3.0, (i64::MAX - 1) as f64].map(Some));
        assert_eq!(both(2, &mut finished), [5.0; 2].map(Some));
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
            let mut finished = set.clone().finish(2, wanted);
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

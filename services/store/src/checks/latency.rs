//! How long checks took, as a histogram that can be added to another.

use std::collections::BTreeMap;

/// Steps of an octave: a value stands for others within 3.2 %.
const STEPS: u32 = 4;

/// How long checks took, in microseconds. The mean, the least and the most are
/// exact; quantiles are within 3.2 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// Arithmetic mean.
    pub mean: i64,
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
    /// Median.
    pub p50: i64,
    /// 95th percentile.
    pub p95: i64,
    /// 99th percentile.
    pub p99: i64,
}

/// Counts by steps of a logarithmic scale.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Histogram {
    pub counts: BTreeMap<u32, u64>,
    pub sum: i64,
    pub min: i64,
    pub max: i64,
}

impl Histogram {
    /// Counts one value; negative ones are 0.
    pub fn add(&mut self, value: i64) {
        let value = value.max(0);
        let empty = self.counts.is_empty();
        self.min = if empty { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value);
        *self.counts.entry(step(value, STEPS)).or_default() += 1;
    }

    /// Counts all that another has counted.
    pub fn append(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        self.min = if self.counts.is_empty() { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        for (step, count) in &other.counts {
            *self.counts.entry(*step).or_default() += count;
        }
    }

    /// What it says; `None` when nothing was counted.
    pub fn latency(&self) -> Option<Latency> {
        let count: u64 = self.counts.values().sum();
        let mean = self.sum.checked_div(i64::try_from(count).ok()?)?;
        Some(Latency {
            mean,
            min: self.min,
            max: self.max,
            p50: self.quantile(count, 50),
            p95: self.quantile(count, 95),
            p99: self.quantile(count, 99),
        })
    }

    /// The smallest step that at least `percent` of the values do not exceed.
    fn quantile(&self, count: u64, percent: u64) -> i64 {
        let rank = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (step, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return middle(*step, STEPS).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

/// The step of a value on a scale of `2^bits` steps an octave. Values below
/// `2^bits` have steps of their own.
pub(crate) fn step(value: i64, bits: u32) -> u32 {
    let value = value.max(0).unsigned_abs();
    let Some(octave) = value.checked_ilog2().and_then(|log| log.checked_sub(bits)) else {
        return u32::try_from(value).unwrap_or_default();
    };
    // Below 2^(bits + 1), as the highest bit of `value` is the one of `octave + bits`.
    let mantissa = u32::try_from(value >> octave).unwrap_or_default();
    (octave << bits) + mantissa
}

/// The middle of the values of a step.
pub(crate) fn middle(step: u32, bits: u32) -> i64 {
    let Some(octave) = (step >> bits).checked_sub(1) else {
        return i64::from(step);
    };
    let mantissa = (step & ((1 << bits) - 1)) + (1 << bits);
    let least = i64::from(mantissa) << octave.min(57);
    least + (((1_i64 << octave.min(57)) - 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_step_stands_for_values_within_its_precision(value in 0_i64..1 << 50, bits in 2_u32..6) {
            let found = middle(step(value, bits), bits);
            let off = found.abs_diff(value);
            prop_assert!(off << (bits + 1) <= value.unsigned_abs(), "{value} became {found}");
            prop_assert!(step(value + 1, bits) >= step(value, bits));
        }

        #[test]
        fn histograms_added_up_are_the_histogram_of_all(
            left in proptest::collection::vec(0_i64..10_000_000, 0..50),
            right in proptest::collection::vec(0_i64..10_000_000, 0..50),
        ) {
            let of = |values: &[i64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|value| histogram.add(*value));
                histogram
            };
            let mut sum = of(&left);
            sum.append(&of(&right));
            prop_assert_eq!(sum, of(&[left, right].concat()));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|value| histogram.add(value * 100));
        let found = histogram.latency().expect("values");
        assert_eq!((found.mean, found.min, found.max), (50_050, 100, 100_000));
        for (found, exact) in [(found.p50, 50_000), (found.p95, 95_000), (found.p99, 99_000)] {
            assert!((found - exact).abs() * 31 <= exact, "{found} is not {exact}");
        }
        assert_eq!(Histogram::default().latency(), None);
    }
}

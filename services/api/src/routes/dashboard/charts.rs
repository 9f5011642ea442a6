//! Charts as geometry: paths in a box of one unit a bucket and 100 high, which the page stretches.
//! Only bars and lines of a fixed width are stretched, never text.

use std::fmt::Write;

/// Height of every box.
const HEIGHT: f64 = 100.0;

/// Width of a bar in its unit.
const BAR: f64 = 0.82;

/// The top of an axis: the next of 1, 2, 5 times a power of ten.
pub(super) fn top(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(most.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|top| *top >= most - f64::EPSILON).unwrap_or(10.0 * power)
}

/// A coordinate without a tail of digits.
fn trim(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// One stacked series a class: for each the path of its bars. `series[s][i]` is what bucket `i`
/// has of series `s`, the lowest first.
pub(super) fn stack(series: &[Vec<f64>], top: f64) -> Vec<String> {
    let buckets = series.first().map_or(0, Vec::len);
    let mut base = vec![0.0; buckets];
    series
        .iter()
        .map(|values| {
            let mut path = String::new();
            for (index, value) in values.iter().enumerate() {
                if *value > 0.0 {
                    bar(&mut path, index, base[index] / top, (base[index] + value) / top);
                    base[index] += value;
                }
            }
            path
        })
        .collect()
}

/// Bars between two values of each bucket.
pub(super) fn ranges(values: &[Option<(f64, f64)>], top: f64) -> String {
    let mut path = String::new();
    for (index, (low, high)) in values.iter().enumerate().filter_map(|(index, it)| Some((index, (*it)?))) {
        // What is thinner than a hair still shows.
        bar(&mut path, index, low / top, (high / top).max(low / top + 0.015));
    }
    path
}

fn bar(path: &mut String, index: usize, low: f64, high: f64) {
    #[allow(clippy::cast_precision_loss)] // some hundred buckets
    let left = index as f64 + (1.0 - BAR) / 2.0;
    let (low, high) = (trim(HEIGHT * (1.0 - low)), trim(HEIGHT * (1.0 - high.min(1.0))));
    // Writing into a string cannot fail.
    let _ = write!(path, "M{} {low}V{high}h{BAR}V{low}z", trim(left));
}

/// A line through the middles of the buckets, broken where there is no value.
pub(super) fn line(values: &[Option<f64>], top: f64) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let y = trim(HEIGHT * (1.0 - value / top));
        let _ = if pen_down { write!(path, "L{index}.5 {y}") } else { write!(path, "M{index}.5 {y}h.01") };
        pen_down = true;
    }
    path
}

/// Bars of full height for the buckets of one class.
pub(super) fn strip(classes: &[Option<usize>], class: usize) -> String {
    let mut path = String::new();
    for (index, _) in classes.iter().enumerate().filter(|(_, it)| **it == Some(class)) {
        bar(&mut path, index, 0.0, 1.0);
    }
    path
}

/// A sparkline of one unit a value.
pub(super) fn spark(values: &[f64]) -> String {
    let top = values.iter().copied().fold(0.0, f64::max);
    stack(&[values.to_vec()], if top > 0.0 { top } else { 1.0 }).remove(0)
}

/// Labels of an axis of time: at most `most`, evenly apart, each with its place in percent.
pub(super) fn ticks(labels: &[String], most: usize) -> Vec<(f64, String)> {
    let step = labels.len().div_ceil(most.max(1)).max(1);
    #[allow(clippy::cast_precision_loss)] // some hundred buckets
    let place = |index: usize| trim((index as f64 + 0.5) / labels.len() as f64 * 100.0);
    let chosen = labels.iter().enumerate().skip(step / 2).step_by(step);
    chosen.map(|(index, label)| (place(index), label.clone())).collect()
}

/// How strong a value is among others, 0 for none to 5 for the most.
pub(super) fn strength(value: f64, most: f64) -> u8 {
    if value <= 0.0 || most <= 0.0 {
        return 0;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to 5
    let strength = (value / most * 5.0).ceil().clamp(1.0, 5.0) as u8;
    strength
}

/// A share in percent of a width.
pub(super) fn width(value: f64, most: f64) -> f64 {
    if most > 0.0 { trim((value / most * 100.0).clamp(0.0, 100.0)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_that_holds_all() {
        assert_eq!(
            [0.0, 0.7, 1.0, 11.0, 60.0, 99.0, 4_100.0].map(top),
            [1.0, 0.8, 1.0, 15.0, 60.0, 100.0, 5_000.0]
        );
    }

    #[test]
    fn bars_stand_on_each_other() {
        let paths = stack(&[vec![1.0, 0.0], vec![1.0, 2.0]], 2.0);
        assert_eq!(paths[0], "M0.09 100V50h0.82V100z");
        assert_eq!(paths[1], "M0.09 50V0h0.82V50zM1.09 100V0h0.82V100z");
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        assert_eq!(line(&[Some(0.0), Some(1.0), None, Some(0.5)], 1.0), "M0.5 100h.01L1.5 0M3.5 50h.01");
    }

    #[test]
    fn labels_are_few_and_within_the_axis() {
        let labels: Vec<String> = (0..24).map(|n| n.to_string()).collect();
        let ticks = ticks(&labels, 6);
        assert_eq!(ticks.len(), 6);
        assert!(ticks.iter().all(|(place, _)| (0.0..=100.0).contains(place)));
        assert!(super::ticks(&[], 6).is_empty());
    }

    #[test]
    fn strength_has_six_steps() {
        assert_eq!([0.0, 0.1, 50.0, 100.0].map(|value| strength(value, 100.0)), [0, 1, 3, 5]);
        assert_eq!((strength(0.0, 0.0), width(1.0, 0.0), width(1.0, 4.0)), (0, 0.0, 25.0));
    }
}

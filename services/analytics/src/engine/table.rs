//! Tables out of groups: numbers, order, and only the rows that are wanted.

use std::cmp::Ordering;

use super::{distinct, groups::Groups, quantile::Finished, space::Space};
use crate::{AskError, Column, Metric, Panel, Row, Table, Value, ask::too_many_groups, order};

/// Makes the table of a panel, whose dimensions are `places` of `spaces`.
///
/// # Errors
/// When it has more than `most` rows.
pub(crate) fn table(
    panel: &Panel,
    mut groups: Groups,
    spaces: &[Space],
    places: &[usize],
    most: usize,
) -> Result<Table, AskError> {
    groups.finish();
    let count = groups.len();
    if count > most {
        return Err(too_many_groups(most));
    }
    let mut numbers = Numbers::new(groups);
    let is_quantile = |metric: &Metric| matches!(metric, Metric::Duration(_));
    // Order needs every group's number of a few metrics, and keys.
    let mut ordered: Vec<usize> = panel
        .order
        .iter()
        .filter_map(|order| match order.by {
            Column::Metric(place) => Some(place),
            Column::Dimension(_) => None,
        })
        .chain([0])
        .filter(|place| *place < panel.metrics.len())
        .collect();
    ordered.sort_unstable();
    ordered.dedup();
    if ordered.iter().any(|place| is_quantile(&panel.metrics[*place])) {
        numbers.finish_quantiles(None);
    }
    let by_metric: Vec<Option<Vec<Option<f64>>>> = (0..panel.metrics.len())
        .map(|place| {
            let metric = panel.metrics[place];
            ordered.contains(&place).then(|| (0..count).map(|group| numbers.of(metric, group)).collect())
        })
        .collect();
    let end = panel.limit.map_or(count, |limit| panel.offset.saturating_add(limit)).min(count);
    let number = |place: usize, one: usize, other: usize| match by_metric.get(place) {
        Some(Some(column)) => [column[one], column[other]],
        _ => [None, None],
    };
    // Where numbers come first, they tell which groups are wanted, but for ties; the values of all
    // others are never looked at.
    let mut candidates: Vec<usize> = (0..count).collect();
    let by_numbers = !panel.order.iter().any(|order| matches!(order.by, Column::Dimension(_)));
    if by_numbers && end > 0 && end < count {
        let compare = |one: &usize, other: &usize| {
            order::compare(panel, |place| number(place, *one, *other), |_| Ordering::Equal)
        };
        let last = *candidates.select_nth_unstable_by(end - 1, compare).1;
        candidates.retain(|group| compare(group, &last).is_le());
    }
    let sorted = end > candidates.len() / 8;
    let keys: Vec<Keys> = places
        .iter()
        .enumerate()
        .map(|(dimension, place)| {
            let codes = numbers.groups.keys.codes(dimension, candidates.iter().copied());
            Keys::new(&codes, &spaces[*place], sorted)
        })
        .collect();

    // From here on, groups go by their places among the candidates.
    let compare = |one: &usize, other: &usize| {
        order::compare(
            panel,
            |place| number(place, candidates[*one], candidates[*other]),
            |dimension| keys.get(dimension).map_or(Ordering::Equal, |key| key.compare(*one, *other)),
        )
    };
    let mut wanted: Vec<usize> = (0..candidates.len()).collect();
    if end < wanted.len() && end > 0 {
        wanted.select_nth_unstable_by(end - 1, compare);
    }
    wanted.truncate(end);
    wanted.sort_unstable_by(compare);
    if panel.metrics.iter().any(is_quantile) {
        let groups: Vec<usize> = wanted.iter().map(|place| candidates[*place]).collect();
        numbers.finish_quantiles(Some(&groups));
    }
    let rows: Vec<Row> = wanted
        .into_iter()
        .skip(panel.offset)
        .map(|place| Row {
            key: keys.iter().map(|key| key.value(place)).collect(),
            metrics: panel
                .metrics
                .iter()
                .zip(&by_metric)
                .map(|(metric, column)| match column {
                    Some(column) => column[candidates[place]],
                    None => numbers.of(*metric, candidates[place]),
                })
                .collect(),
        })
        .collect();
    Ok(Table {
        distinct_error: numbers.distinct_error(&panel.metrics, &rows),
        rows,
        groups: count,
        quantile_error: numbers.quantiles.as_ref().map_or(0.0, Finished::error),
    })
}

/// The values of one dimension; groups share them.
struct Keys {
    /// The place in `values` of each group.
    groups: Vec<u32>,
    /// Distinct values.
    values: Vec<Value>,
    /// Whether these are in order, so that places compare as values do.
    sorted: bool,
}

impl Keys {
    fn new(codes: &[u32], space: &Space, sorted: bool) -> Self {
        let mut distinct = codes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let mut values: Vec<(Value, u32)> =
            space.values(&distinct).into_iter().zip(distinct.iter().copied()).collect();
        if sorted {
            values.sort_unstable();
        }
        let mut places = vec![0; distinct.last().map_or(0, |most| *most as usize + 1)];
        for (place, (_, code)) in (0..).zip(&values) {
            places[*code as usize] = place;
        }
        let groups = codes.iter().map(|code| places[*code as usize]).collect();
        Self { groups, values: values.into_iter().map(|(value, _)| value).collect(), sorted }
    }

    fn compare(&self, one: usize, other: usize) -> Ordering {
        let (one, other) = (self.groups[one], self.groups[other]);
        if self.sorted || one == other {
            return one.cmp(&other);
        }
        self.values[one as usize].cmp(&self.values[other as usize])
    }

    fn value(&self, group: usize) -> Value {
        self.values.get(self.groups[group] as usize).cloned().unwrap_or(Value::Unknown)
    }
}

/// The numbers of groups.
struct Numbers {
    groups: Groups,
    /// Those of the groups that are asked about, once it is known which these are.
    quantiles: Option<Finished>,
    users: Vec<u64>,
    addresses: Vec<u64>,
    /// Bits of the samples of users and addresses.
    sampled: [u32; 2],
}

impl Numbers {
    fn new(groups: Groups) -> Self {
        let count = groups.len();
        let (mut users, mut addresses) = (vec![0; count], vec![0; count]);
        let sampled = [groups.users.count_into(&mut users), groups.addresses.count_into(&mut addresses)];
        Self { groups, quantiles: None, users, addresses, sampled }
    }

    /// Makes quantiles ready, of all groups or of some; the first call counts.
    fn finish_quantiles(&mut self, wanted: Option<&[usize]>) {
        let count = self.groups.len();
        let values = &mut self.groups.quantiles;
        self.quantiles.get_or_insert_with(|| std::mem::take(values).finish(count, wanted));
    }

    #[allow(clippy::cast_precision_loss)] // counts and times stay far below 2^53
    fn of(&mut self, metric: Metric, group: usize) -> Option<f64> {
        let groups = &self.groups;
        let count = |counts: &[u64]| counts.get(group).map(|count| *count as f64);
        let share = |good: &[u64]| {
            let (known, good) = (*groups.known.get(group)?, *good.get(group)?);
            (known > 0).then(|| good as f64 / known as f64)
        };
        let durations = || groups.durations.get(group).filter(|durations| durations.known > 0);
        match metric {
            Metric::Hits => count(&groups.hits),
            Metric::Visitors => count(&groups.visitors.counts),
            Metric::Sessions => count(&groups.sessions.counts),
            Metric::Users => count(&self.users),
            Metric::Addresses => count(&self.addresses),
            Metric::RequestBytes => groups.request_bytes.get(group).map(|sum| *sum as f64),
            Metric::ResponseBytes => groups.response_bytes.get(group).map(|sum| *sum as f64),
            Metric::Errors => count(&groups.errors),
            Metric::ErrorRate => share(&groups.errors),
            Metric::SuccessRate => share(&groups.successes),
            Metric::MeanDuration => durations().map(|it| it.sum as f64 / it.known as f64 / 1_000.0),
            Metric::MinDuration => durations().map(|it| it.min as f64 / 1_000.0),
            Metric::MaxDuration => durations().map(|it| it.max as f64 / 1_000.0),
            Metric::Duration(permille) => {
                self.quantiles.as_mut()?.quantile(group, permille).map(|microseconds| microseconds / 1_000.0)
            }
            Metric::FirstSeen => {
                groups.first.get(group).filter(|first| **first < i64::MAX).map(|it| *it as f64)
            }
            Metric::LastSeen => groups.last.get(group).filter(|last| **last > i64::MIN).map(|it| *it as f64),
        }
    }

    /// The largest error of a distinct count among the rows that are shown: that of the smallest.
    fn distinct_error(&self, metrics: &[Metric], rows: &[Row]) -> f64 {
        let groups = &self.groups;
        let of = |(place, metric): (usize, &Metric)| {
            let bits = match metric {
                Metric::Visitors => groups.visitors.sampled,
                Metric::Sessions => groups.sessions.sampled,
                Metric::Users => self.sampled[0],
                Metric::Addresses => self.sampled[1],
                _ => return 0.0,
            };
            let counts = rows.iter().filter_map(|row| row.metrics[place]).filter(|count| *count > 0.0);
            distinct::error(bits, counts.fold(f64::INFINITY, f64::min))
        };
        metrics.iter().enumerate().map(of).fold(0.0, f64::max)
    }
}

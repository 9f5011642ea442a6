//! The order of a table's rows.

use std::cmp::Ordering;

#[cfg(test)]
use crate::Row;
use crate::{Column, Dimension, Panel};

/// Compares two rows as [`Panel::order`] describes: `numbers` gives both values of a metric,
/// `keys` compares the values of a dimension; either by its place in the panel.
pub(crate) fn compare(
    panel: &Panel,
    numbers: impl Fn(usize) -> [Option<f64>; 2],
    keys: impl Fn(usize) -> Ordering,
) -> Ordering {
    // Nothing is less than any number.
    let numbers = |place| {
        let [one, other] = numbers(place).map(|number| number.unwrap_or(f64::NEG_INFINITY));
        one.total_cmp(&other)
    };
    for order in &panel.order {
        let compared = match order.by {
            Column::Dimension(place) => keys(place),
            Column::Metric(place) => numbers(place),
        };
        let compared = if order.descending { compared.reverse() } else { compared };
        if compared.is_ne() {
            return compared;
        }
    }
    let by_time = matches!(panel.dimensions.first(), Some(Dimension::Time(_)));
    let natural = if by_time { Ordering::Equal } else { numbers(0).reverse() };
    natural.then_with(|| {
        (0..panel.dimensions.len()).map(keys).find(|compared| compared.is_ne()).unwrap_or(Ordering::Equal)
    })
}

/// Puts rows in order.
#[cfg(test)]
pub(crate) fn sort(panel: &Panel, rows: &mut [Row]) {
    rows.sort_by(|one, other| {
        compare(
            panel,
            |place| [one, other].map(|row| row.metrics.get(place).copied().flatten()),
            |place| one.key.get(place).cmp(&other.key.get(place)),
        )
    });
}

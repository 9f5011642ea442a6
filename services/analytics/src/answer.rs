//! Answers: a table a panel.

use crate::{Metric, Value};

/// The tables of a question, in the order of its panels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// A table a panel.
    pub tables: Vec<Table>,
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Its rows, after offset and limit.
    pub rows: Vec<Row>,
    /// Rows before offset and limit.
    pub groups: usize,
    /// Relative standard error of the distinct counts of these rows at most; 0 where all are exact.
    ///
    /// Beyond a million distinct values a table counts by a sample, the same part of the values for
    /// every row. This is the error of the row with the fewest of them; one with a hundred times its
    /// count has a tenth of the error. A row that has any counts at least one.
    pub distinct_error: f64,
    /// Relative error of quantiles at most; 0 where they are exact, which rows of up to 2,048 hits
    /// always are.
    pub quantile_error: f64,
}

/// One row: values in the order of [`Panel::dimensions`](crate::Panel::dimensions), numbers in that of
/// [`Panel::metrics`](crate::Panel::metrics).
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What tells it apart.
    pub key: Vec<Value>,
    /// Its numbers; `None` where there is nothing to measure, as a mean of nothing.
    pub metrics: Vec<Option<f64>>,
}

impl Table {
    /// Whether a metric is estimated here, and not counted.
    pub fn estimates(&self, metric: Metric) -> bool {
        let distinct =
            matches!(metric, Metric::Visitors | Metric::Sessions | Metric::Users | Metric::Addresses);
        distinct && self.distinct_error > 0.0
    }

    /// The single number of a table with one row and one metric, or 0.
    pub fn number(&self) -> f64 {
        self.rows.first().and_then(|row| row.metrics.first().copied().flatten()).unwrap_or_default()
    }
}

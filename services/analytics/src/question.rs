//! Questions are data: every protocol's routes, the pages and the query API translate into them.

use jiff::tz::TimeZone;

use crate::{Bucket, Condition, Dimension, Metric, calendar::Calendar};

/// Idle time after which a visit ends unless a question says otherwise, milliseconds.
pub const SESSION_IDLE: i64 = 30 * 60 * 1_000;

/// What is asked about one project's hits; all panels are filled in one pass.
#[derive(Debug, Clone)]
pub struct Question {
    /// First moment, UTC milliseconds.
    pub from: i64,
    /// First moment after the last, UTC milliseconds.
    pub to: i64,
    /// Zone of time buckets, hours and weekdays.
    pub zone: TimeZone,
    /// Hits that every panel is about.
    pub condition: Condition,
    /// Idle time that ends a visit, milliseconds: a gap this long starts a new one.
    pub session_idle: i64,
    /// The tables wanted.
    pub panels: Vec<Panel>,
}

/// One table of an answer.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// What its rows are told apart by; none at all makes one row, also of no hits.
    pub dimensions: Vec<Dimension>,
    /// Its numbers.
    pub metrics: Vec<Metric>,
    /// Hits that this table alone is about, among the question's.
    pub condition: Condition,
    /// Order of its rows. Rows that are equal in it, and all without it, come by the first metric,
    /// most first, or by time where the first dimension is one; then by the dimensions' values.
    pub order: Vec<Order>,
    /// Rows to pass over.
    pub offset: usize,
    /// Rows at most; `None` for all, up to [`MAX_GROUPS`].
    pub limit: Option<usize>,
}

/// Rows that a table may have before its limit applies unless other bounds are given; a question that needs
/// more is refused.
pub const MAX_GROUPS: usize = 1_000_000;

/// By what rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The column.
    pub by: Column,
    /// Largest first.
    pub descending: bool,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// A dimension, by its place in [`Panel::dimensions`].
    Dimension(usize),
    /// A metric, by its place in [`Panel::metrics`].
    Metric(usize),
}

impl Question {
    /// A question in UTC about every hit of a range, without a panel yet.
    pub fn new(from: i64, to: i64) -> Self {
        Self {
            from,
            to,
            zone: TimeZone::UTC,
            condition: Condition::default(),
            session_idle: SESSION_IDLE,
            panels: Vec::new(),
        }
    }

    /// The same question about the range of the same length just before.
    #[must_use]
    pub fn before(&self) -> Self {
        Self { from: self.from - (self.to - self.from), to: self.from, ..self.clone() }
    }

    /// Adds a panel.
    #[must_use]
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// The start of every time bucket that the range touches, in order, UTC milliseconds; `None` when
    /// there are more than `most`.
    pub fn buckets(&self, bucket: Bucket, most: usize) -> Option<Vec<i64>> {
        Calendar::new(&self.zone, self.from).buckets(self.from, self.to, bucket, most)
    }

    /// Every dimension that is asked for or tested.
    pub fn dimensions(&self) -> Vec<Dimension> {
        let mut found = Vec::new();
        self.condition.visit_dimensions(&mut |dimension| found.push(dimension));
        for panel in &self.panels {
            panel.condition.visit_dimensions(&mut |dimension| found.push(dimension));
            found.extend(&panel.dimensions);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Panel {
    /// A table by these dimensions with these numbers.
    pub fn by(dimensions: impl Into<Vec<Dimension>>, metrics: impl Into<Vec<Metric>>) -> Self {
        Self { dimensions: dimensions.into(), metrics: metrics.into(), ..Self::default() }
    }

    /// At most so many rows.
    #[must_use]
    pub fn top(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Only the hits of this condition.
    #[must_use]
    pub fn only(self, condition: Condition) -> Self {
        Self { condition, ..self }
    }
}

//! Numbers that a table shows but is not ordered by.
//!
//! Where far more groups come up than a table has rows, the first pass adds up what their order
//! needs, and a second one the other numbers, of the hits of those rows alone.

use crate::{Column, Condition, Dimension, Metric, Panel, Question, Table, Test, Value};

/// Texts for each row of a table from which on a second pass costs less than it saves.
const WORTH: usize = if cfg!(test) { 1 } else { 16 };

/// The numbers of one panel that come later.
#[derive(Debug)]
pub(crate) struct Late {
    /// The panel's place in the question.
    panel: usize,
    /// Places of its metrics.
    metrics: Vec<usize>,
}

impl Late {
    /// The late numbers of a question; `texts` tells how many texts of a dimension are known, as far
    /// as rows can be found by them.
    pub fn of(question: &Question, texts: impl Fn(Dimension) -> Option<usize>) -> Vec<Self> {
        let late = |(place, panel): (usize, &Panel)| {
            let [dimension] = panel.dimensions[..] else { return None };
            let rows = panel.offset.saturating_add(panel.limit?);
            if texts(dimension)? < rows.saturating_mul(WORTH) {
                return None;
            }
            let early = |place: usize| {
                place == 0 || panel.order.iter().any(|order| order.by == Column::Metric(place))
            };
            let metrics: Vec<usize> = (0..panel.metrics.len())
                .filter(|place| !early(*place) && panel.metrics[*place] != Metric::Hits)
                .collect();
            (!metrics.is_empty()).then_some(Self { panel: place, metrics })
        };
        question.panels.iter().enumerate().filter_map(late).collect()
    }

    /// The question without the late numbers: hits, which every group has, stand in their places.
    pub fn without(late: &[Self], question: &Question) -> Question {
        let mut first = question.clone();
        for Self { panel, metrics } in late {
            metrics.iter().for_each(|place| first.panels[*panel].metrics[*place] = Metric::Hits);
        }
        first
    }

    /// The question for the late numbers of the rows in `tables`; `None` when there is no such row.
    pub fn rest(late: &[Self], question: &Question, tables: &[Table]) -> Option<Question> {
        let panels: Vec<Panel> = late
            .iter()
            .map(|Self { panel, metrics }| {
                let (whole, table) = (&question.panels[*panel], &tables[*panel]);
                let shown = table.rows.iter().flat_map(|row| &row.key).map(|value| match value {
                    Value::Unknown => None,
                    Value::Number(number) => Some(number.to_string()),
                    Value::Text(text) => Some(text.to_string()),
                });
                let shown = Condition::Text {
                    dimension: whole.dimensions[0],
                    test: Test::Is(shown.collect()),
                    ignore_case: false,
                };
                let metrics: Vec<Metric> = metrics.iter().map(|place| whole.metrics[*place]).collect();
                Panel::by(whole.dimensions.clone(), metrics)
                    .only(Condition::All(vec![shown, whole.condition.clone()]))
            })
            .collect();
        if late.iter().all(|late| tables[late.panel].rows.is_empty()) {
            return None;
        }
        // So that rows of none of the panels are passed over before anything is read of them.
        let any = Condition::Any(panels.iter().map(|panel| panel.condition.clone()).collect());
        let condition = Condition::All(vec![question.condition.clone(), any]);
        Some(Question { condition, panels, ..question.clone() })
    }

    /// Puts late numbers in their places.
    pub fn fill(late: &[Self], tables: &mut [Table], rest: Vec<Table>) {
        for (Self { panel, metrics }, rest) in late.iter().zip(rest) {
            let table = &mut tables[*panel];
            for row in &mut table.rows {
                let Some(found) = rest.rows.iter().find(|found| found.key == row.key) else { continue };
                for (place, number) in metrics.iter().zip(&found.metrics) {
                    row.metrics[*place] = *number;
                }
            }
            table.distinct_error = table.distinct_error.max(rest.distinct_error);
            table.quantile_error = table.quantile_error.max(rest.quantile_error);
        }
    }
}

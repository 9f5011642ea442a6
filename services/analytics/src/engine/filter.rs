//! Conditions on the rows of a chunk.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    codes::{Rows, UNKNOWN},
    column::Column,
    load::DayChunk,
    plan::{Node, Plan},
    space::{Space, View},
};
use crate::{Comparison, text_test::compare};

/// What a worker has found out about the codes of a test's dimension, each once.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Vec<Option<bool>>);

/// A condition for one chunk: tests of texts are decided for each code of the chunk.
#[derive(Debug)]
pub(crate) enum Decided {
    /// The same for every row.
    Always(bool),
    /// By the code of a dimension.
    Codes(usize, Vec<bool>),
    Number(Column, Comparison, f64),
    All(Vec<Decided>),
    Any(Vec<Decided>),
    Not(Box<Decided>),
}

impl Verdicts {
    /// What a test says about each of `codes`; anything once `stop` is set.
    fn of(
        &mut self,
        codes: &[u32],
        space: &Space,
        test: impl Fn(Option<&str>) -> bool,
        stop: &AtomicBool,
    ) -> Vec<bool> {
        let most = codes.iter().copied().max().unwrap_or_default() as usize;
        if self.0.len() <= most {
            self.0.resize(most + 1, None);
        }
        let open = codes.iter().copied().filter(|code| self.0[*code as usize].is_none());
        let open: Vec<u32> = open.collect();
        if !open.is_empty() {
            space.texts(&open, |code, text| {
                let verdict = &mut self.0[code as usize];
                if verdict.is_none() && !stop.load(Ordering::Relaxed) {
                    *verdict = Some(test(text));
                }
            });
        }
        codes.iter().map(|code| self.0[*code as usize].unwrap_or_default()).collect()
    }

    pub fn bytes(&self) -> usize {
        self.0.capacity()
    }
}

impl Decided {
    /// Decides a condition for a chunk that has dimensions as `views` tell, at once and without a
    /// meaning when `stop` is set.
    pub fn new(
        node: &Node,
        plan: &Plan,
        spaces: &[Space],
        views: &[View],
        verdicts: &mut [Verdicts],
        stop: &AtomicBool,
    ) -> Self {
        match node {
            Node::All(all) => {
                let mut open = Vec::new();
                for one in all {
                    match Self::new(one, plan, spaces, views, verdicts, stop) {
                        Self::Always(true) => {}
                        Self::Always(false) => return Self::Always(false),
                        other => open.push(other),
                    }
                }
                match open.len() {
                    0 => Self::Always(true),
                    1 => open.remove(0),
                    _ => Self::All(open),
                }
            }
            Node::Any(any) => {
                let mut open = Vec::new();
                for one in any {
                    match Self::new(one, plan, spaces, views, verdicts, stop) {
                        Self::Always(false) => {}
                        Self::Always(true) => return Self::Always(true),
                        other => open.push(other),
                    }
                }
                match open.len() {
                    0 => Self::Always(false),
                    1 => open.remove(0),
                    _ => Self::Any(open),
                }
            }
            Node::Not(node) => match Self::new(node, plan, spaces, views, verdicts, stop) {
                Self::Always(always) => Self::Always(!always),
                other => Self::Not(Box::new(other)),
            },
            Node::Text(place) => {
                let test = &plan.tests[*place];
                let view = &views[test.dimension];
                let mask = verdicts[*place].of(&view.shared, &spaces[test.dimension], &test.test, stop);
                match mask.first() {
                    Some(first) if mask.iter().all(|one| one == first) => Self::Always(*first),
                    _ => Self::Codes(test.dimension, mask),
                }
            }
            Node::Number(column, comparison, value) => Self::Number(*column, *comparison, *value),
        }
    }

    /// Whether each of `rows` is meant.
    pub fn mask(&self, chunk: &DayChunk, views: &[View], rows: &Rows, out: &mut Vec<bool>) {
        match self {
            Self::Always(always) => {
                out.clear();
                out.resize(rows.len(), *always);
            }
            Self::Codes(dimension, mask) => {
                views[*dimension].codes.gather_as(rows, out, |code| mask[code as usize]);
            }
            #[allow(clippy::cast_precision_loss)] // sizes and times stay far below 2^53
            Self::Number(column, comparison, wanted) => {
                let mut values = Vec::new();
                chunk.integers(*column).gather(rows, &mut values);
                out.clear();
                let milliseconds = *column == Column::DurationUs;
                out.extend(values.into_iter().map(|value| {
                    let number = if milliseconds { value as f64 / 1_000.0 } else { value as f64 };
                    value != UNKNOWN && compare(number, *comparison, *wanted)
                }));
            }
            Self::All(all) => Self::combine(all, chunk, views, rows, out, |one, other| one & other),
            Self::Any(any) => Self::combine(any, chunk, views, rows, out, |one, other| one | other),
            Self::Not(decided) => {
                decided.mask(chunk, views, rows, out);
                out.iter_mut().for_each(|one| *one = !*one);
            }
        }
    }

    fn combine(
        several: &[Self],
        chunk: &DayChunk,
        views: &[View],
        rows: &Rows,
        out: &mut Vec<bool>,
        both: impl Fn(bool, bool) -> bool,
    ) {
        let Some((first, rest)) = several.split_first() else { return };
        first.mask(chunk, views, rows, out);
        let mut more = Vec::new();
        for one in rest {
            one.mask(chunk, views, rows, &mut more);
            out.iter_mut().zip(&more).for_each(|(one, other)| *one = both(*one, *other));
        }
    }
}

//! Views and users of a class, as questions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use watchkeeper_analytics::{Condition, Dimension, Metric, Panel, Question, Value};
use watchkeeper_store::ProjectId;

use super::{Refused, params};
use crate::{Api, countries};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// People.
    User,
    /// Robots.
    Bot,
}

impl Class {
    /// A class by its name, exactly as it is written.
    pub fn read(text: &str) -> Result<Self, String> {
        params::one_of(&[("USER", Self::User), ("BOT", Self::Bot)], text)
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// Views.
    Views,
    /// Addresses, or visitors where no address was kept.
    Users,
}

/// The views of a class whose addresses were kept: they are of the address's class, and of none until
/// it was processed.
fn by_address(class: Class) -> Condition {
    let name = match class {
        Class::User => "user",
        Class::Bot => "bot",
    };
    Condition::is(Dimension::AddressClass, name)
}

/// The views of a class whose addresses were not kept: they are what they said when they came.
fn by_visitor(class: Class) -> Condition {
    let flag = if class == Class::Bot { "true" } else { "false" };
    Condition::is_unknown(Dimension::Ip).and(Condition::is(Dimension::Bot, flag))
}

/// Counts by dimensions, for each of some classes, in one pass; `None` is all of both classes. Whoever
/// asks has a place for it.
pub(super) async fn count<const N: usize>(
    api: &Api,
    project: ProjectId,
    range: (i64, i64),
    dimensions: &[Dimension],
    count: Count,
    classes: [Option<Class>; N],
) -> Result<[BTreeMap<Vec<Value>, u64>; N], Refused> {
    let mut question = Question::new(range.0, range.1);
    for class in classes {
        let both = |condition: fn(Class) -> Condition| match class {
            Some(class) => condition(class),
            None => Condition::Any(vec![condition(Class::User), condition(Class::Bot)]),
        };
        let (addresses, visitors) = match count {
            Count::Views => (Metric::Hits, Metric::Hits),
            Count::Users => (Metric::Addresses, Metric::Visitors),
        };
        question = question
            .panel(Panel::by(dimensions, [addresses]).only(both(by_address)))
            .panel(Panel::by(dimensions, [visitors]).only(both(by_visitor)));
    }
    let answer = api.analytics.ask(project, &question).await?;
    let mut counts = [const { BTreeMap::new() }; N];
    for (index, table) in answer.tables.into_iter().enumerate() {
        for row in table.rows {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
            let number = row.metrics.first().copied().flatten().unwrap_or_default() as u64;
            *counts[index / 2].entry(row.key).or_default() += number;
        }
    }
    Ok(counts)
}

/// A dimension's value as the original has it: countries by name.
pub(super) fn shown(dimension: Dimension, value: &Value) -> Option<&str> {
    let text = value.as_text()?;
    Some(if dimension == Dimension::Country { countries::name(text) } else { text })
}

/// A time as Flask writes it, such as `Mon, 05 Oct 2020 00:00:00 GMT`.
pub(super) fn http_date(value: &Value) -> Option<String> {
    let at = Timestamp::from_millisecond(value.as_number()?).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

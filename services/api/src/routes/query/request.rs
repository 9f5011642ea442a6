//! A request of the query interface, judged and put into the terms of `analytics`.

use jiff::tz::TimeZone;
use serde_json::Value;
use watchkeeper_analytics::{Bucket, Column, Condition, Dimension, Metric, Order, Panel, SESSION_IDLE};
use watchkeeper_runtime::error::ApiError;

use super::{
    filter::{self, Budget},
    node::{Node, Object},
};
use crate::period::{self, Period, PeriodError, Range};

/// Panels of one request.
pub(crate) const PANELS: usize = 20;
/// Metrics of one panel.
const METRICS: usize = 20;
/// Dimensions of one panel.
const DIMENSIONS: usize = 5;
/// Rows of one panel that one answer has at most, and has unless fewer are asked for.
pub(crate) const LIMIT: i64 = 10_000;
/// Rows that may be passed over.
const OFFSET: i64 = 1_000_000;

/// Longest idle time that a session may be made to outlast, seconds.
const IDLE: i64 = 86_400;

/// What a whole request may have.
const REQUEST: [&str; 12] = [
    "project",
    "date_range",
    "timezone",
    "session_idle",
    "metrics",
    "dimensions",
    "filters",
    "order_by",
    "include",
    "pagination",
    "panels",
    "name",
];

/// What a panel may have.
const PANEL: [&str; 6] = ["name", "metrics", "dimensions", "filters", "order_by", "pagination"];

/// Everything that was asked, but for the project's own answer to it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub range: Range,
    pub zone: TimeZone,
    /// Idle time that ends a session, milliseconds.
    pub session_idle: i64,
    pub condition: Condition,
    pub panels: Vec<WantedPanel>,
    pub include: Include,
    /// Whether the answer has a list of panels, as the request did.
    pub several: bool,
}

/// One table.
#[derive(Debug)]
pub(crate) struct WantedPanel {
    pub path: String,
    pub name: Option<String>,
    pub dimensions: Vec<WantedDimension>,
    pub metrics: Vec<Metric>,
    pub condition: Condition,
    order: Vec<Order>,
    pub offset: usize,
    pub limit: usize,
}

/// A dimension; time without a length of its bucket takes what fits the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WantedDimension {
    Fitting,
    Exactly(Dimension),
}

/// What is told beside the rows.
#[derive(Debug, Default)]
pub(crate) struct Include {
    pub time_labels: bool,
    pub total_rows: bool,
    pub comparison: Option<Compared>,
}

/// With what the range is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    Before,
    YearBefore,
    With(Range),
}

impl WantedDimension {
    pub fn resolve(self, period: &Period) -> Dimension {
        match self {
            Self::Fitting => Dimension::Time(period.bucket()),
            Self::Exactly(dimension) => dimension,
        }
    }
}

impl WantedPanel {
    /// The panel over a period.
    pub fn panel(&self, period: &Period) -> Panel {
        Panel {
            dimensions: self.dimensions.iter().map(|dimension| dimension.resolve(period)).collect(),
            metrics: self.metrics.clone(),
            condition: self.condition.clone(),
            order: self.order.clone(),
            offset: self.offset,
            limit: Some(self.limit),
        }
    }

    /// The path of a field of this panel in the request.
    pub fn field(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The first time bucket among the dimensions and its place.
    pub fn time(&self, period: &Period) -> Option<(usize, Bucket)> {
        self.dimensions.iter().enumerate().find_map(|(index, dimension)| match dimension.resolve(period) {
            Dimension::Time(bucket) => Some((index, bucket)),
            _ => None,
        })
    }
}

impl Compared {
    /// The period that a period is compared with.
    pub fn period(self, period: &Period, now: i64) -> Result<Period, PeriodError> {
        match self {
            Self::Before => period.before(),
            Self::YearBefore => period.year_before(),
            Self::With(range) => range.at(now, &period.zone, None),
        }
    }
}

/// The project that a request names, before anything else is looked at.
pub(crate) fn project(body: &Value) -> Result<Option<String>, ApiError> {
    let Some(node) = Node::root(body).object(&REQUEST)?.get("project") else { return Ok(None) };
    match node.value() {
        Value::String(name) if !name.is_empty() => Ok(Some(name.clone())),
        Value::Number(id) if id.is_i64() => Ok(Some(id.to_string())),
        _ => Err(node.fail("Must be a project's name, its id or its user id.")),
    }
}

impl Wanted {
    /// Reads a request.
    pub fn read(body: &Value) -> Result<Self, ApiError> {
        let request = Node::root(body).object(&REQUEST)?;
        let date_range = request.get("date_range");
        let date_range = date_range.ok_or_else(|| {
            let message = "Give a range: a name such as 7d, or a pair of ISO dates or times.";
            request.fail("date_range", message)
        })?;
        let range = range(&date_range)?;
        let zone = match request.get("timezone") {
            None => TimeZone::UTC,
            Some(node) => period::zone(node.text()?).map_err(|error| node.fail(error.to_string()))?,
        };
        let session_idle = match request.get("session_idle") {
            None => SESSION_IDLE,
            Some(node) => node.integer(1..=IDLE)? * 1_000,
        };
        let include = include(&request)?;
        let mut budget = Budget::default();
        let (condition, panels, several) = match request.get("panels") {
            None => (Condition::default(), vec![panel("", &request, &mut budget)?], false),
            Some(panels) => {
                for alone in ["metrics", "dimensions", "order_by", "pagination", "name"] {
                    if request.get(alone).is_some() {
                        return Err(request.fail(alone, "Stands in each panel where there are panels."));
                    }
                }
                let condition = conditions(&request, &mut budget)?;
                let items = panels.items(PANELS)?;
                if items.is_empty() {
                    return Err(panels.fail("Give at least one panel."));
                }
                let read = items.iter().enumerate().map(|(index, item)| {
                    panel(&format!("panels[{index}]"), &item.object(&PANEL)?, &mut budget)
                });
                (condition, read.collect::<Result<_, _>>()?, true)
            }
        };
        Ok(Self { range, zone, session_idle, condition, panels, include, several })
    }
}

/// A named range or a pair.
pub(crate) fn range(node: &Node<'_>) -> Result<Range, ApiError> {
    let range = match node.value() {
        Value::String(name) => Range::named(name),
        Value::Array(_) => {
            let items = node.items(2)?;
            let [from, to] = items.as_slice() else {
                return Err(node.fail("A pair has two dates or times."));
            };
            Range::between(from.text()?, to.text()?)
        }
        _ => return Err(node.fail("Must be a name such as 7d, or a pair of ISO dates or times.")),
    };
    range.map_err(|error| node.fail(error.to_string()))
}

fn include(request: &Object<'_>) -> Result<Include, ApiError> {
    let Some(node) = request.get("include") else { return Ok(Include::default()) };
    let include = node.object(&["time_labels", "total_rows", "comparison"])?;
    let flag = |name| include.get(name).map_or(Ok(false), |node| node.flag());
    let comparison = match include.get("comparison") {
        None => None,
        Some(node) => Some(match node.value().as_str() {
            Some("previous_period") => Compared::Before,
            Some("year_over_year") => Compared::YearBefore,
            Some(_) => {
                return Err(node.fail("Must be previous_period, year_over_year or a pair of ISO dates."));
            }
            None => Compared::With(range(&node)?),
        }),
    };
    Ok(Include { time_labels: flag("time_labels")?, total_rows: flag("total_rows")?, comparison })
}

fn conditions(of: &Object<'_>, budget: &mut Budget) -> Result<Condition, ApiError> {
    of.get("filters").map_or(Ok(Condition::default()), |node| filter::filters(&node, budget))
}

fn panel(path: &str, of: &Object<'_>, budget: &mut Budget) -> Result<WantedPanel, ApiError> {
    let name = of.get("name").map(|node| node.text().map(str::to_owned)).transpose()?;
    let metrics = metrics(of)?;
    let dimensions = dimensions(of)?;
    let order = match of.get("order_by") {
        None => Vec::new(),
        Some(node) => {
            let items = node.items(METRICS + DIMENSIONS)?;
            items.iter().map(|item| order(item, &dimensions, &metrics)).collect::<Result<_, _>>()?
        }
    };
    let (mut limit, mut offset) = (LIMIT, 0);
    if let Some(node) = of.get("pagination") {
        let pagination = node.object(&["limit", "offset"])?;
        limit = pagination.get("limit").map_or(Ok(LIMIT), |node| node.integer(1..=LIMIT))?;
        offset = pagination.get("offset").map_or(Ok(0), |node| node.integer(0..=OFFSET))?;
    }
    Ok(WantedPanel {
        path: path.to_owned(),
        name,
        metrics: metrics.into_iter().map(|(_, metric)| metric).collect(),
        dimensions: dimensions.into_iter().map(|(_, dimension)| dimension).collect(),
        condition: conditions(of, budget)?,
        order,
        offset: usize::try_from(offset).unwrap_or_default(),
        limit: usize::try_from(limit).unwrap_or_default(),
    })
}

fn metrics(of: &Object<'_>) -> Result<Vec<(String, Metric)>, ApiError> {
    let known = || Metric::all().map(|metric| metric.to_string()).collect::<Vec<_>>().join(", ");
    let items = of.get("metrics").map_or(Ok(Vec::new()), |node| node.items(METRICS))?;
    if items.is_empty() {
        return Err(of.fail("metrics", format!("Give at least one of {}.", known())));
    }
    let mut found: Vec<(String, Metric)> = Vec::new();
    for item in items {
        let name = item.text()?;
        let metric: Metric =
            name.parse().map_err(|_| item.fail(format!("There is no metric `{name}`; use {}.", known())))?;
        if found.iter().any(|(_, other)| *other == metric) {
            return Err(item.fail(format!("`{name}` stands here twice.")));
        }
        found.push((name.to_owned(), metric));
    }
    Ok(found)
}

fn dimensions(of: &Object<'_>) -> Result<Vec<(String, WantedDimension)>, ApiError> {
    let mut found: Vec<(String, WantedDimension)> = Vec::new();
    for item in of.get("dimensions").map_or(Ok(Vec::new()), |node| node.items(DIMENSIONS))? {
        let name = item.text()?;
        let dimension = match name {
            "time" => WantedDimension::Fitting,
            other => WantedDimension::Exactly(other.parse().map_err(|_| {
                let known: Vec<_> = Dimension::all().map(|dimension| dimension.to_string()).collect();
                item.fail(format!("There is no dimension `{name}`; use time, {}.", known.join(", ")))
            })?),
        };
        if found.iter().any(|(_, other)| *other == dimension) {
            return Err(item.fail(format!("`{name}` stands here twice.")));
        }
        found.push((name.to_owned(), dimension));
    }
    Ok(found)
}

fn order(
    node: &Node<'_>,
    dimensions: &[(String, WantedDimension)],
    metrics: &[(String, Metric)],
) -> Result<Order, ApiError> {
    let parts = node.items(2)?;
    let [column, direction] = parts.as_slice() else {
        return Err(node.fail("Must be [metric or dimension, \"asc\" or \"desc\"]."));
    };
    let name = column.text()?;
    let by = dimensions
        .iter()
        .position(|(dimension, _)| dimension == name)
        .map(Column::Dimension)
        .or_else(|| metrics.iter().position(|(metric, _)| metric == name).map(Column::Metric))
        .ok_or_else(|| column.fail(format!("`{name}` is no metric or dimension of this panel; add it.")))?;
    let descending = match direction.text()? {
        "desc" => true,
        "asc" => false,
        _ => return Err(direction.fail("Must be asc or desc.")),
    };
    Ok(Order { by, descending })
}

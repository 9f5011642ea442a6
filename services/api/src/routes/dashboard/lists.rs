//! Listings as the page shows them: rows of values that filter, with bars and numbers.

use std::collections::HashMap;

use watchkeeper_analytics::{Dimension, Metric, Row, Table, Value};

use super::{
    charts,
    filters::{self, Filters, WEEKDAYS},
    format,
    panels::{Listing, OUTCOMES, SORTS, Scope},
};
use crate::countries;

/// A card with a listing's first rows.
#[derive(Debug, Clone, Default)]
pub(super) struct List {
    pub title: &'static str,
    pub tabs: Vec<Tab>,
    /// Name above the values.
    pub of: &'static str,
    pub heads: Vec<Head>,
    pub rows: Vec<ListRow>,
    /// Rows that there are.
    pub groups: usize,
    /// Whether there are too many to be counted; then there are none here.
    pub too_long: bool,
    /// Where all rows stand, and their CSV.
    pub all: String,
    pub csv: String,
    /// What the chart column shows, where there is one.
    pub chart: Option<&'static str>,
}

/// A link that shows something else in the same place.
#[derive(Debug, Clone)]
pub(super) struct Tab {
    pub text: &'static str,
    pub href: String,
    pub current: bool,
}

/// Above a column; a link where it can be ordered by.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub text: String,
    pub href: Option<String>,
    pub current: bool,
}

/// One row.
#[derive(Debug, Clone)]
pub(super) struct ListRow {
    pub keys: Vec<Key>,
    pub numbers: Vec<String>,
    /// Length of the bar behind the values, percent.
    pub share: f64,
    pub chart: RowChart,
}

/// What a row draws beside its numbers.
#[derive(Debug, Clone)]
pub(super) enum RowChart {
    None,
    /// p50, p95 and p99 in percent of the slowest.
    Latency(f64, f64, f64),
    /// Bars of hits over time, and how many.
    Spark(String, usize),
}

/// One value that filters.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub text: String,
    /// A flag before it.
    pub mark: Option<String>,
    /// `method`, `status s4` and the like.
    pub class: &'static str,
    pub href: Option<String>,
    pub active: bool,
}

/// The parts of a page that rows link to.
pub(super) struct Links<'a> {
    pub base: &'a str,
    pub scope: &'a Scope<'a>,
}

impl Links<'_> {
    fn filters(&self) -> &Filters {
        self.scope.filters
    }

    /// A page of the project with these filters.
    pub fn to(&self, filters: &Filters) -> String {
        format!("{}{}", self.base, filters.query())
    }

    /// A value of a dimension, as people read it and as a link that filters by it.
    pub fn key(&self, dimension: Dimension, value: &Value) -> Key {
        let text = value.to_string();
        let raw = filters::raw_value(dimension, &text);
        let name = filters::name_of(dimension);
        let href = name.map(|name| self.to(&self.filters().toggled(name, &raw)));
        let active = name.is_some_and(|name| self.filters().has(name, &raw));
        let class = match dimension {
            Dimension::Method => "method",
            Dimension::Status => match value.as_number().unwrap_or_default() / 100 {
                2 => "status s2",
                3 => "status s3",
                4 => "status s4",
                5 => "status s5",
                _ => "status",
            },
            Dimension::Path | Dimension::Route | Dimension::Query => "path",
            _ => "",
        };
        let mark = (dimension == Dimension::Country).then(|| countries::flag(&text)).flatten();
        Key { text: readable(dimension, value), mark, class, href, active }
    }

    /// The card of a listing.
    pub fn list(&self, listing: &'static Listing, table: &Table) -> List {
        let hits = |row: &Row| row.metrics.first().copied().flatten().unwrap_or_default();
        let most = table.rows.iter().map(hits).fold(0.0, f64::max);
        let slowest =
            table.rows.iter().filter_map(|row| row.metrics.last().copied().flatten()).fold(0.0, f64::max);
        let dimensions = self.scope.dimensions(listing);
        let rows = table
            .rows
            .iter()
            .map(|row| {
                let keys = dimensions.iter().zip(&row.key);
                // Where nothing tells a person, only what is known is told.
                let keys = keys.filter(|(_, value)| dimensions.len() == 1 || **value != Value::Unknown);
                let mut keys: Vec<Key> = keys.map(|(dimension, value)| self.key(*dimension, value)).collect();
                if keys.is_empty() {
                    keys.push(Key {
                        text: "unknown".into(),
                        mark: None,
                        class: "",
                        href: None,
                        active: false,
                    });
                }
                let numbers = listing.metrics.iter().zip(&row.metrics);
                ListRow {
                    keys,
                    numbers: numbers
                        .map(|(it, value)| format::told(table, *it, *value, self.scope.now))
                        .collect(),
                    share: charts::width(hits(row), most),
                    chart: if listing.id == "routes" { latency(row, slowest) } else { RowChart::None },
                }
            })
            .collect();
        let query = self.filters().query();
        List {
            title: listing.title,
            tabs: Vec::new(),
            of: of(listing),
            heads: self.heads(listing),
            rows,
            groups: table.groups,
            too_long: false,
            all: format!("{}/table/{}{query}", self.base, listing.id),
            csv: format!("{}/table/{}.csv{query}", self.base, listing.id),
            chart: None,
        }
    }

    /// The card of a listing that has too many rows to be counted.
    pub fn too_long(&self, listing: &'static Listing) -> List {
        List { too_long: true, ..self.list(listing, &Table::default()) }
    }

    fn heads(&self, listing: &Listing) -> Vec<Head> {
        let current = self.filters().get("sort").unwrap_or("hits");
        let head = |metric: &Metric| {
            let sort = (listing.id == "routes").then(|| SORTS.iter().find(|(_, it)| it == metric)).flatten();
            Head {
                text: format::heading(*metric).into(),
                href: sort
                    .map(|(id, _)| format!("{}#routes", self.to(&self.filters().set("sort", Some(id))))),
                current: sort.is_some_and(|(id, _)| *id == current),
            }
        };
        listing.metrics.iter().map(head).collect()
    }

    /// Tabs that switch a parameter: its values with their names, the first of them without one.
    pub fn tabs(&self, parameter: &str, card: &str, values: &[(&str, &'static str)]) -> Vec<Tab> {
        let current = self.filters().get(parameter).unwrap_or_default();
        let known = values.iter().any(|(value, _)| *value == current);
        let tab = |(index, (value, text)): (usize, &(&str, &'static str))| {
            let to = self.filters().set(parameter, (index > 0).then_some(*value));
            let is = if known { *value == current } else { index == 0 };
            Tab { text, href: format!("{}#{card}", self.to(&to)), current: is }
        };
        values.iter().enumerate().map(tab).collect()
    }

    /// The tabs of the endpoints.
    pub fn outcomes(&self) -> Vec<Tab> {
        let values: Vec<_> = OUTCOMES.iter().map(|(id, text, _)| (*id, *text)).collect();
        self.tabs("endpoints", "endpoints", &values)
    }
}

fn latency(row: &Row, slowest: f64) -> RowChart {
    let at =
        |index: usize| charts::width(row.metrics.get(index).copied().flatten().unwrap_or_default(), slowest);
    RowChart::Latency(at(1), at(2), at(3))
}

/// Sparklines of groups, by their values: `trend` has the groups' dimensions and then the time.
pub(super) fn sparks(trend: &Table, starts: &[i64]) -> HashMap<Vec<Value>, String> {
    let mut groups: HashMap<Vec<Value>, Vec<f64>> = HashMap::new();
    for row in &trend.rows {
        let Some((time, group)) = row.key.split_last() else { continue };
        let Some(place) = time.as_number().and_then(|start| starts.binary_search(&start).ok()) else {
            continue;
        };
        groups.entry(group.to_vec()).or_insert_with(|| vec![0.0; starts.len()])[place] =
            row.metrics.first().copied().flatten().unwrap_or_default();
    }
    groups.into_iter().map(|(group, values)| (group, charts::spark(&values))).collect()
}

/// A value as people read it.
pub(super) fn readable(dimension: Dimension, value: &Value) -> String {
    match (dimension, value) {
        (Dimension::ReferrerHost, Value::Unknown) => "direct".into(),
        (_, Value::Unknown) => "unknown".into(),
        (Dimension::Country, value) => countries::name(&value.to_string()).to_owned(),
        (Dimension::HourOfDay, value) => format!("{:0>2}:00", value.to_string()),
        (Dimension::Weekday, Value::Number(day)) => {
            let index = usize::try_from(day.rem_euclid(7)).unwrap_or_default();
            WEEKDAYS[index].into()
        }
        (Dimension::Query, value) => format!("?{value}"),
        (_, value) if value.as_text() == Some("") => "(empty)".into(),
        (_, value) => value.to_string(),
    }
}

/// What a listing's values are.
pub(super) fn of(listing: &Listing) -> &'static str {
    match listing.id {
        "endpoints" => "Endpoint",
        "routes" => "Route",
        "errors" => "Status and route",
        "users" => "User",
        _ => heading(listing.dimensions[0]),
    }
}

/// A dimension's name above a column.
pub(super) fn heading(dimension: Dimension) -> &'static str {
    filters::FILTERS.iter().find(|filter| filter.dimension == dimension).map_or("Time", |filter| filter.label)
}

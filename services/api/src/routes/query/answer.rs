//! Answers as JSON: values in the order of the dimensions, numbers in that of the metrics.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};
use watchkeeper_analytics::{Bucket, Dimension, Metric, Row, Table, Value};

use super::request::WantedPanel;
use crate::{period::Period, times::rfc3339};

/// A panel's table with what it is compared with.
pub(super) struct Answered<'a> {
    pub wanted: &'a WantedPanel,
    pub period: &'a Period,
    pub table: &'a Table,
    /// Starts of the time buckets of the period, where the panel has some and they are needed.
    pub buckets: Option<Vec<i64>>,
    pub compared: Option<ComparedTable<'a>>,
}

/// The rows of the other period.
pub(super) struct ComparedTable<'a> {
    pub table: &'a Table,
    pub period: &'a Period,
    pub buckets: Option<Vec<i64>>,
}

/// What a table is told as.
#[derive(Serialize)]
pub(super) struct TableView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    results: Rows<'a>,
    meta: Json,
    dimensions: Vec<String>,
    metrics: Vec<String>,
    pagination: Json,
}

/// Rows that are made one after the other while they are written: all at once take many times their text.
struct Rows<'a>(&'a Answered<'a>);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answered = self.0;
        let dimensions = answered.dimensions();
        let other = answered.compared.as_ref().map(|compared| answered.by_key(compared));
        serializer.collect_seq(answered.table.rows.iter().map(|row| {
            let mut json = Map::new();
            json.insert("dimensions".into(), answered.values(row, &dimensions));
            json.insert("metrics".into(), answered.numbers(&row.metrics));
            if let Some(other) = &other {
                let key = answered.key(&row.key, answered.buckets.as_deref(), answered.period);
                let found = key.and_then(|key| other.get(&key)).copied().flatten();
                json.insert("comparison".into(), answered.comparison(row, found));
            }
            json
        }))
    }
}

impl Answered<'_> {
    pub fn view(&self, time_labels: bool, total_rows: bool) -> TableView<'_> {
        let mut meta = Map::new();
        if total_rows {
            meta.insert("total_rows".into(), json!(self.table.groups));
        }
        let Table { distinct_error, quantile_error, .. } = *self.table;
        for (name, error) in [("distinct_error", distinct_error), ("quantile_error", quantile_error)] {
            if error > 0.0 {
                meta.insert(name.into(), json!(error));
            }
        }
        if time_labels
            && let (Some(buckets), Some((_, bucket))) = (&self.buckets, self.wanted.time(self.period))
        {
            let labels = buckets.iter().map(|start| label(*start, bucket, &self.period.zone));
            meta.insert("time_labels".into(), labels.collect());
        }
        TableView {
            name: self.wanted.name.as_deref(),
            results: Rows(self),
            meta: Json::Object(meta),
            dimensions: self.dimensions().iter().map(Dimension::to_string).collect(),
            metrics: self.wanted.metrics.iter().map(Metric::to_string).collect(),
            pagination: json!({ "limit": self.wanted.limit, "offset": self.wanted.offset }),
        }
    }

    fn dimensions(&self) -> Vec<Dimension> {
        self.wanted.dimensions.iter().map(|dimension| dimension.resolve(self.period)).collect()
    }

    fn values(&self, row: &Row, dimensions: &[Dimension]) -> Json {
        let values = row.key.iter().zip(dimensions).map(|(value, dimension)| match (value, dimension) {
            (Value::Number(start), Dimension::Time(bucket)) => label(*start, *bucket, &self.period.zone),
            (Value::Unknown, _) => Json::Null,
            (Value::Number(number), _) => json!(number),
            (Value::Text(text), _) => json!(&**text),
        });
        values.collect()
    }

    fn numbers(&self, metrics: &[Option<f64>]) -> Json {
        metrics
            .iter()
            .zip(&self.wanted.metrics)
            .map(|(number, metric)| number_json(*number, *metric))
            .collect()
    }

    /// The rows of the other period by the keys of those that are told; there may be many more.
    fn by_key<'b>(&self, compared: &ComparedTable<'b>) -> HashMap<Vec<Value>, Option<&'b Row>> {
        let told = self.table.rows.iter();
        let told = told.filter_map(|row| self.key(&row.key, self.buckets.as_deref(), self.period));
        let mut rows: HashMap<_, _> = told.map(|key| (key, None)).collect();
        for row in &compared.table.rows {
            let key = self.key(&row.key, compared.buckets.as_deref(), compared.period);
            if let Some(found) = key.and_then(|key| rows.get_mut(&key)) {
                // Of an hour that came twice the first.
                found.get_or_insert(row);
            }
        }
        rows
    }

    /// A key that both periods share: a time is its place in its period.
    fn key(&self, key: &[Value], buckets: Option<&[i64]>, period: &Period) -> Option<Vec<Value>> {
        let mut key = key.to_vec();
        if let Some((index, bucket)) = self.wanted.time(self.period) {
            let start = key.get(index)?.as_number()?;
            key[index] = Value::Number(match bucket {
                // By the clock, since one of the two may have a day of 23 or 25 hours.
                Bucket::Minute | Bucket::Hour if self.are_of_days() => period.clock(start),
                _ => i64::try_from(buckets?.binary_search(&start).ok()?).ok()?,
            });
        }
        Some(key)
    }

    fn are_of_days(&self) -> bool {
        let other = self.compared.as_ref();
        self.period.is_of_days() && other.is_some_and(|compared| compared.period.is_of_days())
    }

    fn comparison(&self, row: &Row, other: Option<&Row>) -> Json {
        let none = vec![None; row.metrics.len()];
        let then = other.map_or(&none, |row| &row.metrics);
        let change = row.metrics.iter().zip(then).zip(&self.wanted.metrics).map(|((now, then), metric)| {
            // A change of a moment is no share.
            let (Some(now), Some(then)) = (now, then) else { return Json::Null };
            if *then == 0.0 || matches!(metric, Metric::FirstSeen | Metric::LastSeen) {
                return Json::Null;
            }
            json!(((now - then) / then.abs() * 1_000.0).round() / 10.0)
        });
        json!({ "metrics": self.numbers(then), "change": change.collect::<Vec<_>>() })
    }
}

/// A bucket's start on the zone's clock: a date where it is whole days, else a time with its offset.
fn label(start: i64, bucket: Bucket, zone: &TimeZone) -> Json {
    let zoned = Timestamp::from_millisecond(start).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    match bucket {
        Bucket::Day | Bucket::Week | Bucket::Month | Bucket::Year => json!(zoned.date().to_string()),
        _ => json!(zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
    }
}

fn number_json(number: Option<f64>, metric: Metric) -> Json {
    let Some(number) = number else { return Json::Null };
    #[allow(clippy::cast_possible_truncation)] // counts and times stay far below 2^53
    match metric {
        Metric::FirstSeen | Metric::LastSeen => json!(rfc3339(number as i64)),
        _ if number.fract() == 0.0 && number.abs() < 9e15 => json!(number as i64),
        _ => json!(number),
    }
}

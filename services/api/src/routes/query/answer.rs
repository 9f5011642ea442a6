//! Answers as JSON: values in the order of the dimensions, numbers in that of the metrics.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};
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
    pub buckets: Option<Vec<i64>>,
}

impl Answered<'_> {
    pub fn json(&self, time_labels: bool, total_rows: bool) -> Json {
        let dimensions: Vec<_> =
            self.wanted.dimensions.iter().map(|dimension| dimension.resolve(self.period)).collect();
        let other = self.compared.as_ref().map(|compared| self.by_key(compared));
        let rows = self.table.rows.iter().map(|row| {
            let mut json = Map::new();
            json.insert("dimensions".into(), self.values(row, &dimensions));
            json.insert("metrics".into(), self.numbers(&row.metrics));
            if let Some(other) = &other {
                let found = self.key(&row.key, self.buckets.as_deref()).and_then(|key| other.get(&key));
                json.insert("comparison".into(), self.comparison(row, found.copied()));
            }
            Json::Object(json)
        });
        let results: Vec<_> = rows.collect();
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
        let metrics: Vec<_> = self.wanted.metrics.iter().map(Metric::to_string).collect();
        let dimensions: Vec<_> = dimensions.iter().map(Dimension::to_string).collect();
        let mut json = Map::new();
        if let Some(name) = &self.wanted.name {
            json.insert("name".into(), json!(name));
        }
        json.insert("results".into(), json!(results));
        json.insert("meta".into(), Json::Object(meta));
        json.insert("dimensions".into(), json!(dimensions));
        json.insert("metrics".into(), json!(metrics));
        json.insert("pagination".into(), json!({ "limit": self.wanted.limit, "offset": self.wanted.offset }));
        Json::Object(json)
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

    /// The rows of the other period by their keys.
    fn by_key<'b>(&self, compared: &'b ComparedTable<'_>) -> HashMap<Vec<Value>, &'b Row> {
        let rows = compared.table.rows.iter();
        rows.filter_map(|row| Some((self.key(&row.key, compared.buckets.as_deref())?, row))).collect()
    }

    /// A key that both periods share: a time is its place among its period's buckets.
    fn key(&self, key: &[Value], buckets: Option<&[i64]>) -> Option<Vec<Value>> {
        let mut key = key.to_vec();
        if let Some((index, _)) = self.wanted.time(self.period) {
            let start = key.get(index)?.as_number()?;
            let place = buckets?.binary_search(&start).ok()?;
            key[index] = Value::Number(i64::try_from(place).ok()?);
        }
        Some(key)
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

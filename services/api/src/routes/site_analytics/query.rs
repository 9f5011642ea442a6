//! `GET /api/v1/data/query`, of 2023: views by buckets of so many seconds.

use std::collections::BTreeSet;

use axum::extract::State;
use http::Uri;
use jiff::Timestamp;
use serde_json::{Map, Value as JsonValue, json};
use watchkeeper_analytics::{Bucket, Dimension};

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, shown},
    params::{Moment, Params, one_of, positive},
    statistics::group,
};
use crate::Api;

/// Buckets of one answer.
const MAX_BUCKETS: i64 = 1_000;

/// Key of everything where nothing groups it.
const COUNT: &str = "Count";

/// Key of what is not known.
const UNKNOWN: &str = "UNKNOWN";

const FILTERS: [(&str, Option<Class>); 3] =
    [("Unset", None), ("Humans", Some(Class::User)), ("Bots", Some(Class::Bot))];

pub(super) async fn query(
    Site(project): Site,
    State(api): State<Api>,
    uri: Uri,
) -> Result<Lined<JsonValue>, Refused> {
    let mut params = Params::of(&uri);
    let start = params.required("start_time", Moment::read);
    let end = params.required("end_time", Moment::read);
    let seconds = params.required("time_bucket", |text| positive("time_bucket", text));
    let group = params.optional("group_by", |text| group("Unset", text)).flatten();
    let filter = params.optional("filter_by", |text| one_of(&FILTERS, text)).flatten();
    let wanted = start.zip(end).zip(seconds);
    if let Some(((start, end), seconds)) = wanted {
        if end.at <= start.at {
            params.refuse("end_time", "end_time must be later than start_time");
        }
        let buckets = buckets(start.millisecond(), end.millisecond(), seconds);
        if buckets > MAX_BUCKETS {
            let message = format!("Too many buckets: requested {buckets} but max is {MAX_BUCKETS}.");
            params.refuse("time_bucket", &message);
        }
    }
    let ((start, end), seconds) = params.finish(wanted)?;

    let range = (start.millisecond(), end.millisecond());
    let dimensions: Vec<Dimension> =
        [Dimension::Time(Bucket::Seconds(seconds))].into_iter().chain(group).collect();
    let [counts] = count(&api, project, range, &dimensions, Count::Views, [filter]).await?;
    let length = i64::from(seconds) * 1_000;
    let mut keys = BTreeSet::new();
    let mut data: Vec<Map<String, JsonValue>> = Vec::new();
    data.resize_with(usize::try_from(buckets(range.0, range.1, seconds)).unwrap_or_default(), Map::new);
    for (key, count) in counts {
        let text = match (group, key.last()) {
            (Some(dimension), Some(value)) => shown(dimension, value).unwrap_or_else(|| UNKNOWN.into()),
            _ => COUNT.into(),
        };
        let at = key.first().and_then(watchkeeper_analytics::Value::as_number).unwrap_or_default();
        let bucket = usize::try_from((at - range.0) / length).ok().and_then(|index| data.get_mut(index));
        if let Some(bucket) = bucket {
            keys.insert(text.clone());
            bucket.insert(text, count.into());
        }
    }
    let buckets: Vec<JsonValue> = (0..)
        .zip(data)
        .map(|(index, data)| json!({ "timestamp": time(start, index * length), "data": data }))
        .collect();
    Ok(Lined(json!({ "all_keys": keys, "buckets": buckets })))
}

/// How many buckets a range of milliseconds needs; the last may be cut short.
fn buckets(from: i64, to: i64, seconds: u32) -> i64 {
    let length = i64::from(seconds) * 1_000;
    (to - from + length - 1) / length
}

/// A time so many milliseconds later, as Python's `isoformat` writes it.
fn time(start: Moment, later: i64) -> String {
    let micros = start.at.as_microsecond().saturating_add(later.saturating_mul(1_000));
    let at = Timestamp::from_microsecond(micros).unwrap_or(start.at);
    let fraction = if micros.rem_euclid(1_000_000) == 0 { "" } else { ".%6f" };
    let zone = if start.zoned { "+00:00" } else { "" };
    at.strftime(&format!("%Y-%m-%dT%H:%M:%S{fraction}{zone}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_python_does() {
        let moment = |text| Moment::read(text).expect("a time");
        assert_eq!(time(moment("2020-04-01T20:00:00.000000"), 86_400_000), "2020-04-02T20:00:00");
        assert_eq!(time(moment("2020-04-01T20:00:00.5Z"), 0), "2020-04-01T20:00:00.500000+00:00");
    }

    #[test]
    fn a_range_that_is_no_multiple_has_a_shorter_last_bucket() {
        assert_eq!([buckets(0, 2_000, 1), buckets(0, 2_001, 1), buckets(0, 1, 60)], [2, 3, 1]);
    }
}

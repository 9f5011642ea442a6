//! `GET /api/v1/data/query`, of 2023: views by buckets of so many seconds.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use watchkeeper_analytics::{Bucket, Dimension, Value};

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, shown},
    params::{Moment, Params, one_of, positive},
    room,
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

/// The whole answer.
#[derive(Serialize)]
struct View<'a> {
    all_keys: BTreeSet<&'a str>,
    buckets: Vec<BucketView<'a>>,
}

/// Views of a bucket by what groups them.
#[derive(Serialize)]
struct BucketView<'a> {
    timestamp: String,
    data: BTreeMap<&'a str, u64>,
}

pub(super) async fn query(
    Site(project): Site,
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Refused> {
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
    let _room = room(&api, project).await?;
    let [counts] = count(&api, project, range, &dimensions, Count::Views, [filter]).await?;
    let length = i64::from(seconds) * 1_000;
    let empty = |index: i64| BucketView { timestamp: time(start, index * length), data: BTreeMap::new() };
    let mut view = View {
        all_keys: BTreeSet::new(),
        buckets: (0..buckets(range.0, range.1, seconds)).map(empty).collect(),
    };
    for (key, count) in &counts {
        let text = match (group, key.last()) {
            (Some(dimension), Some(value)) => shown(dimension, value).unwrap_or(UNKNOWN),
            _ => COUNT,
        };
        let at = key.first().and_then(Value::as_number).unwrap_or_default();
        let place = usize::try_from((at - range.0) / length).ok();
        if let Some(bucket) = place.and_then(|place| view.buckets.get_mut(place)) {
            view.all_keys.insert(text);
            *bucket.data.entry(text).or_default() += count;
        }
    }
    Lined::new(&view)?.answer(&api, project).await
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

//! `GET /api/v1/data/statistics`, of March 2022.

use axum::extract::State;
use http::Uri;
use serde_json::{Value as JsonValue, json};
use watchkeeper_analytics::{Bucket, Dimension};

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, http_date, shown},
    params::{Params, one_of, us_date},
};
use crate::Api;

/// What views can be grouped by, in this and in the query interface. We know a device by its class
/// alone, and so both names of devices mean that.
pub(super) const GROUPS: [(&str, Dimension); 9] = [
    ("Country", Dimension::Country),
    ("City", Dimension::City),
    ("Region", Dimension::Region),
    ("Url", Dimension::Route),
    ("Domain", Dimension::AddressDomain),
    ("OperatingSystem", Dimension::Os),
    ("Device", Dimension::Device),
    ("DeviceType", Dimension::Device),
    ("Browser", Dimension::Client),
];

const RESOLUTIONS: [(&str, Option<Bucket>); 5] = [
    ("All", None),
    ("Day", Some(Bucket::Day)),
    ("Week", Some(Bucket::Week)),
    ("Month", Some(Bucket::Month)),
    ("Year", Some(Bucket::Year)),
];

/// The end of the year 9999, UTC milliseconds.
const END_OF_TIME: i64 = 253_402_300_800_000;

pub(super) async fn statistics(
    Site(project): Site,
    State(api): State<Api>,
    uri: Uri,
) -> Result<Lined<Vec<JsonValue>>, Refused> {
    let mut params = Params::of(&uri);
    let class =
        params.required("query_on", |text| one_of(&[("People", Class::User), ("Bots", Class::Bot)], text));
    let what = params
        .required("count_what", |text| one_of(&[("Views", Count::Views), ("Users", Count::Users)], text));
    let group = params.required("group_what", |text| group("Nothing", text));
    let bucket = params.required("resolution", |text| one_of(&RESOLUTIONS, text));
    let start = params.optional("start_date", us_date).unwrap_or(0);
    let end = params.optional("end_date", us_date).unwrap_or(END_OF_TIME);
    if end <= start {
        params.refuse("end_date", "end_date must be later than start_date");
    }
    let ((class, what), (group, bucket)) = params.finish(class.zip(what).zip(group.zip(bucket)))?;

    let dimensions: Vec<Dimension> = bucket.map(Dimension::Time).into_iter().chain(group).collect();
    let [counts] = count(&api, project, (start, end), &dimensions, what, [Some(class)]).await?;
    let row = |(key, count): (Vec<watchkeeper_analytics::Value>, u64)| {
        let date = bucket.and_then(|_| key.first().and_then(http_date));
        let text = group.and_then(|dimension| key.last().and_then(|value| shown(dimension, value)));
        json!({ "quantity": count, "date": date, "key": text })
    };
    Ok(Lined(counts.into_iter().map(row).collect()))
}

/// A group by its name; `none` is the name of no group.
pub(super) fn group(none: &str, text: &str) -> Result<Option<Dimension>, String> {
    if text == none { Ok(None) } else { one_of(&GROUPS, text).map(Some) }
}

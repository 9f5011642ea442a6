//! `GET /api/v1/data/statistics`, of March 2022.

use axum::{extract::State, response::Response};
use http::Uri;
use serde::Serialize;
use watchkeeper_analytics::{Bucket, Dimension};

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, http_date, shown},
    params::{Params, one_of, us_date},
    room,
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

/// Views or users of a group in a stretch of time.
#[derive(Serialize)]
struct Row<'a> {
    quantity: u64,
    date: Option<String>,
    key: Option<&'a str>,
}

pub(super) async fn statistics(
    Site(project): Site,
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Refused> {
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
    let _room = room(&api, project).await?;
    let [counts] = count(&api, project, (start, end), &dimensions, what, [Some(class)]).await?;
    let rows: Vec<Row<'_>> = counts
        .iter()
        .map(|(key, quantity)| Row {
            quantity: *quantity,
            date: bucket.and_then(|_| key.first().and_then(http_date)),
            key: group.and_then(|dimension| key.last().and_then(|value| shown(dimension, value))),
        })
        .collect();
    Lined::new(&rows)?.answer(&api, project).await
}

/// A group by its name; `none` is the name of no group.
pub(super) fn group(none: &str, text: &str) -> Result<Option<Dimension>, String> {
    if text == none { Ok(None) } else { one_of(&GROUPS, text).map(Some) }
}

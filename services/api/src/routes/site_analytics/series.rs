//! Users, views and sessions by week.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use http::Uri;
use serde_json::{Value as JsonValue, json};
use watchkeeper_analytics::{Bucket, Dimension, Value};

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, http_date},
    params::{Params, positive},
    room,
};
use crate::Api;

type Series = BTreeMap<Vec<Value>, u64>;

pub(super) async fn users(site: Site, State(api): State<Api>, uri: Uri) -> Result<Response, Refused> {
    by_week(&api, &site, &uri, Count::Users).await
}

pub(super) async fn views(site: Site, State(api): State<Api>, uri: Uri) -> Result<Response, Refused> {
    by_week(&api, &site, &uri, Count::Views).await
}

async fn by_week(api: &Api, Site(project): &Site, uri: &Uri, what: Count) -> Result<Response, Refused> {
    let mut params = Params::of(uri);
    let (range, class) = (params.dates(), params.optional("classification", Class::read));
    let range = params.finish(range)?;
    let classes = [Some(Class::User), Some(Class::Bot)];
    let _room = room(api, *project).await?;
    let [users, bots] = count(api, *project, range, &[Dimension::Time(Bucket::Week)], what, classes).await?;
    Lined::new(&rows(&users, &bots, class))?.answer(api, *project).await
}

/// Sessions that began in each week, which the original counts and never tells. `timeout` is the gap
/// in seconds that ends one.
pub(super) async fn sessions(
    Site(project): Site,
    State(api): State<Api>,
    uri: Uri,
) -> Result<Response, Refused> {
    let mut params = Params::of(&uri);
    let (range, class) = (params.dates(), params.optional("classification", Class::read));
    let timeout = params.optional("timeout", |text| positive("timeout", text));
    let (from, to) = params.finish(range)?;
    let idle = timeout.map_or(api.options.visit_idle, |seconds| i64::from(seconds) * 1_000);
    let _room = room(&api, project).await?;
    let visits = api.analytics.address_visits(project, from, to, idle, Bucket::Week).await?;
    let series = |of: fn(&watchkeeper_analytics::VisitCount) -> u64| -> Series {
        let counts = visits.iter().map(|(week, count)| (vec![Value::Number(*week)], of(count)));
        counts.filter(|(_, count)| *count > 0).collect()
    };
    let rows = rows(&series(|count| count.users), &series(|count| count.bots), class);
    Lined::new(&rows)?.answer(&api, project).await
}

/// A row a week: both classes, null where one has nothing, or one class as `quantity`.
fn rows(users: &Series, bots: &Series, class: Option<Class>) -> Vec<JsonValue> {
    let date = |week: &[Value]| week.first().and_then(http_date);
    let of = |series: &Series| -> Vec<JsonValue> {
        series.iter().map(|(week, count)| json!({ "quantity": count, "date": date(week) })).collect()
    };
    match class {
        Some(Class::User) => of(users),
        Some(Class::Bot) => of(bots),
        None => {
            let weeks: BTreeSet<&Vec<Value>> = users.keys().chain(bots.keys()).collect();
            let row = |week: &Vec<Value>| json!({ "date": date(week), "user": users.get(week), "bot": bots.get(week) });
            weeks.into_iter().map(row).collect()
        }
    }
}

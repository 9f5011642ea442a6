//! Views by country, city, URL and domain, most first.

use axum::extract::State;
use http::Uri;
use serde_json::{Map, Value as JsonValue};
use watchkeeper_analytics::Dimension;

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, shown},
    params::Params,
};
use crate::Api;

type Rows = Result<Lined<Vec<JsonValue>>, Refused>;

pub(super) async fn countries(site: Site, State(api): State<Api>, uri: Uri) -> Rows {
    list(&api, &site, &uri, "country", Dimension::Country).await
}

pub(super) async fn cities(site: Site, State(api): State<Api>, uri: Uri) -> Rows {
    list(&api, &site, &uri, "city", Dimension::City).await
}

pub(super) async fn urls(site: Site, State(api): State<Api>, uri: Uri) -> Rows {
    list(&api, &site, &uri, "url", Dimension::Route).await
}

/// Host names are told as their domains, as the original does.
pub(super) async fn hostnames(site: Site, State(api): State<Api>, uri: Uri) -> Rows {
    list(&api, &site, &uri, "hostname", Dimension::AddressDomain).await
}

async fn list(api: &Api, Site(project): &Site, uri: &Uri, name: &str, dimension: Dimension) -> Rows {
    let mut params = Params::of(uri);
    let range = params.dates();
    let wanted = range.zip(params.required("classification", Class::read));
    let (range, class) = params.finish(wanted)?;
    let [counts] = count(api, *project, range, &[dimension], Count::Views, [Some(class)]).await?;
    let mut rows: Vec<(Option<String>, u64)> = counts
        .into_iter()
        .map(|(key, count)| (key.first().and_then(|value| shown(dimension, value)), count))
        .collect();
    rows.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let row = |(text, count): (Option<String>, u64)| {
        let fields = [(name.to_owned(), text.into()), ("value".to_owned(), count.into())];
        JsonValue::Object(Map::from_iter(fields))
    };
    Ok(Lined(rows.into_iter().map(row).collect()))
}

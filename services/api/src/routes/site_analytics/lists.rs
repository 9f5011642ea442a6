//! Views by country, city, URL and domain, most first.

use axum::{extract::State, response::Response};
use http::Uri;
use serde::{Serialize, Serializer, ser::SerializeMap};
use watchkeeper_analytics::Dimension;

use super::{
    Lined, Refused, Site,
    counting::{Class, Count, count, shown},
    params::Params,
    room,
};
use crate::Api;

type Rows = Result<Response, Refused>;

/// A row: what the list is of, its value, and its views.
struct Row<'a> {
    name: &'static str,
    text: Option<&'a str>,
    views: u64,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(self.name, &self.text)?;
        map.serialize_entry("value", &self.views)?;
        map.end()
    }
}

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

async fn list(api: &Api, Site(project): &Site, uri: &Uri, name: &'static str, dimension: Dimension) -> Rows {
    let mut params = Params::of(uri);
    let range = params.dates();
    let wanted = range.zip(params.required("classification", Class::read));
    let (range, class) = params.finish(wanted)?;
    let _room = room(api, *project).await?;
    let [counts] = count(api, *project, range, &[dimension], Count::Views, [Some(class)]).await?;
    let mut rows: Vec<Row<'_>> = counts
        .iter()
        .map(|(key, views)| {
            let text = key.first().and_then(|value| shown(dimension, value));
            Row { name, text, views: *views }
        })
        .collect();
    rows.sort_by(|one, other| other.views.cmp(&one.views).then_with(|| one.text.cmp(&other.text)));
    Lined::new(&rows)?.answer(api, *project).await
}

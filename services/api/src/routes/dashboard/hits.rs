//! Requests as rows of a table: what the live page and the page of requests show.

use askama::Template;
use http::StatusCode;
use jiff::tz::TimeZone;
use watchkeeper_analytics::{Dimension, Value};
use watchkeeper_store::Hit;

use super::{
    format,
    lists::{Key, Links},
    shell::PageError,
};

#[derive(Template)]
#[template(path = "dashboard/hits.html")]
struct Rows {
    rows: Vec<Row>,
    people: bool,
}

/// A request as a row.
struct Row {
    time: String,
    datetime: String,
    method: String,
    path: Key,
    status: Key,
    duration: String,
    host: String,
    country: Key,
    client: String,
    user: String,
}

/// How a reader sees a request.
pub(super) struct Glass {
    pub zone: TimeZone,
    /// Whether addresses, users and query strings are seen.
    pub people: bool,
    /// How its time is written.
    pub clock: &'static str,
}

impl Glass {
    /// The rows of these requests, whose values link to filters of theirs.
    pub fn rows(&self, hits: &[Hit], links: &Links<'_>) -> Result<String, PageError> {
        let rows = hits.iter().map(|hit| self.row(hit, links)).collect();
        Rows { rows, people: self.people }.render().map_err(|error| {
            tracing::error!(%error, "requests could not be drawn");
            PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
        })
    }

    fn row(&self, hit: &Hit, links: &Links<'_>) -> Row {
        let value = |text: &Option<String>| text.as_deref().map_or(Value::Unknown, Value::text);
        let key = |dimension, value: &Value| links.key(dimension, value);
        let mut path = key(Dimension::Path, &value(&hit.path));
        if let Some(query) = hit.query.as_deref().filter(|_| self.people) {
            path.text = format!("{}?{query}", path.text);
        }
        Row {
            time: format::moment(hit.ts, &self.zone, self.clock),
            datetime: crate::times::rfc3339(hit.ts),
            method: hit.method.clone().unwrap_or_default(),
            path,
            status: key(Dimension::Status, &hit.status.map_or(Value::Unknown, |it| Value::Number(it.into()))),
            #[allow(clippy::cast_precision_loss)] // shown with three digits
            duration: hit.duration_us.map_or(String::new(), |us| format::duration(us as f64 / 1e3)),
            host: hit.host.clone().unwrap_or_default(),
            country: key(Dimension::Country, &value(&hit.country)),
            client: hit.client.clone().unwrap_or_default(),
            user: hit.user.clone().or_else(|| hit.ip.clone()).filter(|_| self.people).unwrap_or_default(),
        }
    }
}

//! `/badges/{id}/…`: an endpoint's state, uptime and response time as a small picture, and as the
//! JSON that shields.io draws one from. Public for endpoints that a status page shows, and for
//! those whose badges the administrator has switched on; for all others there is nothing here.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use serde_json::json;
use url::form_urlencoded;
use watchkeeper_store::{Endpoint, State as Measured, now_ms};

use super::{
    bars::precise,
    history::{self, Share},
    list::micros,
};
use crate::{
    Api,
    routes::dashboard::{
        format,
        shell::PageError,
        status::{answers::cached, view::is_public},
    },
};

/// Windows of uptime and response time: name, days.
pub(super) const WINDOWS: [(&str, i64); 4] = [("24h", 1), ("7d", 7), ("30d", 30), ("90d", 90)];

/// What a badge says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Badge {
    label: String,
    message: String,
    color: Color,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    Green,
    Yellow,
    Orange,
    Red,
    Blue,
    Grey,
}

impl Color {
    /// Dark enough for white letters.
    const fn hex(self) -> &'static str {
        match self {
            Self::Green => "#2d7d46",
            Self::Yellow => "#8a6d00",
            Self::Orange => "#b3541e",
            Self::Red => "#b3261e",
            Self::Blue => "#2563a8",
            Self::Grey => "#6b7280",
        }
    }

    /// As shields.io calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Green => "brightgreen",
            Self::Yellow => "yellow",
            Self::Orange => "orange",
            Self::Red => "red",
            Self::Blue => "blue",
            Self::Grey => "lightgrey",
        }
    }
}

/// `GET /badges/{id}/{file}`: `state`, `uptime` or `latency`, as `.svg` or `.json`.
pub(in crate::routes::dashboard) async fn badge(
    State(api): State<Api>,
    Path((id, file)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let store = |error| PageError::store(&error);
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let endpoint = id.parse().ok().and_then(|id| board.by_id(id)).ok_or_else(PageError::not_found)?;
    if !is_public(&api, endpoint).await.map_err(store)? {
        return Err(PageError::not_found());
    }
    let (what, form) = file.rsplit_once('.').ok_or_else(PageError::not_found)?;
    let query = query.unwrap_or_default();
    let asked = |field: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == field)
            .map(|(_, value)| value.into_owned())
    };
    let window = match asked("window") {
        None => WINDOWS[0],
        Some(text) => WINDOWS.into_iter().find(|(name, _)| *name == text).ok_or_else(|| {
            let known = WINDOWS.map(|(name, _)| name).join(", ");
            let message = format!("`{text}` is none of {known}.");
            let mut error = PageError::new(StatusCode::BAD_REQUEST, "That address has a mistake", message);
            error.field = Some("window".into());
            error
        })?,
    };
    let mut badge = match what {
        "state" => state(endpoint),
        "uptime" => uptime(&api, endpoint, window).await?,
        "latency" => latency(&api, endpoint, window).await?,
        _ => return Err(PageError::not_found()),
    };
    if let Some(label) = asked("label").map(|label| label.trim().to_owned()).filter(|label| !label.is_empty())
    {
        badge.label = label.chars().filter(|it| !it.is_control()).take(60).collect();
    }
    match form {
        "svg" => {
            let svg = Picture::new(&badge).render().map_err(|error| {
                tracing::error!(%error, "a badge could not be drawn");
                PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
            })?;
            Ok(cached(&headers, "image/svg+xml; charset=utf-8", svg))
        }
        "json" => {
            let Badge { label, message, color } = &badge;
            let body = json!({
                "schemaVersion": 1,
                "label": label,
                "message": message,
                "color": color.name(),
                "isError": *color == Color::Red,
                "cacheSeconds": 60,
            });
            Ok(cached(&headers, "application/json; charset=utf-8", body.to_string()))
        }
        _ => Err(PageError::not_found()),
    }
}

fn state(endpoint: &Endpoint) -> Badge {
    let state = endpoint.status.state;
    let color = match state {
        Measured::Up => Color::Green,
        Measured::Degraded => Color::Yellow,
        Measured::Down => Color::Red,
        Measured::Maintenance => Color::Blue,
        Measured::Unknown | Measured::Suspended => Color::Grey,
    };
    let label = endpoint.spec.display_name.chars().take(60).collect();
    Badge { label, message: state.as_str().to_lowercase(), color }
}

async fn uptime(api: &Api, endpoint: &Endpoint, (name, days): (&str, i64)) -> Result<Badge, PageError> {
    let share = if days == 1 {
        let found = api.dashboard.spans.get(&api.store, endpoint, days).await;
        Share::from(&found.map_err(|error| PageError::store(&error))?)
    } else {
        let history = api.dashboard.history.get(&api.store, now_ms()).await;
        let shares = history.map_err(|error| PageError::store(&error))?.of(endpoint.id, endpoint.created_at);
        let days = usize::try_from(days).unwrap_or(shares.len());
        history::total(&shares[shares.len().saturating_sub(days)..])
    };
    Ok(uptime_badge(name, &share))
}

fn uptime_badge(window: &str, share: &Share) -> Badge {
    let label = format!("uptime {window}");
    match share.uptime() {
        None => Badge { label, message: "not observed".into(), color: Color::Grey },
        Some(uptime) => {
            let color = match uptime {
                0.999.. => Color::Green,
                0.99.. => Color::Yellow,
                0.95.. => Color::Orange,
                _ => Color::Red,
            };
            Badge { label, message: precise(uptime), color }
        }
    }
}

async fn latency(api: &Api, endpoint: &Endpoint, (name, days): (&str, i64)) -> Result<Badge, PageError> {
    let found = api.dashboard.spans.get(&api.store, endpoint, days).await;
    let found = found.map_err(|error| PageError::store(&error))?;
    let label = format!("response time {name}");
    Ok(match found.latency {
        None => Badge { label, message: "not observed".into(), color: Color::Grey },
        Some(latency) => Badge { label, message: format::duration(micros(latency.mean)), color: Color::Blue },
    })
}

/// The picture's geometry: two boxes with their texts in the middle.
#[derive(Template)]
#[template(path = "status/badge.svg")]
struct Picture<'a> {
    badge: &'a Badge,
    left: f64,
    right: f64,
}

/// Width of a letter of 11 px Verdana or DejaVu Sans; `textLength` makes the text keep to it.
fn width(text: &str) -> f64 {
    let letter = |it: char| match it {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ' ' | '|' | '!' | '\'' => 4.0,
        'f' | 't' | 'r' | '(' | ')' | '/' | '-' => 4.8,
        'm' | 'w' | 'M' | 'W' | '%' => 10.4,
        'A'..='Z' => 7.8,
        it if it.is_ascii() => 6.9,
        _ => 11.0,
    };
    text.chars().map(letter).sum::<f64>().round()
}

impl<'a> Picture<'a> {
    fn new(badge: &'a Badge) -> Self {
        Self { badge, left: width(&badge.label) + 12.0, right: width(&badge.message) + 12.0 }
    }

    fn whole(&self) -> f64 {
        self.left + self.right
    }

    fn middle_left(&self) -> f64 {
        self.left / 2.0
    }

    fn middle_right(&self) -> f64 {
        self.left + self.right / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_that_nobody_observed_is_no_green_badge() {
        let unknown = Share { unknown: 1_000, ..Share::default() };
        let badge = uptime_badge("24h", &unknown);
        assert_eq!((badge.message.as_str(), badge.color), ("not observed", Color::Grey));
        let color = |up, down| uptime_badge("7d", &Share { up, down, ..Share::default() }).color;
        assert_eq!(
            [color(1_000, 0), color(995, 5), color(970, 30), color(1, 1)],
            [Color::Green, Color::Yellow, Color::Orange, Color::Red]
        );
        assert_eq!(uptime_badge("7d", &Share { up: 99_999, down: 1, ..Share::default() }).message, "99.99 %");
    }

    #[test]
    fn what_a_name_holds_is_text_in_the_picture() {
        let badge = Badge { label: "<script>&\"".into(), message: "up".into(), color: Color::Green };
        let svg = Picture::new(&badge).render().expect("drawn");
        assert!(
            !svg.contains("<script>") && svg.contains("&#60;script&#62;") | svg.contains("&lt;script&gt;"),
            "{svg}"
        );
    }
}

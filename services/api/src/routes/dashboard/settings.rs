//! A project's settings page: what its dashboard leaves out, who may look, and what is noted.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::HeaderMap;
use watchkeeper_store::{Annotation, DashboardSettings, Reach, Share, now_ms};

use super::{
    access::{Look, Manager, render},
    filters::{Chip, Filters, PATTERNS},
    format,
    forms::{self, Fields, check, done, wrong},
    shell::{PageError, Shell, percent_encoded},
};
use crate::{Api, period};

/// Paths that may be hidden.
const HIDDEN: usize = 200;

#[derive(Template)]
#[template(path = "dashboard/settings.html")]
struct Page {
    shell: Shell,
    base: String,
    token: String,
    settings: DashboardSettings,
    zone: String,
    shares: Vec<Row>,
    annotations: Vec<(Annotation, String)>,
    now: String,
    /// What the filter fields start with: the filters of the page that led here.
    filter: String,
    /// The link of a share that was just made, which is shown this once.
    made: Option<String>,
}

struct Row {
    id: i64,
    title: String,
    reach: &'static str,
    href: Option<String>,
    filters: Vec<Chip>,
    people: bool,
    created: String,
}

/// `GET …/settings`
pub(super) async fn page(
    Manager(look): Manager,
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let filters = look.filters(query.as_deref())?;
    show(&api, &look, &headers, &filters, None).await
}

/// The page; `made` is the link of a share that was just made.
pub(super) async fn show(
    api: &Api,
    look: &Look,
    headers: &HeaderMap,
    filters: &Filters,
    made: Option<String>,
) -> Result<Response, PageError> {
    let store = |error| PageError::store(&error);
    let zone = filters.zone(&look.settings);
    let shares = api.store.shares(look.project.id).await.map_err(store)?;
    let annotations = api.store.annotations(look.project.id, i64::MIN, i64::MAX).await.map_err(store)?;
    render(&Page {
        shell: look.shell(format!("Settings · {}", look.title)),
        base: look.base.clone(),
        token: forms::token(api, headers, &look.base).await?,
        settings: look.settings.clone(),
        shares: shares.into_iter().map(row).collect(),
        annotations: annotations
            .into_iter()
            .map(|annotation| {
                let when = format::moment(annotation.note.at, &zone, "%-d %b %Y, %H:%M");
                (annotation, when)
            })
            .collect(),
        now: format::moment(now_ms(), &zone, "%Y-%m-%dT%H:%M"),
        zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        filter: filters.only_filters().query().trim_start_matches('?').to_owned(),
        made,
    })
}

fn row(share: Share) -> Row {
    let (reach, href) = match &share.reach {
        Reach::Public { slug } => ("public", Some(format!("/s/{}", percent_encoded(slug)))),
        Reach::Secret => ("secret link", None),
        Reach::Password { .. } => ("secret link and password", None),
    };
    Row {
        id: share.id,
        title: share.title,
        reach,
        href,
        filters: Filters::parse(&share.filter).map(|filters| filters.chips()).unwrap_or_default(),
        people: share.people,
        created: format::moment(share.created_at, &jiff::tz::TimeZone::UTC, "%-d %b %Y"),
    }
}

/// `POST …/settings`
pub(super) async fn save(
    Manager(look): Manager,
    State(api): State<Api>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, &look.base, &fields).await?;
    let back = format!("{}/settings", look.base);
    let hidden: Vec<String> = fields
        .get("hidden")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let patterns: usize = hidden.iter().filter(|path| path.contains('*')).map(String::len).sum();
    if hidden.len() > HIDDEN || hidden.iter().any(|path| path.len() > 1_024) || patterns > PATTERNS {
        let message = format!(
            "At most {HIDDEN} paths of 1024 bytes may be hidden, those with `*` of {PATTERNS} bytes together."
        );
        return Err(wrong(&back, "hidden", message));
    }
    let zone = fields.get("zone");
    if !zone.is_empty() {
        period::zone(zone).map_err(|error| wrong(&back, "zone", error.to_string()))?;
    }
    let settings = DashboardSettings {
        hidden,
        hide_bots: fields.checked("hide_bots"),
        hide_not_found: fields.checked("hide_not_found"),
        zone: (!zone.is_empty()).then(|| zone.to_owned()),
    };
    let put = api.store.put_dashboard_settings(look.project.id, &settings).await;
    put.map_err(|error| PageError::store(&error))?;
    Ok(done(&back))
}

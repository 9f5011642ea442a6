//! Who may look at a project's pages, and how far: the administrator, who knows its user id, and
//! whoever comes by a share.

use askama::Template;
use axum::{
    extract::{FromRequestParts, RawPathParams},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, request::Parts};
use uuid::Uuid;
use watchkeeper_analytics::{Condition, Dimension};
use watchkeeper_store::{DashboardSettings, Project, Reach, Share, now_ms};

use super::{
    filters::Filters,
    shell::{PageError, Section, Shell, percent_encoded, sign_in_for},
    unlock,
};
use crate::{Api, auth, session};

/// Dimensions that tell persons apart, or hold what only they should know.
const PEOPLE: &[Dimension] = &[Dimension::Ip, Dimension::User, Dimension::Consumer, Dimension::Query];

/// A reader of one project's pages.
pub(super) struct Look {
    pub project: Project,
    /// Path of the project's page, without a slash at its end.
    pub base: String,
    /// What the page is called.
    pub title: String,
    pub settings: DashboardSettings,
    /// Whether the reader may change shares, annotations and settings.
    pub manages: bool,
    /// Whether the reader is the administrator, who sees other projects too.
    pub administers: bool,
    /// Whether addresses, users and query strings are shown.
    pub people: bool,
    /// The filter that a share holds its reader to.
    pub locked: Filters,
}

impl Look {
    /// The hits that a share holds its reader to.
    pub fn condition(&self) -> Condition {
        self.locked.condition(&DashboardSettings::default())
    }

    /// Reads a page's filters, those of persons only for whom they are shown to.
    pub fn filters(&self, query: Option<&str>) -> Result<Filters, PageError> {
        let filters = Filters::parse(query.unwrap_or_default()).map_err(|bad| {
            let mut error =
                PageError::new(StatusCode::BAD_REQUEST, "That address has a mistake", bad.message);
            error.field = Some(bad.field);
            error.back = Some(self.base.clone());
            error
        })?;
        if !self.people && (filters.tests(PEOPLE) || filters.splits_queries() || filters.guesses_queries()) {
            let message = "This share shows neither addresses nor users nor query strings, so nothing can be filtered by them, nor routes by a pattern.";
            return Err(PageError::new(StatusCode::FORBIDDEN, "Not in this share", message));
        }
        Ok(filters)
    }
}

/// The same, of somebody who may also change things.
pub(super) struct Manager(pub Look);

/// A reader of the pages about all that is watched.
pub(super) struct Watcher {
    /// Whether it is the administrator, who may change things.
    pub manages: bool,
    /// Whether a session goes on that can be ended.
    pub signed_in: bool,
}

impl FromRequestParts<Api> for Watcher {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let failed = |error| PageError::store(&error).into_response();
        let manages = auth::is_admin(api, &parts.headers).await.map_err(failed)?;
        if !manages && !auth::is_open(api, &parts.headers) {
            return Err(may_not(parts));
        }
        let signed_in = session::is_signed_in(api, &parts.headers).await.map_err(failed)?;
        Ok(Self { manages, signed_in })
    }
}

impl Watcher {
    /// What surrounds this reader's pages, in a section of the bar at the top.
    pub fn shell(&self, here: Section, title: impl Into<String>) -> Shell {
        let Self { manages, signed_in } = *self;
        Shell { here, manages, signed_in, administers: true, ..Shell::new(title) }
    }
}

/// The same, of the administrator alone.
pub(super) struct Keeper(pub Watcher);

impl FromRequestParts<Api> for Keeper {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let watcher = Watcher::from_request_parts(parts, api).await?;
        if watcher.manages { Ok(Self(watcher)) } else { Err(may_not(parts)) }
    }
}

impl FromRequestParts<Api> for Look {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let params =
            RawPathParams::from_request_parts(parts, api).await.map_err(IntoResponse::into_response)?;
        let param = |name| params.iter().find(|(it, _)| *it == name).map(|(_, value)| value.to_owned());
        let look = match (param("project"), param("share")) {
            (Some(project), _) => of_project(api, parts, &project).await?,
            (None, Some(link)) => of_share(api, &parts.headers, &link).await?,
            (None, None) => return Err(PageError::not_found().into_response()),
        };
        // A write a minute at most: looking must not slow writers down.
        if look.project.last_accessed.is_none_or(|last| now_ms() - last > 60_000)
            && let Err(error) = api.store.touch_project(look.project.id).await
        {
            tracing::warn!(%error, "the time of this look was not noted");
        }
        Ok(look)
    }
}

impl FromRequestParts<Api> for Manager {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let look = Look::from_request_parts(parts, api).await?;
        if look.manages {
            return Ok(Self(look));
        }
        Err(may_not(parts))
    }
}

async fn of_project(api: &Api, parts: &Parts, named: &str) -> Result<Look, Response> {
    let failed = |error| PageError::store(&error).into_response();
    // Who knows the user id needs nothing else.
    let by_user = match named.parse::<Uuid>() {
        Ok(user) => api.store.project_by_user(user).await.map_err(failed)?,
        Err(_) => None,
    };
    let administers = auth::is_admin(api, &parts.headers).await.map_err(failed)?;
    let (project, capable) = match by_user {
        Some(project) => (project, true),
        None => {
            if !administers && !auth::is_open(api, &parts.headers) {
                return Err(may_not(parts));
            }
            let found = auth::find(api, named).await.map_err(IntoResponse::into_response)?;
            (found.ok_or_else(|| PageError::not_found().into_response())?, administers)
        }
    };
    let settings = api.store.dashboard_settings(project.id).await.map_err(failed)?;
    Ok(Look {
        base: format!("/p/{}", percent_encoded(named)),
        title: super::overview::title(&project),
        settings,
        manages: capable || administers,
        administers: administers || auth::is_open(api, &parts.headers),
        people: true,
        locked: Filters::default(),
        project,
    })
}

async fn of_share(api: &Api, headers: &HeaderMap, link: &str) -> Result<Look, Response> {
    let failed = |error| PageError::store(&error).into_response();
    let gone = || PageError::not_found().into_response();
    let share = api.store.share_by_link(link).await.map_err(failed)?.ok_or_else(gone)?;
    let project = api.store.project_by_id(share.project).await.map_err(failed)?.ok_or_else(gone)?;
    if let Reach::Password { hash } = &share.reach
        && !unlock::is_open(api, headers, &share, hash).await.map_err(failed)?
    {
        return Err(unlock::ask(link, None));
    }
    let settings = api.store.dashboard_settings(project.id).await.map_err(failed)?;
    // What was understood when the share was made may be no more; then nothing is shown.
    let locked = Filters::parse(&share.filter).map_err(|_| gone())?;
    Ok(Look {
        base: format!("/s/{}", percent_encoded(link)),
        title: share.title,
        settings,
        manages: false,
        administers: false,
        people: share.people,
        locked,
        project,
    })
}

/// The cookie of a share that was opened by its password.
pub(super) fn unlock_cookie(share: &Share) -> String {
    format!("watchkeeper_share_{}", share.id)
}

/// To the sign-in where a person asks, 401 where a program does.
pub(super) fn may_not(parts: &Parts) -> Response {
    if !wants_html(&parts.headers) {
        return auth::unauthorized();
    }
    // The path could be a capability that was revoked, or a typing error: it goes nowhere but back here,
    // with the filters that stand in it.
    let path =
        parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let here = match parts.method.is_safe() {
        true => path.path_and_query().map_or_else(|| path.path(), |it| it.as_str()),
        // Where a form goes there is mostly no page to come back to.
        false => "/",
    };
    Redirect::to(&sign_in_for(here)).into_response()
}

/// Whether a browser asks for a page.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(http::header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Renders a page, or tells that it could not be.
pub(super) fn render(template: &impl Template) -> Result<Response, PageError> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be drawn");
        PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
    })?;
    Ok(axum::response::Html(html).into_response())
}

impl Look {
    /// What surrounds this reader's pages.
    pub fn shell(&self, title: impl Into<String>) -> Shell {
        Shell {
            base: Some(self.base.clone()),
            project: Some(self.title.clone()),
            manages: self.manages,
            administers: self.administers,
            ..Shell::new(title)
        }
    }
}

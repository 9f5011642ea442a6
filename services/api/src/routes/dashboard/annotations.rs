//! Annotations: by a form of the settings page, and by `/api/v1/projects/{name}/annotations` for
//! whoever deploys.

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use jiff::{Timestamp, civil::DateTime};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use url::Url;
use utoipa::{OpenApi, ToSchema};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{Annotation, MOST_ANNOTATIONS, NewAnnotation, now_ms};

use super::{
    access::Manager,
    forms::{Fields, check, done, wrong},
    shell::PageError,
};
use crate::{
    Api,
    auth::{self, Need},
    period,
    routes::{ErrorView, is_plain, payload::Payload, store_error},
    times::rfc3339,
};

/// Bytes that a text may have.
const TEXT: usize = 200;

/// Bytes that a link may have.
const LINK: usize = 1_024;

/// Annotations of projects.
#[derive(OpenApi)]
#[openapi(paths(post, list, delete))]
pub(in crate::routes) struct AnnotationsDoc;

/// What is noted, from a form or from JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewAnnotation)]
#[serde(deny_unknown_fields)]
struct Note {
    /// What happened, 1 to 200 bytes.
    #[schema(example = "Deployed v1.4")]
    text: String,
    /// When, RFC 3339; now without it.
    #[serde(default)]
    time: Option<String>,
    /// Where to read on: an http or https URL.
    #[serde(default)]
    url: Option<String>,
}

/// An annotation as JSON shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Annotation)]
struct View {
    id: i64,
    /// When, RFC 3339 in UTC.
    time: String,
    text: String,
    url: Option<String>,
}

/// Annotations, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Annotations)]
pub(super) struct Views {
    annotations: Vec<View>,
}

impl Note {
    /// Judges it; `moment` reads its time. Errors name the field.
    fn judged(
        self,
        moment: impl Fn(&str) -> Result<i64, String>,
    ) -> Result<NewAnnotation, (&'static str, String)> {
        let text = self.text.trim();
        if text.is_empty() || text.len() > TEXT {
            return Err(("text", format!("A text has 1 to {TEXT} bytes.")));
        }
        if !is_plain(text) {
            return Err(("text", "A text has no control characters.".into()));
        }
        let at = match self.time.as_deref().map(str::trim) {
            None | Some("") => now_ms(),
            Some(time) => moment(time).map_err(|message| ("time", message))?,
        };
        let link = |text: &str| {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            url.filter(|_| text.len() <= LINK).map(String::from)
        };
        let url = match self.url.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(url) => Some(
                link(url)
                    .ok_or(("url", format!("A link is an http or https URL of at most {LINK} bytes.")))?,
            ),
        };
        Ok(NewAnnotation { at, text: text.to_owned(), url })
    }
}

impl From<Annotation> for View {
    fn from(Annotation { id, note }: Annotation) -> Self {
        Self { id, time: rfc3339(note.at), text: note.text, url: note.url }
    }
}

fn moment(text: &str) -> Result<i64, String> {
    let moment = text.parse::<Timestamp>().map(|moment| moment.as_millisecond());
    moment.map_err(|_| format!("`{text}` is no RFC 3339 time such as 2026-01-31T12:00:00Z."))
}

/// What is said of one annotation too many.
fn too_many() -> String {
    format!("A project has {MOST_ANNOTATIONS} annotations at most; delete some first.")
}

fn same_site(headers: &HeaderMap) -> Result<(), ApiError> {
    if auth::from_another_site(headers) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "A page of another site made the browser send this.",
        ));
    }
    Ok(())
}

/// Marks a moment in a project's charts. A project has 10,000 annotations at most.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{name}/annotations",
    tag = "projects",
    params(("name" = String, Path, description = "Name, id or user id of the project")),
    request_body = Note,
    responses(
        (status = 201, description = "It is marked", body = View),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(super) async fn post(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    same_site(&headers)?;
    let project = auth::project(&api, &headers, Some(&name), Need::Write).await?;
    let unprocessable =
        |field: &str, message: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field);
    let note: Note = serde_json::from_slice(&body)
        .map_err(|error| unprocessable("", format!("The body is malformed: {error}")))?;
    let note = note.judged(moment).map_err(|(field, message)| unprocessable(field, message))?;
    let id = api.store.annotate(project.id, &note).await.map_err(|error| store_error(&error))?;
    let id = id.ok_or_else(|| unprocessable("text", too_many()))?;
    Ok((StatusCode::CREATED, Json(View::from(Annotation { id, note }))).into_response())
}

/// Lists a project's annotations, at most 1,000, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{name}/annotations",
    tag = "projects",
    params(
        ("name" = String, Path, description = "Name, id or user id of the project"),
        ("from" = Option<String>, Query, description = "First moment, RFC 3339"),
        ("to" = Option<String>, Query, description = "First moment after the last, RFC 3339"),
    ),
    responses(
        (status = 200, description = "The annotations", body = Views),
        (status = 400, description = "A moment cannot be read; its parameter is named", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(super) async fn list(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Json<Views>, ApiError> {
    let project = auth::project(&api, &headers, Some(&name), Need::Read).await?;
    let end = |field: &str, default| {
        let given = query.get(field).map_or(Ok(default), |text| moment(text));
        given.map_err(|message| ApiError::bad_request(message).field(field))
    };
    let (from, to) = (end("from", i64::MIN)?, end("to", i64::MAX)?);
    let found = api.store.annotations(project.id, from, to).await.map_err(|error| store_error(&error))?;
    Ok(Json(Views { annotations: found.into_iter().map(View::from).collect() }))
}

/// Deletes an annotation; also one that is not there.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{name}/annotations/{id}",
    tag = "projects",
    params(
        ("name" = String, Path, description = "Name, id or user id of the project"),
        ("id" = i64, Path, description = "The annotation"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    same_site(&headers)?;
    let project = auth::project(&api, &headers, Some(&name), Need::Write).await?;
    let id = id.parse().map_err(|_| ApiError::bad_request("An id is a number.").field("id"))?;
    api.store.delete_annotation(project.id, id).await.map_err(|error| store_error(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST …/annotations`, the form; its time is on the clock of its zone.
pub(super) async fn note(
    Manager(look): Manager,
    State(api): State<Api>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, &look.base, &fields).await?;
    let back = format!("{}/settings", look.base);
    let zone = period::zone(fields.get("zone")).map_err(|error| wrong(&back, "zone", error.to_string()))?;
    let note = Note {
        text: fields.get("text").to_owned(),
        time: Some(fields.get("time").to_owned()),
        url: Some(fields.get("url").to_owned()),
    };
    let clock = |text: &str| {
        let clock = text.parse::<DateTime>().and_then(|clock| clock.to_zoned(zone.clone()));
        clock
            .map(|zoned| zoned.timestamp().as_millisecond())
            .map_err(|_| format!("`{text}` is no date and time."))
    };
    let note = note.judged(clock).map_err(|(field, message)| wrong(&back, field, message))?;
    let noted = api.store.annotate(look.project.id, &note).await;
    noted.map_err(|error| PageError::store(&error))?.ok_or_else(|| wrong(&back, "text", too_many()))?;
    Ok(done(&format!("{back}#annotations")))
}

/// `POST …/annotations/{id}/delete`, the form.
pub(super) async fn forget(
    Manager(look): Manager,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, &look.base, &fields).await?;
    let id = params.get("id").and_then(|id| id.parse().ok()).ok_or_else(PageError::not_found)?;
    api.store.delete_annotation(look.project.id, id).await.map_err(|error| PageError::store(&error))?;
    Ok(done(&format!("{}/settings#annotations", look.base)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_a_text_a_moment_and_perhaps_a_link() {
        let note = |text: &str, time: &str, url: &str| {
            Note { text: text.into(), time: Some(time.into()), url: Some(url.into()) }.judged(moment)
        };
        let good = note(" v1.2 ", "1970-01-01T00:00:01Z", "https://a.example/x").expect("good");
        assert_eq!(
            (good.at, good.text.as_str(), good.url.as_deref()),
            (1_000, "v1.2", Some("https://a.example/x"))
        );
        for (text, time, url, field) in [
            ("", "", "", "text"),
            (&*"a".repeat(201), "", "", "text"),
            ("a\u{0}", "", "", "text"),
            ("a", "yesterday", "", "time"),
            ("a", "", "javascript:alert(1)", "url"),
            ("a", "", "/relative", "url"),
        ] {
            assert_eq!(note(text, time, url).expect_err("bad").0, field);
        }
    }
}

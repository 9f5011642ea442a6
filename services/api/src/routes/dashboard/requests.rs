//! `GET …/requests.csv`: every hit that the page is about, its filters included, for its owner.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use watchkeeper_analytics::Selection;
use watchkeeper_store::exchange::Format;

use super::access::Manager;
use super::page::scope;
use super::shell::PageError;
use crate::Api;
use crate::routes::exchange::export::stream;

/// Streams the file.
pub(super) async fn csv(
    Manager(look): Manager,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let filters = look.filters(query.as_deref())?;
    let question = scope(&api, &look, &filters).await?.question();
    let selection = Selection {
        from: question.from,
        to: question.to,
        zone: question.zone,
        condition: question.condition,
    };
    Ok(stream(&api, &look.project, Format::Csv, selection).await.into_response())
}

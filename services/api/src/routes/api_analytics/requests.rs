//! `GET /api/requests/{user}/{page}`: the dashboard's data, always as gzip.

use std::{collections::HashMap, io::Write};

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
};
use watchkeeper_analytics::{Filter, Page, visit};
use watchkeeper_runtime::error::ApiError;

use super::{
    by_user, refuse,
    rows::{Columns, UserAgentIds, write_json},
    store_error,
};
use crate::Api;

/// `/api/requests/{user}/{page}`, counted from 1.
pub(super) async fn page(
    State(api): State<Api>,
    Path((user, page)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let page = page.parse::<i64>().ok().filter(|page| *page != 0);
    let page = page.ok_or_else(|| refuse("Invalid page number."))?;
    let range = Page::numbered(page, api.options.page_size);
    answer(&api, &user, range).await
}

/// `/api/requests/{user}?page=N`: the first page if none is asked for, and all
/// of them up to a bound for 0 or junk, as upstream does.
pub(super) async fn pages(
    State(api): State<Api>,
    Path(user): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let range = match query.get("page").map(|page| page.parse::<i64>()) {
        None => Page::numbered(1, api.options.page_size),
        Some(Ok(0) | Err(_)) => Page { skip: 0, take: api.options.max_load },
        Some(Ok(page)) => Page::numbered(page, api.options.page_size),
    };
    answer(&api, &user, range).await
}

async fn answer(api: &Api, user: &str, page: Page) -> Result<Response, ApiError> {
    let project = by_user(api, user).await?.ok_or_else(|| refuse("Invalid user ID."))?;
    api.store.touch_project(project.id).await.map_err(|e| store_error(&e))?;
    let _permit = api.heavy.acquire().await.map_err(|e| ApiError::internal(&e))?;

    let mut agents = UserAgentIds::default();
    let mut rows = Vec::new();
    visit(&api.store, project.id, &Filter::default(), page, |hit| {
        if !rows.is_empty() {
            rows.push(b',');
        }
        let row = Columns::from(&hit);
        let agent = row.user_agent.map(|agent| agents.id(agent));
        write_json(&mut rows, &row.values(row.ip, agent));
    })
    .await
    .map_err(|e| store_error(&e))?;

    let body = tokio::task::spawn_blocking(move || compress(agents, &rows))
        .await
        .map_err(|e| ApiError::internal(&e))?
        .map_err(|e| ApiError::internal(&e))?;
    let gzip = HeaderValue::from_static("gzip");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_ENCODING, gzip.clone()),
        // Upstream's stray request header in an answer.
        (ACCEPT_ENCODING, gzip),
    ];
    Ok((headers, body).into_response())
}

fn compress(agents: UserAgentIds, rows: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut head = b"{\"user_agents\":".to_vec();
    write_json(&mut head, &agents.into_texts());
    head.extend_from_slice(b",\"requests\":[");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&head)?;
    encoder.write_all(rows)?;
    encoder.write_all(b"]}")?;
    encoder.finish()
}

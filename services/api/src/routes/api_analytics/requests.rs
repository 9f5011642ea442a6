//! `GET /api/requests/{user}/{page}`: the dashboard's data, always as gzip.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
};
use tokio::task::JoinHandle;
use watchkeeper_analytics::{Filter, Page, Reader};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::ProjectId;

use super::{
    by_user,
    failure::{Failure, off_executor},
    gzip::{Part, member},
    refuse,
    rows::{FIELDS, Table, integer},
    store_error,
};
use crate::{Api, routes::ErrorView};

/// Rows that are written and compressed by one thread; about a megabyte of text.
const PIECE: usize = 8_192;
/// Pieces of one answer that are in the making at once.
const IN_THE_MAKING: usize = 8;

/// Tells a page of the dashboard's data, counted from 1, always as gzip.
#[utoipa::path(
    get,
    path = "/api/requests/{user}/{page}",
    tag = "api-analytics",
    params(
        ("user" = String, Path, description = "User id"),
        ("page" = i64, Path, description = "Counted from 1"),
    ),
    responses(
        (status = 200, description = "User agents by number, and rows", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn page(
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
#[utoipa::path(
    get,
    path = "/api/requests/{user}",
    tag = "api-analytics",
    params(
        ("user" = String, Path, description = "User id"),
        ("page" = Option<i64>, Query, description = "Counted from 1; 0 for everything"),
    ),
    responses(
        (status = 200, description = "User agents by number, and rows", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn pages(
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

    let pieces = read(api, project.id, page).await.map_err(Failure::into_answer)?;
    let body = off_executor(move || whole(pieces)).await.map_err(Failure::into_answer)?;
    let body = body.map_err(|e| ApiError::internal(&e))?;
    let gzip = HeaderValue::from_static("gzip");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_ENCODING, gzip.clone()),
        // Upstream's stray request header in an answer.
        (ACCEPT_ENCODING, gzip),
    ];
    Ok((headers, body).into_response())
}

async fn read(api: &Api, project: ProjectId, page: Page) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Pieces::default();
    let mut reader = Reader::open(&api.store, project, Filter::default(), page, FIELDS).await?;
    while let Some(rows) = reader.next().await? {
        let table = off_executor(move || Arc::new(Table::new(&rows))).await?;
        for start in (0..table.len()).step_by(PIECE) {
            let (table, first) = (Arc::clone(&table), pieces.is_empty());
            let range = start..(start + PIECE).min(table.len());
            pieces.push(tokio::task::spawn_blocking(move || Piece::new(&table, range, first))).await?;
        }
    }
    pieces.finish().await
}

/// Some rows, compressed, and their agents.
struct Piece {
    rows: Part,
    agents: HashMap<u64, Box<[u8]>>,
}

impl Piece {
    fn new(table: &Table, range: Range<usize>, first: bool) -> std::io::Result<Self> {
        let mut text = Vec::with_capacity(range.len() * 160);
        let mut agents = HashMap::new();
        for (place, row) in range.map(|number| table.row(number)).enumerate() {
            if !first || place > 0 {
                text.push(b',');
            }
            row.write_for_dashboard(&mut text);
            if let Some((id, agent)) = row.agent() {
                agents.entry(id).or_insert_with(|| agent.into());
            }
        }
        Ok(Self { rows: Part::new(&text)?, agents })
    }
}

/// Pieces in their order, a few of which are in the making.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    making: VecDeque<JoinHandle<std::io::Result<Piece>>>,
}

impl Pieces {
    fn is_empty(&self) -> bool {
        self.done.is_empty() && self.making.is_empty()
    }

    async fn push(&mut self, piece: JoinHandle<std::io::Result<Piece>>) -> Result<(), Failure> {
        self.making.push_back(piece);
        while self.making.len() > IN_THE_MAKING {
            self.take().await?;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<(), Failure> {
        if let Some(piece) = self.making.pop_front() {
            self.done.push(piece.await??);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Piece>, Failure> {
        while !self.making.is_empty() {
            self.take().await?;
        }
        Ok(self.done)
    }
}

/// The answer's body: the agents of all pieces, then their rows.
fn whole(pieces: Vec<Piece>) -> std::io::Result<Vec<u8>> {
    let mut agents = BTreeMap::new();
    let mut parts = Vec::with_capacity(pieces.len() + 2);
    for piece in pieces {
        agents.extend(piece.agents);
        parts.push(piece.rows);
    }
    let mut head = b"{\"user_agents\":{".to_vec();
    for (place, (id, agent)) in agents.iter().enumerate() {
        head.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
        integer(&mut head, id);
        head.extend_from_slice(b"\":\"");
        head.extend_from_slice(agent);
        head.push(b'"');
    }
    head.extend_from_slice(b"},\"requests\":[");
    parts.insert(0, Part::new(&head)?);
    parts.push(Part::new(b"]}")?);
    Ok(member(&parts))
}

//! `GET /api/requests/{user}/{page}`: the dashboard's data, always as gzip.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, btree_map},
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
use crate::{
    Api,
    answers::{LONGEST, TooLong},
    routes::ErrorView,
};

/// Rows that are written and compressed by one thread; about a megabyte of text.
const PIECE: usize = 8_192;
/// Bytes of text that are compressed at once, where rows are long.
const TEXT: usize = 2 << 20;
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
        (status = 422, description = "The answer would have more than 64 MiB", body = ErrorView),
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
        (status = 422, description = "The answer would have more than 64 MiB", body = ErrorView),
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
    let _room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;

    let (agents, parts) = read(api, project.id, page).await.map_err(Failure::into_answer)?;
    let body = off_executor(move || whole(&agents, parts)).await.map_err(Failure::into_answer)?;
    let body = body.map_err(|e| ApiError::internal(&e))?;
    let body = api.answers.hold(project.id, body).await?;
    let gzip = HeaderValue::from_static("gzip");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CONTENT_ENCODING, gzip.clone()),
        // Upstream's stray request header in an answer.
        (ACCEPT_ENCODING, gzip),
    ];
    Ok((headers, body).into_response())
}

/// User agents by number, each as it stands between the quotes of JSON.
type Agents = BTreeMap<u64, Box<[u8]>>;

async fn read(api: &Api, project: ProjectId, page: Page) -> Result<(Agents, Vec<Part>), Failure> {
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
    parts: Vec<Part>,
    agents: HashMap<u64, Box<[u8]>>,
}

impl Piece {
    fn new(table: &Table, range: Range<usize>, first: bool) -> std::io::Result<Self> {
        let mut text = Vec::with_capacity(range.len() * 160);
        let (mut parts, mut agents) = (Vec::new(), HashMap::new());
        for (place, row) in range.map(|number| table.row(number)).enumerate() {
            if !first || place > 0 {
                text.push(b',');
            }
            row.write_for_dashboard(&mut text);
            if let Some((id, agent)) = row.agent() {
                agents.entry(id).or_insert_with(|| agent.into());
            }
            if text.len() >= TEXT {
                parts.push(Part::new(&text)?);
                text.clear();
            }
        }
        parts.push(Part::new(&text)?);
        Ok(Self { parts, agents })
    }
}

/// Pieces in their order, a few of which are in the making.
#[derive(Default)]
struct Pieces {
    parts: Vec<Part>,
    agents: Agents,
    /// Bytes of these.
    size: usize,
    making: VecDeque<JoinHandle<std::io::Result<Piece>>>,
}

impl Pieces {
    fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.making.is_empty()
    }

    async fn push(&mut self, piece: JoinHandle<std::io::Result<Piece>>) -> Result<(), Failure> {
        self.making.push_back(piece);
        while self.making.len() > IN_THE_MAKING {
            self.take().await?;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<(), Failure> {
        let Some(piece) = self.making.pop_front() else { return Ok(()) };
        let Piece { parts, agents } = piece.await??;
        self.size += parts.iter().map(Part::size).sum::<usize>();
        self.parts.extend(parts);
        for (id, agent) in agents {
            if let btree_map::Entry::Vacant(entry) = self.agents.entry(id) {
                self.size += agent.len();
                entry.insert(agent);
            }
        }
        if self.size > LONGEST { Err(TooLong.into()) } else { Ok(()) }
    }

    async fn finish(mut self) -> Result<(Agents, Vec<Part>), Failure> {
        while !self.making.is_empty() {
            self.take().await?;
        }
        Ok((self.agents, self.parts))
    }
}

/// The answer's body: the agents, then the rows.
fn whole(agents: &Agents, rows: Vec<Part>) -> std::io::Result<Vec<u8>> {
    let mut head = b"{\"user_agents\":{".to_vec();
    for (place, (id, agent)) in agents.iter().enumerate() {
        head.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
        integer(&mut head, id);
        head.extend_from_slice(b"\":\"");
        head.extend_from_slice(agent);
        head.push(b'"');
    }
    head.extend_from_slice(b"},\"requests\":[");
    let mut parts = Vec::with_capacity(rows.len() + 2);
    parts.push(Part::new(&head)?);
    parts.extend(rows);
    parts.push(Part::new(b"]}")?);
    Ok(member(&parts))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use watchkeeper_analytics::{Columns, Rows};
    use watchkeeper_store::{ColumnValues, Texts};

    use super::*;

    /// Rows with long paths that hardly compress, and each with an agent of its own.
    fn table(rows: usize) -> Table {
        let mut random = 1_u64;
        let mut word = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{random:016x}")
        };
        let paths: Texts = (0..rows).map(|_| (0..250).map(|_| word()).collect::<String>()).collect();
        let agents: Texts = (0..rows).map(|row| format!("agent/{row}")).collect();
        let codes: Vec<u32> = (1..=u32::try_from(rows).expect("few")).collect();
        let columns = Columns::from([
            ("path", ColumnValues::Texts { codes: codes.clone(), values: paths }),
            ("user_agent", ColumnValues::Texts { codes, values: agents }),
        ]);
        let order = (0..rows).map(|row| (5, 0, row)).collect();
        Table::new(&Rows { batches: vec![Arc::new(columns)], order })
    }

    fn made(table: &Table, first: bool) -> JoinHandle<std::io::Result<Piece>> {
        let piece = Piece::new(table, 0..table.len(), first);
        tokio::spawn(async move { piece })
    }

    #[tokio::test]
    async fn long_rows_are_compressed_in_several_parts_and_read_back_as_one_text() {
        let table = table(1_000);
        let mut pieces = Pieces::default();
        pieces.push(made(&table, true)).await.expect("push");
        pieces.push(made(&table, false)).await.expect("push");
        let (agents, parts) = pieces.finish().await.expect("finish");
        assert_eq!((agents.len(), parts.len()), (1_000, 4));
        let mut text = String::new();
        let body = whole(&agents, parts).expect("body");
        GzDecoder::new(body.as_slice()).read_to_string(&mut text).expect("gzip");
        let body: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(body["requests"].as_array().map(Vec::len), Some(2_000));
    }

    #[tokio::test]
    async fn what_would_be_too_long_is_given_up_on_the_way() {
        let table = table(1_000);
        let mut pieces = Pieces::default();
        pieces.push(made(&table, true)).await.expect("push");
        while !pieces.making.is_empty() {
            pieces.take().await.expect("short");
        }
        let one = pieces.size;
        assert!(one > 1_000_000, "{one}");
        pieces.size = LONGEST - one;
        pieces.push(made(&table, false)).await.expect("push");
        // Its agents are known already.
        let rest = pieces.agents.values().map(|agent| agent.len()).sum::<usize>();
        assert!(rest > 0 && pieces.take().await.is_ok());
        pieces.push(made(&table, false)).await.expect("push");
        assert!(matches!(pieces.finish().await, Err(Failure::TooLong(TooLong))));
    }
}

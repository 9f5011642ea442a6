//! `/status-pages`: forms that make, change and delete status pages.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;
use std::collections::HashMap;
use watchkeeper_store::{IncidentStatus, StatusPage, StatusPageSpec, StoreError, now_ms};

use super::{
    judge::{self, GroupWish, PageWish},
    view::{self, POSTS, Post},
};
use crate::{
    Api,
    routes::dashboard::{
        access::{Keeper, Watcher, render},
        forms::{Fields, check, done, token, wrong},
        monitors::board::Board,
        shares::{self, absolute},
        shell::{PageError, Section, Shell},
    },
};

/// Path of these pages, and what their forms are sealed for.
pub(super) const BASE: &str = "/status-pages";

#[derive(Template)]
#[template(path = "dashboard/status_pages.html")]
struct List {
    shell: Shell,
    token: String,
    pages: Vec<Listed>,
}

struct Listed {
    slug: String,
    title: String,
    host: Option<String>,
    endpoints: usize,
    active: usize,
}

#[derive(Template)]
#[template(path = "dashboard/status_page.html")]
struct Edit {
    shell: Shell,
    token: String,
    page: StatusPage,
    address: String,
    groups: Vec<GroupForm>,
    /// Groups that endpoints have.
    known: Vec<String>,
    /// Every endpoint by what forms call it.
    labels: Vec<String>,
    /// Those on the page: uid and name.
    members: Vec<(String, String)>,
    posts: Vec<Post>,
    statuses: Vec<(&'static str, &'static str)>,
    now: String,
}

/// The fields of a group.
struct GroupForm {
    name: String,
    all_of: String,
    endpoints: String,
    rows: usize,
}

fn store(error: StoreError) -> PageError {
    PageError::store(&error)
}

/// `GET /status-pages`
pub(in crate::routes::dashboard) async fn list(
    watcher: Watcher,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let now = now_ms();
    let mut pages = Vec::new();
    for page in api.store.status_pages().await.map_err(store)? {
        let posts = api.store.incidents(page.id, now, now + 1, POSTS).await.map_err(store)?;
        let posts = posts.into_iter().map(|incident| Post::new(incident, now, &board));
        pages.push(Listed {
            active: posts.filter(|post| !post.status.is_over()).count(),
            endpoints: view::members(&page, &board).iter().map(Vec::len).sum(),
            slug: page.slug,
            title: page.spec.title,
            host: page.spec.host,
        });
    }
    let token = token(&api, &headers, BASE).await?;
    render(&List { shell: watcher.shell(Section::StatusPages, "Status pages"), token, pages })
}

/// `POST /status-pages`
pub(in crate::routes::dashboard) async fn create(
    _: Keeper,
    State(api): State<Api>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let title = fields.get("title");
    let slug =
        if fields.get("slug").is_empty() { shares::slug(title) } else { fields.get("slug").to_owned() };
    let faulty = |(field, message): judge::Fault| wrong(BASE, &field, message);
    let slug = judge::slug(&slug).map_err(faulty)?;
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    // What most want to begin with: everything, by the groups that there are.
    let group = |name: &str| GroupWish { name: name.into(), endpoints: vec![], all_of: Some(name.into()) };
    let groups =
        if fields.checked("all") { board.groups().into_iter().map(group).collect() } else { Vec::new() };
    let wish = PageWish { title: title.to_owned(), groups, ..PageWish::default() };
    let spec = wish.judged(&board, &[]).map_err(faulty)?;
    api.store.create_status_page(&slug, &spec).await.map_err(|error| refused(error, BASE))?;
    Ok(done(&format!("{BASE}/{slug}")))
}

/// A page that could not be stored, to the form.
fn refused(error: StoreError, back: &str) -> PageError {
    match error {
        StoreError::SlugTaken => wrong(back, "slug", "Another status page has this slug; choose another."),
        StoreError::HostTaken => wrong(back, "host", "Another status page answers at this host."),
        other => PageError::store(&other),
    }
}

/// The page that a path names.
pub(super) async fn named(api: &Api, params: &HashMap<String, String>) -> Result<StatusPage, PageError> {
    let slug = params.get("slug").map(String::as_str).unwrap_or_default();
    api.store.status_page(slug).await.map_err(store)?.ok_or_else(PageError::not_found)
}

/// `GET /status-pages/{slug}`
pub(in crate::routes::dashboard) async fn edit(
    Keeper(watcher): Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let page = named(&api, &params).await?;
    let now = now_ms();
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let labels = board.labels();
    let groups = page.spec.groups.iter().map(|group| {
        let names = group.endpoints.iter();
        let names: Vec<_> =
            names.map(|uid| labels.get(uid.as_str()).cloned().unwrap_or_else(|| uid.clone())).collect();
        GroupForm {
            name: group.name.clone(),
            all_of: group.all_of.clone().unwrap_or_default(),
            rows: names.len().clamp(2, 12),
            endpoints: names.join("\n"),
        }
    });
    let empty = GroupForm { name: String::new(), all_of: String::new(), endpoints: String::new(), rows: 2 };
    let groups = groups.chain([empty]).collect();
    let mut names: Vec<_> = labels.values().cloned().collect();
    names.sort_unstable();
    let posts = api.store.incidents(page.id, i64::MIN, i64::MAX, POSTS).await.map_err(store)?;
    let edit = Edit {
        shell: watcher.shell(Section::StatusPages, page.spec.title.clone()),
        token: token(&api, &headers, BASE).await?,
        address: absolute(&headers, &format!("/status/{}", page.slug)),
        groups,
        known: board.groups().into_iter().map(str::to_owned).collect(),
        members: members(&page, &board),
        labels: names,
        posts: posts.into_iter().map(|incident| Post::new(incident, now, &board)).collect(),
        statuses: statuses(watchkeeper_store::IncidentKind::Incident),
        now: super::incidents::minute(now),
        page,
    };
    render(&edit)
}

/// What may be said of something of a kind: word and text.
pub(super) fn statuses(kind: watchkeeper_store::IncidentKind) -> Vec<(&'static str, &'static str)> {
    let known = IncidentStatus::ALL.iter().filter(|status| status.is_of(kind));
    known.map(|status| (status.as_str(), view::spoken_status(*status))).collect()
}

/// The endpoints of a page, each once: uid and name.
pub(super) fn members(page: &StatusPage, board: &Board) -> Vec<(String, String)> {
    let mut known = std::collections::HashSet::new();
    let members = view::members(page, board).into_iter().flatten();
    let once = members.filter(|endpoint| known.insert(endpoint.id));
    once.map(|endpoint| (endpoint.uid.clone(), endpoint.spec.display_name.clone())).collect()
}

/// `POST /status-pages/{slug}`
pub(in crate::routes::dashboard) async fn save(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let page = named(&api, &params).await?;
    let back = format!("{BASE}/{}", page.slug);
    let faulty = |(field, message): judge::Fault| wrong(&back, &field, message);
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let slug = judge::slug(fields.get("slug")).map_err(faulty)?;
    let spec = read(&fields, &page.spec, &board).map_err(faulty)?;
    api.store.update_status_page(page.id, &slug, &spec).await.map_err(|error| refused(error, &back))?;
    Ok(done(&format!("{BASE}/{slug}")))
}

/// A page from its form: groups by their order, those without a name left out.
fn read(fields: &Fields, before: &StatusPageSpec, board: &Board) -> Result<StatusPageSpec, judge::Fault> {
    let field = |name: &str| Some(fields.get(name).to_owned());
    let columns = ["group", "all-of", "endpoints", "add"].map(|name| fields.all(name));
    let mut groups = Vec::new();
    for (index, name) in columns[0].iter().enumerate().filter(|(_, name)| !name.trim().is_empty()) {
        let cell = |column: usize| columns[column].get(index).copied().unwrap_or_default();
        let names = cell(2).lines().chain([cell(3)]).map(str::trim).filter(|name| !name.is_empty());
        groups.push(GroupWish {
            name: (*name).to_owned(),
            endpoints: names.map(|name| by_label(board, name)).collect(),
            all_of: Some(cell(1).to_owned()),
        });
    }
    let wish = PageWish {
        title: fields.get("title").to_owned(),
        description: fields.raw("description").to_owned(),
        link: field("link"),
        host: field("host"),
        latency: fields.checked("latency"),
        groups,
    };
    wish.judged(board, &before.groups)
}

/// The uid of what a form calls so; the text itself where nothing is called so.
fn by_label(board: &Board, label: &str) -> String {
    board.named(label).map_or_else(|| label.to_owned(), |endpoint| endpoint.uid.clone())
}

/// `POST /status-pages/{slug}/delete`
pub(in crate::routes::dashboard) async fn delete(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let page = named(&api, &params).await?;
    if fields.get("confirm") != page.slug {
        let back = format!("{BASE}/{}", page.slug);
        return Err(wrong(&back, "confirm", "To delete the page, write its slug."));
    }
    api.store.delete_status_page(page.id).await.map_err(store)?;
    Ok(done(BASE))
}

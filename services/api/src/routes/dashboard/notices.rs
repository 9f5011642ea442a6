//! `/notices`: what every channel was told, what waits, and the dead letters, which can be tried again.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use url::form_urlencoded;
use watchkeeper_store::{
    StoreError,
    alerts::{Kind, Notice, NoticeFilter, NoticeState},
    now_ms,
};

use super::{
    access::{Keeper, render},
    format,
    forms::{self, Fields, check, done},
    monitors::board::Board,
    shell::{PageError, Section, Shell},
};
use crate::{
    Api,
    times::{rfc3339, spoken},
};

/// Path of the page, and what its forms are sealed for.
const BASE: &str = "/notices";

/// Notices of one page.
const PAGE: usize = 100;

/// States as the page offers them: those that somebody should look at come first.
const STATES: [(NoticeState, &str); 5] = [
    (NoticeState::Dead, "Dead letters"),
    (NoticeState::Waiting, "Waiting"),
    (NoticeState::Sending, "Being sent"),
    (NoticeState::Sent, "Sent"),
    (NoticeState::Dropped, "Dropped"),
];

/// What an address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wish {
    state: Option<NoticeState>,
    channel: Option<String>,
    /// Uid of an endpoint.
    endpoint: Option<String>,
    /// Only notices of a smaller number, which are older.
    before: Option<i64>,
}

impl Wish {
    /// Reads an address; what it does not know it takes for a typing error and leaves out.
    fn parse(query: &str) -> Self {
        let mut wish = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim();
            match &*name {
                "state" => wish.state = NoticeState::parse(value),
                "channel" if !value.is_empty() => wish.channel = Some(value.to_owned()),
                "endpoint" if !value.is_empty() => wish.endpoint = Some(value.to_owned()),
                "before" => wish.before = value.parse().ok(),
                _ => {}
            }
        }
        wish
    }

    /// The query of its address; empty, or with its question mark.
    fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(state) = self.state {
            query.append_pair("state", state.as_str());
        }
        if let Some(channel) = &self.channel {
            query.append_pair("channel", channel);
        }
        if let Some(endpoint) = &self.endpoint {
            query.append_pair("endpoint", endpoint);
        }
        if let Some(before) = self.before {
            query.append_pair("before", &before.to_string());
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }

    fn href(&self) -> String {
        format!("{BASE}{}", self.query())
    }

    /// The beginning of the same list.
    fn newest_first(&self) -> Self {
        Self { before: None, ..self.clone() }
    }

    fn filter(&self) -> NoticeFilter {
        NoticeFilter {
            state: self.state,
            endpoint: self.endpoint.clone(),
            channel: self.channel.clone(),
            before: self.before,
        }
    }
}

/// The page of the notices of one endpoint.
pub(super) fn of_endpoint(uid: &str) -> String {
    Wish { endpoint: Some(uid.to_owned()), ..Wish::default() }.href()
}

#[derive(Template)]
#[template(path = "dashboard/notices.html")]
struct Page {
    shell: Shell,
    token: String,
    wish: Wish,
    title: &'static str,
    tabs: Vec<Tab>,
    channels: Vec<String>,
    /// The endpoint that is filtered by, and the page without that.
    about: Option<(String, String)>,
    rows: Vec<Row>,
    /// Where the form goes that tries all dead letters of this filter again, and what its button says.
    retry_all: Option<(String, String)>,
    newest: Option<String>,
    older: Option<String>,
}

/// A state, with how many notices are in it where that is known.
struct Tab {
    text: &'static str,
    count: Option<i64>,
    href: String,
    current: bool,
}

struct Row {
    when: String,
    moment: String,
    endpoint: String,
    href: Option<String>,
    target: String,
    what: &'static str,
    /// The transition: from which state to which.
    change: String,
    channel: String,
    state: &'static str,
    /// How long ago it was sent, given up or dropped, or why it is held.
    note: String,
    attempts: i64,
    failure: String,
    next: String,
    /// Where the form goes that tries it again.
    retry: Option<String>,
}

fn store(error: StoreError) -> PageError {
    PageError::store(&error)
}

/// `GET /notices?state=&channel=&endpoint=&before=`
pub(super) async fn page(
    Keeper(watcher): Keeper,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let wish = Wish::parse(query.as_deref().unwrap_or_default());
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    // One more tells whether there is another page.
    let most = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
    let mut notices = api.store.notices(&wish.filter(), most).await.map_err(store)?;
    let more = notices.len() > PAGE;
    notices.truncate(PAGE);
    let queue = api.store.notice_queue().await.map_err(store)?;
    // Numbers of the whole log say nothing about a part of it.
    let whole = wish.channel.is_none() && wish.endpoint.is_none();
    let count = |state| (whole && state == NoticeState::Dead).then_some(queue.dead);
    let mut channels: Vec<_> =
        api.store.channels().await.map_err(store)?.into_iter().map(|channel| channel.name).collect();
    // One that was taken away may have left dead letters.
    channels.extend(wish.channel.clone().filter(|name| !channels.contains(name)));
    let now = now_ms();
    let older = notices.last().filter(|_| more).map(|last| last.id);
    let dead = notices.iter().any(|notice| notice.state == NoticeState::Dead);
    let without = Wish { endpoint: None, ..wish.newest_first() };
    render(&Page {
        shell: Shell { refresh: Some(30), ..watcher.shell(Section::Monitors, "Notices") },
        token: forms::token(&api, &headers, BASE).await?,
        title: STATES.iter().find(|(state, _)| wish.state == Some(*state)).map_or("All", |(_, text)| text),
        tabs: tabs(&wish, count),
        channels,
        about: wish.endpoint.as_ref().map(|uid| {
            let known = board.by_uid(uid).map(|endpoint| endpoint.spec.display_name.clone());
            (known.unwrap_or_else(|| uid.clone()), without.href())
        }),
        rows: notices.into_iter().map(|notice| Row::new(notice, &board, &wish, now)).collect(),
        retry_all: dead.then(|| retry_all_of(&wish)),
        newest: wish.before.map(|_| wish.newest_first().href()),
        older: older.map(|before| Wish { before: Some(before), ..wish.clone() }.href()),
        wish,
    })
}

/// `POST /notices/{id}/retry`: tries a dead letter again, and goes back to the page of its query.
pub(super) async fn retry(
    _: Keeper,
    State(api): State<Api>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let back = Wish::parse(query.as_deref().unwrap_or_default()).href();
    let id = id.parse().map_err(|_| PageError::not_found())?;
    let notice = api.store.notice(id).await.map_err(store)?.ok_or_else(PageError::not_found)?;
    if !api.store.retry_notice(id).await.map_err(store)? {
        let message = format!("The notice is {}; only a dead one can be tried again.", notice.state.as_str());
        let mut error = PageError::new(StatusCode::CONFLICT, "That is no dead letter", message);
        error.back = Some(back);
        return Err(error);
    }
    Ok(done(&back))
}

/// `POST /notices/retry`: the same for all dead letters of the channel and the endpoint of its query.
pub(super) async fn retry_all(
    _: Keeper,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let wish = Wish::parse(query.as_deref().unwrap_or_default());
    let retried = api.store.retry_dead_notices(wish.endpoint.as_deref(), wish.channel.as_deref());
    retried.await.map_err(store)?;
    Ok(done(&wish.href()))
}

fn tabs(wish: &Wish, count: impl Fn(NoticeState) -> Option<i64>) -> Vec<Tab> {
    let tab = |state: Option<NoticeState>, text| Tab {
        text,
        count: state.and_then(&count),
        href: Wish { state, ..wish.newest_first() }.href(),
        current: wish.state == state,
    };
    let states = STATES.into_iter().map(|(state, text)| tab(Some(state), text));
    [tab(None, "All")].into_iter().chain(states).collect()
}

/// Where the form goes that tries all dead letters of a filter again, and what its button says.
fn retry_all_of(wish: &Wish) -> (String, String) {
    let mut text = String::from("Try all dead letters");
    if wish.endpoint.is_some() {
        text.push_str(" of this endpoint");
    }
    if let Some(channel) = &wish.channel {
        text.push_str(&format!(" to {channel}"));
    }
    text.push_str(" again");
    (format!("{BASE}/retry{}", wish.newest_first().query()), text)
}

impl Row {
    fn new(notice: Notice, board: &Board, wish: &Wish, now: i64) -> Self {
        let details = notice.details;
        let waits = matches!(notice.state, NoticeState::Waiting | NoticeState::Sending);
        let next = match notice.state {
            NoticeState::Waiting if notice.due_at > now => format!("in {}", spoken(notice.due_at - now)),
            NoticeState::Waiting | NoticeState::Sending => "now".into(),
            _ => format::NOTHING.into(),
        };
        Self {
            when: format::ago(now, notice.at),
            moment: rfc3339(notice.at),
            endpoint: details.display_name,
            href: board.by_id(notice.endpoint).map(|endpoint| format!("/monitors/{}", endpoint.id)),
            target: details.target,
            what: notice.kind.as_str(),
            // A test is about no endpoint.
            change: match notice.kind {
                Kind::Test => String::new(),
                _ => format!("{} → {}", details.from.as_str(), details.to.as_str()),
            },
            channel: notice.channel,
            state: notice.state.as_str(),
            note: match notice.hold.filter(|_| waits) {
                Some(hold) => format!("held: {}", hold.as_str()),
                None => notice.finished_at.map_or_else(String::new, |at| format::ago(now, at)),
            },
            attempts: notice.attempts,
            failure: notice.error.filter(|_| notice.state != NoticeState::Sent).unwrap_or_default(),
            next,
            retry: (notice.state == NoticeState::Dead)
                .then(|| format!("{BASE}/{}/retry{}", notice.id, wish.query())),
        }
    }
}

impl Page {
    fn is_channel(&self, name: &str) -> bool {
        self.wish.channel.as_deref() == Some(name)
    }

    /// The state that is filtered by, for the form to keep.
    fn state(&self) -> Option<&'static str> {
        self.wish.state.map(NoticeState::as_str)
    }

    fn is_filtered(&self) -> bool {
        self.wish != Wish::default()
    }

    /// Whether any row has a form.
    fn has_dead(&self) -> bool {
        self.retry_all.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_wish_and_a_wish_an_address() {
        let wish = Wish::parse("state=dead&channel=on+call&endpoint=u%261&before=7&x=y");
        assert_eq!(wish.href(), "/notices?state=dead&channel=on+call&endpoint=u%261&before=7");
        assert_eq!(Wish::parse(wish.query().trim_start_matches('?')), wish);
        assert_eq!(Wish::parse("state=lost&channel=&before=x").href(), "/notices");
        assert_eq!(of_endpoint("a b"), "/notices?endpoint=a+b");
    }

    #[test]
    fn all_is_what_the_filter_has_whatever_page_is_shown() {
        let (action, text) = retry_all_of(&Wish::parse("state=dead&channel=ops&before=7"));
        assert_eq!(action, "/notices/retry?state=dead&channel=ops");
        assert_eq!(text, "Try all dead letters to ops again");
        assert_eq!(retry_all_of(&Wish::default()).1, "Try all dead letters again");
    }
}

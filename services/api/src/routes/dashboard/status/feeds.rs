//! What was posted, as RSS 2.0 and as Atom (RFC 4287): an entry a post, which changes with each update.

use askama::Template;
use jiff::{Timestamp, fmt::rfc2822};
use watchkeeper_store::StatusPage;

use super::view::Post;
use crate::times::rfc3339;

/// Entries of a feed, the newest.
pub(super) const ENTRIES: i64 = 50;

#[derive(Template)]
#[template(path = "status/rss.xml")]
struct Rss<'a> {
    page: &'a StatusPage,
    base: &'a str,
    built: String,
    entries: Vec<Entry<'a>>,
}

#[derive(Template)]
#[template(path = "status/atom.xml")]
struct Atom<'a> {
    page: &'a StatusPage,
    base: &'a str,
    updated: String,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    post: &'a Post,
    title: String,
    link: String,
    published: i64,
    updated: i64,
    /// Markup, which the feed escapes once more.
    html: String,
}

#[derive(Template)]
#[template(path = "status/entry.html")]
struct Content<'a> {
    post: &'a Post,
}

fn entries<'a>(base: &str, posts: &'a [Post]) -> Result<Vec<Entry<'a>>, askama::Error> {
    let mut entries = posts
        .iter()
        .map(|post| {
            let updates = &post.incident.updates;
            let first = updates.last().map_or(post.incident.facts.starts_at, |update| update.at);
            Ok(Entry {
                post,
                title: format!("{}: {}", post.spoken(), post.incident.facts.title),
                link: format!("{base}/incidents/{}", post.incident.id),
                published: first,
                updated: post.changed(),
                html: Content { post }.render()?,
            })
        })
        .collect::<Result<Vec<_>, askama::Error>>()?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.updated));
    Ok(entries)
}

fn newest(page: &StatusPage, entries: &[Entry<'_>]) -> i64 {
    entries.iter().map(|entry| entry.updated).max().unwrap_or(page.created_at)
}

/// RSS 2.0.
pub(super) fn rss(page: &StatusPage, base: &str, posts: &[Post]) -> Result<String, askama::Error> {
    let entries = entries(base, posts)?;
    Rss { page, base, built: rfc822(newest(page, &entries)), entries }.render()
}

/// Atom.
pub(super) fn atom(page: &StatusPage, base: &str, posts: &[Post]) -> Result<String, askama::Error> {
    let entries = entries(base, posts)?;
    Atom { page, base, updated: rfc3339(newest(page, &entries)), entries }.render()
}

/// A moment as RSS writes it.
fn rfc822(ms: i64) -> String {
    let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).unwrap_or_default()
}

impl Entry<'_> {
    fn rfc822(&self) -> String {
        rfc822(self.updated)
    }

    fn published(&self) -> String {
        rfc3339(self.published)
    }

    fn updated(&self) -> String {
        rfc3339(self.updated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_rss_wants_it() {
        assert_eq!(rfc822(1_700_000_000_000), "Tue, 14 Nov 2023 22:13:20 GMT");
    }
}

//! Raw hits, oldest first, a page at a time.

use watchkeeper_store::{DAY_MS, Hit, ProjectId, Result, Store, day_of};

use crate::Filter;

/// Which of the matching hits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Matching hits to pass over.
    pub skip: usize,
    /// Matching hits to give at most.
    pub take: usize,
}

impl Page {
    /// Page `number` of `size` hits, counted from 1; one that cannot be is empty.
    pub fn numbered(number: i64, size: usize) -> Self {
        match usize::try_from(number.saturating_sub(1)) {
            Ok(before) => Self { skip: before.saturating_mul(size), take: size },
            Err(_) => Self { skip: 0, take: 0 },
        }
    }
}

/// Calls `each` with the hits of a page, oldest first. One day at a time is in
/// memory; a day that the page passes over entirely is not even read, unless a
/// filter has to look into it.
///
/// # Errors
/// When the store fails; `each` may have seen part of the page by then.
pub async fn visit(
    store: &Store,
    project: ProjectId,
    filter: &Filter,
    page: Page,
    mut each: impl FnMut(Hit),
) -> Result<()> {
    let from = filter.from.unwrap_or(i64::MIN);
    let to = filter.to.unwrap_or(i64::MAX);
    if page.take == 0 || from >= to {
        return Ok(());
    }
    let mut snapshot = store.snapshot(project, from, to).await?;
    let (mut skip, mut take) = (page.skip, page.take);
    for day in snapshot.days().to_vec() {
        let whole = filter.is_only_time() && from <= day.day.saturating_mul(DAY_MS) && day.day < day_of(to);
        if whole && skip >= day.rows {
            skip -= day.rows;
            continue;
        }
        for hit in snapshot.load(day.day).await? {
            if !filter.matches(&hit) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            each(hit);
            take -= 1;
            if take == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchkeeper_store::Options;

    async fn store() -> (tempfile::TempDir, Store, ProjectId) {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&Options::sqlite(directory.path().join("s.db"))).await.expect("open");
        let project = store.register_key(uuid::Uuid::new_v4()).await.expect("register").id;
        // 100 hits over five days, every fourth a 404.
        let hits = (0..100_i64)
            .map(|n| Hit {
                ts: n * DAY_MS / 20,
                path: Some(n.to_string()),
                status: Some(if n % 4 == 0 { 404 } else { 200 }),
                ..Hit::default()
            })
            .collect();
        store.append(project, hits).await.expect("append");
        store.seal_all().await.expect("seal");
        (directory, store, project)
    }

    async fn paths(store: &Store, project: ProjectId, filter: &Filter, skip: usize, take: usize) -> Vec<i64> {
        let mut found = Vec::new();
        visit(store, project, filter, Page { skip, take }, |hit| {
            found.push(hit.path.expect("path").parse().expect("number"));
        })
        .await
        .expect("visit");
        found
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gap_or_overlap() {
        let (_directory, store, project) = store().await;
        let mut all = Vec::new();
        for page in 0..8 {
            all.extend(paths(&store, project, &Filter::default(), page * 15, 15).await);
        }
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn pages_of_a_filter_count_only_what_matches() {
        let (_directory, store, project) = store().await;
        let missing = Filter { status: Some(404), ..Filter::default() };
        assert_eq!(paths(&store, project, &missing, 10, 3).await, [40, 44, 48]);
        let range = Filter { from: Some(DAY_MS + 1), to: Some(2 * DAY_MS), ..Filter::default() };
        assert_eq!(paths(&store, project, &range, 0, 99).await, (21..40).collect::<Vec<_>>());
        assert_eq!(paths(&store, project, &range, 17, 99).await, [38, 39]);
    }

    #[tokio::test]
    async fn an_empty_range_or_page_is_empty() {
        let (_directory, store, project) = store().await;
        let empty = Filter { from: Some(5), to: Some(5), ..Filter::default() };
        assert!(paths(&store, project, &empty, 0, 9).await.is_empty());
        assert!(paths(&store, project, &Filter::default(), 0, 0).await.is_empty());
        assert!(paths(&store, project, &Filter::default(), 1_000, 5).await.is_empty());
    }
}

//! Deleting and moving much. SQLite has one writer, and nobody waits for it longer than one portion takes;
//! Postgres has many.

use sqlx::AssertSqlSafe;

use crate::{ProjectId, Result, Store, db::Dialect};

/// A table of which much may be deleted at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bulk {
    name: &'static str,
    /// Rows that one statement deletes on SQLite at most.
    portion: usize,
}

impl Bulk {
    /// One whose rows are files of hits, of tens of megabytes at most.
    pub const fn files(name: &'static str) -> Self {
        Self { name, portion: 8 }
    }

    /// One whose rows have results of checks, less than a megabyte.
    pub const fn pieces(name: &'static str) -> Self {
        Self { name, portion: 100 }
    }

    /// One of ordinary rows.
    pub const fn rows(name: &'static str) -> Self {
        Self { name, portion: 2_000 }
    }
}

impl Store {
    /// Deletes the rows of a table of which a condition is true, and returns how many. `values` are what the
    /// condition calls `$1`, `$2` and so on. On SQLite other writers come between the portions.
    pub(crate) async fn delete_bulk(&self, table: Bulk, condition: &str, values: &[i64]) -> Result<u64> {
        let Bulk { name, portion } = table;
        if self.db.dialect == Dialect::Postgres {
            // The statements are made of constants of this crate alone.
            let mut delete = sqlx::query(AssertSqlSafe(format!("DELETE FROM {name} WHERE {condition}")));
            for value in values {
                delete = delete.bind(*value);
            }
            return Ok(delete.execute(self.db.write()).await?.rows_affected());
        }
        let find = format!("SELECT rowid FROM {name} WHERE {condition}");
        let ids = values.len() + 1;
        // What was found may have changed since.
        let delete = format!(
            "DELETE FROM {name} WHERE rowid IN (SELECT value FROM json_each(${ids})) AND ({condition})"
        );
        let mut deleted = 0;
        loop {
            let mut found = sqlx::query_scalar(AssertSqlSafe(find.as_str()));
            for value in values {
                found = found.bind(*value);
            }
            let found: Vec<i64> = found.fetch_all(self.db.read()).await?;
            if found.is_empty() {
                return Ok(deleted);
            }
            for some in found.chunks(portion) {
                let mut delete = sqlx::query(AssertSqlSafe(delete.as_str()));
                for value in values {
                    delete = delete.bind(*value);
                }
                let delete = delete.bind(serde_json::to_string(some)?);
                deleted += delete.execute(self.db.write()).await?.rows_affected();
            }
        }
    }

    /// Gives the rows that a project has of a table of SQLite's to another project; other writers come
    /// between the portions.
    pub(crate) async fn move_bulk(&self, table: Bulk, from: ProjectId, into: ProjectId) -> Result<()> {
        let Bulk { name, portion } = table;
        // Made of constants of this crate alone.
        let sql = format!(
            "UPDATE {name} SET project_id = $2 WHERE rowid IN \
             (SELECT rowid FROM {name} WHERE project_id = $1 LIMIT {portion})"
        );
        loop {
            let some = sqlx::query(AssertSqlSafe(sql.as_str())).bind(from.0).bind(into.0);
            if some.execute(self.db.write()).await?.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        Hit,
        testing::{self, on_both},
    };

    on_both! {
        more_than_a_portion_is_deleted_whole_and_nothing_else
        a_project_of_many_files_goes_with_all_of_them
        a_project_of_many_files_is_taken_in_with_all_of_them
    }

    const SEGMENTS: Bulk = Bulk::files("segments");

    /// So many segments of a day each.
    async fn days(store: &Store, count: i64) -> ProjectId {
        days_by(store, Uuid::new_v4(), count).await
    }

    /// The same, of the project of a key.
    async fn days_by(store: &Store, key: Uuid, count: i64) -> ProjectId {
        let project = store.register_key(key).await.expect("register").id;
        let hits = (0..count).map(|day| Hit { ts: day * crate::DAY_MS, ..Hit::default() }).collect();
        store.append(project, hits).await.expect("append");
        store.seal_all().await.expect("seal");
        project
    }

    async fn count(store: &Store, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(store.db.read()).await.expect("count")
    }

    async fn more_than_a_portion_is_deleted_whole_and_nothing_else(store: &Store) {
        let (one, other) = (days(store, 30).await, days(store, 5).await);
        let deleted = store.delete_bulk(SEGMENTS, "project_id = $2 AND day < $1", &[25, one.0]).await;
        assert_eq!(deleted.expect("delete"), 25);
        let left = store.delete_bulk(SEGMENTS, "project_id = $1", &[one.0]).await;
        assert_eq!(left.expect("delete"), 5);
        let others = store.delete_bulk(SEGMENTS, "project_id = $1", &[other.0]).await;
        assert_eq!(others.expect("delete"), 5);
    }

    async fn a_project_of_many_files_goes_with_all_of_them(store: &Store) {
        let (gone, _left) = (days(store, 30).await, days(store, 3).await);
        store.append(gone, vec![Hit::default()]).await.expect("append");
        store.delete_project(gone).await.expect("delete");
        assert_eq!(count(store, "SELECT COUNT(*) FROM segments").await, 3);
        assert_eq!(count(store, "SELECT COUNT(*) FROM inbox").await, 0);
        assert_eq!(count(store, "SELECT COUNT(*) FROM projects").await, 1);
    }

    async fn a_project_of_many_files_is_taken_in_with_all_of_them(store: &Store) {
        let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
        store.put_project("shop", old).await.expect("put");
        let shop = days_by(store, old, 3).await;
        let (nameless, _other) = (days_by(store, new, 30).await, days(store, 2).await);
        store.append(nameless, vec![Hit::default()]).await.expect("append");
        assert!(store.put_project("shop", new).await.expect("take in"));
        assert_eq!(store.project_by_key(new).await.expect("find").expect("project").id, shop);
        let snapshot = store.snapshot(shop, i64::MIN, i64::MAX).await.expect("snapshot");
        assert_eq!(snapshot.days().iter().map(|day| day.rows).sum::<usize>(), 3 + 30 + 1);
        drop(snapshot);
        assert_eq!(count(store, "SELECT COUNT(*) FROM segments").await, 35);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sealed_moves_before_its_project_is_taken_in_and_nothing_else_does() {
        let fresh = testing::sqlite().await;
        let store = &fresh.store;
        let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
        store.put_project("shop", old).await.expect("put");
        let (shop, nameless, _other) =
            (days_by(store, old, 3).await, days_by(store, new, 30).await, days(store, 2).await);
        store.give_segments("shop", new).await.expect("give");
        for (project, segments) in [(shop, 33), (nameless, 0)] {
            let sql = "SELECT COUNT(*) FROM segments WHERE project_id = $1";
            let has: i64 =
                sqlx::query_scalar(sql).bind(project.0).fetch_one(store.db.read()).await.expect("count");
            assert_eq!(has, segments);
        }
        assert!(store.project_by_id(nameless).await.expect("find").is_some());
        // Neither a named one nor one that nobody takes in.
        store.give_segments("shop", old).await.expect("give");
        store.give_segments("other", new).await.expect("give");
        assert_eq!(count(store, "SELECT COUNT(*) FROM segments").await, 35);
    }
}

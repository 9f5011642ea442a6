//! Erasing one person: the files that hold their hits are written anew without them.

use std::collections::HashSet;

use sqlx::{Any, Row, Transaction};

use super::{
    merge::Merged,
    rewrite::{Remainder, without},
    seal,
};
use crate::{Hit, ProjectId, Result, Store, StoreError, addresses};

/// Whom hits are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// A user as the application names them.
    User(String),
    /// An address as it is stored: in its canonical text, or as a website posted what is none.
    Ip(String),
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Hits.
    pub hits: u64,
    /// Facts about addresses.
    pub addresses: u64,
}

impl Person {
    /// Whether a hit is about this person.
    pub fn made(&self, hit: &Hit) -> bool {
        match self {
            Self::User(user) => hit.user.as_ref() == Some(user),
            Self::Ip(ip) => hit.ip.as_ref() == Some(ip),
        }
    }

    /// The column that tells.
    fn column(&self) -> &'static [&'static str] {
        match self {
            Self::User(_) => &["user"],
            Self::Ip(_) => &["ip"],
        }
    }
}

/// Where hits lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Table {
    Inbox,
    Segments,
}

/// What became of a file that may hold hits of a person.
enum Rewritten {
    /// It holds so many fewer now.
    Without(u64),
    /// It was sealed or merged meanwhile: its hits are in another.
    Moved,
}

impl Store {
    /// Erases every hit of one person from a project, sealed or not, and what is known of their
    /// address. It is gone durably when this returns; hits that are posted meanwhile may stay, and
    /// after an error some are gone and some are not: erase again.
    ///
    /// File by file, each made anew before anything is written, so that no writer waits for that, and in
    /// memory that does not grow with what it holds.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn erase(&self, project: ProjectId, person: &Person) -> Result<Erased> {
        let mut erased = Erased::default();
        let mut seen = HashSet::new();
        loop {
            let mut moved = false;
            // In the direction in which hits move.
            for table in [Table::Inbox, Table::Segments] {
                let sql = match table {
                    Table::Inbox => "SELECT id FROM inbox WHERE project_id = $1 ORDER BY id",
                    Table::Segments => "SELECT id FROM segments WHERE project_id = $1 ORDER BY id",
                };
                let files: Vec<i64> =
                    sqlx::query_scalar(sql).bind(project.0).fetch_all(self.db.read()).await?;
                for id in files.into_iter().filter(|id| seen.insert((table, *id))) {
                    match self.rewrite(table, project, id, person).await? {
                        Rewritten::Without(hits) => erased.hits += hits,
                        Rewritten::Moved => moved = true,
                    }
                }
            }
            if !moved {
                break;
            }
        }
        if let Person::Ip(ip) = person {
            erased.addresses = self.forget_address(project, ip).await?;
        }
        Ok(erased)
    }

    /// Deletes what is known of an address, and has whoever has read hits of it before store nothing
    /// that they learn.
    async fn forget_address(&self, project: ProjectId, ip: &str) -> Result<u64> {
        let mut transaction = self.db.begin().await?;
        addresses::note_erasure(&mut transaction, project).await?;
        let deleted = sqlx::query("DELETE FROM addresses WHERE project_id = $1 AND ip = $2")
            .bind(project.0)
            .bind(ip)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(deleted.rows_affected())
    }

    /// Writes one file anew if it holds hits of the person. It gets a new number, so that nobody takes
    /// what they remember of the old one for it, and a seal or merge that has read the old one finds
    /// it gone and gives way.
    async fn rewrite(&self, table: Table, project: ProjectId, id: i64, person: &Person) -> Result<Rewritten> {
        let read = match table {
            Table::Inbox => "SELECT data FROM inbox WHERE project_id = $1 AND id = $2",
            Table::Segments => "SELECT data, day, level FROM segments WHERE project_id = $1 AND id = $2",
        };
        let row = sqlx::query(read).bind(project.0).bind(id).fetch_optional(self.db.read()).await?;
        let Some(row) = row else { return Ok(Rewritten::Moved) };
        let (data, person): (Vec<u8>, Person) = (row.try_get(0)?, person.clone());
        let rewritten = move || without(data, person.column(), |hit| person.made(hit));
        let Some(Remainder { left, gone }) = blocking(rewritten).await? else {
            return Ok(Rewritten::Without(0));
        };

        let delete = match table {
            Table::Inbox => "DELETE FROM inbox WHERE project_id = $1 AND id = $2",
            Table::Segments => "DELETE FROM segments WHERE project_id = $1 AND id = $2",
        };
        let mut transaction = self.db.begin().await?;
        let deleted = sqlx::query(delete).bind(project.0).bind(id).execute(&mut *transaction).await?;
        if deleted.rows_affected() == 0 {
            return Ok(Rewritten::Moved);
        }
        match (left, table) {
            (None, _) => {}
            (Some(left), Table::Inbox) => put_back(&mut transaction, project, left).await?,
            (Some(left), Table::Segments) => {
                let (day, level) = (row.try_get(1)?, row.try_get(2)?);
                seal::insert(&mut transaction, project, day, level, left).await?;
            }
        }
        transaction.commit().await?;
        Ok(Rewritten::Without(gone))
    }
}

async fn put_back(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    batch: Merged,
) -> Result<()> {
    let Merged { data, rows, min_ts, max_ts } = batch;
    sqlx::query(include_str!("../../sql/privacy/put_back.sql"))
        .bind(project.0)
        .bind(rows)
        .bind(min_ts)
        .bind(max_ts)
        .bind(data)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Works off the executor.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Damaged(e.to_string()))?
}

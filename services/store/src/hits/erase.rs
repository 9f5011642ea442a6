//! Erasing one person: the files that hold their hits are written anew without them.

use sqlx::{Any, Row, Transaction};

use super::seal;
use crate::{
    Hit, ProjectId, Result, Store, StoreError,
    codec::{self, Purpose},
};

/// Whom hits are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Person {
    /// A user as the application names them.
    User(String),
    /// An address, in its canonical text.
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
#[derive(Clone, Copy)]
enum Table {
    Inbox,
    Segments,
}

impl Store {
    /// Erases every hit of one person from a project, sealed or not, and what is known of their
    /// address: all of it or, on an error, nothing. It is gone durably when this returns, and hits
    /// that are posted meanwhile stay.
    ///
    /// # Errors
    /// When the database fails or stored hits are damaged.
    pub async fn erase(&self, project: ProjectId, person: &Person) -> Result<Erased> {
        let mut transaction = self.db.begin().await?;
        // Nothing moves from the inbox into segments meanwhile.
        seal::wait_for_seals(&mut transaction, self.db.dialect, project).await?;
        let mut erased = Erased::default();
        for table in [Table::Inbox, Table::Segments] {
            let sql = match table {
                Table::Inbox => "SELECT id FROM inbox WHERE project_id = $1 ORDER BY id",
                Table::Segments => "SELECT id FROM segments WHERE project_id = $1 ORDER BY id",
            };
            let files: Vec<i64> =
                sqlx::query_scalar(sql).bind(project.0).fetch_all(&mut *transaction).await?;
            for id in files {
                erased.hits += rewrite(&mut transaction, table, project, id, person).await?;
            }
        }
        if let Person::Ip(ip) = person {
            erased.addresses = sqlx::query("DELETE FROM addresses WHERE project_id = $1 AND ip = $2")
                .bind(project.0)
                .bind(ip)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
        }
        transaction.commit().await?;
        Ok(erased)
    }
}

/// Writes one file anew if it holds hits of the person; tells how many it held. The file gets a new
/// number, so that nobody takes what they remember of the old one for it.
async fn rewrite(
    transaction: &mut Transaction<'static, Any>,
    table: Table,
    project: ProjectId,
    id: i64,
    person: &Person,
) -> Result<u64> {
    let read = match table {
        Table::Inbox => "SELECT data FROM inbox WHERE project_id = $1 AND id = $2",
        Table::Segments => "SELECT data, day, level FROM segments WHERE project_id = $1 AND id = $2",
    };
    let row = sqlx::query(read).bind(project.0).bind(id).fetch_optional(&mut **transaction).await?;
    let Some(row) = row else { return Ok(0) };
    let data: Vec<u8> = row.try_get(0)?;
    let Some((kept, gone)) = without(data, person.clone()).await? else { return Ok(0) };
    let delete = match table {
        Table::Inbox => "DELETE FROM inbox WHERE project_id = $1 AND id = $2",
        Table::Segments => "DELETE FROM segments WHERE project_id = $1 AND id = $2",
    };
    sqlx::query(delete).bind(project.0).bind(id).execute(&mut **transaction).await?;
    if !kept.is_empty() {
        match table {
            Table::Segments => {
                let (day, level) = (row.try_get(1)?, row.try_get(2)?);
                let segment = tokio::task::spawn_blocking(move || seal::segment(kept))
                    .await
                    .map_err(|e| StoreError::Damaged(e.to_string()))??;
                seal::insert(transaction, project, day, level, segment).await?;
            }
            Table::Inbox => put_back(transaction, project, kept).await?,
        }
    }
    Ok(gone)
}

/// The hits of a file that stay, and how many go; nothing when none goes. The column that tells is
/// read first: most files hold nothing of one person.
async fn without(data: Vec<u8>, person: Person) -> Result<Option<(Vec<Hit>, u64)>> {
    tokio::task::spawn_blocking(move || {
        let mut gone = 0;
        codec::decode_each(data.clone(), Some(person.column()), |hits| {
            gone += hits.iter().filter(|hit| person.made(hit)).count() as u64;
        })?;
        if gone == 0 {
            return Ok(None);
        }
        let mut kept = codec::decode(data)?;
        kept.retain(|hit| !person.made(hit));
        Ok(Some((kept, gone)))
    })
    .await
    .map_err(|e| StoreError::Damaged(e.to_string()))?
}

async fn put_back(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    hits: Vec<Hit>,
) -> Result<()> {
    sqlx::query(include_str!("../../sql/privacy/put_back.sql"))
        .bind(project.0)
        .bind(i64::try_from(hits.len()).unwrap_or(i64::MAX))
        .bind(hits.iter().map(|hit| hit.ts).min().unwrap_or_default())
        .bind(hits.iter().map(|hit| hit.ts).max().unwrap_or_default())
        .bind(codec::encode(&hits, Purpose::Inbox)?)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

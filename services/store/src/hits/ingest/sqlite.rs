//! Groups into SQLite, which has one writer and is never away.

use sqlx::{Any, Row, Transaction};

use super::{Group, Mark, Outcome, Part, Verdict, Write};
use crate::{ProjectId, Result, db::Db, now_ms};

pub(super) struct Writer {
    db: Db,
}

impl Writer {
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

impl Write for Writer {
    async fn write(&mut self, group: Group) -> Result<Vec<Outcome>> {
        let mut transaction = self.db.begin().await?;
        let mut outcomes = Vec::with_capacity(group.parts.len());
        for part in group.parts {
            let verdict = match &part.mark {
                Some(mark) => note(&mut transaction, part.project, mark).await?,
                None => Verdict::New,
            };
            outcomes.push(match verdict {
                Verdict::New => insert(&mut transaction, part).await?,
                Verdict::Rest(from) => insert(&mut transaction, part.without_first(from)?).await?,
                Verdict::Repeat => Outcome::Repeated,
                Verdict::Other => Outcome::KeyReused,
            });
        }
        transaction.commit().await?;
        Ok(outcomes)
    }
}

async fn note(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
    mark: &Mark,
) -> Result<Verdict> {
    let new = sqlx::query(include_str!("../../../sql/sqlite/note_batch.sql"))
        .bind(project.0)
        .bind(mark.key.to_vec())
        .bind(mark.content.clone())
        .bind(now_ms())
        .execute(&mut **transaction)
        .await?;
    if new.rows_affected() == 1 {
        return Ok(Verdict::New);
    }
    let noted = sqlx::query(include_str!("../../../sql/sqlite/noted_batch.sql"))
        .bind(project.0)
        .bind(mark.key.to_vec())
        .fetch_one(&mut **transaction)
        .await?;
    let verdict = mark.beside(&noted.try_get::<Vec<u8>, _>(0)?);
    if let Verdict::Rest(_) = verdict {
        sqlx::query(include_str!("../../../sql/hits/grow_batch.sql"))
            .bind(project.0)
            .bind(mark.key.to_vec())
            .bind(mark.content.clone())
            .bind(now_ms())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(verdict)
}

async fn insert(transaction: &mut Transaction<'static, Any>, part: Part) -> Result<Outcome> {
    let Part { project, rows, min_ts, max_ts, data, .. } = part;
    let stored = sqlx::query(include_str!("../../../sql/sqlite/append.sql"))
        .bind(project.0)
        .bind(rows)
        .bind(min_ts)
        .bind(max_ts)
        .bind(data)
        .execute(&mut **transaction)
        .await?;
    Ok(if stored.rows_affected() == 1 { Outcome::Stored } else { Outcome::NoProject })
}

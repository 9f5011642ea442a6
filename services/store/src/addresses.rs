//! What is learnt about addresses after their hits were stored: it lies beside
//! the hits, so that learning it late rewrites none of them.

use std::collections::HashMap;

use sqlx::{Any, Row, Transaction};

use crate::{ProjectId, Result, Store, now_ms};

/// What is known of one address of one project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressFacts {
    /// Host name by reverse DNS.
    pub host: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Whether a robot asks from it; `None` until it was classified.
    pub bot: Option<bool>,
}

/// How far the processing of an address has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressState {
    /// Whether a robot asks from it; `None` until it was classified.
    pub bot: Option<bool>,
    /// Whether DNS has said what it is called, or that it has no name.
    pub asked: bool,
    /// Time of its last hit that was looked at, UTC milliseconds.
    pub last_seen: i64,
}

/// What was learnt about an address. What is unknown takes nothing away from what was known, and
/// an address that was found to be a robot's stays one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressUpdate {
    /// The address.
    pub ip: String,
    /// What is known of it now.
    pub facts: AddressFacts,
    /// Whether DNS has said what it is called, or that it has no name.
    pub asked: bool,
    /// Time of its last hit that was looked at, UTC milliseconds.
    pub last_seen: i64,
}

impl Store {
    /// What is known of a project's addresses, by address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_facts(&self, project: ProjectId) -> Result<HashMap<String, AddressFacts>> {
        sqlx::query(include_str!("../sql/addresses/facts.sql"))
            .bind(project.0)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let bot: Option<i64> = row.try_get(4)?;
                let facts = AddressFacts {
                    host: row.try_get(1)?,
                    city: row.try_get(2)?,
                    region: row.try_get(3)?,
                    bot: bot.map(|bot| bot != 0),
                };
                Ok((row.try_get(0)?, facts))
            })
            .collect()
    }

    /// How far the processing of a project's addresses has come, by address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_states(&self, project: ProjectId) -> Result<HashMap<String, AddressState>> {
        sqlx::query("SELECT ip, bot, last_seen, asked_at FROM addresses WHERE project_id = $1")
            .bind(project.0)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let asked_at: Option<i64> = row.try_get(3)?;
                Ok((row.try_get(0)?, state(row.try_get(1)?, row.try_get(2)?, asked_at.is_some())))
            })
            .collect()
    }

    /// Addresses that DNS has not answered for and that were last processed before `before`, UTC
    /// milliseconds; at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unasked_addresses(
        &self,
        project: ProjectId,
        before: i64,
        limit: i64,
    ) -> Result<Vec<(String, AddressState)>> {
        sqlx::query(include_str!("../sql/addresses/unasked.sql"))
            .bind(project.0)
            .bind(before)
            .bind(limit)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| Ok((row.try_get(0)?, state(row.try_get(1)?, row.try_get(2)?, false))))
            .collect()
    }

    /// How often addresses of a project were erased. Whoever is about to learn from its hits asks before
    /// reading them, and tells [`Store::put_addresses`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erasures(&self, project: ProjectId) -> Result<i64> {
        let found: Option<i64> = sqlx::query_scalar("SELECT erasures FROM projects WHERE id = $1")
            .bind(project.0)
            .fetch_optional(self.db.read())
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// Stores what was learnt about addresses of a project, all or nothing; tells whether it did. It
    /// does not when an address was erased since `erasures` was asked for, which may be one of these,
    /// or when the project has gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_addresses(
        &self,
        project: ProjectId,
        erasures: i64,
        updates: &[AddressUpdate],
    ) -> Result<bool> {
        let now = now_ms();
        let mut transaction = self.db.begin().await?;
        // It changes nothing, and makes an erasure wait until what is stored here can be erased.
        let same = sqlx::query("UPDATE projects SET erasures = erasures WHERE id = $1 AND erasures = $2")
            .bind(project.0)
            .bind(erasures)
            .execute(&mut *transaction)
            .await?;
        if same.rows_affected() == 0 {
            return Ok(false);
        }
        for update in updates {
            let AddressFacts { host, city, region, bot } = &update.facts;
            sqlx::query(include_str!("../sql/addresses/put.sql"))
                .bind(project.0)
                .bind(&update.ip)
                .bind(host.as_deref())
                .bind(city.as_deref())
                .bind(region.as_deref())
                .bind(bot.map(i64::from))
                .bind(now)
                .bind(update.asked.then_some(now))
                .bind(update.last_seen)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

/// Makes what was learnt of a project's addresses until now, and is not stored yet, never be stored.
pub(crate) async fn note_erasure(
    transaction: &mut Transaction<'static, Any>,
    project: ProjectId,
) -> Result<()> {
    sqlx::query("UPDATE projects SET erasures = erasures + 1 WHERE id = $1")
        .bind(project.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn state(bot: Option<i64>, last_seen: Option<i64>, asked: bool) -> AddressState {
    AddressState { bot: bot.map(|bot| bot != 0), asked, last_seen: last_seen.unwrap_or_default() }
}

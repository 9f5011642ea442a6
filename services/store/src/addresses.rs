//! What is learnt about addresses after their hits were stored: it lies beside
//! the hits, so that learning it late rewrites none of them.

use std::collections::HashMap;

use futures::TryStreamExt;
use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{ProjectId, Result, Store, StoreError, db::Dialect, now_ms};

/// Bytes that what is known of a project's addresses may take in memory: of some half a million.
const FACTS: usize = 128 << 20;

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
    /// [`StoreError::TooManyAddresses`] when it would take more than 128 MiB, and when the database fails.
    pub async fn address_facts(&self, project: ProjectId) -> Result<HashMap<String, AddressFacts>> {
        self.address_facts_within(project, FACTS).await
    }

    async fn address_facts_within(
        &self,
        project: ProjectId,
        most: usize,
    ) -> Result<HashMap<String, AddressFacts>> {
        let mut rows =
            sqlx::query(include_str!("../sql/addresses/facts.sql")).bind(project.0).fetch(self.db.read());
        let (mut all, mut bytes) = (HashMap::new(), 0);
        while let Some(row) = rows.try_next().await? {
            let (ip, known) = facts(&row)?;
            let texts = [Some(&ip), known.host.as_ref(), known.city.as_ref(), known.region.as_ref()];
            bytes += size_of::<(String, AddressFacts)>();
            bytes += texts.into_iter().flatten().map(String::len).sum::<usize>();
            if bytes > most {
                return Err(StoreError::TooManyAddresses);
            }
            all.insert(ip, known);
        }
        Ok(all)
    }

    /// What is known of these addresses of a project, by address; those that nothing is known of are left
    /// out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_facts_of(
        &self,
        project: ProjectId,
        ips: &[&str],
    ) -> Result<HashMap<String, AddressFacts>> {
        // Postgres has none with U+0000, and takes no question about one.
        let ips: Vec<&&str> = ips.iter().filter(|ip| !ip.contains('\0')).collect();
        sqlx::query(match self.db.dialect {
            Dialect::Sqlite => include_str!("../sql/sqlite/address_facts.sql"),
            Dialect::Postgres => include_str!("../sql/postgres/address_facts.sql"),
        })
        .bind(project.0)
        .bind(serde_json::to_string(&ips)?)
        .fetch_all(self.db.read())
        .await?
        .iter()
        .map(facts)
        .collect()
    }

    /// How far the processing of these addresses of a project has come, by address; those that nothing is
    /// known of are left out. None may have the character U+0000, which Postgres cannot keep.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_states(
        &self,
        project: ProjectId,
        ips: &[&str],
    ) -> Result<HashMap<String, AddressState>> {
        sqlx::query(match self.db.dialect {
            Dialect::Sqlite => include_str!("../sql/sqlite/address_states.sql"),
            Dialect::Postgres => include_str!("../sql/postgres/address_states.sql"),
        })
        .bind(project.0)
        .bind(serde_json::to_string(ips)?)
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

/// An address and what is known of it.
fn facts(row: &AnyRow) -> Result<(String, AddressFacts)> {
    let bot: Option<i64> = row.try_get(4)?;
    let facts = AddressFacts {
        host: row.try_get(1)?,
        city: row.try_get(2)?,
        region: row.try_get(3)?,
        bot: bot.map(|bot| bot != 0),
    };
    Ok((row.try_get(0)?, facts))
}

fn state(bot: Option<i64>, last_seen: Option<i64>, asked: bool) -> AddressState {
    AddressState { bot: bot.map(|bot| bot != 0), asked, last_seen: last_seen.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::on_both;

    on_both! { what_is_known_of_addresses_is_bounded_and_asked_for_by_address }

    async fn what_is_known_of_addresses_is_bounded_and_asked_for_by_address(store: &Store) {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let known = |ip: &str| AddressUpdate {
            ip: ip.into(),
            facts: AddressFacts { host: Some("x".repeat(1_000)), bot: Some(true), ..AddressFacts::default() },
            asked: true,
            last_seen: 1,
        };
        let updates = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(known);
        assert!(store.put_addresses(project, 0, &updates).await.expect("put"));
        let all = store.address_facts_within(project, 4_000).await.expect("facts");
        assert_eq!(all, store.address_facts(project).await.expect("facts"));
        assert_eq!(all.len(), 3);
        let refused = store.address_facts_within(project, 2_000).await;
        assert!(matches!(refused, Err(StoreError::TooManyAddresses)), "{refused:?}");
        let some = store.address_facts_of(project, &["192.0.2.2", "192.0.2.9", "\0"]).await.expect("facts");
        assert_eq!(some, HashMap::from([("192.0.2.2".to_owned(), all["192.0.2.2"].clone())]));
        // After one that was broken off.
        assert_eq!(store.address_facts(project).await.expect("facts").len(), 3);
    }
}

//! Salts of visitor ids: a random one a UTC day, shared by all replicas, made at its first use and
//! deleted two days after its day. Without it nobody can test whom an id stands for.

use std::collections::{BTreeSet, HashMap};

use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use sqlx::{Any, Row, Transaction, any::AnyRow};

use crate::{
    DAY_MS, Result, Store, StoreError,
    db::{self, Dialect},
    now_ms,
};

/// How long a salt outlives its day, milliseconds.
const KEEP: i64 = 2 * DAY_MS;

/// Name of the key that salts came of before they were random.
const OLD_KEY: &str = "visitor";

/// A day's salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt {
    /// The secret itself.
    pub bytes: [u8; 32],
    /// When it must be forgotten, UTC milliseconds.
    pub expires_at: i64,
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Salt").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Store {
    /// The salts of UTC days, counted since 1970-01-01; those that are not there are made. A day
    /// whose salt has gone gets a fresh one, which lives two days from now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn visitor_salts(&self, days: &[i64]) -> Result<HashMap<i64, Salt>> {
        self.visitor_salts_by(days, now_ms()).await
    }

    /// [`Store::visitor_salts`] for a process whose own clock says `local`.
    async fn visitor_salts_by(&self, days: &[i64], local: i64) -> Result<HashMap<i64, Salt>> {
        let list = serde_json::to_string(days)?;
        let sql = match self.db.dialect {
            Dialect::Sqlite => include_str!("../sql/sqlite/salts.sql"),
            Dialect::Postgres => include_str!("../sql/postgres/salts.sql"),
        };
        let salts = by_day(&sqlx::query(sql).bind(&list).bind(local).fetch_all(self.db.read()).await?)?;
        // One order for all replicas, so that none waits for another that waits for it.
        let missing: BTreeSet<i64> = days.iter().copied().filter(|day| !salts.contains_key(day)).collect();
        if missing.is_empty() {
            return Ok(salts);
        }
        let mut transaction = self.db.begin().await?;
        // The clock that all replicas share: one that is days ahead must not replace what others use.
        let now = db::now(&mut transaction).await?;
        let old_key = old_key(&mut transaction, now).await?;
        for day in missing {
            let fresh = fresh(day, now, old_key.as_ref());
            sqlx::query(include_str!("../sql/privacy/keep_salt.sql"))
                .bind(day)
                .bind(fresh.bytes.to_vec())
                .bind(fresh.expires_at)
                .bind(now)
                .execute(&mut *transaction)
                .await?;
        }
        // Another replica may have been quicker with some.
        let salts = by_day(&sqlx::query(sql).bind(&list).bind(now).fetch_all(&mut *transaction).await?)?;
        transaction.commit().await?;
        Ok(salts)
    }

    /// Deletes the salts whose time is over at `now`, and the old release's key with the last day it serves.
    pub(crate) async fn forget_salts(&self, now: i64) -> Result<u64> {
        let mut forgotten = 0;
        for sql in [
            "DELETE FROM visitor_salts WHERE expires_at <= $1",
            "DELETE FROM settings WHERE name = 'visitor' AND COALESCE(expires_at, 0) <= $1",
        ] {
            forgotten += sqlx::query(sql).bind(now).execute(self.db.write()).await?.rows_affected();
        }
        Ok(forgotten)
    }
}

/// A salt for a day that has none.
fn fresh(day: i64, now: i64, old_key: Option<&([u8; 32], i64)>) -> Salt {
    let end = day.saturating_add(1).saturating_mul(DAY_MS);
    // Neither a day long ago nor one in a far future keeps its salt for longer than others do.
    let expires_at = end.clamp(now, now + KEEP) + KEEP;
    let mut bytes = [0; 32];
    match old_key {
        // What the old release's processes use too while they are replaced.
        Some((key, serves_until)) if end.saturating_add(KEEP) <= *serves_until => {
            bytes = old_salt(key, day);
        }
        _ => rand::rng().fill_bytes(&mut bytes),
    }
    Salt { bytes, expires_at }
}

async fn old_key(transaction: &mut Transaction<'static, Any>, now: i64) -> Result<Option<([u8; 32], i64)>> {
    let sql = "SELECT value, expires_at FROM settings WHERE name = $1 AND expires_at > $2";
    let row = sqlx::query(sql).bind(OLD_KEY).bind(now).fetch_optional(&mut **transaction).await?;
    row.map(|row| Ok((bytes(row.try_get(0)?)?, row.try_get(1)?))).transpose()
}

fn old_salt(key: &[u8; 32], day: i64) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&block).into());
    mac.update(b"watchkeeper visitor salt");
    mac.update(&day.to_be_bytes());
    mac.finalize().into_bytes().into()
}

fn by_day(rows: &[AnyRow]) -> Result<HashMap<i64, Salt>> {
    let salt = |row: &AnyRow| -> Result<(i64, Salt)> {
        let salt = Salt { bytes: bytes(row.try_get(1)?)?, expires_at: row.try_get(2)? };
        Ok((row.try_get(0)?, salt))
    };
    rows.iter().map(salt).collect()
}

fn bytes(kept: Vec<u8>) -> Result<[u8; 32]> {
    kept.try_into().map_err(|_| StoreError::Damaged("a visitor salt has not 32 bytes".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    on_both! { a_replica_whose_clock_is_days_ahead_replaces_no_salt_that_others_use }

    async fn a_replica_whose_clock_is_days_ahead_replaces_no_salt_that_others_use(store: &Store) {
        let today = crate::day_of(now_ms());
        let used = store.visitor_salts(&[today]).await.expect("salts");
        let ahead = store.visitor_salts_by(&[today], now_ms() + 30 * DAY_MS).await.expect("salts");
        assert_eq!(ahead, used);
        assert_eq!(store.visitor_salts(&[today]).await.expect("salts"), used);
    }

    #[test]
    fn a_salt_lives_two_days_longer_than_its_day_but_never_more_than_four() {
        let (day, now) = (20_000, 20_000 * DAY_MS + 5);
        let lives = |day| fresh(day, now, None).expires_at - now;
        assert_eq!(lives(day), 3 * DAY_MS - 5);
        assert_eq!(lives(day - 300), 2 * DAY_MS);
        assert_eq!(lives(day + 300), 4 * DAY_MS);
        assert_ne!(fresh(day, now, None).bytes, fresh(day, now, None).bytes);
    }

    #[test]
    fn the_old_key_serves_up_to_its_last_day() {
        let (day, now) = (20_000, 20_000 * DAY_MS + 5);
        let key = ([7; 32], (day + 4) * DAY_MS);
        for served in [day - 30, day, day + 1] {
            assert_eq!(fresh(served, now, Some(&key)).bytes, old_salt(&key.0, served), "{served}");
        }
        assert_ne!(fresh(day + 2, now, Some(&key)).bytes, old_salt(&key.0, day + 2));
    }
}

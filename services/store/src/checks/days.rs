//! How every endpoint spent the UTC days that are over: added up once, so that ninety of them are read at
//! once. A row of `check_days` is a day of all endpoints.
//!
//! It is dropped in the transaction that seals checks of its day or of one before it, which may hold on into
//! it, and is then added up anew. Checks that arrive while it is being added up are sealed after it was
//! claimed, which drops the claim: what was added up without them is never kept.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use futures::{StreamExt, stream};
use sqlx::{Any, Row, Transaction};
use uuid::Uuid;

use super::{
    availability::Availability,
    pack::{Reader, damaged, signed, unsigned},
};
use crate::{DAY_MS, Result, Store, db, hit::day_of};

/// Days before today that are kept.
const KEPT: i64 = 90;

/// Time after midnight at which a day's last checks have usually arrived, milliseconds.
const SETTLED: i64 = 600_000;

/// Days that are added up at once: that waits for the database and computes by turns.
const READS: usize = 4;

/// First byte of what is packed, so that another form can follow.
const FORM: u8 = 1;

/// How an endpoint spent a UTC day or its beginning, milliseconds of each. The rest was not observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DaySpent {
    /// Known to be good.
    pub up_ms: u32,
    /// Good but worse than wanted.
    pub degraded_ms: u32,
    /// Known to be bad.
    pub down_ms: u32,
    /// In a maintenance window.
    pub maintenance_ms: u32,
}

impl From<&Availability> for DaySpent {
    fn from(it: &Availability) -> Self {
        // A day has 86,400,000 milliseconds.
        let small = |ms: i64| u32::try_from(ms).unwrap_or_default();
        Self {
            up_ms: small(it.up_ms),
            degraded_ms: small(it.degraded_ms),
            down_ms: small(it.down_ms),
            maintenance_ms: small(it.maintenance_ms),
        }
    }
}

/// Of all endpoints of which a day tells anything, by id.
type Spent = HashMap<i64, DaySpent>;

impl Store {
    /// How the endpoints spent each of these days (UTC, counted from 1970), by day and id: what
    /// [`Store::availability_of_all`] says of each. Days that are over and kept are read at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn days_of_all(&self, days: Range<i64>) -> Result<BTreeMap<i64, HashMap<i64, DaySpent>>> {
        let sql = "SELECT day, data FROM check_days WHERE day >= $1 AND day < $2 AND data IS NOT NULL";
        let rows = sqlx::query(sql).bind(days.start).bind(days.end).fetch_all(self.db.read()).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            let day: i64 = row.try_get(0)?;
            match unpack(&row.try_get::<Vec<u8>, _>(1)?) {
                Ok(spent) => drop(found.insert(day, spent)),
                // It is made of the checks, as one that is missing.
                Err(error) => tracing::error!(day, %error, "a day that was added up is damaged"),
            }
        }
        let mut transaction = self.db.snapshot().await?;
        let first = [first_sealed(&mut transaction).await?, first_waiting(&mut transaction).await?];
        drop(transaction);
        let first = first.into_iter().flatten().min().unwrap_or(i64::MAX);
        let missing: Vec<i64> = days.filter(|day| !found.contains_key(day)).collect();
        let (before, missing): (Vec<i64>, Vec<i64>) = missing.into_iter().partition(|day| *day < first);
        found.extend(before.into_iter().map(|day| (day, Spent::new())));
        let mut reads = stream::iter(missing)
            .map(|day| async move { (day, self.add_up(day).await) })
            .buffer_unordered(READS);
        while let Some((day, spent)) = reads.next().await {
            found.insert(day, spent?);
        }
        Ok(found)
    }

    /// Adds up the days that are over and sealed, and are not kept yet.
    pub(super) async fn keep_days(&self) -> Result<()> {
        let mut transaction = self.db.snapshot().await?;
        let now = db::now(&mut transaction).await?;
        let Some(first) = first_sealed(&mut transaction).await? else { return Ok(()) };
        // What an earlier release has stored counts only once it is sealed.
        let former: Option<i64> = sqlx::query_scalar("SELECT endpoint_id FROM checks LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        if former.is_some() {
            return Ok(());
        }
        let waiting = first_waiting(&mut transaction).await?.unwrap_or(i64::MAX);
        let kept: Vec<i64> = sqlx::query_scalar("SELECT day FROM check_days WHERE data IS NOT NULL")
            .fetch_all(&mut *transaction)
            .await?;
        drop(transaction);
        let kept: BTreeSet<i64> = kept.into_iter().collect();
        let oldest = day_of(now) - KEPT;
        let over = first.max(oldest)..day_of(now - SETTLED).min(waiting);
        let mut kept_more = false;
        for day in over.filter(|day| !kept.contains(day)) {
            self.keep_day(day).await?;
            kept_more = true;
        }
        if kept_more {
            let sql = "DELETE FROM check_days WHERE day < $1";
            sqlx::query(sql).bind(oldest).execute(self.db.write()).await?;
        }
        Ok(())
    }

    /// Keeps a day unless somebody else has.
    async fn keep_day(&self, day: i64) -> Result<()> {
        let maker = Uuid::new_v4().to_string();
        let claimed = sqlx::query(include_str!("../../sql/checks/claim_day.sql"))
            .bind(day)
            .bind(&maker)
            .execute(self.db.write())
            .await?;
        if claimed.rows_affected() == 0 {
            return Ok(());
        }
        let spent = self.add_up(day).await?;
        sqlx::query("UPDATE check_days SET data = $3 WHERE day = $1 AND maker = $2")
            .bind(day)
            .bind(&maker)
            .bind(pack(&spent))
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    async fn add_up(&self, day: i64) -> Result<Spent> {
        let (from, to) = (day.saturating_mul(DAY_MS), day.saturating_add(1).saturating_mul(DAY_MS));
        let all = self.availability_of_all(from, to).await?;
        Ok(all.iter().map(|(endpoint, found)| (*endpoint, found.into())).collect())
    }
}

/// Drops what was added up of a day and of those after it, as checks of that day are sealed.
pub(super) async fn forget_days(transaction: &mut Transaction<'static, Any>, from: i64) -> Result<()> {
    sqlx::query("DELETE FROM check_days WHERE day >= $1").bind(from).execute(&mut **transaction).await?;
    Ok(())
}

/// The first day of which anything is sealed.
async fn first_sealed(transaction: &mut Transaction<'static, Any>) -> Result<Option<i64>> {
    let sql = "SELECT MIN(day) FROM check_segments";
    Ok(sqlx::query_scalar(sql).fetch_one(&mut **transaction).await?)
}

/// The first day of which anything waits to be sealed.
async fn first_waiting(transaction: &mut Transaction<'static, Any>) -> Result<Option<i64>> {
    let sql = "SELECT MIN(first_at) FROM check_batches";
    let first: Option<i64> = sqlx::query_scalar(sql).fetch_one(&mut **transaction).await?;
    Ok(first.map(day_of))
}

/// Some eight bytes of each endpoint.
fn pack(spent: &Spent) -> Vec<u8> {
    let ordered: BTreeMap<i64, &DaySpent> = spent.iter().map(|(endpoint, it)| (*endpoint, it)).collect();
    let mut out = vec![FORM];
    unsigned(&mut out, ordered.len() as u64);
    let mut before = 0_i64;
    for (endpoint, it) in ordered {
        signed(&mut out, endpoint.wrapping_sub(before));
        for ms in [it.up_ms, it.degraded_ms, it.down_ms, it.maintenance_ms] {
            unsigned(&mut out, u64::from(ms));
        }
        before = endpoint;
    }
    out
}

fn unpack(bytes: &[u8]) -> Result<Spent> {
    let mut reader = Reader(bytes);
    if reader.byte()? != FORM {
        return Err(damaged("a day that was added up is in a form that this release does not know"));
    }
    let count = reader.length()?;
    if count > bytes.len() {
        return Err(damaged("a day that was added up is cut off"));
    }
    let mut spent = Spent::with_capacity(count);
    let mut endpoint = 0_i64;
    for _ in 0..count {
        endpoint = endpoint.wrapping_add(reader.signed()?);
        let it = DaySpent {
            up_ms: small(&mut reader)?,
            degraded_ms: small(&mut reader)?,
            down_ms: small(&mut reader)?,
            maintenance_ms: small(&mut reader)?,
        };
        spent.insert(endpoint, it);
    }
    Ok(spent)
}

fn small(reader: &mut Reader<'_>) -> Result<u32> {
    u32::try_from(reader.unsigned()?).map_err(|_| damaged("a day that was added up is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_day_is_read_as_it_was_packed_and_damage_is_no_panic(
            days in proptest::collection::hash_map(any::<i64>(), any::<[u32; 4]>(), 0..40),
            cut in 0_usize..600,
            flip in any::<u8>(),
        ) {
            let spent: Spent = days
                .into_iter()
                .map(|(endpoint, [up_ms, degraded_ms, down_ms, maintenance_ms])| {
                    (endpoint, DaySpent { up_ms, degraded_ms, down_ms, maintenance_ms })
                })
                .collect();
            let mut packed = pack(&spent);
            prop_assert_eq!(unpack(&packed).expect("unpack"), spent);
            let at = cut % packed.len();
            packed[at] ^= flip;
            let _ = unpack(&packed);
            let _ = unpack(&packed[..at]);
        }
    }
}

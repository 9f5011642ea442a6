//! Which checkers are alive, and which of them probes what.
//!
//! A checker joins under a **term**, a number that is given once, and keeps it
//! alive by heartbeats. Endpoints fall into [`SHARDS`] shards by their id; a
//! shard belongs to a term, and only while that is in `checkers`. Results are
//! stored in a transaction that holds the term's row, and whoever ends a term
//! deletes that row: so after a takeover nothing comes from the one before it,
//! however late it wakes up. All times are the database's.

use std::time::Duration;

use sqlx::{Any, Row, Transaction};

use crate::{
    Lease, Result, Store, StoreError,
    db::{self, Dialect},
    endpoints::next,
};

/// Parts into which endpoints are divided among checkers.
pub const SHARDS: i64 = 256;

/// What releases that know no terms hold while they probe: as long as one does, nobody joins.
const FORMER: &str = "checker";

/// The shard of an endpoint.
pub fn shard_of(endpoint: i64) -> i64 {
    endpoint.rem_euclid(SHARDS)
}

/// A checker that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub holder: String,
    /// Its term.
    pub term: i64,
    /// Time until it counts as dead unless another heartbeat comes.
    pub expires_in: Duration,
}

/// Who is there and who owns what, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Those whose heartbeats came in time, and those whose did not.
    pub replicas: Vec<Replica>,
    /// The term that each shard is given to, if any, by number of the shard.
    pub shards: Vec<Option<i64>>,
}

impl Store {
    /// Joins as a checker for `ttl`, in place of an earlier one of that name;
    /// its term, or `None` while a checker of an earlier release probes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn join_checkers(&self, holder: &str, ttl: Duration) -> Result<Option<i64>> {
        let (store, holder) = (self.clone(), holder.to_owned());
        self.to_its_end(async move {
            if !store.keep_former_out(ttl).await? {
                return Ok(None);
            }
            let mut transaction = store.db.begin().await?;
            next(&mut transaction, "shards").await?;
            let term = next(&mut transaction, "terms").await?;
            let expires_at = store.deadline(&mut transaction, ttl).await?;
            sqlx::query(include_str!("../sql/checkers/join.sql"))
                .bind(&holder)
                .bind(term)
                .bind(expires_at)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Some(term))
        })
        .await
    }

    /// A heartbeat: keeps a term alive for `ttl` from now; gives the database's time.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the term has been ended; when the database fails.
    pub async fn beat(&self, term: i64, ttl: Duration) -> Result<i64> {
        let store = self.clone();
        self.to_its_end(async move {
            let mut transaction = store.db.begin().await?;
            let expires_at = store.deadline(&mut transaction, ttl).await?;
            let done = sqlx::query("UPDATE checkers SET expires_at = $2 WHERE term = $1")
                .bind(term)
                .bind(expires_at)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            if done.rows_affected() == 0 {
                return Err(StoreError::Fenced);
            }
            store.keep_former_out(ttl).await?;
            Ok(expires_at.saturating_sub(milliseconds(ttl)))
        })
        .await
    }

    /// Who is there and who owns what.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkers(&self) -> Result<View> {
        let mut transaction = self.db.snapshot().await?;
        let now = db::now(&mut transaction).await?;
        let replicas = sqlx::query("SELECT holder, term, expires_at FROM checkers ORDER BY term")
            .fetch_all(&mut *transaction)
            .await?
            .iter()
            .map(|row| {
                let left = row.try_get::<i64, _>(2)?.saturating_sub(now);
                let expires_in = Duration::from_millis(u64::try_from(left).unwrap_or_default());
                Ok(Replica { holder: row.try_get(0)?, term: row.try_get(1)?, expires_in })
            })
            .collect::<Result<_>>()?;
        let shards = sqlx::query_scalar("SELECT term FROM check_shards ORDER BY shard")
            .fetch_all(&mut *transaction)
            .await?;
        Ok(View { replicas, shards })
    }

    /// A number that grows whenever a checker joins or leaves or a shard changes hands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkers_revision(&self) -> Result<i64> {
        self.sequence("shards").await
    }

    /// Ends terms whose heartbeats stopped, then gives those of `shards` to
    /// `term` that are nobody's; how many it got.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the term itself has been ended; when the database fails.
    pub async fn claim_shards(&self, term: i64, shards: Vec<i64>) -> Result<u64> {
        let store = self.clone();
        self.to_its_end(async move {
            let mut transaction = store.begin_brief().await?;
            // One at a time, and before any row of a checker, so that none waits for another in turn.
            next(&mut transaction, "shards").await?;
            let now = db::now(&mut transaction).await?;
            // Waits for results that are being stored under those terms.
            sqlx::query("DELETE FROM checkers WHERE expires_at <= $1 AND term <> $2")
                .bind(now)
                .bind(term)
                .execute(&mut *transaction)
                .await?;
            let mine: Option<i64> = sqlx::query_scalar("SELECT term FROM checkers WHERE term = $1")
                .bind(term)
                .fetch_optional(&mut *transaction)
                .await?;
            mine.ok_or(StoreError::Fenced)?;
            let mut claimed = 0;
            for shard in shards {
                claimed += sqlx::query(include_str!("../sql/checkers/claim.sql"))
                    .bind(shard)
                    .bind(term)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
            }
            transaction.commit().await?;
            Ok(claimed)
        })
        .await
    }

    /// Gives shards back, so that their new owner can take them at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release_shards(&self, term: i64, shards: Vec<i64>) -> Result<()> {
        let store = self.clone();
        self.to_its_end(async move {
            let mut transaction = store.db.begin().await?;
            next(&mut transaction, "shards").await?;
            // Waits for results that are being stored under the term.
            sqlx::query("UPDATE checkers SET term = term WHERE term = $1")
                .bind(term)
                .execute(&mut *transaction)
                .await?;
            for shard in shards {
                sqlx::query("UPDATE check_shards SET term = NULL WHERE shard = $1 AND term = $2")
                    .bind(shard)
                    .bind(term)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Ends a term of one's own, so that others take over at once.
    ///
    /// # Errors
    /// When the database fails; the term then runs out by itself.
    pub async fn leave_checkers(&self, term: i64) -> Result<()> {
        let store = self.clone();
        self.to_its_end(async move {
            let mut transaction = store.db.begin().await?;
            next(&mut transaction, "shards").await?;
            sqlx::query("DELETE FROM checkers WHERE term = $1").bind(term).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    /// Begins what others wait for: should this process freeze in it, its locks are free a second later.
    pub(crate) async fn begin_brief(&self) -> Result<Transaction<'static, Any>> {
        let mut transaction = self.db.begin().await?;
        if self.db.dialect == Dialect::Postgres {
            sqlx::query(include_str!("../sql/postgres/begin_record.sql")).execute(&mut *transaction).await?;
        }
        Ok(transaction)
    }

    /// Waits for work whose query must not be dropped half done: a write of
    /// SQLite's, which has one connection to write with. On Postgres it ends with its caller.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.db.dialect {
            Dialect::Postgres => work.await,
            Dialect::Sqlite => {
                tokio::spawn(work).await.map_err(|error| StoreError::Unwritten(error.to_string()))?
            }
        }
    }

    /// Whether this is the embedded store, of one process and with one connection to write with.
    pub fn is_embedded(&self) -> bool {
        self.db.dialect == Dialect::Sqlite
    }

    async fn keep_former_out(&self, ttl: Duration) -> Result<bool> {
        self.hold(&Lease { name: FORMER.into(), holder: "terms".into(), ttl }).await
    }

    async fn deadline(&self, transaction: &mut Transaction<'static, Any>, ttl: Duration) -> Result<i64> {
        Ok(db::now(transaction).await?.saturating_add(milliseconds(ttl)))
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

//! One holder at a time for a named duty. Time is the database's, so that the
//! clocks of replicas need not agree.

use std::time::Duration;

use crate::{Result, Store, db::Dialect};

/// A duty to hold, such as probing endpoints.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Name of the duty.
    pub name: String,
    /// Who asks: unique per process.
    pub holder: String,
    /// How long a grant lasts without renewal.
    pub ttl: Duration,
}

impl Store {
    /// Takes or renews a lease; tells whether `lease.holder` holds it now.
    ///
    /// # Errors
    /// When the database fails; the caller must then stop when its last grant ends.
    pub async fn hold(&self, lease: &Lease) -> Result<bool> {
        let sql = match self.db.dialect {
            Dialect::Sqlite => include_str!("../sql/sqlite/hold_lease.sql"),
            Dialect::Postgres => include_str!("../sql/postgres/hold_lease.sql"),
        };
        let result = sqlx::query(sql)
            .bind(&lease.name)
            .bind(&lease.holder)
            .bind(i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX))
            .execute(self.db.write())
            .await?;
        Ok(result.rows_affected() == 1)
    }

    /// Gives a lease up, so that another takes over at once.
    ///
    /// # Errors
    /// When the database fails; the lease then ends by itself.
    pub async fn release(&self, lease: &Lease) -> Result<()> {
        sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
            .bind(&lease.name)
            .bind(&lease.holder)
            .execute(self.db.write())
            .await?;
        Ok(())
    }
}

//! Sessions of signed-in browsers. Their tokens are random and kept only as hashes.

use crate::{Result, Store, now_ms};

impl Store {
    /// Starts a session that ends at `expires_at`, UTC milliseconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_session(&self, token_hash: &[u8], expires_at: i64) -> Result<()> {
        sqlx::query("INSERT INTO sessions (token_hash, expires_at) VALUES ($1, $2)")
            .bind(token_hash.to_vec())
            .bind(expires_at)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Whether a session goes on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_session(&self, token_hash: &[u8]) -> Result<bool> {
        let found: Option<i64> =
            sqlx::query_scalar("SELECT expires_at FROM sessions WHERE token_hash = $1 AND expires_at > $2")
                .bind(token_hash.to_vec())
                .bind(now_ms())
                .fetch_optional(self.db.read())
                .await?;
        Ok(found.is_some())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_session(&self, token_hash: &[u8]) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE token_hash = $1")
            .bind(token_hash.to_vec())
            .execute(self.db.write())
            .await?;
        Ok(())
    }
}

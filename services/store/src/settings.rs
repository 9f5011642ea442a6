//! Values that all replicas of an installation share.

use rand::RngCore;

use crate::{Result, Store};

impl Store {
    /// A random 32-byte key of this installation, made at its first use. Replicas
    /// that ask at the same time get the same key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn installation_key(&self, name: &str) -> Result<[u8; 32]> {
        let mut fresh = [0_u8; 32];
        rand::rng().fill_bytes(&mut fresh);
        sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(fresh.to_vec())
            .execute(self.db.write())
            .await?;
        let kept: Vec<u8> = sqlx::query_scalar("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_one(self.db.write())
            .await?;
        kept.try_into().map_err(|_| crate::StoreError::Damaged(format!("setting {name} is not a key")))
    }
}

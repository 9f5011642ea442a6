//! Links that open a project's dashboard to others.

use sha2::{Digest, Sha256};
use sqlx::{Row, any::AnyRow};

use crate::{ProjectId, Result, Store, StoreError, now_ms};

/// Who gets in by a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everybody, by a readable name.
    Public {
        /// The name in its link; no other share has it.
        slug: String,
    },
    /// Whoever has the link. Its secret is kept only as a SHA-256.
    Secret,
    /// Whoever has the link and knows the password.
    Password {
        /// The password's argon2 hash in PHC format.
        hash: String,
    },
}

/// One share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Number within the store.
    pub id: i64,
    /// The project that it opens.
    pub project: ProjectId,
    /// What its owner calls it.
    pub title: String,
    /// Who gets in.
    pub reach: Reach,
    /// Filter that every reader stays within, as the query of a dashboard's URL; empty for none.
    pub filter: String,
    /// Whether addresses and users are shown.
    pub people: bool,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
}

/// A share to make.
#[derive(Debug, Clone)]
pub struct NewShare {
    /// The project that it opens.
    pub project: ProjectId,
    /// What its owner calls it.
    pub title: String,
    /// Who gets in.
    pub reach: Reach,
    /// Secret of the link; unused where the share is public.
    pub secret: String,
    /// Filter that every reader stays within.
    pub filter: String,
    /// Whether addresses and users are shown.
    pub people: bool,
}

const COLUMNS: &str = "id, project_id, title, slug, password_hash, filter, people, created_at";

impl TryFrom<&AnyRow> for Share {
    type Error = StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        let (slug, hash): (Option<String>, Option<String>) = (row.try_get(3)?, row.try_get(4)?);
        let people: i64 = row.try_get(6)?;
        Ok(Self {
            id: row.try_get(0)?,
            project: ProjectId(row.try_get(1)?),
            title: row.try_get(2)?,
            reach: match (slug, hash) {
                (Some(slug), _) => Reach::Public { slug },
                (None, Some(hash)) => Reach::Password { hash },
                (None, None) => Reach::Secret,
            },
            filter: row.try_get(5)?,
            people: people != 0,
            created_at: row.try_get(7)?,
        })
    }
}

impl Store {
    /// Makes a share.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`] when another share has its name, and when the database fails.
    pub async fn create_share(&self, new: &NewShare) -> Result<i64> {
        let (slug, secret, password) = match &new.reach {
            Reach::Public { slug } => (Some(slug.as_str()), None, None),
            Reach::Secret => (None, Some(hash(&new.secret)), None),
            Reach::Password { hash: password } => (None, Some(hash(&new.secret)), Some(password.as_str())),
        };
        sqlx::query_scalar(include_str!("../sql/shares/create.sql"))
            .bind(new.project.0)
            .bind(&new.title)
            .bind(slug)
            .bind(secret)
            .bind(password)
            .bind(&new.filter)
            .bind(i64::from(new.people))
            .bind(now_ms())
            .fetch_optional(self.db.write())
            .await?
            .ok_or(StoreError::SlugTaken)
    }

    /// The share that a link means, by the name or the secret in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn share_by_link(&self, link: &str) -> Result<Option<Share>> {
        let sql = format!("SELECT {COLUMNS} FROM shares WHERE slug = $1 OR secret_hash = $2");
        // Only constants of this file make up the statement.
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(link)
            .bind(hash(link))
            .fetch_optional(self.db.read())
            .await?;
        row.as_ref().map(Share::try_from).transpose()
    }

    /// A project's shares, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shares(&self, project: ProjectId) -> Result<Vec<Share>> {
        self.shares_where("project_id = $1", project.0).await
    }

    /// Public shares of all projects, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn public_shares(&self) -> Result<Vec<Share>> {
        self.shares_where("slug IS NOT NULL AND $1 = $1", 0).await
    }

    async fn shares_where(&self, condition: &str, value: i64) -> Result<Vec<Share>> {
        let sql = format!("SELECT {COLUMNS} FROM shares WHERE {condition} ORDER BY id DESC LIMIT 1000");
        // Only constants of this file make up the statement.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value);
        query.fetch_all(self.db.read()).await?.iter().map(Share::try_from).collect()
    }

    /// Revokes a share: its link opens nothing any more. Tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_share(&self, project: ProjectId, id: i64) -> Result<bool> {
        let sql = "DELETE FROM shares WHERE project_id = $1 AND id = $2";
        let done = sqlx::query(sql).bind(project.0).bind(id).execute(self.db.write()).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

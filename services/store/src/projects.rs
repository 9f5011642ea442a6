//! Projects: whoever holds the key may write, whoever knows the user id may read.

use sha2::{Digest, Sha256};
use sqlx::{Any, Row, Transaction, any::AnyRow};
use uuid::Uuid;

use crate::{Result, Store, endpoints, hits::seal, now_ms};

/// Number of a project in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectId(pub i64);

impl ProjectId {
    /// Owner of the endpoints that belong to the installation itself.
    pub const INSTALLATION: Self = Self(0);
}

/// One project. Its key is kept only as a SHA-256: keys are random, so that
/// nothing can be learnt from the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Number in this store.
    pub id: ProjectId,
    /// Capability to read the project.
    pub user_id: Uuid,
    /// Name given by an administrator.
    pub name: Option<String>,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
    /// When its dashboard was last read, UTC milliseconds.
    pub last_accessed: Option<i64>,
}

const COLUMNS: &str = "id, user_id, name, created_at, last_accessed";

impl TryFrom<&AnyRow> for Project {
    type Error = crate::StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        let user_id: String = row.try_get(1)?;
        Ok(Self {
            id: ProjectId(row.try_get(0)?),
            user_id: user_id.parse().map_err(|e| crate::StoreError::Damaged(format!("user id: {e}")))?,
            name: row.try_get(2)?,
            created_at: row.try_get(3)?,
            last_accessed: row.try_get(4)?,
        })
    }
}

fn hash(key: Uuid) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

impl Store {
    /// The project of an API key, if the key is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn project_by_key(&self, key: Uuid) -> Result<Option<Project>> {
        self.project_where("key_hash = $1", |query| query.bind(hash(key))).await
    }

    /// The project of a user id, if it is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn project_by_user(&self, user: Uuid) -> Result<Option<Project>> {
        self.project_where("user_id = $1", |query| query.bind(user.to_string())).await
    }

    async fn project_where<'q>(
        &self,
        condition: &str,
        bind: impl FnOnce(AnyQuery<'q>) -> AnyQuery<'q>,
    ) -> Result<Option<Project>> {
        let sql = format!("SELECT {COLUMNS} FROM projects WHERE {condition}");
        // Only constants of this file make up the statement.
        let query = bind(sqlx::query(sqlx::AssertSqlSafe(sql)));
        let row = query.fetch_optional(self.db.read()).await?;
        row.as_ref().map(Project::try_from).transpose()
    }

    /// The project of an API key, made if the key is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn register_key(&self, key: Uuid) -> Result<Project> {
        if let Some(project) = self.project_by_key(key).await? {
            return Ok(project);
        }
        sqlx::query(include_str!("../sql/projects/register.sql"))
            .bind(hash(key))
            .bind(Uuid::new_v4().to_string())
            .bind(now_ms())
            .execute(self.db.write())
            .await?;
        self.project_by_key(key).await?.ok_or(crate::StoreError::NoProject)
    }

    /// Makes `key` the key of the project called `name`: a new project, or an
    /// existing one whose key changes. A nameless project that has the key
    /// already, because a client was quicker, becomes part of it. Returns whether
    /// anything changed.
    ///
    /// # Errors
    /// [`StoreError::KeyTaken`](crate::StoreError::KeyTaken) when the key is
    /// another named project's, and when the database fails.
    pub async fn put_project(&self, name: &str, key: Uuid) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        let named: Option<i64> = sqlx::query_scalar("SELECT id FROM projects WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
        let holder = sqlx::query("SELECT id, name FROM projects WHERE key_hash = $1")
            .bind(hash(key))
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(holder) = holder {
            let (id, its_name): (i64, Option<String>) = (holder.try_get(0)?, holder.try_get(1)?);
            match (its_name, named) {
                (Some(its_name), _) if its_name == name => return Ok(false),
                (Some(_), _) => return Err(crate::StoreError::KeyTaken),
                (None, Some(named)) => self.absorb(&mut transaction, id, named).await?,
                (None, None) => {}
            }
        }
        let put = if named.is_some() {
            sqlx::query("UPDATE projects SET key_hash = $1 WHERE name = $2").bind(hash(key)).bind(name)
        } else {
            sqlx::query(include_str!("../sql/projects/put.sql"))
                .bind(hash(key))
                .bind(name)
                .bind(Uuid::new_v4().to_string())
                .bind(now_ms())
        };
        put.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Gives all that belongs to one project to another, and deletes the first.
    /// Appends under way end before, and later ones are refused.
    async fn absorb(&self, transaction: &mut Transaction<'static, Any>, from: i64, into: i64) -> Result<()> {
        for project in [from, into] {
            seal::wait_for_seals(transaction, self.db.dialect, ProjectId(project)).await?;
        }
        sqlx::query("DELETE FROM projects WHERE id = $1").bind(from).execute(&mut **transaction).await?;
        for sql in [
            "UPDATE inbox SET project_id = $2 WHERE project_id = $1",
            "UPDATE segments SET project_id = $2 WHERE project_id = $1",
            "UPDATE checks SET project_id = $2 WHERE project_id = $1",
            "UPDATE endpoints SET project_id = $2 WHERE project_id = $1",
        ] {
            sqlx::query(sql).bind(from).bind(into).execute(&mut **transaction).await?;
        }
        endpoints::next(transaction, "endpoints").await?;
        Ok(())
    }

    /// Forgets the name of a project; its key and data stay.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_project_name(&self, name: &str) -> Result<()> {
        sqlx::query("UPDATE projects SET name = NULL WHERE name = $1")
            .bind(name)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Gives a project a new user id; the old one opens nothing any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn regenerate_user_id(&self, project: ProjectId) -> Result<Uuid> {
        let user = Uuid::new_v4();
        sqlx::query("UPDATE projects SET user_id = $2 WHERE id = $1")
            .bind(project.0)
            .bind(user.to_string())
            .execute(self.db.write())
            .await?;
        Ok(user)
    }

    /// Notes that the project's data was read now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_project(&self, project: ProjectId) -> Result<()> {
        sqlx::query("UPDATE projects SET last_accessed = $2 WHERE id = $1")
            .bind(project.0)
            .bind(now_ms())
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Deletes a project with its hits, monitors and their checks, all or nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_project(&self, project: ProjectId) -> Result<()> {
        let mut transaction = self.db.begin().await?;
        for sql in [
            "DELETE FROM projects WHERE id = $1",
            "DELETE FROM inbox WHERE project_id = $1",
            "DELETE FROM segments WHERE project_id = $1",
            "DELETE FROM checks WHERE project_id = $1",
            "DELETE FROM endpoints WHERE project_id = $1",
        ] {
            sqlx::query(sql).bind(project.0).execute(&mut *transaction).await?;
        }
        endpoints::next(&mut transaction, "endpoints").await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All projects with the number of hits stored for each, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn projects(&self, limit: i64) -> Result<Vec<(Project, i64)>> {
        sqlx::query(include_str!("../sql/projects/list.sql"))
            .bind(limit)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| Ok((Project::try_from(row)?, row.try_get(5)?)))
            .collect()
    }
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

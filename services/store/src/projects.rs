//! Projects: whoever holds the key may write, whoever knows the user id may read.

use std::{collections::HashMap, time::Duration};

use sha2::{Digest, Sha256};
use sqlx::{Any, Row, Transaction, any::AnyRow};
use uuid::Uuid;

use crate::{
    Result, Store,
    db::{Db, Dialect},
    endpoints,
    hits::seal,
    now_ms,
    portions::Bulk,
};

/// Time for which a noted read stands for others, milliseconds.
const TOUCH: u64 = 60_000;

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
    /// What it wants beyond what the installation demands.
    pub settings: ProjectSettings,
}

/// A project with what is stored for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProject {
    /// The project.
    pub project: Project,
    /// Hits, sealed or not.
    pub hits: i64,
    /// When its last hit happened, UTC milliseconds.
    pub last_hit: Option<i64>,
}

/// What a project wants beyond what the installation demands: the stricter of both holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProjectSettings {
    /// How long its hits are kept, in whole UTC days; `None` as long as the installation says.
    pub retention_hits: Option<Duration>,
    /// Least privacy of its hits, 0 to 2.
    pub privacy_level: Option<u8>,
    /// Whether it honours requests not to be tracked.
    pub honor_gpc: bool,
}

const COLUMNS: &str =
    "id, user_id, name, created_at, last_accessed, retention_hits, privacy_level, honor_gpc";

/// Whether a project is of use to nobody.
const UNUSED: &str = include_str!("../sql/projects/unused.sql");

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
            settings: ProjectSettings::from_row(row)?,
        })
    }
}

impl ProjectSettings {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let milliseconds: Option<i64> = row.try_get(5)?;
        let level: Option<i64> = row.try_get(6)?;
        let honor: Option<i64> = row.try_get(7)?;
        Ok(Self {
            retention_hits: milliseconds.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            privacy_level: level.and_then(|level| u8::try_from(level).ok()),
            honor_gpc: honor == Some(1),
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

    /// The project of a number, if it is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn project_by_id(&self, id: ProjectId) -> Result<Option<Project>> {
        self.project_where("id = $1", |query| query.bind(id.0)).await
    }

    /// The project that an administrator gave this name, if there is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn project_by_name(&self, name: &str) -> Result<Option<Project>> {
        let name = name.to_owned();
        self.project_where("name = $1", |query| query.bind(name)).await
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

    /// The project called `name`. If there is none it is made, with a key that nobody has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn project_named(&self, name: &str) -> Result<Project> {
        let find = || self.project_where("name = $1", |query| query.bind(name.to_owned()));
        if let Some(project) = find().await? {
            return Ok(project);
        }
        sqlx::query(include_str!("../sql/projects/put_named.sql"))
            .bind(hash(Uuid::new_v4()))
            .bind(Uuid::new_v4().to_string())
            .bind(name)
            .bind(now_ms())
            .execute(self.db.write())
            .await?;
        find().await?.ok_or(crate::StoreError::NoProject)
    }

    /// Makes `key` the key of the project called `name`: a new project, or an
    /// existing one whose key changes. A nameless project that has the key
    /// already, because a client was quicker, becomes part of it. Returns whether
    /// anything changed.
    ///
    /// # Errors
    /// [`StoreError::KeyTaken`](crate::StoreError::KeyTaken) when the key is
    /// another named project's, and when the database fails: some of the nameless
    /// project's hits may be the other's by then, and the rest is once this is done again.
    pub async fn put_project(&self, name: &str, key: Uuid) -> Result<bool> {
        if self.db.dialect == Dialect::Sqlite {
            self.give_segments(name, key).await?;
        }
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

    /// Gives what is sealed of a nameless project, which is about to become part of another, to that: most of
    /// what it has. At once, with all else, it would keep the one writer of SQLite from others.
    pub(crate) async fn give_segments(&self, name: &str, key: Uuid) -> Result<()> {
        match (self.project_by_key(key).await?, self.project_by_name(name).await?) {
            (Some(holder), Some(named)) if holder.name.is_none() => {
                self.move_bulk(Bulk::files("segments"), holder.id, named.id).await
            }
            _ => Ok(()),
        }
    }

    /// Gives all that belongs to one project to another, and deletes the first.
    /// Appends under way end before, and later ones are refused; what waits in a
    /// spool finds its way by what is noted.
    async fn absorb(&self, transaction: &mut Transaction<'static, Any>, from: i64, into: i64) -> Result<()> {
        for project in [from, into] {
            seal::wait_for_seals(transaction, self.db.dialect, ProjectId(project)).await?;
        }
        sqlx::query("DELETE FROM projects WHERE id = $1").bind(from).execute(&mut **transaction).await?;
        // First of what endpoints have: whoever stores results meanwhile ends before, or finds another
        // `seq` and reads the endpoint anew.
        let seq = endpoints::next(transaction, "endpoints").await?;
        sqlx::query("UPDATE endpoints SET project_id = $2, seq = $3 WHERE project_id = $1")
            .bind(from)
            .bind(into)
            .bind(seq)
            .execute(&mut **transaction)
            .await?;
        for sql in [
            "UPDATE inbox SET project_id = $2 WHERE project_id = $1",
            "UPDATE damaged_batches SET project_id = $2 WHERE project_id = $1",
            "UPDATE segments SET project_id = $2 WHERE project_id = $1",
            "UPDATE checks SET project_id = $2 WHERE project_id = $1",
            "UPDATE check_segments SET project_id = $2 WHERE project_id = $1",
            "UPDATE transitions SET project_id = $2 WHERE project_id = $1",
            "UPDATE notices SET project_id = $2 WHERE project_id = $1",
            "UPDATE batches SET project_id = $2 WHERE project_id = $1 AND NOT EXISTS \
             (SELECT 1 FROM batches o WHERE o.project_id = $2 AND o.key = batches.key)",
            // Both may know of one address, and the days of both now have other numbers of hits.
            include_str!("../sql/addresses/absorb.sql"),
            include_str!("../sql/sites/absorb.sql"),
            "DELETE FROM site_days WHERE project_id IN ($1, $2)",
            "UPDATE shares SET project_id = $2 WHERE project_id = $1",
            "UPDATE dashboards SET project_id = $2 WHERE project_id = $1 AND NOT EXISTS \
             (SELECT 1 FROM dashboards d WHERE d.project_id = $2)",
            "UPDATE annotations SET project_id = $2 WHERE project_id = $1",
            // Of what the first had taken in itself.
            "UPDATE absorbed SET into_id = $2 WHERE into_id = $1",
        ] {
            sqlx::query(sql).bind(from).bind(into).execute(&mut **transaction).await?;
        }
        for sql in ["DELETE FROM addresses WHERE project_id = $1", "DELETE FROM sites WHERE project_id = $1"]
        {
            sqlx::query(sql).bind(from).execute(&mut **transaction).await?;
        }
        sqlx::query("INSERT INTO absorbed (project_id, into_id, at) VALUES ($1, $2, $3)")
            .bind(from)
            .bind(into)
            .bind(now_ms())
            .execute(&mut **transaction)
            .await?;
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

    /// Notes that the project's data was read now, give or take a minute.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touch_project(&self, project: ProjectId) -> Result<()> {
        let now = now_ms();
        let sql = "SELECT last_accessed FROM projects WHERE id = $1";
        let known: Option<Option<i64>> =
            sqlx::query_scalar(sql).bind(project.0).fetch_optional(self.db.read()).await?;
        // Reading is frequent, and writing is for one at a time.
        if known.flatten().is_some_and(|known| now.abs_diff(known) < TOUCH) {
            return Ok(());
        }
        sqlx::query("UPDATE projects SET last_accessed = $2 WHERE id = $1")
            .bind(project.0)
            .bind(now)
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// Deletes a project with its monitors and their checks, all or nothing, and then its hits, which nobody
    /// can read any more; [`Store::expire`] deletes what is left of them when this fails.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_project(&self, project: ProjectId) -> Result<()> {
        let mut transaction = self.db.begin().await?;
        for sql in [
            "DELETE FROM projects WHERE id = $1",
            "DELETE FROM checks WHERE project_id = $1",
            include_str!("../sql/heartbeats/delete_of_project.sql"),
            "DELETE FROM check_segments WHERE project_id = $1",
            "DELETE FROM transitions WHERE project_id = $1",
            "DELETE FROM endpoints WHERE project_id = $1",
            "DELETE FROM batches WHERE project_id = $1",
            "DELETE FROM sites WHERE project_id = $1",
            "DELETE FROM site_days WHERE project_id = $1",
            "DELETE FROM dashboards WHERE project_id = $1",
            "DELETE FROM shares WHERE project_id = $1",
            "DELETE FROM annotations WHERE project_id = $1",
            "DELETE FROM absorbed WHERE into_id = $1",
        ] {
            sqlx::query(sql).bind(project.0).execute(&mut *transaction).await?;
        }
        endpoints::next(&mut transaction, "endpoints").await?;
        transaction.commit().await?;
        // In the direction in which hits move.
        for table in ["inbox", "damaged_batches", "segments"].map(Bulk::files) {
            self.delete_bulk(table, "project_id = $1", &[project.0]).await?;
        }
        self.delete_bulk(Bulk::rows("addresses"), "project_id = $1", &[project.0]).await?;
        Ok(())
    }

    /// Notes of the projects that have hits that they have some at `now`, UTC milliseconds.
    pub(crate) async fn note_projects_with_hits(&self, now: i64) -> Result<()> {
        sqlx::query(include_str!("../sql/projects/note_hits.sql")).bind(now).execute(self.db.write()).await?;
        Ok(())
    }

    /// Drops the projects without a name that were made before `since` (UTC milliseconds) and hold
    /// nothing, and that nobody has set, filled or looked at from then on; returns how many.
    pub(crate) async fn drop_unused_projects(&self, since: i64) -> Result<u64> {
        // A hit that is being stored holds a lock of its project: whoever has this one finds it stored.
        let lock = if self.db.dialect == Dialect::Postgres { "FOR UPDATE" } else { "" };
        let find = format!("SELECT p.id FROM projects AS p WHERE {UNUSED} ORDER BY p.id LIMIT 1000 {lock}");
        let drop = format!("DELETE FROM projects AS p WHERE {UNUSED} AND p.id = $2");
        let mut dropped = 0;
        loop {
            let mut transaction = self.db.begin().await?;
            // Only constants of this file make up the statements.
            let unused: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(find.as_str()))
                .bind(since)
                .fetch_all(&mut *transaction)
                .await?;
            let mut gone = 0;
            for project in unused {
                let query = sqlx::query(sqlx::AssertSqlSafe(drop.as_str())).bind(since).bind(project);
                gone += query.execute(&mut *transaction).await?.rows_affected();
            }
            transaction.commit().await?;
            if gone == 0 {
                return Ok(dropped);
            }
            dropped += gone;
        }
    }

    /// Sets what a project wants beyond what the installation demands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_project_settings(&self, project: ProjectId, settings: ProjectSettings) -> Result<()> {
        let retention = settings.retention_hits.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        sqlx::query(include_str!("../sql/projects/set_settings.sql"))
            .bind(project.0)
            .bind(retention)
            .bind(settings.privacy_level.map(i64::from))
            .bind(i64::from(settings.honor_gpc))
            .execute(self.db.write())
            .await?;
        Ok(())
    }

    /// The projects that keep their hits for a time of their own.
    pub(crate) async fn own_retentions(&self) -> Result<Vec<(ProjectId, Duration)>> {
        let sql = format!("SELECT {COLUMNS} FROM projects WHERE retention_hits IS NOT NULL");
        // Only constants of this file make up the statement.
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(self.db.read()).await?;
        let projects = rows.iter().map(Project::try_from).collect::<Result<Vec<_>>>()?;
        let own = |project: Project| Some((project.id, project.settings.retention_hits?));
        Ok(projects.into_iter().filter_map(own).collect())
    }

    /// All projects with the number of hits stored for each, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn projects(&self, limit: i64) -> Result<Vec<(Project, i64)>> {
        let listed = self.list_projects(limit).await?;
        Ok(listed.into_iter().map(|listed| (listed.project, listed.hits)).collect())
    }

    /// The projects that a search finds, those with a name first and by it, the others from the newest
    /// on: at most `limit` after `offset`, and how many there are. A search is a part of a name, or the
    /// first eight digits of a user id, which open nothing; an empty one finds all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_projects(&self, search: &str, offset: i64, limit: i64) -> Result<(Vec<Project>, i64)> {
        let part = search.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        let like = format!("%{part}%");
        let found = sqlx::query(include_str!("../sql/projects/find.sql"))
            .bind(search)
            .bind(&like)
            .bind(limit)
            .bind(offset)
            .fetch_all(self.db.read())
            .await?;
        let all = sqlx::query(include_str!("../sql/projects/count_found.sql"))
            .bind(search)
            .bind(&like)
            .fetch_one(self.db.read())
            .await?;
        Ok((found.iter().map(Project::try_from).collect::<Result<_>>()?, all.try_get(0)?))
    }

    /// All projects with what is stored for each, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_projects(&self, limit: i64) -> Result<Vec<ListedProject>> {
        sqlx::query(include_str!("../sql/projects/list.sql"))
            .bind(limit)
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let (hits, last_hit) = (row.try_get(8)?, row.try_get(9)?);
                Ok(ListedProject { project: Project::try_from(row)?, hits, last_hit })
            })
            .collect()
    }
}

/// Which projects are gone because another has taken them in, and which that is.
pub(crate) async fn absorbed(db: &Db) -> Result<HashMap<ProjectId, ProjectId>> {
    sqlx::query("SELECT project_id, into_id FROM absorbed")
        .fetch_all(db.read())
        .await?
        .iter()
        .map(|row| Ok((ProjectId(row.try_get(0)?), ProjectId(row.try_get(1)?))))
        .collect()
}

type AnyQuery<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    on_both! { a_read_is_noted_once_a_minute }

    async fn a_read_is_noted_once_a_minute(store: &Store) {
        let project = store.register_key(Uuid::new_v4()).await.expect("register").id;
        let noted =
            async || store.project_by_id(project).await.expect("find").expect("is there").last_accessed;
        store.touch_project(project).await.expect("touch");
        assert!(noted().await.is_some());
        // The last is that of a clock that was wrong.
        for (age, kept) in [(30_000, true), (61_000, false), (-3_600_000, false)] {
            let before = now_ms() - age;
            sqlx::query("UPDATE projects SET last_accessed = $1")
                .bind(before)
                .execute(store.db.write())
                .await
                .expect("update");
            store.touch_project(project).await.expect("touch");
            assert_eq!(noted().await == Some(before), kept, "{age}");
        }
    }
}

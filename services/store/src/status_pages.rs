//! Public status pages: which endpoints each shows, under which names; and whose badges are public.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::{Row, any::AnyRow};

use crate::{Result, Store, StoreError, now_ms};

/// What a status page says and shows. What an older release does not know it ignores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusPageSpec {
    /// What the page is called.
    pub title: String,
    /// What stands below the title.
    pub description: String,
    /// Where readers find help or the product itself: an http or https URL.
    pub link: Option<String>,
    /// Host name at whose `/` the page answers too, in lower case and without a port.
    pub host: Option<String>,
    /// Whether the response times of endpoints are shown.
    pub latency: bool,
    /// What it shows, in this order.
    pub groups: Vec<StatusGroup>,
}

/// Endpoints of a status page under one heading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusGroup {
    /// The heading.
    pub name: String,
    /// Uids of endpoints, in the order shown.
    pub endpoints: Vec<String>,
    /// All endpoints of this group of theirs are shown too, also those that come later.
    pub all_of: Option<String>,
}

/// A status page as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPage {
    /// Number within the store.
    pub id: i64,
    /// Its name in addresses; no other page has it.
    pub slug: String,
    /// What it says and shows.
    pub spec: StatusPageSpec,
    /// When it was made, UTC milliseconds.
    pub created_at: i64,
    /// When its specification last changed, UTC milliseconds.
    pub updated_at: i64,
}

const COLUMNS: &str = "id, slug, spec, created_at, updated_at";

impl TryFrom<&AnyRow> for StatusPage {
    type Error = StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            slug: row.try_get(1)?,
            spec: serde_json::from_str(&row.try_get::<String, _>(2)?)?,
            created_at: row.try_get(3)?,
            updated_at: row.try_get(4)?,
        })
    }
}

impl Store {
    /// Makes a status page; returns its number.
    ///
    /// # Errors
    /// [`StoreError::SlugTaken`] or [`StoreError::HostTaken`] when another page has that, and when
    /// the database fails.
    pub async fn create_status_page(&self, slug: &str, spec: &StatusPageSpec) -> Result<i64> {
        let made: Option<i64> = sqlx::query_scalar(include_str!("../sql/status/create_page.sql"))
            .bind(slug)
            .bind(spec.host.as_deref())
            .bind(serde_json::to_string(spec)?)
            .bind(now_ms())
            .fetch_optional(self.db.write())
            .await?;
        match made {
            Some(id) => Ok(id),
            None => Err(self.taken(slug).await?),
        }
    }

    /// Changes a status page, its slug included; tells whether it was there.
    ///
    /// # Errors
    /// As [`Store::create_status_page`].
    pub async fn update_status_page(&self, id: i64, slug: &str, spec: &StatusPageSpec) -> Result<bool> {
        let done = sqlx::query(include_str!("../sql/status/update_page.sql"))
            .bind(id)
            .bind(slug)
            .bind(spec.host.as_deref())
            .bind(serde_json::to_string(spec)?)
            .bind(now_ms())
            .execute(self.db.write())
            .await?;
        if done.rows_affected() > 0 {
            return Ok(true);
        }
        let there: Option<i64> = sqlx::query_scalar("SELECT id FROM status_pages WHERE id = $1")
            .bind(id)
            .fetch_optional(self.db.read())
            .await?;
        match there {
            None => Ok(false),
            Some(_) => match self.status_page(slug).await? {
                Some(other) if other.id != id => Err(StoreError::SlugTaken),
                _ => Err(StoreError::HostTaken),
            },
        }
    }

    /// Why a page could not be made.
    async fn taken(&self, slug: &str) -> Result<StoreError> {
        let same = self.status_page(slug).await?;
        Ok(if same.is_some() { StoreError::SlugTaken } else { StoreError::HostTaken })
    }

    /// All status pages, in the order of their slugs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_pages(&self) -> Result<Vec<StatusPage>> {
        self.pages_where("$1 = $1", "").await
    }

    /// The status page of a slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_page(&self, slug: &str) -> Result<Option<StatusPage>> {
        Ok(self.pages_where("slug = $1", slug).await?.pop())
    }

    /// The status page that answers at a host, in lower case and without a port.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status_page_at(&self, host: &str) -> Result<Option<StatusPage>> {
        Ok(self.pages_where("host = $1", host).await?.pop())
    }

    async fn pages_where(&self, condition: &str, value: &str) -> Result<Vec<StatusPage>> {
        let sql = format!("SELECT {COLUMNS} FROM status_pages WHERE {condition} ORDER BY slug LIMIT 1000");
        // Only constants of this file make up the statement.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value);
        query.fetch_all(self.db.read()).await?.iter().map(StatusPage::try_from).collect()
    }

    /// Deletes a status page with all that was posted on it; tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_status_page(&self, id: i64) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        sqlx::query(include_str!("../sql/status/delete_updates.sql"))
            .bind(id)
            .bind(None::<i64>)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM status_incidents WHERE page_id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        let done =
            sqlx::query("DELETE FROM status_pages WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Uids of the endpoints whose badges are public by themselves.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn badges(&self) -> Result<HashSet<String>> {
        let uids: Vec<String> =
            sqlx::query_scalar("SELECT uid FROM badges").fetch_all(self.db.read()).await?;
        Ok(uids.into_iter().collect())
    }

    /// Makes the badges of an endpoint public, or no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_badge(&self, uid: &str, public: bool) -> Result<()> {
        let sql = if public {
            "INSERT INTO badges (uid) VALUES ($1) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM badges WHERE uid = $1"
        };
        sqlx::query(sql).bind(uid).execute(self.db.write()).await?;
        Ok(())
    }
}

//! What people post on a status page: incidents and maintenance, and how they go on.

use std::collections::HashMap;

use sqlx::{Row, any::AnyRow};

use crate::{Result, Store, StoreError, words::words};

words! {
    /// What is posted.
    IncidentKind {
        /// Something is wrong.
        Incident = "incident",
        /// Work that was planned.
        Maintenance = "maintenance",
    }
}

words! {
    /// How far readers are touched, the least first.
    Impact {
        /// They notice nothing.
        None = "none",
        /// It works, but worse than it should.
        Degraded = "degraded",
        /// Some of it does not work.
        Partial = "partial",
        /// It does not work.
        Major = "major",
    }
}

words! {
    /// How far an incident or a maintenance has come.
    IncidentStatus {
        /// It is known that something is wrong.
        Open = "open",
        /// The cause is being looked for.
        Investigating = "investigating",
        /// The cause is known.
        Identified = "identified",
        /// It was mended, and is watched.
        Monitoring = "monitoring",
        /// It is over.
        Resolved = "resolved",
        /// A maintenance is to come.
        Scheduled = "scheduled",
        /// A maintenance goes on.
        InProgress = "in_progress",
        /// A maintenance is over.
        Completed = "completed",
    }
}

impl IncidentStatus {
    /// Whether nothing follows.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Resolved | Self::Completed)
    }

    /// Whether things of a kind can have come so far.
    pub const fn is_of(self, kind: IncidentKind) -> bool {
        let planned = matches!(self, Self::Scheduled | Self::InProgress | Self::Completed);
        planned == matches!(kind, IncidentKind::Maintenance)
    }
}

/// What is posted, beside its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentFacts {
    /// Incident or maintenance.
    pub kind: IncidentKind,
    /// What happened, or what will be done.
    pub title: String,
    /// How far readers are touched.
    pub impact: Impact,
    /// Uids of the endpoints it is about; of the whole page where there are none.
    pub endpoints: Vec<String>,
    /// When it began or will begin, UTC milliseconds.
    pub starts_at: i64,
    /// When it ended; of a maintenance also when it is to end, UTC milliseconds.
    pub ends_at: Option<i64>,
}

/// One word about how it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    /// When, UTC milliseconds.
    pub at: i64,
    /// How far it had come then.
    pub status: IncidentStatus,
    /// What to tell the readers.
    pub text: String,
}

/// An incident or a maintenance as posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusIncident {
    /// Number within the store.
    pub id: i64,
    /// What it is about.
    pub facts: IncidentFacts,
    /// How far it has come by its last update.
    pub status: IncidentStatus,
    /// What was told, newest first.
    pub updates: Vec<StatusUpdate>,
}

/// Reads a stored word.
fn word<T>(parsed: impl Fn(&str) -> Option<T>, text: &str) -> Result<T> {
    parsed(text).ok_or_else(|| StoreError::Damaged(format!("`{text}` on a status page")))
}

impl TryFrom<&AnyRow> for StatusIncident {
    type Error = StoreError;

    fn try_from(row: &AnyRow) -> Result<Self> {
        let facts = IncidentFacts {
            kind: word(IncidentKind::parse, row.try_get(1)?)?,
            title: row.try_get(2)?,
            impact: word(Impact::parse, row.try_get(3)?)?,
            endpoints: serde_json::from_str(row.try_get(5)?)?,
            starts_at: row.try_get(6)?,
            ends_at: row.try_get(7)?,
        };
        let status = word(IncidentStatus::parse, row.try_get(4)?)?;
        Ok(Self { id: row.try_get(0)?, facts, status, updates: Vec::new() })
    }
}

impl Store {
    /// Posts something with its first update; returns its number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn post_incident(&self, page: i64, facts: &IncidentFacts, first: &StatusUpdate) -> Result<i64> {
        let mut transaction = self.db.begin().await?;
        let id: i64 = sqlx::query_scalar(include_str!("../sql/status/open_incident.sql"))
            .bind(page)
            .bind(facts.kind.as_str())
            .bind(&facts.title)
            .bind(facts.impact.as_str())
            .bind(first.status.as_str())
            .bind(serde_json::to_string(&facts.endpoints)?)
            .bind(facts.starts_at)
            .bind(facts.ends_at)
            .fetch_one(&mut *transaction)
            .await?;
        add_update(&mut transaction, id, first).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Tells how it goes on; `ends_at` is its end as known from now on. Tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn update_incident(
        &self,
        page: i64,
        id: i64,
        update: &StatusUpdate,
        ends_at: Option<i64>,
    ) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        let done = sqlx::query(include_str!("../sql/status/move_incident.sql"))
            .bind(page)
            .bind(id)
            .bind(update.status.as_str())
            .bind(ends_at)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        add_update(&mut transaction, id, update).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Changes what is posted, except its kind and its updates; tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn edit_incident(&self, page: i64, id: i64, facts: &IncidentFacts) -> Result<bool> {
        let done = sqlx::query(include_str!("../sql/status/edit_incident.sql"))
            .bind(page)
            .bind(id)
            .bind(&facts.title)
            .bind(facts.impact.as_str())
            .bind(serde_json::to_string(&facts.endpoints)?)
            .bind(facts.starts_at)
            .bind(facts.ends_at)
            .execute(self.db.write())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes something back that was posted, with its updates; tells whether it was there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_incident(&self, page: i64, id: i64) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        sqlx::query(include_str!("../sql/status/delete_updates.sql"))
            .bind(page)
            .bind(Some(id))
            .execute(&mut *transaction)
            .await?;
        let done = sqlx::query("DELETE FROM status_incidents WHERE page_id = $1 AND id = $2")
            .bind(page)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// What was posted on a page and touches `from <= time < to` (UTC milliseconds), at most `limit`,
    /// the last to begin first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents(&self, page: i64, from: i64, to: i64, limit: i64) -> Result<Vec<StatusIncident>> {
        let mut transaction = self.db.snapshot().await?;
        let rows = sqlx::query(include_str!("../sql/status/incidents.sql"))
            .bind(page)
            .bind(from)
            .bind(to)
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await?;
        let updates = sqlx::query(include_str!("../sql/status/updates.sql"))
            .bind(page)
            .bind(from)
            .bind(to)
            .bind(limit)
            .fetch_all(&mut *transaction)
            .await?;
        let mut told: HashMap<i64, Vec<StatusUpdate>> = HashMap::new();
        for row in &updates {
            told.entry(row.try_get(0)?).or_default().push(read_update(row, 2)?);
        }
        rows.iter()
            .map(|row| {
                let mut incident = StatusIncident::try_from(row)?;
                incident.updates = told.remove(&incident.id).unwrap_or_default();
                Ok(incident)
            })
            .collect()
    }

    /// One thing that was posted on a page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident(&self, page: i64, id: i64) -> Result<Option<StatusIncident>> {
        let sql = "SELECT id, kind, title, impact, status, endpoints, starts_at, ends_at FROM status_incidents \
                   WHERE page_id = $1 AND id = $2";
        let mut transaction = self.db.snapshot().await?;
        let row = sqlx::query(sql).bind(page).bind(id).fetch_optional(&mut *transaction).await?;
        let Some(mut incident) = row.as_ref().map(StatusIncident::try_from).transpose()? else {
            return Ok(None);
        };
        let sql =
            "SELECT at, status, text FROM status_updates WHERE incident_id = $1 ORDER BY at DESC, id DESC";
        let updates = sqlx::query(sql).bind(id).fetch_all(&mut *transaction).await?;
        incident.updates = updates.iter().map(|row| read_update(row, 0)).collect::<Result<_>>()?;
        Ok(Some(incident))
    }
}

async fn add_update(
    transaction: &mut sqlx::Transaction<'static, sqlx::Any>,
    incident: i64,
    update: &StatusUpdate,
) -> Result<()> {
    sqlx::query(include_str!("../sql/status/add_update.sql"))
        .bind(incident)
        .bind(update.at)
        .bind(update.status.as_str())
        .bind(&update.text)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// An update whose moment stands in column `first`.
fn read_update(row: &AnyRow, first: usize) -> Result<StatusUpdate> {
    Ok(StatusUpdate {
        at: row.try_get(first)?,
        status: word(IncidentStatus::parse, row.try_get(first + 1)?)?,
        text: row.try_get(first + 2)?,
    })
}

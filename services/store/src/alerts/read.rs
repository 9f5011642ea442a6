//! The log of notices, the dead letters, and how long the queue is.

use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{Details, Kind, Notice, NoticeState, notice::COLUMNS};
use crate::{Result, State, Store, db, now_ms};

/// Which notices to list.
#[derive(Debug, Clone, Default)]
pub struct NoticeFilter {
    /// In this state.
    pub state: Option<NoticeState>,
    /// Of the endpoint of this uid.
    pub endpoint: Option<String>,
    /// To this channel.
    pub channel: Option<String>,
    /// Older than the notice of this number.
    pub before: Option<i64>,
}

/// How long the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Notices to be sent now, or being sent.
    pub waiting: i64,
    /// Notices that something holds.
    pub held: i64,
    /// Notices that their channel refused for too long.
    pub dead: i64,
    /// How long the oldest to be sent now could have been sent already, milliseconds.
    pub oldest_ms: i64,
}

impl Store {
    /// Notices, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notices(&self, filter: &NoticeFilter, limit: i64) -> Result<Vec<Notice>> {
        let sql = format!("SELECT {COLUMNS} FROM notices {}", include_str!("../../sql/alerts/filter.sql"));
        // Only constants make up the statement.
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(filter.state.map(NoticeState::as_str))
            .bind(filter.endpoint.as_deref())
            .bind(filter.channel.as_deref())
            .bind(filter.before)
            .bind(limit)
            .fetch_all(self.db.read())
            .await?;
        Ok(rows.iter().filter_map(Notice::readable).collect())
    }

    /// One notice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notice(&self, id: i64) -> Result<Option<Notice>> {
        let sql = format!("SELECT {COLUMNS} FROM notices WHERE id = $1");
        // Only constants make up the statement.
        let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(self.db.read()).await?;
        row.as_ref().map(Notice::try_from).transpose()
    }

    /// Lets a dead notice be tried again; tells whether it was dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_notice(&self, id: i64) -> Result<bool> {
        let mut transaction = self.db.begin().await?;
        let now = db::now(&mut transaction).await?;
        let retried = sqlx::query(include_str!("../../sql/alerts/retry.sql"))
            .bind(id)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(retried.rows_affected() > 0)
    }

    /// Lets every dead notice be tried again, of one endpoint (by its uid) or to one channel where
    /// those are given; returns how many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retry_dead_notices(&self, endpoint: Option<&str>, channel: Option<&str>) -> Result<u64> {
        let mut transaction = self.db.begin().await?;
        let now = db::now(&mut transaction).await?;
        let retried = sqlx::query(include_str!("../../sql/alerts/retry_dead.sql"))
            .bind(endpoint)
            .bind(channel)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(retried.rows_affected())
    }

    /// Puts a notice into the outbox that only says that a channel works; returns its number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enqueue_test(&self, channel: &str) -> Result<i64> {
        let mut transaction = self.db.begin().await?;
        let now = db::now(&mut transaction).await?;
        let details = Details {
            uid: "test".into(),
            namespace: String::new(),
            name: "test".into(),
            display_name: "Test".into(),
            group: None,
            target: String::new(),
            labels: std::collections::BTreeMap::new(),
            from: State::Unknown,
            to: State::Up,
            from_since: now,
            message: Some(format!("Notices reach the channel {channel}.")),
            status: None,
            duration_us: None,
        };
        let id = sqlx::query_scalar(include_str!("../../sql/alerts/insert_test.sql"))
            .bind(format!("test/{}", Uuid::new_v4()))
            .bind(channel)
            .bind(Kind::Test.as_str())
            .bind(State::Up.as_str())
            .bind(serde_json::to_string(&details)?)
            .bind(now)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// How long the queue is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notice_queue(&self) -> Result<Queue> {
        let row = sqlx::query(include_str!("../../sql/alerts/queue.sql")).fetch_one(self.db.read()).await?;
        let oldest: Option<i64> = row.try_get(3)?;
        Ok(Queue {
            waiting: row.try_get(0)?,
            held: row.try_get(1)?,
            dead: row.try_get(2)?,
            oldest_ms: oldest.map_or(0, |at| now_ms().saturating_sub(at).max(0)),
        })
    }
}

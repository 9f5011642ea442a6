//! Errands: what an API asks a checker to do at once, and the answers. The API itself reaches nothing
//! but the database, so whoever may look at the world does it, wherever that runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use tokio::time::Instant;

use crate::{Result, Store, now_ms};

/// Time between looks at whether an answer is there.
const LOOK: Duration = Duration::from_millis(50);

/// Age from which an errand is of no interest to anybody, milliseconds.
const STALE: i64 = 10 * 60_000;

/// Errands that one look takes at most.
const TAKE: i64 = 32;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// Check an endpoint now; the answer is a [`crate::LastCheck`].
    Check {
        /// The endpoint.
        endpoint: i64,
        /// Whether attempts that fail are repeated as its specification says.
        retries: bool,
    },
    /// Ask the server of an endpoint for its certificate; the answer is a [`CertificateAnswer`].
    Certificate {
        /// The endpoint.
        endpoint: i64,
    },
}

/// What a server's certificate says, or why there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateAnswer {
    /// When it was asked, UTC milliseconds.
    pub at: Option<i64>,
    /// Whom it is for.
    pub subject: Option<String>,
    /// Who signed it.
    pub issuer: Option<String>,
    /// Serial number in hexadecimal digits.
    pub serial_number: Option<String>,
    /// Version, 3 nearly always.
    pub version: Option<u32>,
    /// From when it is valid, UTC milliseconds.
    pub not_before: Option<i64>,
    /// Until when, UTC milliseconds.
    pub not_after: Option<i64>,
    /// Names that it is valid for.
    pub names: Vec<String>,
    /// SHA-256 of its DER form, in hexadecimal digits.
    pub fingerprint_sha256: Option<String>,
    /// Why it is not known.
    pub error: Option<String>,
}

impl CertificateAnswer {
    /// That there is none, and why.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// An errand that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its number.
    pub id: i64,
    /// What to do.
    pub errand: Errand,
}

impl Store {
    /// Has errands done by whichever checkers take them, and gives their answers in the same order;
    /// `None` for one that nobody has answered within `wait`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run_errands(&self, errands: &[Errand], wait: Duration) -> Result<Vec<Option<String>>> {
        if errands.is_empty() {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait;
        let ids = self.ask_errands(errands).await?;
        let mut answers: Vec<Option<String>> = vec![None; ids.len()];
        let (Some(first), Some(last)) = (ids.iter().min(), ids.iter().max()) else { return Ok(answers) };
        loop {
            tokio::time::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now()))).await;
            // Numbers of one asker may have those of another between them.
            let rows = sqlx::query(include_str!("../sql/errands/answers.sql"))
                .bind(first)
                .bind(last)
                .fetch_all(self.db.read())
                .await?;
            for row in &rows {
                let id: i64 = row.try_get(0)?;
                if let Some(index) = ids.iter().position(|known| *known == id) {
                    answers[index] = row.try_get(1)?;
                }
            }
            if answers.iter().all(Option::is_some) || Instant::now() >= deadline {
                break;
            }
        }
        let mut transaction = self.db.begin().await?;
        for id in ids {
            sqlx::query("DELETE FROM errands WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(answers)
    }

    async fn ask_errands(&self, errands: &[Errand]) -> Result<Vec<i64>> {
        let now = now_ms();
        let mut transaction = self.db.begin().await?;
        sqlx::query("DELETE FROM errands WHERE asked_at < $1")
            .bind(now - STALE)
            .execute(&mut *transaction)
            .await?;
        let mut ids = Vec::with_capacity(errands.len());
        for errand in errands {
            let id =
                sqlx::query_scalar("INSERT INTO errands (errand, asked_at) VALUES ($1, $2) RETURNING id")
                    .bind(serde_json::to_string(errand)?)
                    .bind(now)
                    .fetch_one(&mut *transaction)
                    .await?;
            ids.push(id);
        }
        transaction.commit().await?;
        Ok(ids)
    }

    /// Takes errands that nobody else has taken, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_errands(&self) -> Result<Vec<Taken>> {
        let open = sqlx::query(include_str!("../sql/errands/open.sql"))
            .bind(now_ms() - STALE)
            .bind(TAKE)
            .fetch_all(self.db.read())
            .await?;
        let mut taken = Vec::with_capacity(open.len());
        for row in &open {
            let id: i64 = row.try_get(0)?;
            let mine = sqlx::query("UPDATE errands SET taken_at = $2 WHERE id = $1 AND taken_at IS NULL")
                .bind(id)
                .bind(now_ms())
                .execute(self.db.write())
                .await?;
            if mine.rows_affected() == 0 {
                continue;
            }
            match serde_json::from_str(&row.try_get::<String, _>(1)?) {
                Ok(errand) => taken.push(Taken { id, errand }),
                // Of a newer version; its asker waits in vain, and hears so.
                Err(error) => tracing::warn!(id, %error, "an errand is not understood"),
            }
        }
        Ok(taken)
    }

    /// Answers an errand; one that nobody waits for any more is left alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn answer_errand(&self, id: i64, answer: &str) -> Result<()> {
        sqlx::query("UPDATE errands SET answer = $2 WHERE id = $1")
            .bind(id)
            .bind(answer)
            .execute(self.db.write())
            .await?;
        Ok(())
    }
}

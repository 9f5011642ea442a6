//! Taking notices out of the outbox: any replica may, one message goes to one.
//!
//! A claim is a lease. It is noted before anything is sent and settled after
//! the channel has answered. When a sender dies in between, nobody can know
//! whether the message arrived; it is then sent again, under the identity it
//! had (`delivery`), by which a channel that can will tell it from a new one. What
//! is due, and which claim has ended, is told by the database's clock.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use uuid::Uuid;

use super::{
    Channel, Details, Hold, Kind, Notice, channel,
    enqueue::{insert, list, tell},
    notice::COLUMNS,
    parents::waits_for_parent,
    plan::{Told, is_wanted, ms, reminder},
};
use crate::{
    Endpoint, Result, State, Store,
    db::{self, Dialect},
    endpoints, maintenance, now_ms,
};

/// Notices that are looked at in one transaction.
const LOOKS: i64 = 50;

/// Time between looks at a notice that something holds without a known end.
const LOOK_AGAIN: i64 = 2_000;

/// Time after which nobody seems to have looked at anything, milliseconds; as long has what is
/// looked at again to be checked.
const AWAY: i64 = 60_000;

/// One message to send, and who may settle it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Identity of the message, the same at every attempt.
    pub delivery: String,
    /// The channel; `None` when it is not there any more.
    pub channel: Option<Channel>,
    /// What the message tells: at least one notice, all of one kind.
    pub notices: Vec<Notice>,
    /// Whether a sender died that may have sent it.
    pub uncertain: bool,
    token: String,
}

impl Claim {
    /// The part of it with the notices at these places, to be settled apart from the others.
    #[must_use]
    pub fn part(&self, places: &[usize]) -> Self {
        let notices = places.iter().filter_map(|place| self.notices.get(*place).cloned()).collect();
        Self { notices, ..self.clone() }
    }
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The channel took the message.
    Sent,
    /// It did not, and is to be asked again after a pause.
    Again {
        /// What it said.
        error: String,
        /// The pause.
        after: Duration,
    },
    /// It did not and will not.
    Dead {
        /// What it said.
        error: String,
    },
}

impl Store {
    /// Names of the channels that something is due for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels_due(&self) -> Result<Vec<String>> {
        let mut transaction = self.db.snapshot().await?;
        let now = db::now(&mut transaction).await?;
        Ok(sqlx::query_scalar(include_str!("../../sql/alerts/channels_due.sql"))
            .bind(now)
            .fetch_all(&mut *transaction)
            .await?)
    }

    /// Takes the next message that is due for a channel, for `lease`. `None` when nothing is due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_notices(&self, channel: &str, lease: Duration) -> Result<Option<Claim>> {
        loop {
            let mut transaction = self.begin_brief().await?;
            self.take_turn_at_notices(&mut transaction).await?;
            let now = db::now(&mut transaction).await?;
            let due = self.due(&mut transaction, channel, now).await?;
            if due.is_empty() {
                return Ok(None);
            }
            for notice in due {
                if notice.hold.is_some() && !release(&mut transaction, &notice, now).await? {
                    continue;
                }
                let claim = self.claim(&mut transaction, notice, lease, now).await?;
                transaction.commit().await?;
                return Ok(Some(claim));
            }
            // Everything that was due must wait on, and there may be more.
            transaction.commit().await?;
        }
    }

    /// Notes what became of a message, or of a part of it; tells whether the claim still held.
    ///
    /// # Errors
    /// When the database fails; the message is then sent again once the claim ends.
    pub async fn settle_notices(&self, claim: &Claim, verdict: &Verdict) -> Result<bool> {
        let mut transaction = self.begin_brief().await?;
        let now = db::now(&mut transaction).await?;
        let (state, due, error, finished) = match verdict {
            Verdict::Sent => ("sent", now, None, Some(now)),
            Verdict::Again { error, after } => ("waiting", now.saturating_add(ms(*after)), Some(error), None),
            Verdict::Dead { error } => ("dead", now, Some(error), Some(now)),
        };
        let ids: BTreeSet<i64> = claim.notices.iter().map(|notice| notice.id).collect();
        if ids.is_empty() {
            return Ok(false);
        }
        let sql = format!("{} AND id IN ({})", include_str!("../../sql/alerts/settle.sql"), list(&ids));
        // Only a constant and numbers of this program make up the statement.
        let settled = sqlx::query(AssertSqlSafe(sql))
            .bind(&claim.token)
            .bind(state)
            .bind(due)
            // A server may have said anything, and Postgres takes no NUL in a text.
            .bind(error.map(|error| error.replace(char::is_control, " ")))
            .bind(finished)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(settled.rows_affected() > 0)
    }

    /// Ends every claim at once. Only for a store that one process has for itself,
    /// when it starts: whoever claimed is dead.
    ///
    /// # Errors
    /// When the database fails; the claims then end by themselves.
    pub async fn end_claims_of_the_dead(&self) -> Result<()> {
        if self.db.dialect == Dialect::Sqlite {
            sqlx::query("UPDATE notices SET due_at = $1 WHERE state = 'sending'")
                .bind(now_ms())
                .execute(self.db.write())
                .await?;
        }
        Ok(())
    }

    /// One replica at a time chooses, so that what belongs together goes out together.
    async fn take_turn_at_notices(&self, transaction: &mut Transaction<'static, Any>) -> Result<()> {
        if self.db.dialect == Dialect::Postgres {
            sqlx::query("SELECT CAST(pg_advisory_xact_lock(hashtext('watchkeeper notices')) AS TEXT)")
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }

    /// Reads what is due and locks it, leaving out what a transition is about to drop.
    async fn due(
        &self,
        transaction: &mut Transaction<'static, Any>,
        channel: &str,
        now: i64,
    ) -> Result<Vec<Notice>> {
        let sql = self.locking(include_str!("../../sql/alerts/due.sql"), LOOKS);
        let rows =
            sqlx::query(AssertSqlSafe(sql)).bind(now).bind(channel).fetch_all(&mut **transaction).await?;
        Ok(rows.iter().filter_map(Notice::readable).collect())
    }

    /// A statement of constants and a number.
    fn locking(&self, condition: &str, limit: i64) -> String {
        let lock = match self.db.dialect {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE OF n SKIP LOCKED",
        };
        format!("SELECT {COLUMNS} FROM notices n WHERE {condition} LIMIT {limit}{lock}")
    }

    /// Claims a notice and those that go out with it.
    async fn claim(
        &self,
        transaction: &mut Transaction<'static, Any>,
        lead: Notice,
        lease: Duration,
        now: i64,
    ) -> Result<Claim> {
        let channel = channel::find(&channel::load(transaction).await?, &lead.channel).cloned();
        let uncertain = lead.state == super::NoticeState::Sending;
        let notices = self.group(transaction, &lead, channel.as_ref()).await?;
        let delivery = lead.delivery.unwrap_or_else(|| Uuid::new_v4().to_string());
        let token = Uuid::new_v4().to_string();
        let ids: BTreeSet<i64> = notices.iter().map(|notice| notice.id).collect();
        let sql = format!(
            "UPDATE notices SET state = 'sending', claim = $1, delivery = $2, due_at = $3, \
                    attempts = attempts + 1, tried_at = COALESCE(tried_at, $4) \
             WHERE id IN ({})",
            list(&ids)
        );
        // Only numbers of this program make up the statement.
        sqlx::query(AssertSqlSafe(sql))
            .bind(&token)
            .bind(&delivery)
            .bind(now.saturating_add(ms(lease)))
            .bind(now)
            .execute(&mut **transaction)
            .await?;
        Ok(Claim { delivery, channel, notices, uncertain, token })
    }

    /// The notices that one message tells: those of an earlier attempt, or all of
    /// one kind and host that wait for the same channel.
    async fn group(
        &self,
        transaction: &mut Transaction<'static, Any>,
        lead: &Notice,
        channel: Option<&Channel>,
    ) -> Result<Vec<Notice>> {
        let most = channel.map_or(1, Channel::most);
        let rows = match &lead.delivery {
            Some(delivery) => {
                let sql = self.locking(include_str!("../../sql/alerts/same_delivery.sql"), most);
                sqlx::query(AssertSqlSafe(sql)).bind(delivery).fetch_all(&mut **transaction).await?
            }
            None if groups(lead.kind) && channel.is_some_and(|channel| !channel.group_wait.is_zero()) => {
                let sql = self.locking(include_str!("../../sql/alerts/same_root.sql"), most);
                sqlx::query(AssertSqlSafe(sql))
                    .bind(&lead.channel)
                    .bind(lead.kind.as_str())
                    .bind(lead.id)
                    .fetch_all(&mut **transaction)
                    .await?
            }
            None => Vec::new(),
        };
        let mut notices: Vec<Notice> = rows.iter().filter_map(Notice::readable).collect();
        if notices.iter().all(|notice| notice.id != lead.id) {
            notices.push(lead.clone());
        }
        notices.sort_by_key(|notice| notice.id);
        Ok(notices)
    }
}

/// Whether notices of this kind are told together.
fn groups(kind: Kind) -> bool {
    matches!(kind, Kind::Down | Kind::Degraded | Kind::Recovery)
}

/// Looks whether a held notice may go out; if not, it is moved on or dropped.
async fn release(transaction: &mut Transaction<'static, Any>, notice: &Notice, now: i64) -> Result<bool> {
    let ids = [notice.endpoint].into();
    let endpoint = endpoints::among(transaction, &ids).await?.into_iter().next();
    let recovery = notice.kind == Kind::Recovery;
    let channels = channel::load(transaction).await?;
    let channel = channel::find(&channels, &notice.channel);
    let held = match &endpoint {
        // That trouble is over is told of what nobody watches any more, too.
        None if !recovery => {
            drop_one(transaction, notice, "its endpoint is gone", now).await?;
            return Ok(false);
        }
        Some(endpoint) if endpoint.status.state == State::Suspended && !recovery => {
            drop_one(transaction, notice, "its endpoint is suspended", now).await?;
            return Ok(false);
        }
        Some(endpoint) if endpoint.status.state == State::Maintenance => Some((
            Hold::Maintenance,
            maintenance::ends_at(&endpoint.spec.maintenance, now).unwrap_or(now).max(now + LOOK_AGAIN),
        )),
        // A transition that came while an earlier notice was released has not seen what that planned.
        Some(endpoint)
            if !recovery && endpoint.spec.alerts.told_as(endpoint.status.state) != notice.condition =>
        {
            drop_one(transaction, notice, "the state changed before it was due", now).await?;
            return Ok(false);
        }
        Some(endpoint) if !is_wanted(&endpoint.spec.alerts, notice.kind, &notice.channel) => {
            drop_one(transaction, notice, "its endpoint does not ask for it any more", now).await?;
            return Ok(false);
        }
        Some(endpoint)
            if !recovery
                && waits_for_parent(transaction, endpoint, notice.at, notice.due_at, now).await? =>
        {
            let away = now.saturating_sub(notice.due_at) > AWAY;
            Some((Hold::Dependency, now + if away { AWAY } else { LOOK_AGAIN }))
        }
        _ => channel
            .and_then(|channel| maintenance::ends_at(&channel.quiet_hours, now))
            .map(|end| (Hold::Quiet, end)),
    };
    if let Some((hold, due)) = held {
        hold_on(transaction, notice.id, Some(hold), due).await?;
        return Ok(false);
    }
    if let Some(endpoint) = &endpoint {
        told(transaction, notice, endpoint, now).await?;
    }
    if notice.kind == Kind::Reminder {
        let vain = match channel {
            None => Some("its channel is not there"),
            Some(_) if waits_behind_another(transaction, notice).await? => {
                Some("an earlier notice still waits to be sent")
            }
            Some(_) => None,
        };
        if let Some(reason) = vain {
            drop_one(transaction, notice, reason, now).await?;
            return Ok(false);
        }
    }
    let wait = channel.filter(|_| groups(notice.kind)).map_or(0, |channel| ms(channel.group_wait));
    hold_on(transaction, notice.id, None, now.saturating_add(wait)).await?;
    Ok(wait == 0)
}

/// Notes that a notice that was held is told, and plans its repetition.
async fn told(
    transaction: &mut Transaction<'static, Any>,
    notice: &Notice,
    endpoint: &Endpoint,
    now: i64,
) -> Result<()> {
    let recovery = notice.condition == State::Up;
    if notice.kind != Kind::Reminder {
        let trouble_at = if recovery {
            let sql = "SELECT trouble_at FROM alerts WHERE endpoint_id = $1 AND channel = $2";
            let row = sqlx::query(sql)
                .bind(notice.endpoint)
                .bind(&notice.channel)
                .fetch_optional(&mut **transaction)
                .await?;
            row.map(|row| row.try_get(0)).transpose()?.flatten()
        } else {
            Some(now)
        };
        let told = Told { condition: notice.condition, episode: notice.episode, trouble_at };
        tell(transaction, notice.endpoint, &notice.channel, told).await?;
    }
    if recovery || notice.kind == Kind::Escalation {
        return Ok(());
    }
    // Each repetition is named after the notice before it.
    let alerts = &endpoint.spec.alerts;
    let next = reminder(alerts, &notice.channel, notice.condition, notice.episode, -notice.id, now);
    if let Some(next) = next {
        let details = Details { from: notice.details.from, ..notice.details.clone() };
        insert(transaction, &next, endpoint, &details, notice.at, now).await?;
    }
    Ok(())
}

/// Whether an earlier notice of the endpoint has not got through yet.
async fn waits_behind_another(transaction: &mut Transaction<'static, Any>, notice: &Notice) -> Result<bool> {
    let earlier = sqlx::query(include_str!("../../sql/alerts/earlier.sql"))
        .bind(notice.endpoint)
        .bind(&notice.channel)
        .bind(notice.id)
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(earlier.is_some())
}

async fn hold_on(
    transaction: &mut Transaction<'static, Any>,
    id: i64,
    hold: Option<Hold>,
    due_at: i64,
) -> Result<()> {
    sqlx::query("UPDATE notices SET hold = $2, due_at = $3 WHERE id = $1")
        .bind(id)
        .bind(hold.map(Hold::as_str))
        .bind(due_at)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn drop_one(
    transaction: &mut Transaction<'static, Any>,
    notice: &Notice,
    reason: &str,
    now: i64,
) -> Result<()> {
    sqlx::query("UPDATE notices SET state = 'dropped', error = $2, finished_at = $3 WHERE id = $1")
        .bind(notice.id)
        .bind(reason)
        .bind(now)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

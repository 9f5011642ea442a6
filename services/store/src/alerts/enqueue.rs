//! Writing the notices of transitions, in the transaction that stores those.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use super::{
    Details, Hold, NoticeState, channel,
    parents::waits_for_parent,
    plan::{Planned, Subject, Tales, Told, plan},
};
use crate::{Endpoint, Flapping, Result, State, Transition, db, endpoints};

/// Puts the notices of transitions into the outbox and drops those that wait in
/// vain now. It is part of the caller's transaction: a transition that is stored
/// has its notices, and one that is not has none. Transitions carry the numbers
/// they are stored under and come in their order.
///
/// # Errors
/// When the database fails; nothing of the transaction may then be kept.
pub async fn enqueue(transaction: &mut Transaction<'static, Any>, transitions: &[Transition]) -> Result<()> {
    if transitions.is_empty() {
        return Ok(());
    }
    let now = db::now(transaction).await?;
    let ids: BTreeSet<i64> = transitions.iter().map(|transition| transition.endpoint).collect();
    // Maintenance hides a state and does not end it.
    let changed = transitions.iter().filter(|transition| transition.to != State::Maintenance);
    let changed: BTreeSet<i64> = changed.map(|transition| transition.endpoint).collect();
    // What goes out at this moment is waited for here, before anything of it is read.
    drop_held(transaction, &changed, now).await?;
    let channels = channel::load(transaction).await?;
    let endpoints: HashMap<i64, Endpoint> = endpoints::among(transaction, &ids)
        .await?
        .into_iter()
        .map(|endpoint| (endpoint.id, endpoint))
        .collect();
    let firsts = firsts(transaction, &ids).await?;
    let mut tales = tales(transaction, &ids).await?;
    let before = tales.clone();
    // Held notices of an earlier transition of the same endpoint in this batch come to nothing.
    let mut written: Vec<(Planned, &Transition)> = Vec::new();
    for transition in transitions {
        let Some(endpoint) = endpoints.get(&transition.endpoint) else {
            continue;
        };
        if transition.to != State::Maintenance {
            written.retain(|(notice, of)| of.endpoint != transition.endpoint || notice.hold.is_none());
        }
        // Its parents were to be looked at since it changed before.
        let shadowed = transition.flapping != Flapping::No
            && waits_for_parent(transaction, endpoint, transition.from_since, now, now).await?;
        let tales = tales.entry(transition.endpoint).or_default();
        let subject = Subject { origin: endpoint.origin, spec: &endpoint.spec, shadowed };
        let planned = plan(&subject, transition, &channels, tales, now);
        written.extend(planned.into_iter().map(|notice| (notice, transition)));
    }
    for (notice, transition) in &written {
        if let Some(endpoint) = endpoints.get(&transition.endpoint) {
            let mut details = Details::of(endpoint, transition);
            if let Some(first) = firsts.get(&(endpoint.id, notice.channel.clone(), notice.episode)) {
                details = details.named_as(first);
            }
            insert(transaction, notice, endpoint, &details, transition.at, now).await?;
        }
    }
    for (endpoint, tales) in &tales {
        for (channel, told) in tales {
            if before.get(endpoint).and_then(|before| before.get(channel)) != Some(told) {
                tell(transaction, *endpoint, channel, *told).await?;
            }
        }
    }
    Ok(())
}

/// Ends what is told of an endpoint that nobody watches any more: channels that
/// were told of trouble are told that it is over, for the reason given.
///
/// # Errors
/// When the database fails.
pub(crate) async fn close(
    transaction: &mut Transaction<'static, Any>,
    endpoint: &Endpoint,
    seq: i64,
    reason: &str,
) -> Result<()> {
    let transition = Transition {
        endpoint: endpoint.id,
        project: endpoint.project,
        seq,
        at: db::now(transaction).await?,
        from: endpoint.status.state,
        from_since: endpoint.status.since,
        to: State::Suspended,
        message: Some(reason.to_owned()),
        flapping: Flapping::No,
    };
    enqueue(transaction, &[transition]).await
}

impl Details {
    pub(super) fn of(endpoint: &Endpoint, transition: &Transition) -> Self {
        let spec = &endpoint.spec;
        let check = endpoint.status.last_check.as_ref().filter(|check| check.at == transition.at);
        Self {
            uid: endpoint.uid.clone(),
            namespace: endpoint.namespace.clone(),
            name: endpoint.name.clone(),
            display_name: spec.display_name.clone(),
            group: spec.group.clone(),
            target: shown_target(spec.probe.target()),
            labels: spec.labels.clone(),
            from: transition.from,
            to: transition.to,
            from_since: transition.from_since,
            message: transition.message.clone(),
            status: check.and_then(|check| check.status),
            duration_us: check.map(|check| check.duration_us),
        }
    }

    /// Under the names of the first notice of its trouble, by which channels know that it
    /// is the same, whatever the endpoint is called by now.
    fn named_as(self, first: &Self) -> Self {
        Self {
            namespace: first.namespace.clone(),
            name: first.name.clone(),
            display_name: first.display_name.clone(),
            group: first.group.clone(),
            target: first.target.clone(),
            labels: first.labels.clone(),
            ..self
        }
    }
}

/// A target fit to be shown: without credentials, query and fragment, which may be secrets.
pub fn shown_target(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://") else {
        return target.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// What notices are grouped by: the host that is asked.
fn root(target: &str) -> String {
    let shown = shown_target(target);
    let rest = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, _)) => address,
        // Several colons without brackets are an IPv6 address.
        None => match authority.rsplit_once(':') {
            Some((host, _)) if !host.contains(':') => host,
            _ => authority,
        },
    };
    host.to_ascii_lowercase()
}

/// Drops what waits with a hold: the state that it spoke of is over.
async fn drop_held(
    transaction: &mut Transaction<'static, Any>,
    endpoints: &BTreeSet<i64>,
    now: i64,
) -> Result<()> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE notices SET state = 'dropped', error = 'the state changed before it was due', finished_at = $1 \
         WHERE state = 'waiting' AND hold IS NOT NULL AND endpoint_id IN ({})",
        list(endpoints)
    );
    // Only numbers of this program make up the statement.
    sqlx::query(AssertSqlSafe(sql)).bind(now).execute(&mut **transaction).await?;
    Ok(())
}

async fn tales(
    transaction: &mut Transaction<'static, Any>,
    endpoints: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Tales>> {
    let sql = format!(
        "SELECT endpoint_id, channel, told, episode, trouble_at FROM alerts WHERE endpoint_id IN ({})",
        list(endpoints)
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut **transaction).await?;
    let mut tales: BTreeMap<i64, Tales> = BTreeMap::new();
    for row in &rows {
        let told = Told {
            condition: State::parse(&row.try_get::<String, _>(2)?)?,
            episode: row.try_get(3)?,
            trouble_at: row.try_get(4)?,
        };
        tales.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, told);
    }
    Ok(tales)
}

/// What the first notice of each trouble that is not over told, by endpoint, channel and episode.
async fn firsts(
    transaction: &mut Transaction<'static, Any>,
    endpoints: &BTreeSet<i64>,
) -> Result<HashMap<(i64, String, i64), Details>> {
    let sql = format!(
        "SELECT n.endpoint_id, n.channel, n.episode, n.details FROM notices n WHERE n.id IN \
         (SELECT MIN(f.id) FROM alerts a JOIN notices f \
          ON f.endpoint_id = a.endpoint_id AND f.channel = a.channel AND f.episode = a.episode \
          WHERE a.told <> 'Up' AND a.endpoint_id IN ({}) GROUP BY a.endpoint_id, a.channel)",
        list(endpoints)
    );
    // Only numbers of this program make up the statement.
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut **transaction).await?;
    let mut firsts: HashMap<(i64, String, i64), Details> = HashMap::new();
    for row in &rows {
        // One that is damaged holds up no other.
        if let Ok(details) = serde_json::from_str(&row.try_get::<String, _>(3)?) {
            firsts.insert((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?), details);
        }
    }
    Ok(firsts)
}

/// Numbers as a statement lists them.
pub(super) fn list(numbers: &BTreeSet<i64>) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

/// Notes what a channel was told.
pub(super) async fn tell(
    transaction: &mut Transaction<'static, Any>,
    endpoint: i64,
    channel: &str,
    told: Told,
) -> Result<()> {
    sqlx::query(include_str!("../../sql/alerts/tell.sql"))
        .bind(endpoint)
        .bind(channel)
        .bind(told.condition.as_str())
        .bind(told.episode)
        .bind(told.trouble_at)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// Writes a notice unless it is there.
pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    notice: &Planned,
    endpoint: &Endpoint,
    details: &Details,
    at: i64,
    now: i64,
) -> Result<()> {
    let state = if notice.dead.is_some() { NoticeState::Dead } else { NoticeState::Waiting };
    let key = format!("{}/{}/{}/{}", endpoint.id, notice.channel, notice.kind.as_str(), notice.ordinal);
    sqlx::query(include_str!("../../sql/alerts/insert.sql"))
        .bind(key)
        .bind(endpoint.id)
        .bind(endpoint.project.0)
        .bind(&notice.channel)
        .bind(notice.kind.as_str())
        .bind(notice.condition.as_str())
        .bind(notice.episode)
        .bind(root(&details.target))
        .bind(at)
        .bind(serde_json::to_string(details)?)
        .bind(state.as_str())
        .bind(notice.hold.map(Hold::as_str))
        .bind(notice.due_at)
        .bind(notice.dead.as_deref())
        .bind(now)
        .bind(notice.dead.is_some().then_some(now))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_shown_without_what_may_be_secret() {
        assert_eq!(
            shown_target("https://u:p@shop.example:8443/a/b?token=s#x"),
            "https://shop.example:8443/a/b"
        );
        assert_eq!(shown_target("https://shop.example?token=s"), "https://shop.example");
        assert_eq!(shown_target("db.example:5432"), "db.example:5432");
    }

    #[test]
    fn notices_are_grouped_by_host_whatever_is_asked_of_it() {
        for target in
            ["https://Shop.example/a", "http://u:p@shop.example:8080", "shop.example:5432", "shop.example"]
        {
            assert_eq!(root(target), "shop.example", "{target}");
        }
        for target in ["http://[fd00::1]:80/", "[fd00::1]:443", "fd00::1"] {
            assert_eq!(root(target), "fd00::1", "{target}");
        }
        assert_eq!(root(""), "");
    }
}

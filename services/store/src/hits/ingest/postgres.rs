//! Groups into Postgres, once each even when their answer is lost, and into the
//! spool while Postgres is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, Executor, PgConnection, Row, postgres::PgConnectOptions};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use uuid::Uuid;

use super::{Group, MarkKey, Marks, Outcome, Part, Verdict, Write, deadline};
use crate::{ProjectId, Result, StoreError, db::INGEST_SESSION, hits::spool::Spool, now_ms};

/// Longest wait for a connection to be made, before another is tried.
const CONNECT: Duration = Duration::from_secs(5);

/// Pauses between attempts to reach Postgres.
const PAUSES: std::ops::Range<Duration> = Duration::from_millis(100)..Duration::from_secs(2);

/// A group's number: a writer's groups have growing ones, and each is written once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub writer: Uuid,
    pub sequence: i64,
}

impl Turn {
    /// The first of a writer that nobody has heard of.
    pub fn first() -> Self {
        Self { writer: Uuid::new_v4(), sequence: 1 }
    }

    pub fn next(self) -> Self {
        Self { sequence: self.sequence + 1, ..self }
    }
}

/// What became of a group, which is written as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    /// What became of each of its parts.
    All(Vec<Outcome>),
    /// Nothing of it is there: these of its projects are gone.
    Nothing(BTreeSet<ProjectId>),
}

/// A connection of one's own that is made anew when it breaks.
pub(crate) struct Link {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
    // At most one task; it ends with the link.
    reconnecting: JoinSet<PgConnection>,
    /// Whether the last attempt to connect has failed.
    away: Arc<AtomicBool>,
}

impl Link {
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options, connection: None, reconnecting: JoinSet::new(), away: Arc::default() }
    }

    /// The connection, made if need be, if there is one before `deadline`.
    pub async fn get(&mut self, deadline: Instant) -> Option<&mut PgConnection> {
        if self.connection.is_none() {
            if self.reconnecting.is_empty() {
                self.reconnecting.spawn(connect(self.options.clone(), Arc::clone(&self.away)));
            }
            self.connection = timeout_at(deadline, self.reconnecting.join_next()).await.ok()??.ok();
        }
        self.connection.as_mut()
    }

    /// Whether Postgres could not be reached, the last time that it was tried.
    fn is_away(&self) -> bool {
        self.connection.is_none() && self.away.load(Ordering::Relaxed)
    }

    /// Drops a connection that broke or does not answer; what it was asked may still happen.
    fn broken(&mut self) {
        self.connection = None;
        self.reconnecting.spawn(connect(self.options.clone(), Arc::clone(&self.away)));
    }

    /// Writes a group, once whatever happens on the way. `None`: it could not be
    /// written until `deadline`, or its answer was lost. A group that was
    /// `promised` is stored even if a key in it stands for another payload.
    /// While projects of it are gone nothing is written, and its number is free for what is left of it.
    pub async fn write(
        &mut self,
        turn: Turn,
        group: &Group,
        deadline: Instant,
        promised: bool,
    ) -> Option<Result<Written>> {
        loop {
            let connection = self.get(deadline).await?;
            match timeout_at(deadline, write(connection, turn, group, promised)).await {
                Ok(Ok(written)) => return Some(Ok(written)),
                Ok(Err(StoreError::Database(error))) => match remedy(&error) {
                    Remedy::None => return Some(Err(error.into())),
                    remedy => {
                        tracing::warn!(%error, "hits could not be written yet");
                        if remedy == Remedy::Reconnect {
                            self.broken();
                        }
                        if remedy == Remedy::Wait || Instant::now() + PAUSES.start >= deadline {
                            return None;
                        }
                        sleep(PAUSES.start).await;
                    }
                },
                Ok(Err(error)) => return Some(Err(error)),
                Err(_) => {
                    tracing::warn!("the database does not answer");
                    self.away.store(true, Ordering::Relaxed);
                    self.broken();
                    return None;
                }
            }
        }
    }
}

async fn connect(options: PgConnectOptions, away: Arc<AtomicBool>) -> PgConnection {
    let mut pause = PAUSES.start;
    loop {
        let attempt = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            // A server that shuts down, or follows another, connects and takes nothing.
            connection.execute(INGEST_SESSION).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match timeout(CONNECT, attempt).await {
            Ok(Ok(connection)) => {
                away.store(false, Ordering::Relaxed);
                return connection;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the database cannot be reached"),
            Err(_) => tracing::warn!("the database does not answer"),
        }
        away.store(true, Ordering::Relaxed);
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.end);
    }
}

/// What may help against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The same again on this connection: transactions that met.
    Again,
    /// The same again on another connection.
    Reconnect,
    /// Time: the server lacks room.
    Wait,
    /// Nothing.
    None,
}

fn remedy(error: &sqlx::Error) -> Remedy {
    let Some(answer) = error.as_database_error() else { return Remedy::Reconnect };
    let code = answer.code().unwrap_or_default();
    match code.get(..2) {
        Some("40") => Remedy::Again,
        Some("53") => Remedy::Wait,
        // Connections, operators, the system, the server itself; 25006: a standby.
        Some("08" | "57" | "58" | "XX") => Remedy::Reconnect,
        // It has ended a session that was idle in a transaction.
        _ if code == "25P03" || code == "25006" => Remedy::Reconnect,
        _ => Remedy::None,
    }
}

/// One of the writers that share the queue.
pub(super) struct Writer {
    link: Link,
    turn: Turn,
    spool: Option<Arc<Spool>>,
}

impl Writer {
    pub fn new(options: PgConnectOptions, spool: Option<Arc<Spool>>) -> Self {
        Self { link: Link::new(options), turn: Turn::first(), spool }
    }
}

impl Write for Writer {
    async fn write(&mut self, mut group: Group) -> Result<Vec<Outcome>> {
        // Nobody waits twice for a database that is known to be away.
        if let Some(spool) = &self.spool
            && self.link.is_away()
            && self.link.get(Instant::now()).await.is_none()
        {
            return spool.append(None, group).await;
        }
        let projects: Vec<ProjectId> = group.parts.iter().map(|part| part.project).collect();
        let (turn, deadline) = (self.turn, deadline(self.spool.is_some()));
        let mut gone = BTreeSet::new();
        while !group.parts.is_empty() {
            let outcomes = match (self.link.write(turn, &group, deadline, false).await, &self.spool) {
                (Some(written), _) => {
                    self.turn = turn.next();
                    match written? {
                        Written::All(outcomes) => outcomes,
                        Written::Nothing(without) => {
                            group.parts.retain(|part| !without.contains(&part.project));
                            gone.extend(without);
                            continue;
                        }
                    }
                }
                // Under this number the group may be there or not; what comes after it has another writer's.
                (None, spool) => {
                    self.turn = Turn::first();
                    match spool {
                        Some(spool) => spool.append(Some(turn), group).await?,
                        None => return Err(StoreError::Unwritten("the database does not answer".into())),
                    }
                }
            };
            return Ok(with_gone(&projects, &gone, outcomes));
        }
        Ok(with_gone(&projects, &gone, Vec::new()))
    }
}

/// What became of the parts of these projects: of those that are left, and of those whose project is gone.
fn with_gone(projects: &[ProjectId], gone: &BTreeSet<ProjectId>, left: Vec<Outcome>) -> Vec<Outcome> {
    let mut left = left.into_iter();
    let outcome = |project: &ProjectId| if gone.contains(project) { None } else { left.next() };
    projects.iter().map(outcome).map(|outcome| outcome.unwrap_or(Outcome::NoProject)).collect()
}

/// Writes a group in one transaction, unless it is there or a project of it is not.
async fn write(connection: &mut PgConnection, turn: Turn, group: &Group, promised: bool) -> Result<Written> {
    if group.parts.iter().any(|part| part.mark.is_some()) {
        return write_marked(connection, turn, group, promised).await;
    }
    let parts: Vec<&Part> = group.parts.iter().collect();
    let known = bind_parts(
        sqlx::query(include_str!("../../../sql/postgres/append.sql"))
            .bind(turn.writer.as_bytes().as_slice())
            .bind(turn.sequence)
            .bind(now_ms()),
        &parts,
    );
    let gone = gone(parts.into_iter(), known.fetch_all(connection).await?)?;
    Ok(if gone.is_empty() {
        Written::All(vec![Outcome::Stored; group.parts.len()])
    } else {
        Written::Nothing(gone)
    })
}

/// As [`write`], for a group in which something may have been sent before.
async fn write_marked(
    connection: &mut PgConnection,
    turn: Turn,
    group: &Group,
    promised: bool,
) -> Result<Written> {
    let mut transaction = connection.begin().await?;
    let taken = sqlx::query(include_str!("../../../sql/postgres/take_turn.sql"))
        .bind(turn.writer.as_bytes().as_slice())
        .bind(turn.sequence)
        .bind(now_ms())
        .execute(&mut *transaction)
        .await?;
    if taken.rows_affected() == 0 {
        return Ok(Written::All(vec![Outcome::Stored; group.parts.len()]));
    }
    let mut noted = note(&mut transaction, group).await?;
    let mut outcomes = vec![Outcome::Stored; group.parts.len()];
    let mut wanted: Vec<Part> = Vec::new();
    for (at, part) in group.parts.iter().enumerate() {
        let verdict = part.mark.as_ref().map_or(Verdict::New, |mark| noted.judge(part.project, mark));
        match verdict {
            Verdict::New => wanted.push(part.clone()),
            Verdict::Other if promised => wanted.push(part.clone()),
            Verdict::Rest(from) => wanted.push(part.clone().without_first(from)?),
            Verdict::Repeat => outcomes[at] = Outcome::Repeated,
            Verdict::Other => outcomes[at] = Outcome::KeyReused,
        }
    }
    for ((project, key), content) in noted.grown() {
        sqlx::query(include_str!("../../../sql/hits/grow_batch.sql"))
            .bind(project.0)
            .bind(key.as_slice())
            .bind(content)
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
    }
    let parts: Vec<&Part> = wanted.iter().collect();
    let insert = bind_parts(sqlx::query(include_str!("../../../sql/postgres/append_batches.sql")), &parts);
    let gone = gone(parts.iter().copied(), insert.fetch_all(&mut *transaction).await?)?;
    if !gone.is_empty() {
        transaction.rollback().await?;
        return Ok(Written::Nothing(gone));
    }
    transaction.commit().await?;
    Ok(Written::All(outcomes))
}

/// Notes what may have been sent before; gives what was noted of it until now.
async fn note(connection: &mut PgConnection, group: &Group) -> Result<Marks> {
    // The first of each key in the group; what follows is compared with it.
    let mut firsts: BTreeMap<MarkKey, &Vec<u8>> = BTreeMap::new();
    for part in &group.parts {
        if let Some(mark) = &part.mark {
            firsts.entry((part.project, mark.key)).or_insert(&mark.content);
        }
    }
    let new = sqlx::query(include_str!("../../../sql/postgres/note_batches.sql"))
        .bind(firsts.keys().map(|(project, _)| project.0).collect::<Vec<_>>())
        .bind(firsts.keys().map(|(_, key)| key.as_slice()).collect::<Vec<_>>())
        .bind(firsts.values().map(|content| content.as_slice()).collect::<Vec<_>>())
        .bind(now_ms())
        .fetch_all(&mut *connection)
        .await?;
    for row in new {
        let (project, key): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        if let Ok(key) = key.try_into() {
            firsts.remove(&(ProjectId(project), key));
        }
    }
    let mut noted = Marks::default();
    for key in firsts.into_keys() {
        let content: Option<Vec<u8>> =
            sqlx::query_scalar(include_str!("../../../sql/postgres/noted_batch.sql"))
                .bind(key.0.0)
                .bind(key.1.as_slice())
                .fetch_optional(&mut *connection)
                .await?;
        // It may just have been pruned.
        if let Some(content) = content {
            noted.insert(key, content);
        }
    }
    Ok(noted)
}

type PgQuery<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn bind_parts<'q>(query: PgQuery<'q>, parts: &[&'q Part]) -> PgQuery<'q> {
    query
        .bind(parts.iter().map(|part| part.project.0).collect::<Vec<_>>())
        .bind(parts.iter().map(|part| part.rows).collect::<Vec<_>>())
        .bind(parts.iter().map(|part| part.min_ts).collect::<Vec<_>>())
        .bind(parts.iter().map(|part| part.max_ts).collect::<Vec<_>>())
        .bind(parts.iter().map(|part| part.data.as_slice()).collect::<Vec<_>>())
}

/// The projects of parts that are not among the rows.
fn gone<'p>(
    parts: impl Iterator<Item = &'p Part>,
    known: Vec<sqlx::postgres::PgRow>,
) -> Result<BTreeSet<ProjectId>> {
    let known: BTreeSet<ProjectId> =
        known.iter().map(|row| Ok(ProjectId(row.try_get(0)?))).collect::<Result<_>>()?;
    Ok(parts.map(|part| part.project).filter(|project| !known.contains(project)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Hit, Store,
        hits::ingest::{Identity, Mark},
        testing,
    };

    fn part(project: ProjectId, ts: i64, marked: bool) -> Part {
        let hits = [Hit { ts, ..Hit::default() }];
        let key = Identity::Key { key: ts.to_string().into(), payload: [1; 32] };
        Part::new(project, &hits, Mark::new(key, &hits).filter(|_| marked)).expect("encode")
    }

    /// The times of two projects' hits.
    async fn times(store: &Store, projects: [ProjectId; 2]) -> [Vec<i64>; 2] {
        let mut times = [Vec::new(), Vec::new()];
        for (project, times) in projects.into_iter().zip(&mut times) {
            let mut snapshot = store.snapshot(project, i64::MIN, i64::MAX).await.expect("snapshot");
            times.extend(snapshot.load(0).await.expect("load").iter().map(|hit| hit.ts));
        }
        times
    }

    /// A project that has a name, and one whose key that is to become.
    async fn two(store: &Store) -> ([ProjectId; 2], Uuid) {
        let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
        store.put_project("shop", old).await.expect("put");
        let shop = store.project_by_key(old).await.expect("find").expect("project").id;
        let nameless = store.register_key(new).await.expect("register").id;
        ([shop, nameless], new)
    }

    fn group(parts: Vec<Part>) -> Group {
        Group { parts, batches: 2 }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_without_all_its_projects_is_written_later_under_its_number_and_then_once() {
        for marked in [false, true] {
            let fresh = testing::postgres().await;
            let store = &fresh.store;
            let ([shop, nameless], key) = two(store).await;
            let mut link = Link::new(store.db.postgres().expect("options").clone());
            let (turn, deadline) = (Turn::first(), Instant::now() + Duration::from_secs(60));
            let mut write = async |parts: Vec<Part>| {
                link.write(turn, &group(parts), deadline, true).await.expect("an answer").expect("written")
            };
            // As while it is on its way.
            store.put_project("shop", key).await.expect("take in");
            let first = write(vec![part(shop, 1, marked), part(nameless, 2, marked)]).await;
            assert_eq!(first, Written::Nothing(BTreeSet::from([nameless])));
            assert!(times(store, [shop, nameless]).await.iter().all(Vec::is_empty));
            for _ in 0..2 {
                let again = write(vec![part(shop, 1, marked), part(shop, 2, marked)]).await;
                assert_eq!(again, Written::All(vec![Outcome::Stored; 2]));
                assert_eq!(times(store, [shop, nameless]).await, [vec![1, 2], vec![]]);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_that_is_there_is_known_though_its_project_has_gone_since() {
        for marked in [false, true] {
            let fresh = testing::postgres().await;
            let store = &fresh.store;
            let ([shop, nameless], key) = two(store).await;
            let mut link = Link::new(store.db.postgres().expect("options").clone());
            let (turn, deadline) = (Turn::first(), Instant::now() + Duration::from_secs(60));
            let mut write = async || {
                let parts = vec![part(nameless, 1, marked)];
                link.write(turn, &group(parts), deadline, true).await.expect("an answer").expect("written")
            };
            assert_eq!(write().await, Written::All(vec![Outcome::Stored]));
            store.put_project("shop", key).await.expect("take in");
            assert_eq!(write().await, Written::All(vec![Outcome::Stored]));
            assert_eq!(times(store, [shop, nameless]).await, [vec![1], vec![]]);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn parts_whose_project_is_gone_keep_no_other_of_their_group_out() {
        let fresh = testing::postgres().await;
        let store = &fresh.store;
        let ([shop, deleted], _) = two(store).await;
        store.delete_project(deleted).await.expect("delete");
        let mut writer = Writer::new(store.db.postgres().expect("options").clone(), None);
        let parts = vec![part(shop, 1, false), part(deleted, 2, true), part(deleted, 3, false)];
        let outcomes = writer.write(group(parts)).await.expect("written");
        assert_eq!(outcomes, [Outcome::Stored, Outcome::NoProject, Outcome::NoProject]);
        let outcomes = writer.write(group(vec![part(deleted, 4, false)])).await.expect("written");
        assert_eq!(outcomes, [Outcome::NoProject]);
        writer.write(group(vec![part(shop, 5, false)])).await.expect("written");
        assert_eq!(times(store, [shop, deleted]).await, [vec![1, 5], vec![]]);
    }
}

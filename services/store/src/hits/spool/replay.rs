//! From the spool into the database.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Spool;
use crate::{
    ProjectId, Result,
    db::Db,
    hits::ingest::{
        Group, Part,
        postgres::{Link, Written},
    },
    projects::absorbed,
};

/// Longest wait for one group to be written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Replays what waits, oldest first, until `closed`.
pub(crate) async fn replay(mut link: Link, db: Db, spool: Arc<Spool>, closed: CancellationToken) {
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = spool.filled.notified() => {}
        }
        loop {
            let next = tokio::select! {
                () = closed.cancelled() => return,
                next = next(&mut link, &db, &spool) => next,
            };
            match next {
                Ok(Next::Done) => {}
                Ok(Next::Empty) => break,
                Ok(Next::Away) => sleep(PAUSE).await,
                Err(error) => {
                    tracing::error!(%error, "what waits in the spool cannot be brought into the database");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

enum Next {
    /// One group is in the database.
    Done,
    /// None waits.
    Empty,
    /// The database does not answer.
    Away,
}

async fn next(link: &mut Link, db: &Db, spool: &Arc<Spool>) -> Result<Next> {
    let Some((record, bytes)) = spool.oldest().await? else { return Ok(Next::Empty) };
    let deadline = Instant::now() + PATIENCE;
    let Some(mut homes) = homes(link, db, deadline).await else { return Ok(Next::Away) };
    let mut parts = record.group.parts.clone();
    // Under its one number until all of it is there at once: whatever ends this on the way, the whole of it
    // is written again, or known to be there.
    while !parts.is_empty() {
        let group = Group { parts: at_home(parts, &homes), batches: record.group.batches };
        let Some(written) = link.write(record.turn, &group, deadline, true).await else {
            return Ok(Next::Away);
        };
        let gone = match written? {
            Written::All(_) => break,
            Written::Nothing(gone) => gone,
        };
        // Others may have taken these in while they were to be written.
        let Some(found) = self::homes(link, db, deadline).await else { return Ok(Next::Away) };
        homes = found;
        let lost = |part: &Part| gone.contains(&part.project) && !homes.contains_key(&part.project);
        let (lost, left): (Vec<_>, Vec<_>) = group.parts.into_iter().partition(lost);
        for Part { project, rows, .. } in lost {
            tracing::info!(project = project.0, hits = rows, "hits of a deleted project leave the spool");
        }
        parts = left;
    }
    spool.done(record, bytes).await?;
    Ok(Next::Done)
}

/// Where the hits of projects go that others have taken in; `None` while the database does not answer.
async fn homes(link: &mut Link, db: &Db, deadline: Instant) -> Option<HashMap<ProjectId, ProjectId>> {
    // It knows whether there is a database to ask.
    link.get(deadline).await?;
    match timeout_at(deadline, absorbed(db)).await.ok()? {
        Ok(homes) => Some(homes),
        Err(error) => {
            tracing::warn!(%error, "what waits in the spool cannot be brought into the database yet");
            None
        }
    }
}

/// The parts as those of the projects that hold them now, in the order of these.
fn at_home(mut parts: Vec<Part>, homes: &HashMap<ProjectId, ProjectId>) -> Vec<Part> {
    for part in &mut parts {
        part.project = homes.get(&part.project).copied().unwrap_or(part.project);
    }
    parts.sort_by_key(|part| part.project);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_move_to_who_took_their_project_in_and_stay_in_the_order_of_projects() {
        let part = |project, rows| Part {
            project: ProjectId(project),
            rows,
            min_ts: 0,
            max_ts: 0,
            data: Vec::new(),
            mark: None,
        };
        let homes = HashMap::from([(ProjectId(1), ProjectId(9)), (ProjectId(3), ProjectId(2))]);
        let moved = at_home(vec![part(1, 10), part(2, 20), part(3, 30), part(4, 40)], &homes);
        let moved: Vec<_> = moved.into_iter().map(|part| (part.project.0, part.rows)).collect();
        assert_eq!(moved, [(2, 20), (2, 30), (4, 40), (9, 10)]);
    }
}

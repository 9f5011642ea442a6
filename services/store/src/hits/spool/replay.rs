//! From the spool into the database.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Spool;
use crate::{
    Result,
    hits::ingest::{Outcome, postgres::Link},
};

/// Longest wait for one group to be written.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Replays what waits, oldest first, until `closed`.
pub(crate) async fn replay(mut link: Link, spool: Arc<Spool>, closed: CancellationToken) {
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = spool.filled.notified() => {}
        }
        loop {
            let next = tokio::select! {
                () = closed.cancelled() => return,
                next = next(&mut link, &spool) => next,
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

async fn next(link: &mut Link, spool: &Arc<Spool>) -> Result<Next> {
    let Some((record, bytes)) = spool.oldest().await? else { return Ok(Next::Empty) };
    let Some(written) = link.write(record.turn, &record.group, Instant::now() + PATIENCE, true).await else {
        return Ok(Next::Away);
    };
    for (part, outcome) in record.group.parts.iter().zip(written?) {
        if outcome == Outcome::NoProject {
            tracing::info!(
                project = part.project.0,
                hits = part.rows,
                "hits of a deleted project leave the spool"
            );
        }
    }
    spool.done(record, bytes).await?;
    Ok(Next::Done)
}

//! Batches that share a commit, and who waits for it.

use std::collections::BTreeMap;

use super::{Batch, Mark, Outcome, Sender};
use crate::{
    Hit, ProjectId, Result, StoreError,
    codec::{self, Purpose},
};

/// Hits that are encoded on the executor; more go to a thread of their own.
const INLINE: usize = 512;

/// What one commit writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// In the order of their projects, so that all replicas lock in one order.
    pub parts: Vec<Part>,
    /// Batches in it.
    pub batches: u32,
}

/// Hits of one project, as one row of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub project: ProjectId,
    pub rows: i64,
    pub min_ts: i64,
    pub max_ts: i64,
    pub data: Vec<u8>,
    pub mark: Option<Mark>,
}

impl Part {
    /// Encodes hits.
    pub fn new(project: ProjectId, hits: &[Hit], mark: Option<Mark>) -> Result<Self> {
        let times = || hits.iter().map(|hit| hit.ts);
        Ok(Self {
            project,
            rows: i64::try_from(hits.len()).unwrap_or(i64::MAX),
            min_ts: times().min().unwrap_or_default(),
            max_ts: times().max().unwrap_or_default(),
            data: codec::encode(hits, Purpose::Inbox)?,
            mark,
        })
    }

    /// The same without its first hits.
    pub fn without_first(self, count: usize) -> Result<Self> {
        let mut hits = codec::decode(self.data)?;
        hits.drain(..count.min(hits.len()));
        Self::new(self.project, &hits, self.mark)
    }
}

/// Those who wait for each part.
pub(super) struct Answers(Vec<Vec<Sender>>);

impl Answers {
    /// Tells each what became of its part.
    pub fn each(self, outcomes: &[Outcome]) {
        for (waiting, outcome) in self.0.into_iter().zip(outcomes) {
            for Sender { done, .. } in waiting {
                // The client may have gone away; its hits are stored all the same.
                let _ = done.send((*outcome).into());
            }
        }
    }

    /// Tells all of them why nothing was written.
    pub fn all(self, error: &StoreError) {
        for Sender { done, .. } in self.0.into_iter().flatten() {
            let _ = done.send(Err(match error {
                StoreError::SpoolFull => StoreError::SpoolFull,
                other => StoreError::Unwritten(other.to_string()),
            }));
        }
    }
}

/// Hits that are to become a part.
struct Gathered {
    project: ProjectId,
    hits: Vec<Hit>,
    mark: Option<Mark>,
}

/// Makes one part of each project's batches, and one of each batch that may have been sent before.
pub(super) async fn make(batches: Vec<Batch>) -> (Result<Group>, Answers) {
    let count = u32::try_from(batches.len()).unwrap_or(u32::MAX);
    let mut plain: BTreeMap<ProjectId, usize> = BTreeMap::new();
    let mut parts: Vec<(Gathered, Vec<Sender>)> = Vec::new();
    for Batch { project, hits, identity, sender, .. } in batches {
        let mark = identity.and_then(|identity| Mark::new(identity, &hits));
        match plain.get(&project) {
            Some(at) if mark.is_none() => {
                parts[*at].0.hits.extend(hits);
                parts[*at].1.push(sender);
            }
            _ => {
                if mark.is_none() {
                    plain.insert(project, parts.len());
                }
                parts.push((Gathered { project, hits, mark }, vec![sender]));
            }
        }
    }
    parts.sort_by_key(|(part, _)| part.project);
    let (parts, answers): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    (encode(parts).await.map(|parts| Group { parts, batches: count }), Answers(answers))
}

async fn encode(parts: Vec<Gathered>) -> Result<Vec<Part>> {
    let hits: usize = parts.iter().map(|part| part.hits.len()).sum();
    let encode =
        move || parts.into_iter().map(|part| Part::new(part.project, &part.hits, part.mark)).collect();
    if hits <= INLINE {
        return encode();
    }
    tokio::task::spawn_blocking(encode).await.map_err(|e| StoreError::Damaged(e.to_string()))?
}

//! What tells that a batch was sent before.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::{Hit, ProjectId};

/// Bytes of a hit's digest.
const DIGEST: usize = 8;

/// Hits of a growing buffer that are compared at most; a larger one is a batch like any other.
const BUFFER: usize = 2_000;

/// How a batch that its client may send again is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// By a key that its client has chosen (the header `Idempotency-Key`), and a
    /// digest of what came with it.
    Key {
        /// The client's key, of any length.
        key: Vec<u8>,
        /// SHA-256 of the payload: the same key with another one is a mistake.
        payload: [u8; 32],
    },
    /// By its own first hits: the client posts its buffer again, grown by what has
    /// come meanwhile, while a post is under way. A batch that begins with all
    /// hits of an earlier one (two at least) and goes on is the earlier one and
    /// more; one that an earlier one begins with is there already. Two equal
    /// batches are two.
    Buffer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Key = 1,
    Buffer = 2,
}

/// An identity as it is noted: two batches with the same key are compared by their contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub kind: Kind,
    pub key: [u8; 32],
    pub content: Vec<u8>,
}

/// What a batch is, beside the one that was noted under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To be stored.
    New,
    /// Stored before.
    Repeat,
    /// Its first so many hits are stored; the others are not.
    Rest(usize),
    /// Another one, for which the key must not be used.
    Other,
}

impl Mark {
    /// `None` when hits cannot tell that they were sent before.
    pub fn new(identity: Identity, hits: &[Hit]) -> Option<Self> {
        match identity {
            Identity::Key { key, payload } => {
                let key = Sha256::new().chain_update(b"key").chain_update(key).finalize();
                Some(Self { kind: Kind::Key, key: key.into(), content: payload.into() })
            }
            Identity::Buffer if (2..=BUFFER).contains(&hits.len()) => {
                let content: Vec<u8> = hits.iter().flat_map(digest).collect();
                let first = &content[..2 * DIGEST];
                let key = Sha256::new().chain_update(b"buffer").chain_update(first).finalize();
                Some(Self { kind: Kind::Buffer, key: key.into(), content })
            }
            Identity::Buffer => None,
        }
    }

    /// Compares with what was noted under the same key.
    pub fn beside(&self, noted: &[u8]) -> Verdict {
        let (sent, noted) = (self.content.as_slice(), noted);
        match self.kind {
            Kind::Key if sent == noted => Verdict::Repeat,
            Kind::Key => Verdict::Other,
            Kind::Buffer if sent.len() > noted.len() && sent.starts_with(noted) => {
                Verdict::Rest(noted.len() / DIGEST)
            }
            Kind::Buffer if sent.len() < noted.len() && noted.starts_with(sent) => Verdict::Repeat,
            Kind::Buffer => Verdict::New,
        }
    }
}

/// The same for the same hit, whatever release computes it.
fn digest(hit: &Hit) -> [u8; DIGEST] {
    let mut hash = Sha256::new();
    for number in [Some(hit.ts), hit.status.map(i64::from), hit.duration_us] {
        hash.update(number.unwrap_or(i64::MIN).to_be_bytes());
    }
    for text in [&hit.method, &hit.host, &hit.path, &hit.query, &hit.user_agent, &hit.ip, &hit.user] {
        let text = text.as_deref().unwrap_or_default();
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut short = [0; DIGEST];
    short.copy_from_slice(&hash.finalize()[..DIGEST]);
    short
}

/// Whose key it is, and the key.
pub(crate) type MarkKey = (ProjectId, [u8; 32]);

/// What was noted so far, for batches to be compared with.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    contents: HashMap<MarkKey, Vec<u8>>,
    grown: BTreeSet<MarkKey>,
}

impl Marks {
    /// Adds what was noted elsewhere.
    pub fn insert(&mut self, key: MarkKey, content: Vec<u8>) {
        self.contents.insert(key, content);
    }

    /// Compares a batch with what was noted, and notes it.
    pub fn judge(&mut self, project: ProjectId, mark: &Mark) -> Verdict {
        let key = (project, mark.key);
        let Some(noted) = self.contents.get_mut(&key) else {
            self.contents.insert(key, mark.content.clone());
            return Verdict::New;
        };
        let verdict = mark.beside(noted);
        if let Verdict::Rest(_) = verdict {
            noted.clone_from(&mark.content);
            self.grown.insert(key);
        }
        verdict
    }

    /// What has grown since it was inserted.
    pub fn grown(&self) -> impl Iterator<Item = (&MarkKey, &Vec<u8>)> {
        self.grown.iter().filter_map(|key| Some((key, self.contents.get(key)?)))
    }

    pub fn forget(&mut self, project: ProjectId, mark: &Mark) {
        self.contents.remove(&(project, mark.key));
        self.grown.remove(&(project, mark.key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(paths: &[&str]) -> Vec<Hit> {
        let hit = |path: &&str| Hit { ts: 5, path: Some((*path).into()), ..Hit::default() };
        paths.iter().map(hit).collect()
    }

    fn buffer(paths: &[&str]) -> Option<Mark> {
        Mark::new(Identity::Buffer, &hits(paths))
    }

    #[test]
    fn a_grown_buffer_is_known_by_its_beginning_in_either_order_of_arrival() {
        let (short, long) = (buffer(&["a", "b"]).expect("mark"), buffer(&["a", "b", "c"]).expect("mark"));
        assert_eq!(short.key, long.key);
        assert_eq!(long.beside(&short.content), Verdict::Rest(2));
        assert_eq!(short.beside(&long.content), Verdict::Repeat);
    }

    #[test]
    fn equal_buffers_are_two_and_so_are_those_that_part_ways() {
        let mark = buffer(&["a", "b"]).expect("mark");
        assert_eq!(mark.beside(&mark.content), Verdict::New);
        let other = buffer(&["a", "b", "x", "y"]).expect("mark");
        assert_eq!(other.beside(&buffer(&["a", "b", "c"]).expect("mark").content), Verdict::New);
        assert_eq!(buffer(&["a"]), None, "one hit may well be made twice");
    }

    #[test]
    fn a_key_stands_for_one_payload() {
        let mark = |payload| {
            Mark::new(Identity::Key { key: b"k".to_vec(), payload: [payload; 32] }, &[]).expect("mark")
        };
        assert_eq!(mark(1).beside(&mark(1).content), Verdict::Repeat);
        assert_eq!(mark(2).beside(&mark(1).content), Verdict::Other);
    }
}

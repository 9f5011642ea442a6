//! A group as bytes: what a file of the spool is made of.
//!
//! A record is its length and a checksum, then the group's number, when it was
//! spooled, and its parts. Numbers are big-endian.

use bytes::{Buf, BufMut, TryGetError};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    ProjectId,
    hits::ingest::{Group, Kind, Mark, Part, postgres::Turn},
};

/// Bytes before a record's body: its length and the checksum.
pub(super) const HEAD: usize = 4 + CHECKSUM;

/// Bytes of a checksum.
const CHECKSUM: usize = 8;

/// First byte of a body: what the rest looks like.
const VERSION: u8 = 1;

/// A group that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub turn: Turn,
    /// When it was spooled, UTC milliseconds.
    pub at: i64,
    pub group: Group,
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        let mut body = vec![0; HEAD];
        body.put_u8(VERSION);
        body.put_slice(self.turn.writer.as_bytes());
        body.put_i64(self.turn.sequence);
        body.put_i64(self.at);
        body.put_u32(self.group.batches);
        body.put_u32(length(&self.group.parts));
        for part in &self.group.parts {
            body.put_i64(part.project.0);
            body.put_i64(part.rows);
            body.put_i64(part.min_ts);
            body.put_i64(part.max_ts);
            match &part.mark {
                None => body.put_u8(0),
                Some(mark) => {
                    body.put_u8(mark.kind as u8);
                    body.put_slice(&mark.key);
                    put(&mut body, &mark.content);
                }
            }
            put(&mut body, &part.data);
        }
        let (head, rest) = body.split_at_mut(HEAD);
        head[..4].copy_from_slice(&length(rest).to_be_bytes());
        head[4..].copy_from_slice(&checksum(rest));
        body
    }

    /// Reads a body; `None` when it is none.
    pub fn decode(head: &[u8; HEAD], body: &[u8]) -> Option<Self> {
        if head[4..] != checksum(body) {
            return None;
        }
        read(body).ok().flatten()
    }
}

/// Length of the body that follows a head.
pub(super) fn body_length(head: &[u8; HEAD]) -> usize {
    u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize
}

fn read(mut body: &[u8]) -> Result<Option<Record>, TryGetError> {
    let body = &mut body;
    if body.try_get_u8()? != VERSION {
        return Ok(None);
    }
    let turn = Turn { writer: Uuid::from_bytes(array(body)?), sequence: body.try_get_i64()? };
    let at = body.try_get_i64()?;
    let batches = body.try_get_u32()?;
    let mut parts = Vec::new();
    for _ in 0..body.try_get_u32()? {
        let project = ProjectId(body.try_get_i64()?);
        let (rows, min_ts, max_ts) = (body.try_get_i64()?, body.try_get_i64()?, body.try_get_i64()?);
        let kind = match body.try_get_u8()? {
            1 => Some(Kind::Key),
            2 => Some(Kind::Buffer),
            _ => None,
        };
        let mark = match kind {
            Some(kind) => Some(Mark { kind, key: array(body)?, content: take(body)? }),
            None => None,
        };
        parts.push(Part { project, rows, min_ts, max_ts, data: take(body)?, mark });
    }
    Ok(Some(Record { turn, at, group: Group { parts, batches } }))
}

fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    body.put_u32(length(bytes));
    body.put_slice(bytes);
}

fn take(body: &mut &[u8]) -> Result<Vec<u8>, TryGetError> {
    let length = body.try_get_u32()? as usize;
    let mut bytes = vec![0; length.min(body.len())];
    body.try_copy_to_slice(&mut bytes)?;
    if bytes.len() < length {
        return Err(TryGetError { requested: length, available: bytes.len() });
    }
    Ok(bytes)
}

fn array<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], TryGetError> {
    let mut bytes = [0; N];
    body.try_copy_to_slice(&mut bytes)?;
    Ok(bytes)
}

fn length<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut short = [0; CHECKSUM];
    short.copy_from_slice(&Sha256::digest(body)[..CHECKSUM]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> Record {
        let part = |project, mark| Part {
            project: ProjectId(project),
            rows: 3,
            min_ts: -1,
            max_ts: 9,
            data: vec![7; 100],
            mark,
        };
        let mark = |kind| Some(Mark { kind, key: [5; 32], content: vec![1, 2, 3] });
        let parts = vec![part(1, None), part(1, mark(Kind::Key)), part(2, mark(Kind::Buffer))];
        Record { turn: Turn::first(), at: 4, group: Group { parts, batches: 8 } }
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        let (head, body) = bytes.split_first_chunk()?;
        Record::decode(head, body)
    }

    #[test]
    fn what_was_encoded_decodes_to_the_same() {
        let record = record();
        let bytes = record.encode();
        assert_eq!(body_length(bytes.first_chunk().expect("head")), bytes.len() - HEAD);
        assert_eq!(decode(&bytes), Some(record));
    }

    proptest! {
        #[test]
        fn no_damage_goes_unnoticed(at in 4_usize..400, flip in 1_u8..) {
            let mut bytes = record().encode();
            let at = at % bytes.len();
            bytes[at.max(4)] ^= flip;
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn junk_is_no_record_and_never_a_panic(junk in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read(&junk).ok().flatten(), None);
            prop_assert_eq!(decode(&junk), None);
        }
    }
}

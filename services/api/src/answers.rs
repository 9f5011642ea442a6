//! Answers that may be long: one is bounded while it is written, and all together are until they are
//! sent, since clients may take them slowly.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::Semaphore;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::ProjectId;

use crate::rooms::{Room, Rooms};

/// Bytes that an answer may have.
pub(crate) const LONGEST: usize = 64 << 20;

/// Bytes of answers that are on their way at once, those of one project half of them at most.
const ON_THE_WAY: usize = 2 * LONGEST;

/// How long an answer waits for others to be taken.
const WAIT: Duration = Duration::from_secs(10);

/// Bytes of an answer up to which it does not count among these.
const SHORT: usize = 256 << 10;

/// Bytes that count as one.
const UNIT: usize = 64 << 10;

/// An answer would be longer than [`LONGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The answer would have more than 64 MiB; ask for fewer rows at once, or use /api/v1/export.")]
pub(crate) struct TooLong;

impl From<TooLong> for ApiError {
    fn from(error: TooLong) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    }
}

/// An answer while it is written.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    most: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: Vec::new(), most: LONGEST }
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::Error::other(TooLong));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Text {
    /// A value as JSON. This takes processor time where it is long.
    ///
    /// # Errors
    /// When that is too long.
    pub fn json(value: &impl Serialize) -> Result<Self, TooLong> {
        let mut text = Self::default();
        // Nothing else can go wrong with what is written here.
        serde_json::to_writer(&mut text, value).map_err(|_| TooLong)?;
        Ok(text)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The answers that are on their way.
#[derive(Debug)]
pub(crate) struct Answers {
    rooms: Rooms,
    wait: Duration,
}

impl Default for Answers {
    fn default() -> Self {
        let rooms = Rooms::new(Arc::new(Semaphore::new(ON_THE_WAY / UNIT)), units(LONGEST));
        Self { rooms, wait: WAIT }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Bytes that keep their room until they are sent or dropped.
struct Held {
    bytes: Vec<u8>,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answers {
    /// The body of an answer about a project, as soon as there is room for it.
    ///
    /// # Errors
    /// 503 when others take theirs too slowly.
    pub async fn hold(&self, project: ProjectId, bytes: Vec<u8>) -> Result<Bytes, ApiError> {
        if bytes.len() <= SHORT {
            return Ok(bytes.into());
        }
        let room = self.rooms.take(project, units(bytes.capacity()));
        let room = tokio::time::timeout(self.wait, room).await;
        let busy = |_| ApiError::unavailable("Too many long answers are on their way; try again.");
        let room = room.map_err(busy)?.map_err(|error| ApiError::internal(&error))?;
        Ok(Bytes::from_owner(Held { bytes, _room: room }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_text_ends_where_it_would_be_too_long() {
        let mut text = Text { most: 5, ..Text::default() };
        assert!(text.write_all(b"abc").is_ok() && text.write_all(b"def").is_err());
        assert!(text.write_all(b"de").is_ok() && text.write_all(b"f").is_err());
        assert_eq!(text.into_bytes(), b"abcde");
        assert_eq!(Text::json(&[1, 2]).map(Text::into_bytes), Ok(b"[1,2]".to_vec()));
    }

    #[tokio::test]
    async fn a_long_answer_waits_for_others_of_its_project_to_be_sent_and_a_short_one_does_not() {
        let answers = Answers::default();
        let [busy, other] = [1, 2].map(ProjectId);
        let long = || vec![0; LONGEST];
        let first = answers.hold(busy, long()).await.expect("room");
        let mut second = std::pin::pin!(answers.hold(busy, long()));
        assert!(futures::poll!(second.as_mut()).is_pending());
        assert_eq!(answers.hold(other, long()).await.expect("room").len(), LONGEST);
        assert_eq!(answers.hold(busy, vec![1; SHORT]).await.expect("room").len(), SHORT);
        // What is left of it keeps the whole in memory.
        let rest = first.slice(1..);
        drop(first);
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(rest);
        assert!(futures::poll!(second.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_long_answer_is_given_up_where_others_are_not_taken() {
        let answers = Answers { wait: Duration::from_millis(10), ..Answers::default() };
        let _untaken = answers.hold(ProjectId(1), vec![0; LONGEST]).await.expect("room");
        let error = answers.hold(ProjectId(1), vec![0; LONGEST]).await.expect_err("no room");
        assert_eq!((error.status, error.retry_after), (StatusCode::SERVICE_UNAVAILABLE, Some(1)));
    }
}

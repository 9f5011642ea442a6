//! From a thread that produces bytes to a client that takes them, and the other way round.

use std::{
    io::Read,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use watchkeeper_runtime::patience::Patience;

/// Chunks on their way.
const CHUNKS: usize = 4;

/// Bytes of a chunk at most.
const CHUNK: usize = 64 << 10;

/// Bytes a second that a longer export is taken with.
const RATE: u32 = 1 << 20;

/// How long a client is waited for in all, beyond [`RATE`]: nobody holds a database's snapshot and the
/// place of another export for long by reading slowly. That a client takes nothing at all is ended by
/// the server before.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an export takes at most, beyond [`RATE`]: neither does anybody by a filter that is slow and
/// finds little.
const LONGEST: Duration = Duration::from_secs(3_600);

/// What a body says when it breaks off.
type Broken = std::io::Error;

/// Why a client does not get any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    /// It closed the connection.
    #[error("the client went away")]
    Gone,
    /// It was waited for too long.
    #[error("the client took it too slowly")]
    Slow,
    /// Its hits took too long to find.
    #[error("it took too long")]
    Late,
}

/// The producing end.
#[derive(Clone)]
pub(super) struct Producer {
    chunks: mpsc::Sender<Result<Bytes, Broken>>,
    patience: Patience,
    start: Instant,
    longest: Duration,
    given: u64,
    runtime: tokio::runtime::Handle,
}

/// The body of an answer.
pub(super) struct Chunks(mpsc::Receiver<Result<Bytes, Broken>>);

/// A pipe to a client. To be made on the runtime.
pub(super) fn to_client() -> (Producer, Chunks) {
    within(Patience::new(PATIENCE, RATE), LONGEST)
}

fn within(patience: Patience, longest: Duration) -> (Producer, Chunks) {
    let (chunks, received) = mpsc::channel(CHUNKS);
    let (start, runtime) = (Instant::now(), tokio::runtime::Handle::current());
    (Producer { chunks, patience, start, longest, given: 0, runtime }, Chunks(received))
}

impl Producer {
    /// Gives bytes to the client. Blocks: not for the executor.
    pub fn give_blocking(&mut self, bytes: Vec<u8>) -> Result<(), Unread> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.give(bytes.into()))
    }

    /// Gives bytes to the client.
    pub async fn give(&mut self, mut bytes: Bytes) -> Result<(), Unread> {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            let (length, start) = (chunk.len(), Instant::now());
            let sent = tokio::time::timeout(self.patience.left(), self.chunks.send(Ok(chunk))).await;
            sent.map_err(|_| Unread::Slow)?.map_err(|_| Unread::Gone)?;
            self.patience.took(length, start.elapsed());
            self.given += u64::try_from(length).unwrap_or_default();
        }
        self.wanted()
    }

    /// Whether the client is to get more, for who has nothing to give for long.
    pub fn wanted(&self) -> Result<(), Unread> {
        if self.chunks.is_closed() {
            return Err(Unread::Gone);
        }
        let due = Duration::from_secs(self.given / u64::from(RATE));
        if self.start.elapsed() >= self.longest + due { Err(Unread::Late) } else { Ok(()) }
    }

    /// Ends the answer so that its client sees that it is not whole.
    pub async fn break_off(self) {
        let broken = Broken::other("the export broke off");
        if self.chunks.send(Err(broken)).await.is_err() {
            tracing::debug!("the client of an export that broke off was gone already");
        }
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Bytes of a request, to be read on another thread.
pub(super) struct Incoming {
    chunks: mpsc::Receiver<Result<Bytes, Broken>>,
    chunk: Bytes,
}

/// A pipe from a client.
pub(super) fn from_client() -> (mpsc::Sender<Result<Bytes, Broken>>, Incoming) {
    let (sender, chunks) = mpsc::channel(CHUNKS);
    (sender, Incoming { chunks, chunk: Bytes::new() })
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.chunk = chunk?,
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn all_that_is_given_arrives_in_its_order() {
        let (mut producer, chunks) = to_client();
        let given: Vec<u8> = (0..=250).cycle().take(CHUNK * 3 + 5).collect();
        let bytes = Bytes::from(given.clone());
        let (gave, taken) = tokio::join!(
            async move { producer.give(bytes).await },
            chunks.map(|chunk| chunk.expect("whole").to_vec()).concat(),
        );
        assert_eq!((gave, taken == given), (Ok(()), true));
    }

    #[tokio::test]
    async fn who_takes_nothing_gets_no_more_and_sees_that_it_is_not_whole() {
        let patience = Patience::new(Duration::from_millis(20), 1 << 30);
        let (mut producer, mut chunks) = within(patience, LONGEST);
        let much = Bytes::from(vec![0; CHUNK * (CHUNKS + 1)]);
        assert_eq!(producer.give(much).await, Err(Unread::Slow));
        let (_, rest) = tokio::join!(producer.break_off(), async {
            let mut rest = Vec::new();
            while let Some(chunk) = chunks.next().await {
                rest.push(chunk.is_ok());
            }
            rest
        });
        assert_eq!(rest, [true, true, true, true, false]);
    }

    #[tokio::test]
    async fn an_export_ends_in_time_and_what_is_taken_of_it_brings_it_more() {
        let (mut producer, chunks) = within(Patience::new(PATIENCE, RATE), Duration::ZERO);
        assert_eq!(producer.wanted(), Err(Unread::Late));
        let much = Bytes::from(vec![0; CHUNK * 160]);
        let (gave, taken) = tokio::join!(async move { producer.give(much).await }, chunks.count());
        assert_eq!((gave, taken), (Ok(()), 160), "ten megabytes bring ten seconds");
    }

    #[tokio::test]
    async fn who_has_gone_gets_no_more() {
        let (mut producer, chunks) = to_client();
        drop(chunks);
        assert_eq!(producer.give(Bytes::new()).await, Err(Unread::Gone));
        assert_eq!(producer.give(Bytes::from_static(b"a")).await, Err(Unread::Gone));
    }
}

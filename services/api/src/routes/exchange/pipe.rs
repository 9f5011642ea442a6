//! From a thread that produces bytes to a client that takes them, and the other way round.

use std::{
    io::Read,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;

/// Chunks on their way.
const CHUNKS: usize = 4;

/// Longest time in which a client takes nothing: after it the export ends, so that nobody holds a
/// database's snapshot open by not reading.
const STALLED: Duration = Duration::from_secs(30);

/// What a body says when it breaks off.
type Broken = std::io::Error;

/// The producing end.
#[derive(Clone)]
pub(super) struct Producer {
    chunks: mpsc::Sender<Result<Bytes, Broken>>,
    runtime: tokio::runtime::Handle,
}

/// The body of an answer.
pub(super) struct Chunks(mpsc::Receiver<Result<Bytes, Broken>>);

/// A pipe to a client. To be made on the runtime.
pub(super) fn to_client() -> (Producer, Chunks) {
    let (chunks, received) = mpsc::channel(CHUNKS);
    (Producer { chunks, runtime: tokio::runtime::Handle::current() }, Chunks(received))
}

impl Producer {
    /// Gives bytes to the client; tells whether there still is one. Blocks: not for the executor.
    pub fn give_blocking(&self, bytes: Vec<u8>) -> bool {
        self.runtime.block_on(self.give(Ok(bytes.into())))
    }

    /// Gives bytes, or ends the answer so that its client sees that it is not whole.
    pub async fn give(&self, bytes: Result<Bytes, Broken>) -> bool {
        if bytes.as_ref().is_ok_and(Bytes::is_empty) {
            return !self.chunks.is_closed();
        }
        matches!(tokio::time::timeout(STALLED, self.chunks.send(bytes)).await, Ok(Ok(())))
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

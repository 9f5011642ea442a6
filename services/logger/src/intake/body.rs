//! Reading bodies within bounds: each has a size, a large one must keep coming, and all of them
//! together have rooms whose shares they take as they grow.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout};
use watchkeeper_runtime::{error::ApiError, patience::Patience, peer::Peer};

use super::{Logger, Refused, room::Share};

/// Values that a row may have on average: clients send ten.
const VALUES_PER_ROW: usize = 64;

/// Opening braces that a row may have on average: it is one object, and templates of routes have some.
const OBJECTS_PER_ROW: usize = 8;

/// Rows, as they are decoded, that take a KiB beside the bytes of their texts.
const ROWS_PER_KIB: usize = 4;

/// Hits that take a KiB beside the bytes of their texts.
const HITS_PER_KIB: usize = 2;

/// Bytes from which a body must keep coming, since others may need the room that it holds.
const LARGE: usize = 128 << 10;

/// Longest silence in a body that is large.
const SILENCE: Duration = Duration::from_secs(5);

/// Bytes a second, after decompression, at which it must come in the long run.
const PACE: u32 = 64 << 10;

/// A body in memory, with its share of the rooms for all bodies.
pub(crate) struct Held {
    pub bytes: Bytes,
    share: Share,
}

impl Held {
    /// Takes room for the rows that a JSON body may become and for their hits, and refuses one that has
    /// far more values than so many `rows`, which `field` names in the request: a few compressed bytes
    /// could otherwise become gigabytes.
    pub(crate) async fn weigh(&mut self, rows: usize, field: &str) -> Result<(), Refused> {
        let (mut values, mut objects) = (0, 0);
        for byte in &self.bytes {
            values += usize::from(matches!(byte, b',' | b'[' | b'{'));
            objects += usize::from(*byte == b'{');
        }
        if values > rows.saturating_mul(VALUES_PER_ROW) || objects > rows.saturating_mul(OBJECTS_PER_ROW) {
            let message = "The body has too many values; send the batch in parts.";
            return Err(Refused::too_large(message.into(), field));
        }
        let texts = self.bytes.len() / 1_024 + 1;
        let (as_rows, as_hits) = (objects / ROWS_PER_KIB + texts, objects.min(rows) / HITS_PER_KIB + texts);
        Ok(self.share.reserve(as_rows + as_hits).await?)
    }

    /// The share that what became of the body needs for as long as it is in memory, whoever waits for it.
    pub fn decoded(self) -> Share {
        let Self { bytes, mut share } = self;
        drop(bytes);
        share.release_body();
        share
    }
}

impl Logger {
    /// Reads a body. Its share of the room for all bodies grows with it: a length
    /// claimed beforehand says nothing about what a compressed body holds.
    pub(crate) async fn body(&self, from: Peer, body: Body) -> Result<Held, Refused> {
        let mut share = self.inner.rooms.share(from.network());
        let patience = Patience::new(SILENCE, PACE);
        let bytes = read(body, self.bounds().body, &mut share, patience).await?;
        Ok(Held { bytes, share })
    }

    /// Refuses a batch with too many rows; `field` names them in the request.
    pub(crate) fn check_rows(&self, rows: usize, field: &str) -> Result<(), Refused> {
        let limit = self.bounds().rows;
        if rows <= limit {
            return Ok(());
        }
        let message = format!("A batch may have {limit} requests; this has {rows}. Send it in parts.");
        Err(Refused::too_large(message, field))
    }
}

/// Reads a body of `most` bytes at most.
async fn read(body: Body, most: usize, share: &mut Share, mut patience: Patience) -> Result<Bytes, Refused> {
    let mut body = Limited::new(body, most);
    let (mut whole, mut parts) = (Bytes::new(), BytesMut::new());
    share.grow(1)?;
    loop {
        let length = whole.len() + parts.len();
        let asked = Instant::now();
        let frame = match length {
            // It holds little, however slowly it comes.
            0..LARGE => body.frame().await,
            _ => timeout(patience.left(), body.frame()).await.map_err(|_| slow())?,
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|error| unreadable(&*error, most))?.into_data() else { continue };
        if length >= LARGE {
            patience.took(data.len(), asked.elapsed());
        }
        share.grow(((length + data.len()) / 1_024 + 1).saturating_sub(share.kib()))?;
        // Most bodies come in one piece, which needs no copy.
        if length == 0 {
            whole = data;
        } else {
            if parts.is_empty() {
                parts.extend_from_slice(&std::mem::take(&mut whole));
            }
            parts.extend_from_slice(&data);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

fn slow() -> Refused {
    let message = format!(
        "A body of more than {LARGE} bytes must come faster than {PACE} bytes a second, without a pause of \
         {SILENCE:?}; send the batch in parts."
    );
    Refused::new("body", ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
}

fn unreadable(error: &(dyn std::error::Error + Send + Sync + 'static), most: usize) -> Refused {
    if error.is::<LengthLimitError>() {
        let message = format!("The body may have {most} bytes; send the batch in parts.");
        return Refused::new("too_large", ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Refused::new("body", ApiError::bad_request(format!("Invalid request data.\n{error}")))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        net::{IpAddr, Ipv4Addr},
    };

    use futures::{StreamExt, stream};

    use super::*;
    use crate::intake::room::Rooms;

    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    /// A body that stops coming after so many bytes.
    fn stopping(bytes: usize) -> Body {
        let sent = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))]);
        Body::from_stream(sent.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_large_body_that_stops_coming_is_refused_and_a_small_one_is_waited_for() {
        let rooms = Rooms::new(0);
        let patience = Patience::new(Duration::from_millis(50), PACE);
        let refused = read(stopping(LARGE), usize::MAX, &mut rooms.share(NOBODY), patience.clone()).await;
        assert_eq!(refused.expect_err("too slow").error.status, StatusCode::REQUEST_TIMEOUT);
        let mut share = rooms.share(NOBODY);
        let small = read(stopping(LARGE - 1), usize::MAX, &mut share, patience);
        assert!(timeout(Duration::from_millis(200), small).await.is_err(), "it may still come");
    }
}

//! Reading bodies within bounds: each has a size, and all of them together have
//! a room whose shares they take as they grow.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::SemaphorePermit;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use super::{Logger, Refused};

/// Bodies that are held at once, KiB over all requests.
pub(super) const ROOM_KIB: usize = 256 * 1_024;

/// Values that a row may have on average: clients send ten.
const VALUES_PER_ROW: usize = 64;

/// Rows, as they are decoded, that take a KiB beside the bytes of their texts.
const ROWS_PER_KIB: usize = 4;

/// Hits that take a KiB beside the bytes of their texts.
const HITS_PER_KIB: usize = 2;

/// A body in memory, with its share of the room for all bodies.
pub(crate) struct Held<'a> {
    pub bytes: Bytes,
    room: SemaphorePermit<'a>,
}

impl Logger {
    /// Reads a body. Its share of the room for all bodies grows with it: a length
    /// claimed beforehand says nothing about what a compressed body holds.
    pub(crate) async fn body(&self, body: Body) -> Result<Held<'_>, Refused> {
        let mut body = Limited::new(body, self.bounds().body);
        let mut room = self.room(1)?;
        let mut whole = Bytes::new();
        let mut parts = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.unreadable(&*error))?;
            let Ok(data) = frame.into_data() else { continue };
            // Most bodies come in one piece, which needs no copy.
            if whole.is_empty() && parts.is_empty() {
                whole = data;
            } else {
                if parts.is_empty() {
                    parts.extend_from_slice(&std::mem::take(&mut whole));
                }
                parts.extend_from_slice(&data);
            }
            let length = whole.len() + parts.len();
            let missing = (length / 1_024 + 1).saturating_sub(room.num_permits());
            if missing > 0 {
                room.merge(self.room(missing)?);
            }
        }
        let bytes = if parts.is_empty() { whole } else { parts.freeze() };
        Ok(Held { bytes, room })
    }

    /// Takes room for the rows that a JSON body may become, and refuses one that has
    /// far more values than the rows it may have: a few compressed bytes could
    /// otherwise become gigabytes.
    pub(crate) fn weigh<'a>(&'a self, body: &mut Held<'a>, field: &str) -> Result<(), Refused> {
        let (mut values, mut objects) = (0, 0);
        for byte in &body.bytes {
            values += usize::from(matches!(byte, b',' | b'[' | b'{'));
            objects += usize::from(*byte == b'{');
        }
        if values > self.bounds().rows.saturating_mul(VALUES_PER_ROW) {
            let message = "The body has too many values; send the batch in parts.";
            return Err(Refused::too_large(message.into(), field));
        }
        body.room.merge(self.room(objects / ROWS_PER_KIB + 1)?);
        Ok(())
    }

    /// Takes room for rows, and refuses a batch with too many; `field` names them in the request.
    pub(crate) fn check_rows<'a>(
        &'a self,
        body: &mut Held<'a>,
        rows: usize,
        field: &str,
    ) -> Result<(), Refused> {
        let limit = self.bounds().rows;
        if rows > limit {
            let message = format!("A batch may have {limit} requests; this has {rows}. Send it in parts.");
            return Err(Refused::too_large(message, field));
        }
        body.room.merge(self.room(rows / HITS_PER_KIB + 1)?);
        Ok(())
    }

    fn room(&self, kib: usize) -> Result<SemaphorePermit<'_>, Refused> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        self.inner.bodies.try_acquire_many(kib).map_err(|_| Refused::from(StoreError::Overloaded))
    }

    fn unreadable(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Refused {
        if error.is::<LengthLimitError>() {
            let message = format!("The body may have {} bytes; send the batch in parts.", self.bounds().body);
            return Refused::new("too_large", ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Refused::new("body", ApiError::bad_request(format!("Invalid request data.\n{error}")))
    }
}

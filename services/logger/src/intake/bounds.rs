//! What clients may send.

use std::num::NonZeroU32;

/// Bounds on what clients may send.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest body, bytes, after decompression.
    pub body: usize,
    /// Most rows in a batch.
    pub rows: usize,
    /// Posts a minute and key; a burst may use them all at once.
    pub posts_per_minute: NonZeroU32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body: 32 << 20,
            rows: 20_000,
            posts_per_minute: NonZeroU32::new(6_000).unwrap_or(NonZeroU32::MAX),
        }
    }
}

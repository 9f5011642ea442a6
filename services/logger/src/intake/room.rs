//! Room for bodies and what becomes of them in memory, over all requests.

use tokio::sync::{Semaphore, SemaphorePermit};
use watchkeeper_store::StoreError;

/// KiB of each body, and of what becomes of it, that come out of a room of their own, so that large bodies
/// keep no small one out.
const FIRST_KIB: usize = 16;

/// Bodies whose first KiB that room has: as many as there may be connections.
const BODIES: usize = 4_096;

/// Room for all else, KiB.
const REST_KIB: usize = 256 * 1_024;

/// How much larger that is at least than the largest body: it is there three times, as sent and with its
/// texts in rows and in hits, and these have a size beside their texts.
const LARGEST: usize = 4;

/// The rooms.
pub(super) struct Rooms {
    first: Semaphore,
    rest: Semaphore,
}

/// What a body has of them.
pub(super) struct Share<'a> {
    rooms: &'a Rooms,
    first: Option<SemaphorePermit<'a>>,
    rest: Option<SemaphorePermit<'a>>,
}

impl Rooms {
    /// Rooms where the largest body has so many bytes.
    pub fn new(largest: usize) -> Self {
        let rest = (largest / 1_024).saturating_mul(LARGEST).clamp(REST_KIB, Semaphore::MAX_PERMITS);
        Self { first: Semaphore::new(FIRST_KIB * BODIES), rest: Semaphore::new(rest) }
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Share<'_> {
        Share { rooms: self, first: None, rest: None }
    }
}

impl Share<'_> {
    /// KiB that it has.
    pub fn kib(&self) -> usize {
        held(self.first.as_ref()) + held(self.rest.as_ref())
    }

    /// Takes so many KiB more.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when they are not to be had.
    pub fn grow(&mut self, kib: usize) -> Result<(), StoreError> {
        let first = kib.min(FIRST_KIB.saturating_sub(held(self.first.as_ref())));
        take(&self.rooms.first, &mut self.first, first)?;
        take(&self.rooms.rest, &mut self.rest, kib - first)
    }
}

fn held(permit: Option<&SemaphorePermit<'_>>) -> usize {
    permit.map_or(0, SemaphorePermit::num_permits)
}

fn take<'a>(
    room: &'a Semaphore,
    held: &mut Option<SemaphorePermit<'a>>,
    kib: usize,
) -> Result<(), StoreError> {
    if kib == 0 {
        return Ok(());
    }
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    let more = room.try_acquire_many(kib).map_err(|_| StoreError::Overloaded)?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_keep_no_small_one_out() {
        let rooms = Rooms::new(0);
        let mut large = Vec::new();
        loop {
            let mut share = rooms.share();
            if share.grow(32 * 1_024).is_err() {
                break;
            }
            large.push(share);
        }
        assert_eq!(large.len(), 8);
        let mut small = rooms.share();
        small.grow(1).expect("room");
        small.grow(FIRST_KIB - 1).expect("room");
        assert!(small.grow(1_024).is_err(), "nothing is left for the rest of it");
        large.pop();
        small.grow(1_024).expect("room");
        assert_eq!(small.kib(), FIRST_KIB + 1_024);
    }

    #[test]
    fn the_largest_body_that_is_let_in_has_room() {
        let rooms = Rooms::new(1 << 30);
        rooms.share().grow(3 << 20).expect("room for three times as much");
    }
}

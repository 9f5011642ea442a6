//! Room for bodies and what becomes of them in memory, over all requests.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use watchkeeper_store::StoreError;

/// KiB of each body, and of what becomes of it, that come out of a room of their own, so that large bodies
/// keep no small one out.
const FIRST_KIB: usize = 16;

/// Bodies whose first KiB that room has: as many as there may be connections.
const BODIES: usize = 4_096;

/// Room for the rest of all bodies, KiB, and as much for what becomes of them.
const REST_KIB: usize = 128 * 1_024;

/// What one network may hold of the room for bodies, in times of what is free beside it: seven eighths if
/// it is alone, and less the less others leave, so that whoever has slow ones under way, of bytes that cost
/// nothing to send, keeps out nobody but themselves.
const TIMES_FREE: usize = 7;

/// How much larger the room for bodies is at least than the largest, which has to fit beside what is left
/// free.
const LARGEST_BODY: usize = 2;

/// How much larger the room for what becomes of bodies is: texts are there twice, in rows and in hits, and
/// these have a size beside their texts.
const LARGEST: usize = 3;

/// Longest wait for room for what becomes of a body.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rooms; clones share them.
#[derive(Clone)]
pub(super) struct Rooms {
    first: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    /// KiB that each network has of it; none that has nothing.
    networks: Arc<Mutex<HashMap<IpAddr, usize>>>,
    work: Arc<Semaphore>,
    /// KiB of the last.
    most: usize,
}

/// What a body, and what becomes of it, has of them.
pub(crate) struct Share {
    rooms: Rooms,
    network: IpAddr,
    first: Option<OwnedSemaphorePermit>,
    body: Option<OwnedSemaphorePermit>,
    work: Option<OwnedSemaphorePermit>,
}

impl Rooms {
    /// Rooms where the largest body has so many bytes.
    pub fn new(largest: usize) -> Self {
        let largest = largest / 1_024 + 1;
        let rest = |times: usize| largest.saturating_mul(times).clamp(REST_KIB, Semaphore::MAX_PERMITS);
        let room = |kib| Arc::new(Semaphore::new(kib));
        let (bodies, most) = (room(rest(LARGEST_BODY)), rest(LARGEST));
        let networks = Arc::default();
        Self { first: room(FIRST_KIB * BODIES), bodies, networks, work: room(most), most }
    }

    /// A share of nothing yet, for what comes from a network.
    pub fn share(&self, network: IpAddr) -> Share {
        Share { rooms: self.clone(), network, first: None, body: None, work: None }
    }

    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// KiB that its body has.
    pub fn kib(&self) -> usize {
        held(self.first.as_ref()) + held(self.body.as_ref())
    }

    /// Takes so many KiB more for its body. Nobody waits who holds room that others wait for.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when they are not to be had, or its network has too many.
    pub fn grow(&mut self, kib: usize) -> Result<(), StoreError> {
        let kib = kib - self.first(kib)?;
        if kib == 0 {
            return Ok(());
        }
        let mut networks = self.rooms.networks();
        let its = networks.get(&self.network).copied().unwrap_or_default() + kib;
        let free = self.rooms.bodies.available_permits().saturating_sub(kib);
        if its > free.saturating_mul(TIMES_FREE) {
            return Err(StoreError::Overloaded);
        }
        take(&self.rooms.bodies, &mut self.body, kib)?;
        networks.insert(self.network, its);
        Ok(())
    }

    /// Takes so many KiB for all that becomes of its body, once, and waits for them: those who have some
    /// will not wait for more. What would not fit at all has the whole room to itself.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when they are not to be had in time.
    pub async fn reserve(&mut self, kib: usize) -> Result<(), StoreError> {
        self.reserve_within(kib, PATIENCE).await
    }

    async fn reserve_within(&mut self, kib: usize, patience: Duration) -> Result<(), StoreError> {
        let first = self.first(kib)?;
        let rest = (kib - first).min(self.rooms.most);
        if rest > 0 {
            let room = Arc::clone(&self.rooms.work).acquire_many_owned(permits(rest));
            let Ok(Ok(work)) = timeout(patience, room).await else { return Err(StoreError::Overloaded) };
            add(&mut self.work, work);
        }
        Ok(())
    }

    /// Gives back what its body has, which is in memory no more.
    pub fn release_body(&mut self) {
        let Some(body) = self.body.take() else { return };
        let mut networks = self.rooms.networks();
        let left = networks.remove(&self.network).unwrap_or_default().saturating_sub(body.num_permits());
        if left > 0 {
            networks.insert(self.network, left);
        }
    }

    /// Takes what it has not yet of its first KiB, so many at most.
    fn first(&mut self, most: usize) -> Result<usize, StoreError> {
        let kib = most.min(FIRST_KIB.saturating_sub(held(self.first.as_ref())));
        take(&self.rooms.first, &mut self.first, kib)?;
        Ok(kib)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release_body();
    }
}

fn held(permit: Option<&OwnedSemaphorePermit>) -> usize {
    permit.map_or(0, OwnedSemaphorePermit::num_permits)
}

fn permits(kib: usize) -> u32 {
    u32::try_from(kib).unwrap_or(u32::MAX)
}

fn take(
    room: &Arc<Semaphore>,
    held: &mut Option<OwnedSemaphorePermit>,
    kib: usize,
) -> Result<(), StoreError> {
    if kib == 0 {
        return Ok(());
    }
    let more = Arc::clone(room).try_acquire_many_owned(permits(kib)).map_err(|_| StoreError::Overloaded)?;
    add(held, more);
    Ok(())
}

fn add(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test]
    async fn large_bodies_keep_no_small_one_out() {
        let rooms = Rooms::new(0);
        let all = u32::try_from(REST_KIB).expect("small");
        let large = Arc::clone(&rooms.bodies).try_acquire_many_owned(all).expect("room");
        let mut small = rooms.share(ONE);
        small.grow(1).expect("room");
        small.reserve(FIRST_KIB - 1).await.expect("room");
        assert!(small.grow(1_024).is_err(), "nothing is left for the rest of it");
        drop(large);
        small.grow(1_024).expect("room");
        assert_eq!(small.kib(), FIRST_KIB + 1_024);
    }

    #[test]
    fn a_network_with_many_large_bodies_leaves_room_to_others() {
        let rooms = Rooms::new(0);
        let mut large = Vec::new();
        loop {
            let mut share = rooms.share(ONE);
            if share.grow(FIRST_KIB + 8 * 1_024).is_err() {
                break;
            }
            large.push(share);
        }
        assert_eq!(large.len(), 14, "of sixteen that there is room for");
        let mut other = rooms.share(OTHER);
        other.grow(FIRST_KIB + 8 * 1_024).expect("room for others");
        other.release_body();
        large.pop();
        rooms.share(ONE).grow(FIRST_KIB + 8 * 1_024).expect("room again");
        drop((large, other));
        assert!(rooms.networks().is_empty(), "who has nothing is forgotten");
        assert_eq!(rooms.bodies.available_permits(), REST_KIB);
    }

    #[tokio::test]
    async fn what_becomes_of_bodies_is_waited_for_until_there_is_room() {
        let rooms = Rooms::new(0);
        let mut shares = [rooms.share(ONE), rooms.share(ONE), rooms.share(ONE)];
        let [one, two, three] = &mut shares;
        one.reserve(REST_KIB / 2).await.expect("room");
        two.reserve(REST_KIB / 2).await.expect("room");
        let waiting = three.reserve(REST_KIB);
        let frees = async { drop((one.work.take(), two.work.take())) };
        let (waited, ()) = tokio::join!(waiting, frees);
        waited.expect("room as soon as the others have none");
    }

    #[tokio::test]
    async fn nobody_waits_for_room_for_ever() {
        let rooms = Rooms::new(0);
        let (mut one, mut two) = (rooms.share(ONE), rooms.share(ONE));
        one.reserve(usize::MAX).await.expect("the whole room");
        let waited = two.reserve_within(FIRST_KIB + 1, Duration::from_millis(20)).await;
        assert!(matches!(waited, Err(StoreError::Overloaded)));
        drop(one);
        two.reserve(FIRST_KIB + 1).await.expect("room");
    }

    #[tokio::test]
    async fn the_largest_body_that_is_let_in_has_room() {
        let rooms = Rooms::new(1 << 30);
        let mut share = rooms.share(ONE);
        share.grow(1 << 20).expect("room");
        share.reserve(3 << 20).await.expect("room for what becomes of it");
    }
}

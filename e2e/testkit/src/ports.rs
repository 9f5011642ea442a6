//! TCP ports for servers that must be told theirs.

use std::net::TcpListener;
use std::sync::Mutex;

use anyhow::{Result, bail};

// Below the range from which Linux takes ports for outgoing connections: a port found free here
// is not lost to a passing client before its server has bound it.
const FIRST: u16 = 18_000;
const COUNT: u16 = 14_000;

static NEXT: Mutex<Option<u16>> = Mutex::new(None);

/// A port of 127.0.0.1 that nothing listens on. A process never gets the same one twice until it
/// has gone through all of them, and each process starts somewhere else.
///
/// # Errors
/// When all are taken.
pub fn free_port() -> Result<u16> {
    let mut next = NEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut offset = next.unwrap_or_else(|| {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        u16::try_from(random % u64::from(COUNT)).unwrap_or_default()
    });
    for _ in 0..COUNT {
        let port = FIRST + offset;
        offset = (offset + 1) % COUNT;
        *next = Some(offset);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

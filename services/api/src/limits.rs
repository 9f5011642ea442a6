//! How often one address may ask for one thing: so many times in any minute that starts with its
//! first request, in each process.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_secs(60);

/// Windows kept; beyond them, those that are over are forgotten, and then all.
const KEPT: usize = 65_536;

/// Who asks for what.
type Key = (IpAddr, String);

/// The requests of the last minute, counted.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    windows: Mutex<HashMap<Key, Window>>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    count: u32,
}

impl Requests {
    /// Counts one request of `ip` for `what` at `now`.
    ///
    /// # Errors
    /// When there were `most` already; the seconds until the next is taken.
    pub fn count(&self, ip: IpAddr, what: String, most: u32, now: Instant) -> Result<(), u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEPT {
            windows.retain(|_, window| now.duration_since(window.start) < WINDOW);
            if windows.len() >= KEPT {
                windows.clear();
            }
        }
        let window = windows.entry((ip, what)).or_insert(Window { start: now, count: 0 });
        let age = now.duration_since(window.start);
        if age >= WINDOW {
            *window = Window { start: now, count: 0 };
        } else if window.count >= most {
            return Err((WINDOW - age).as_secs().max(1));
        }
        window.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_counted_for_each_address_and_thing() {
        let requests = Requests::default();
        let [a, b] = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse::<IpAddr>().expect("address"));
        let start = Instant::now();
        let ask =
            |ip, what: &str, after| requests.count(ip, what.into(), 2, start + Duration::from_secs(after));
        assert_eq!([ask(a, "x", 0), ask(a, "x", 30), ask(a, "x", 59)], [Ok(()), Ok(()), Err(1)]);
        assert_eq!([ask(a, "y", 59), ask(b, "x", 59)], [Ok(()), Ok(())]);
        assert_eq!([ask(a, "x", 60), ask(a, "x", 61), ask(a, "x", 75)], [Ok(()), Ok(()), Err(45)]);
    }
}

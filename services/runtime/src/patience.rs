//! How long somebody is waited for who takes what is given to them.

use std::time::Duration;

/// Time to wait, which waiting uses up and whatever is taken brings back: whoever takes nothing for
/// that long, or takes more slowly than a rate for much longer, is waited for no more.
#[derive(Debug, Clone)]
pub struct Patience {
    most: Duration,
    left: Duration,
    rate: u32,
}

impl Patience {
    /// Patience for `most`, and for the time that takes at `rate` bytes a second are due.
    pub fn new(most: Duration, rate: u32) -> Self {
        Self { most, left: most, rate: rate.max(1) }
    }

    /// How long is waited for the next take.
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Notes that so many bytes were taken after a wait.
    pub fn took(&mut self, bytes: usize, waited: Duration) {
        #[allow(clippy::cast_precision_loss)] // far below 2^53
        let due = Duration::from_secs_f64(bytes as f64 / f64::from(self.rate));
        self.left = (self.left.saturating_sub(waited) + due).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Seconds until somebody who takes so much a second is waited for no more; `None` for days.
    fn lasts(bytes: usize) -> Option<u32> {
        let mut patience = Patience::new(30 * SECOND, 1_000);
        (0..1_000_000).find(|_| {
            let given_up = patience.left() < SECOND;
            patience.took(bytes, SECOND);
            given_up
        })
    }

    #[test]
    fn whoever_keeps_the_rate_is_waited_for_and_whoever_is_slower_is_not() {
        assert_eq!(lasts(1_000), None);
        assert_eq!(lasts(0), Some(30));
        assert_eq!(lasts(500), Some(59));
    }

    #[test]
    fn haste_saves_up_no_more_than_all_patience() {
        let mut patience = Patience::new(30 * SECOND, 1_000);
        patience.took(1 << 30, Duration::ZERO);
        assert_eq!(patience.left(), 30 * SECOND);
    }
}

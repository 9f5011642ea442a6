//! What is remembered of objects for a while. Nobody tells when one of them has gone for good, so what
//! has not been noted again for long is forgotten.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longer than any object that still is goes without being looked at.
const KEPT: Duration = Duration::from_secs(12 * 3_600);
/// Time between two looks for what is to be forgotten, each of which goes through everything.
const SWEEP: Duration = Duration::from_secs(3_600);

/// Values by object, each kept for 12 to 13 hours after it was noted last, if anything is noted by then.
#[derive(Debug)]
pub struct Recent<V> {
    known: HashMap<String, (V, Instant)>,
    swept: Option<Instant>,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { known: HashMap::new(), swept: None }
    }
}

impl<V> Recent<V> {
    /// What was noted last of an object.
    #[must_use]
    pub fn get(&self, object: &str) -> Option<&V> {
        self.known.get(object).map(|(value, _)| value)
    }

    /// Notes the value of an object as of now, in place of what was noted before.
    pub fn note(&mut self, object: &str, value: V, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        if now.duration_since(swept) >= SWEEP {
            self.swept = Some(now);
            self.known.retain(|_, (_, noted)| now.duration_since(*noted) < KEPT);
        }
        self.known.insert(object.to_owned(), (value, now));
    }

    /// Forgets an object.
    pub fn forget(&mut self, object: &str) {
        self.known.remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_noted_again_for_long_is_forgotten_and_the_rest_is_not() {
        let (begun, mut recent) = (Instant::now(), Recent::default());
        for object in ["gone", "still there"] {
            recent.note(object, 1, begun);
        }
        recent.note("still there", 2, begun + SWEEP * 11);
        assert_eq!((recent.get("gone"), recent.get("still there")), (Some(&1), Some(&2)));
        recent.note("new", 3, begun + SWEEP * 12);
        assert_eq!((recent.get("gone"), recent.get("still there")), (None, Some(&2)));
        assert_eq!(recent.known.len(), 2);
        recent.forget("still there");
        assert_eq!(recent.get("still there"), None);
    }
}

//! Conditions that keep their transition time while their status stays.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};

/// What a condition says, before it has a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its type, as `Ready`.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: bool,
    /// One word for programs.
    pub reason: String,
    /// A sentence that a person can act on.
    pub message: String,
}

impl Finding {
    /// A finding with all its parts.
    #[must_use]
    pub fn new(kind: &'static str, status: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status, reason: reason.to_owned(), message: message.into() }
    }
}

/// Turns findings into conditions. A condition whose status has not changed keeps the
/// time of its last transition, so that nothing differs when nothing happened.
#[must_use]
pub fn settle(
    previous: &[Condition],
    findings: &[Finding],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .iter()
        .map(|finding| {
            let status = if finding.status { "True" } else { "False" };
            let since = previous
                .iter()
                .find(|condition| condition.type_ == finding.kind && condition.status == status)
                .map_or_else(|| Time(whole_seconds(now)), |condition| condition.last_transition_time.clone());
            Condition {
                type_: finding.kind.to_owned(),
                status: status.to_owned(),
                reason: finding.reason.clone(),
                message: finding.message.chars().take(32_000).collect(),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

// The API keeps whole seconds; anything finer would differ after every write.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Whether an object is still the one that was looked at, with the same spec. What was found out of one
/// spec must not be told as if it were of another, which has its own turn.
#[must_use]
pub fn unchanged(seen: &ObjectMeta, live: &ObjectMeta) -> bool {
    seen.uid == live.uid && seen.generation == live.generation
}

/// Conditions that are new or whose status changed, in order.
#[must_use]
pub fn transitions<'a>(previous: &[Condition], current: &'a [Condition]) -> Vec<&'a Condition> {
    current
        .iter()
        .filter(|now| !previous.iter().any(|before| before.type_ == now.type_ && before.status == now.status))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_is_of_one_spec_of_one_object() {
        let meta = |uid: &str, generation| ObjectMeta {
            uid: Some(uid.to_owned()),
            generation: Some(generation),
            ..ObjectMeta::default()
        };
        let newer = ObjectMeta { resource_version: Some("9".to_owned()), ..meta("a", 1) };
        assert!(unchanged(&meta("a", 1), &newer));
        assert!(!unchanged(&meta("a", 1), &meta("a", 2)));
        assert!(!unchanged(&meta("a", 1), &meta("b", 1)));
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let early = Timestamp::from_second(1_000).unwrap();
        let late = Timestamp::from_second(2_000).unwrap();
        let first = settle(&[], &[Finding::new("Ready", false, "Waiting", "a")], Some(1), early);
        let same = settle(&first, &[Finding::new("Ready", false, "Waiting", "b")], Some(2), late);
        assert_eq!(same[0].last_transition_time.0, early);
        assert_eq!(same[0].observed_generation, Some(2));
        assert!(transitions(&first, &same).is_empty());
        let other = settle(&same, &[Finding::new("Ready", true, "Fine", "c")], Some(2), late);
        assert_eq!(other[0].last_transition_time.0, late);
        assert_eq!(transitions(&same, &other).len(), 1);
    }
}

//! Events: one per transition, never a reason to fail.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::gate::{Gate, GateError};
use crate::labels::MANAGER;

/// Longest reason and note that the API server takes; it refuses an Event with more.
const REASON_BYTES: usize = 128;
const NOTE_BYTES: usize = 1_024;

/// Writes Events about the two kinds.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    gate: Gate,
}

impl Events {
    /// Writes through the given client while the gate is open.
    #[must_use]
    pub fn new(client: Client, gate: Gate) -> Self {
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: std::env::var("HOSTNAME").ok() };
        Self { recorder: Recorder::new(client, reporter), gate }
    }

    /// Says that something happened to an object.
    pub async fn say(&self, about: &ObjectReference, warning: bool, action: &str, reason: &str, note: &str) {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: within(reason, REASON_BYTES),
            note: Some(within(note, NOTE_BYTES)),
            action: action.to_owned(),
            secondary: None,
        };
        match self.gate.write(self.recorder.publish(&event, about)).await {
            Ok(()) | Err(GateError::Closed) => {}
            Err(error) => tracing::warn!(%error, reason, "an event was not written"),
        }
    }

    /// Says that conditions changed.
    pub async fn transitions(&self, about: &ObjectReference, changed: &[&Condition]) {
        for condition in changed {
            // These repeat what Progressing and Degraded have said.
            if matches!(condition.type_.as_str(), "Reconciling" | "Stalled") {
                continue;
            }
            let holds = condition.status == "True";
            // Degraded is bad news when it holds, the others when they do not.
            let bad = matches!(condition.type_.as_str(), "Degraded");
            let quiet = matches!(condition.type_.as_str(), "Paused" | "Progressing" | "Degraded") && !holds;
            if quiet {
                continue;
            }
            let waiting = matches!(condition.reason.as_str(), "Progressing" | "Waiting");
            let warning = if bad { holds } else { !holds && !waiting };
            self.say(about, warning, &condition.type_, &condition.reason, &condition.message).await;
        }
    }
}

/// The beginning of a text that has so many bytes at most.
fn within(text: &str, bytes: usize) -> String {
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| *end <= bytes).last().unwrap_or_default();
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_bytes_and_between_letters() {
        assert_eq!(within("short", NOTE_BYTES), "short");
        assert_eq!(within(&"a".repeat(2_000), NOTE_BYTES).len(), NOTE_BYTES);
        let cut = within(&"ж€".repeat(1_000), NOTE_BYTES);
        assert!((NOTE_BYTES - 3..=NOTE_BYTES).contains(&cut.len()), "{}", cut.len());
        assert_eq!(within("€", 2), "");
    }
}

//! Who is told of an endpoint, and when not.

use watchkeeper_crds::{
    TimeSpan,
    monitored_endpoint::{self as crds, Alerts},
};
use watchkeeper_store::{AlertSpec, Escalation, FlappingSpec, MaintenanceWindow, maintenance};

use super::SpecError;

/// Translates when notices are sent.
pub(super) fn alerts(alerts: &Alerts) -> AlertSpec {
    let count = |number: i32| u32::try_from(number).unwrap_or(1);
    AlertSpec {
        channels: alerts.channels.clone(),
        failure_threshold: count(alerts.failure_threshold),
        success_threshold: count(alerts.success_threshold),
        window: alerts.window.map(count),
        cooldown: alerts.cooldown.as_ref().map(TimeSpan::get),
        reminder: alerts.reminder.as_ref().map(TimeSpan::get),
        escalation: alerts
            .escalation
            .iter()
            .map(|step| Escalation { after: step.after.get(), channels: step.channels.clone() })
            .collect(),
        send_recovery: alerts.send_recovery,
        degraded: alerts.degraded,
        flapping: alerts
            .flapping
            .as_ref()
            .map(|flapping| FlappingSpec { changes: count(flapping.changes), within: flapping.within.get() }),
    }
}

/// Translates windows, which the schema cannot judge in full.
///
/// # Errors
/// When a zone, a time or a recurrence cannot be understood.
pub(crate) fn windows(
    field: &str,
    windows: &[crds::MaintenanceWindow],
) -> Result<Vec<MaintenanceWindow>, SpecError> {
    windows
        .iter()
        .enumerate()
        .map(|(index, window)| {
            let stored = MaintenanceWindow {
                start: window.start.clone(),
                duration: window.duration.get(),
                recurrence: Some(window.recurrence.clone()),
                timezone: window.timezone.clone(),
            };
            match maintenance::parse(&stored) {
                Ok(_) => Ok(stored),
                Err(error) => {
                    let (part, message) = error.split_once(": ").unwrap_or(("", &error));
                    Err(SpecError { field: format!("{field}[{index}].{part}"), message: message.to_owned() })
                }
            }
        })
        .collect()
}

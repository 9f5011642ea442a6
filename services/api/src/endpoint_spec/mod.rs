//! From a MonitoredEndpoint's specification to what the store keeps.

mod alerts;
mod assertion;
mod probe;

use std::time::Duration;

use watchkeeper_crds::MonitoredEndpointSpec;
use watchkeeper_store::{EndpointSpec, Retry, Slo};

pub(crate) use alerts::windows;
pub use probe::is_heartbeat_token;

/// Why a specification cannot be watched, after its schema was found good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// Path of the field at fault.
    pub field: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Translates a specification. `name` is the manifest's, `secret` gives the
/// value that is kept under a Secret's name and key.
///
/// # Errors
/// When a Secret or its key is missing, when there is no probe, or when a
/// condition, an expression or a token cannot be used.
pub fn translate(
    spec: &MonitoredEndpointSpec,
    name: &str,
    secret: impl Fn(&str, &str) -> Option<String>,
) -> Result<EndpointSpec, SpecError> {
    let mut spec = spec.clone();
    fill(&mut spec, secret)?;
    let probe = probe::probe(&spec)?;
    Ok(EndpointSpec {
        group: spec.group.clone(),
        interval: spec.interval.get(),
        timeout: spec.timeout.get(),
        retries: u32::try_from(spec.retries.attempts).unwrap_or_default(),
        backoff: spec.retries.backoff.get().min(Duration::from_secs(3_600)),
        retry: Retry { no_answer_only: spec.retries.no_answer_only, exponential: spec.retries.exponential },
        suspended: spec.suspended,
        labels: spec.labels.clone(),
        slo: spec.slo.as_ref().map(|slo| Slo {
            target: 1.0 - f64::from(slo.budget_ppm()) / 1_000_000.0,
            window: Duration::from_secs(u64::from(slo.days()) * 86_400),
        }),
        alerts: alerts::alerts(&spec.alerts),
        maintenance: windows("spec.maintenance", &spec.maintenance)?,
        depends_on: spec.depends_on.clone(),
        assertions: assertion::assertions(&spec.assertions)?,
        ..EndpointSpec::new(spec.name.as_deref().unwrap_or(name), probe)
    })
}

/// Puts every value in its place.
fn fill(
    spec: &mut MonitoredEndpointSpec,
    secret: impl Fn(&str, &str) -> Option<String>,
) -> Result<(), SpecError> {
    for slot in spec.slots() {
        let fault = |message: String| SpecError { field: slot.path.clone(), message };
        match (slot.value.is_some(), slot.source.take()) {
            (true, None) => {}
            (false, Some(source)) => {
                let reference = &source.secret_key_ref;
                let value = secret(&reference.name, &reference.key).ok_or_else(|| {
                    fault(format!(
                        "there is no Secret `{}` with a key `{}`; add it",
                        reference.name, reference.key
                    ))
                })?;
                *slot.value = Some(value);
            }
            _ => return Err(fault("set exactly one of value and valueFrom".into())),
        }
    }
    Ok(())
}

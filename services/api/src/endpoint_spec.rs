//! From a MonitoredEndpoint's specification to what the store keeps.

use std::time::Duration;

use watchkeeper_crds::{MonitoredEndpointSpec, monitored_endpoint::Header};
use watchkeeper_store::{EndpointSpec, HttpProbe, Probe};

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
/// value of a header that refers to a Secret's name and key.
///
/// # Errors
/// When a Secret or its key is missing, or when there is no probe.
pub fn translate(
    spec: &MonitoredEndpointSpec,
    name: &str,
    secret: impl Fn(&str, &str) -> Option<String>,
) -> Result<EndpointSpec, SpecError> {
    let http = spec
        .http
        .as_ref()
        .ok_or_else(|| SpecError { field: "spec.http".into(), message: "set exactly one probe".into() })?;
    let headers = http
        .headers
        .iter()
        .enumerate()
        .map(|(index, header)| {
            resolve(header, &secret)
                .map_err(|message| SpecError { field: format!("spec.http.headers[{index}]"), message })
        })
        .collect::<Result<_, _>>()?;
    Ok(EndpointSpec {
        display_name: spec.name.clone().unwrap_or_else(|| name.to_owned()),
        group: spec.group.clone(),
        interval: spec.interval.get(),
        timeout: spec.timeout.get(),
        retries: u32::try_from(spec.retries.attempts).unwrap_or_default(),
        backoff: spec.retries.backoff.get().min(Duration::from_secs(3_600)),
        suspended: spec.suspended,
        probe: Probe::Http(HttpProbe {
            url: http.url.clone(),
            method: http.method.as_str().into(),
            headers,
            body: http.body.clone(),
            expected_status: http.expected_status.clone(),
            follow_redirects: http.follow_redirects,
            head_falls_back_to_get: false,
        }),
    })
}

fn resolve(
    header: &Header,
    secret: impl Fn(&str, &str) -> Option<String>,
) -> Result<(String, String), String> {
    let value = match (&header.value, &header.value_from) {
        (Some(value), None) => value.clone(),
        (None, Some(source)) => {
            let reference = &source.secret_key_ref;
            secret(&reference.name, &reference.key).ok_or_else(|| {
                format!("there is no Secret `{}` with a key `{}`; add it", reference.name, reference.key)
            })?
        }
        _ => return Err("set exactly one of value and valueFrom".into()),
    };
    Ok((header.name.clone(), value))
}

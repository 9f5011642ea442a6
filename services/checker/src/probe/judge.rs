//! The verdict: the probe's own terms first, then the assertions.

use std::borrow::Cow;
use std::time::Duration;

use watchkeeper_assertions::{Condition, Facts, Json, Subject, parse};
use watchkeeper_store::{Assertion, HttpProbe, Probe, Severity, now_ms};

use super::seen::{Seen, Stage};
use crate::result::Outcome;

/// Assertions that were understood.
pub(super) struct Judge {
    conditions: Vec<(Condition, Severity)>,
}

impl Judge {
    /// # Errors
    /// Which assertion cannot be understood, and why.
    pub fn new(assertions: &[Assertion]) -> Result<Self, String> {
        let conditions = assertions
            .iter()
            .enumerate()
            .map(|(index, assertion)| {
                parse(&assertion.condition)
                    .map(|condition| (condition, assertion.severity))
                    .map_err(|error| format!("assertions[{index}]: {error}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { conditions })
    }

    pub fn wants_body(&self) -> bool {
        self.mentions(Subject::Body)
    }

    /// Whether an assertion is about `subject`.
    pub fn mentions(&self, subject: Subject) -> bool {
        self.conditions.iter().any(|(condition, _)| condition.mentions(subject))
    }

    /// Whether an assertion decides about `subject`, so that the probe's default does not.
    pub fn decides(&self, subject: Subject) -> bool {
        self.conditions
            .iter()
            .any(|(condition, severity)| *severity == Severity::Down && condition.mentions(subject))
    }

    /// Whether the statuses that an HTTP probe expects are only the default, and
    /// an assertion says more.
    pub fn overrides_status(&self, probe: &HttpProbe) -> bool {
        let default = probe.expected_status.is_empty() || probe.expected_status == ["2xx"];
        default && self.decides(Subject::Status)
    }

    pub fn outcome(
        &self,
        probe: &Probe,
        result: Result<(), String>,
        mut seen: Seen,
        duration: Duration,
    ) -> Outcome {
        let (mut ok, mut degraded, mut messages) = (true, false, Vec::new());
        if let Err(why) = result {
            // Whoever asserts that nothing connects gets to decide about it.
            let expected = !seen.connected
                && self.decides(Subject::Connected)
                && matches!(seen.stage, Stage::Connect | Stage::Processing)
                && matches!(probe, Probe::Tcp(_) | Probe::Tls(_) | Probe::Icmp(_) | Probe::Dns(_));
            if !expected {
                ok = false;
                messages.push(why);
            }
        }
        if ok {
            let facts = facts(&seen, duration);
            for (condition, severity) in &self.conditions {
                // What a registry does not tell says nothing against the endpoint.
                if condition.mentions(Subject::Domain) {
                    match &seen.domain {
                        None => continue,
                        Some(Err(why)) => {
                            degraded = true;
                            messages.push(format!("[DOMAIN_EXPIRATION] is not known: {why}"));
                            continue;
                        }
                        Some(Ok(_)) => {}
                    }
                }
                if let Err(why) = condition.judge(&facts) {
                    match severity {
                        Severity::Down => ok = false,
                        Severity::Degraded => degraded = true,
                    }
                    messages.push(why);
                }
            }
        }
        seen.forget_content();
        Outcome {
            ok,
            degraded: ok && degraded,
            status: seen.status,
            duration,
            message: (!messages.is_empty()).then(|| messages.join("; ")),
            seen: Box::new(seen),
        }
    }
}

fn facts(seen: &Seen, duration: Duration) -> Facts<'_> {
    Facts {
        status: seen.status,
        response_time: i64::try_from(duration.as_millis()).unwrap_or(i64::MAX),
        connected: seen.connected,
        ip: seen.ip.map(|ip| ip.to_string()),
        dns_rcode: seen.dns.as_ref().map(|dns| dns.rcode.as_str()),
        certificate_expiration: seen.chain.as_ref().map(|chain| chain.expires_at - now_ms()),
        domain_expiration: seen.domain.clone().and_then(Result::ok),
        headers: seen
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect::<Vec<(&str, Cow<'_, str>)>>(),
        body: &seen.body,
        body_cut: seen.body_cut,
        json: Json::default(),
    }
}

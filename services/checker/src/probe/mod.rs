//! Probes, one file a type. A new type is a variant of the store's
//! [`Probe`], a file here, and an arm in [`run`].

mod certificate;
mod describe;
mod dial;
mod dns;
mod documents;
mod grpc;
mod http;
mod icmp;
mod judge;
mod registration;
mod resolver;
pub(crate) mod seen;
mod starttls;
mod tcp;
mod tls;
mod websocket;

#[cfg(test)]
mod channel_tests;
#[cfg(test)]
mod guarded_tests;
#[cfg(test)]
mod lying_tests;
#[cfg(test)]
mod name_tests;
#[cfg(test)]
mod option_tests;
#[cfg(test)]
mod phase_tests;
#[cfg(test)]
mod secure_tests;
#[cfg(test)]
mod starttls_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod type_tests;

use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use watchkeeper_assertions::Subject;
use watchkeeper_store::{Assertion, CertificateAnswer, Endpoint, Probe};

use crate::guard::{Guard, GuardRules, Rules, Trust};
use crate::hosts::host_of;
use crate::result::Outcome;
use dial::Tools;
pub(crate) use dial::split_port;
use documents::Documents;
use judge::Judge;
use registration::Registrations;
use resolver::Resolver;
use seen::Seen;
use tls::Trusted;

/// Why the probers could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// Names cannot be resolved.
    #[error("the resolver of the probes cannot start: {0}")]
    Resolver(String),
}

/// Makes checks of every type; clones share what they need.
#[derive(Clone)]
pub struct Probers {
    rules: Rules,
    resolver: Resolver,
    trusted: Trusted,
    registrations: Registrations,
}

impl Probers {
    /// Probers that ask what `rules` let them ask, and registries of domains that the list at
    /// `registries` names (RFC 9224), or none.
    ///
    /// # Errors
    /// When the system's resolver cannot be used.
    pub fn new(rules: GuardRules, registries: Option<Url>) -> Result<Self, ProberError> {
        let resolver = Resolver::system().map_err(ProberError::Resolver)?;
        Ok(Self::with(rules, resolver, registries))
    }

    fn with(rules: GuardRules, resolver: Resolver, registries: Option<Url>) -> Self {
        let trusted = Trusted::load();
        let rules = Rules::new(rules);
        let registrations = Registrations::new(registries, Documents::new(&trusted, &resolver, &rules));
        Self { rules, resolver, trusted, registrations }
    }

    /// What probes that begin from now on may ask, of every clone.
    pub fn set_rules(&self, rules: GuardRules) {
        self.rules.set(rules);
    }

    /// Probers whose names come to the addresses that they are told.
    #[cfg(test)]
    pub(crate) fn told(
        rules: GuardRules,
        answer: impl Fn(&str) -> Vec<std::net::IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self::with(rules, Resolver::told(answer), None)
    }

    /// These probers where the system trusts the authority in this PEM alone.
    #[cfg(test)]
    pub(crate) fn trusting(self, pem: &str) -> Self {
        Self { trusted: Trusted::only(pem), ..self }
    }

    /// Checks an endpoint by one attempt, for at most its timeout. Whatever goes
    /// wrong is an outcome. A heartbeat cannot be asked for: see
    /// [`crate::heartbeat`].
    pub async fn check(&self, endpoint: &Endpoint) -> Outcome {
        let spec = &endpoint.spec;
        let trust = Trust::from(endpoint.origin);
        self.probe(trust, &endpoint.namespace, &spec.probe, &spec.assertions, spec.timeout).await
    }

    /// Probes once, for an author in a namespace.
    pub(crate) async fn probe(
        &self,
        trust: Trust,
        namespace: &str,
        probe: &Probe,
        assertions: &[Assertion],
        timeout: Duration,
    ) -> Outcome {
        let judge = match Judge::new(assertions) {
            Ok(judge) => judge,
            Err(why) => return Outcome::failed(Duration::ZERO, why),
        };
        let start = Instant::now();
        let tools = self.tools(trust, namespace, start + timeout);
        let mut seen = Seen::default();
        let result = tokio::time::timeout(timeout, run(&tools, probe, &judge, &mut seen)).await;
        let duration = seen.answered.unwrap_or_else(|| start.elapsed());
        seen.end();
        let result = result.unwrap_or_else(|_| Err(seen.stage.overdue(timeout)));
        if result.is_ok() && judge.mentions(Subject::Domain) {
            let left = (start + timeout).saturating_duration_since(Instant::now());
            seen.domain = self.registrations.left(host_of(probe.target()), left).await;
        }
        judge.outcome(probe, result, seen, duration)
    }

    /// Asks the server of an endpoint's URL for its certificate, for at most `timeout`.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub(crate) async fn certificate(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
    ) -> Result<CertificateAnswer, String> {
        let trust = Trust::from(endpoint.origin);
        let tools = self.tools(trust, &endpoint.namespace, Instant::now() + timeout);
        let asked = certificate::ask(&tools, endpoint.spec.probe.target());
        tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
    }

    fn tools(&self, trust: Trust, namespace: &str, deadline: Instant) -> Tools {
        Tools {
            resolver: self.resolver.clone(),
            trusted: self.trusted.clone(),
            guard: Guard::new(trust, namespace, self.rules.now()),
            deadline,
        }
    }
}

async fn run(tools: &Tools, probe: &Probe, judge: &Judge, seen: &mut Seen) -> Result<(), String> {
    match probe {
        Probe::Http(probe) => http::probe(tools, probe, judge, seen).await,
        Probe::Tcp(probe) => tcp::probe(tools, probe, judge.wants_body(), seen).await,
        Probe::Tls(probe) => tls::probe(tools, probe, seen).await,
        Probe::Dns(probe) => dns::probe(tools, probe, judge, seen).await,
        Probe::Icmp(probe) => icmp::probe(tools, probe, seen).await,
        Probe::Grpc(probe) => grpc::probe(tools, probe, seen).await,
        Probe::WebSocket(probe) => websocket::probe(tools, probe, judge.wants_body(), seen).await,
        Probe::Heartbeat(_) => Err("a heartbeat cannot be asked for: it comes by itself".into()),
    }
}

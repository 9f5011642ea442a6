//! What the last check of each endpoint says to Prometheus, under the names that
//! blackbox_exporter gives it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use watchkeeper_store::{Endpoint, Origin, Probe, maintenance};

use crate::probe::seen::{SERVING_STATES, Stage};
use crate::result::Outcome;

/// Endpoints of a replica with series of their own, unless it is told otherwise.
pub(crate) const EXPOSED: usize = 1_000;

/// Longest value of a label, characters: certificates may name whole novels.
const MAX_LABEL: usize = 256;

/// One number of one check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// All that a check has to tell.
pub(crate) fn samples(probe: &Probe, outcome: &Outcome) -> Vec<Sample> {
    let seen = &outcome.seen;
    let mut samples = Vec::new();
    let mut tell = |name, help, value: f64| {
        samples.push(Sample { name, help, labels: Vec::new(), value });
    };
    let flag = |set: bool| f64::from(u8::from(set));
    let http = matches!(probe, Probe::Http(_));

    tell("probe_success", "Whether the last check was good.", flag(outcome.ok));
    tell(
        "probe_degraded",
        "Whether the last check was good with an assertion that did not hold.",
        flag(outcome.degraded),
    );
    // The outcome's own ends with the head of an answer, this with the last of it that was read.
    let duration = outcome.duration.max(seen.total()).as_secs_f64();
    tell("probe_duration_seconds", "Duration of the last check.", duration);
    let lookup = seen.time(Stage::Resolve).as_secs_f64();
    tell("probe_dns_lookup_time_seconds", "Time that the resolution of the name took.", lookup);
    if let Some(ip) = seen.ip {
        tell("probe_ip_protocol", "IP version that was used, 4 or 6.", if ip.is_ipv4() { 4.0 } else { 6.0 });
        let hash = f64::from(hash_of(ip));
        tell("probe_ip_addr_hash", "Number that another address most likely does not have.", hash);
    }
    if http {
        let status = f64::from(outcome.status.unwrap_or(0));
        tell("probe_http_status_code", "HTTP status of the last check, 0 without an answer.", status);
        tell("probe_http_redirects", "Redirects that were followed.", f64::from(seen.redirects));
        tell("probe_http_ssl", "Whether the final answer came over TLS.", flag(seen.tls.is_some()));
        let length = seen
            .headers
            .get(http::header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
            .unwrap_or(-1.0);
        tell("probe_http_content_length", "Length of the body as its header tells it, -1 without.", length);
        tell(
            "probe_http_uncompressed_body_length",
            "Bytes of the body that were read.",
            count(seen.body_bytes),
        );
        let modified = seen.headers.get(http::header::LAST_MODIFIED);
        if let Some(modified) = modified.and_then(|value| unix_seconds(value.to_str().ok()?)) {
            let help = "When the answer says that it was last modified, Unix seconds.";
            tell("probe_http_last_modified_timestamp_seconds", help, modified);
        }
        let version = match seen.http_version {
            Some(http::Version::HTTP_10) => 1.0,
            Some(http::Version::HTTP_11) => 1.1,
            Some(http::Version::HTTP_2) => 2.0,
            _ => 0.0,
        };
        tell("probe_http_version", "Version of HTTP of the answer, 0 without.", version);
    }
    if matches!(probe, Probe::Http(_) | Probe::Tcp(_) | Probe::WebSocket(_)) {
        let failed =
            flag(seen.regex_failed || (!outcome.ok && outcome.message.as_deref().is_some_and(by_pattern)));
        tell("probe_failed_due_to_regex", "Whether a pattern that was expected did not come.", failed);
    }
    if let Some(chain) = &seen.chain {
        tell(
            "probe_ssl_earliest_cert_expiry",
            "When the first certificate that the server sent expires, Unix seconds.",
            seconds(chain.earliest),
        );
        if let Some(until) = chain.trusted_until {
            tell(
                "probe_ssl_last_chain_expiry_timestamp_seconds",
                "When the trust in the server's certificate ends, Unix seconds.",
                seconds(until),
            );
        }
    }
    if let Some(dns) = &seen.dns {
        tell("probe_dns_answer_rrs", "Records in the answer section.", count(dns.answers));
        tell("probe_dns_authority_rrs", "Records in the authority section.", count(dns.authorities));
        tell("probe_dns_additional_rrs", "Records in the additional section.", count(dns.additionals));
        if let Some(serial) = dns.serial {
            tell("probe_dns_serial", "Serial number of the zone.", f64::from(serial));
        }
    }
    if matches!(probe, Probe::Dns(_)) {
        tell("probe_dns_query_succeeded", "Whether the server answered.", flag(seen.dns.is_some()));
    }
    if let Some(status) = seen.grpc_status {
        tell("probe_grpc_status_code", "gRPC status of the answer.", f64::from(status));
    }
    if let Probe::WebSocket(probe) = probe {
        let status = f64::from(outcome.status.unwrap_or(0));
        tell("probe_websocket_status_code", "HTTP status of the handshake, 0 without an answer.", status);
        let open = flag(outcome.status == Some(101));
        tell("probe_websocket_connection_upgraded", "Whether the WebSocket was opened.", open);
        if probe.expect.is_some() {
            let failed = flag(seen.regex_failed);
            tell("probe_websocket_failed_due_to_regex", "Whether the expected message did not come.", failed);
        }
    }
    if matches!(probe, Probe::Grpc(_)) {
        tell("probe_grpc_ssl", "Whether the answer came over TLS.", flag(seen.tls.is_some()));
        samples.extend(SERVING_STATES.map(|state| Sample {
            name: "probe_grpc_healthcheck_response",
            help: "The state that the service is in.",
            labels: vec![("serving_status", state.to_owned())],
            value: flag(seen.serving == Some(state)),
        }));
    }
    let time = |stage| seen.time(stage).as_secs_f64();
    let (connect, tls, processing) = (time(Stage::Connect), time(Stage::Tls), time(Stage::Processing));
    let transfer = time(Stage::Transfer);
    let (name, phases) = match probe {
        Probe::Http(_) => (
            "probe_http_duration_seconds",
            vec![
                ("resolve", lookup),
                ("connect", connect),
                ("tls", tls),
                ("processing", processing),
                ("transfer", transfer),
            ],
        ),
        Probe::Dns(_) => (
            "probe_dns_duration_seconds",
            vec![("resolve", lookup), ("connect", connect + tls), ("request", processing)],
        ),
        Probe::Icmp(_) => (
            "probe_icmp_duration_seconds",
            vec![("resolve", lookup), ("setup", connect), ("rtt", processing)],
        ),
        Probe::Grpc(_) => (
            "probe_grpc_duration_seconds",
            vec![("resolve", lookup), ("check", connect + tls + processing + transfer)],
        ),
        _ => ("", Vec::new()),
    };
    samples.extend(phases.into_iter().map(|(phase, value)| Sample {
        name,
        help: "Duration of the last check's phases, all redirects together.",
        labels: vec![("phase", phase.to_owned())],
        value,
    }));
    if let Some(version) = seen.tls {
        samples.push(Sample {
            name: "probe_tls_version_info",
            help: "Version of TLS that was agreed.",
            labels: vec![("version", version.to_owned())],
            value: 1.0,
        });
    }
    if let Some(cipher) = &seen.cipher {
        samples.push(Sample {
            name: "probe_tls_cipher_info",
            help: "Cipher suite that was agreed.",
            labels: vec![("cipher", cipher.clone())],
            value: 1.0,
        });
    }
    if let Some(chain) = &seen.chain {
        samples.push(Sample {
            name: "probe_ssl_last_chain_info",
            help: "What the server's certificate says.",
            labels: vec![
                ("subject", chain.subject.clone()),
                ("issuer", chain.issuer.clone()),
                ("subjectalternative", chain.names.join(",")),
                ("fingerprint_sha256", chain.fingerprint.clone()),
                ("serialnumber", chain.serial.clone()),
            ],
            value: 1.0,
        });
    }
    samples
}

/// What the maintenance of an endpoint has to do with its check of the given instant, UTC milliseconds.
fn planned(endpoint: &Endpoint, ok: bool, at: i64) -> [Sample; 2] {
    let open = maintenance::ends_at(&endpoint.spec.maintenance, at).is_some();
    let told = |name, help, set: bool| {
        let value = f64::from(u8::from(set));
        Sample { name, help, labels: Vec::new(), value }
    };
    let during = "Whether the last check began in a window of maintenance.";
    // Apart from the other, for no sum over time tells which failures were those of a window.
    let failed = "Whether the last check began in a window of maintenance and was not good.";
    [
        told("watchkeeper_endpoint_maintenance", during, open),
        told("watchkeeper_endpoint_failed_in_maintenance", failed, open && !ok),
    ]
}

fn seconds(milliseconds: i64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let milliseconds = milliseconds as f64;
    milliseconds / 1_000.0
}

/// FNV-1a of an address's bytes.
fn hash_of(ip: IpAddr) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    match ip {
        IpAddr::V4(ip) => ip.octets().iter().fold(0x811c_9dc5, step),
        IpAddr::V6(ip) => ip.octets().iter().fold(0x811c_9dc5, step),
    }
}

/// A time as HTTP writes it.
fn unix_seconds(text: &str) -> Option<f64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    Some(time.as_second() as f64)
}

/// Whether a message tells of an assertion by pattern that did not hold.
fn by_pattern(message: &str) -> bool {
    message.contains("regex(") || message.contains("pat(")
}

fn count(count: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    let count = count as f64;
    count
}

/// Families as Prometheus reads them, of several endpoints' samples.
pub(crate) fn families<'a>(
    endpoints: impl Iterator<Item = (&'a [(String, String)], &'a [Sample])>,
) -> Vec<MetricFamily> {
    let mut families: BTreeMap<&str, (&str, Vec<Metric>)> = BTreeMap::new();
    for (labels, samples) in endpoints {
        for sample in samples {
            let own = sample.labels.iter().map(|(name, value)| (*name, value.as_str()));
            let mut pairs: Vec<LabelPair> = labels
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .chain(own)
                .map(|(name, value)| pair(name, value))
                .collect();
            pairs.sort_by(|a, b| a.name().cmp(b.name()));
            let mut gauge = Gauge::default();
            gauge.set_value(sample.value);
            let mut metric = Metric::from_gauge(gauge);
            metric.set_label(pairs);
            families.entry(sample.name).or_insert((sample.help, Vec::new())).1.push(metric);
        }
    }
    families
        .into_iter()
        .map(|(name, (help, metrics))| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(MetricType::GAUGE);
            family.set_metric(metrics);
            family
        })
        .collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.chars().take(MAX_LABEL).collect());
    pair
}

/// The last samples of each endpoint; clones share them.
#[derive(Clone)]
pub(crate) struct Exposition {
    /// Endpoints with series of their own at most; more would make a scrape too heavy.
    pub most: usize,
    left_out: IntGauge,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// Endpoints of this replica, each with its revision.
    watched: HashMap<i64, i64>,
    exposed: HashMap<i64, Exposed>,
    /// Endpoints that should have series, and for which there was no room.
    left_out: HashSet<i64>,
}

struct Exposed {
    labels: Vec<(String, String)>,
    /// Whether alerts of an objective go by its series.
    objective: bool,
    samples: Vec<Sample>,
}

impl Exposition {
    /// Nothing yet; `left_out` will say how many endpoints have no series for want of room.
    pub fn new(left_out: IntGauge) -> Self {
        Self { most: EXPOSED, left_out, shared: Arc::default() }
    }

    /// Takes samples of an endpoint in its present revision over from now on.
    pub fn watch(&self, endpoint: &Endpoint) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.watched.insert(endpoint.id, endpoint.revision);
    }

    /// Takes a check's samples over, if its endpoint gets series: those with an objective
    /// first, and then whoever comes first. Monitors that strangers posted do not; their
    /// names are URLs, which are theirs and may hold secrets. `at` is when the check began, UTC
    /// milliseconds, by which it falls into a window of maintenance or not.
    pub fn observe(&self, endpoint: &Endpoint, outcome: &Outcome, at: i64) {
        if endpoint.origin == Origin::Monitor {
            return;
        }
        let mut samples = samples(&endpoint.spec.probe, outcome);
        samples.extend(planned(endpoint, outcome.ok, at));
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // A check may end while its endpoint goes or changes; its series would stay for ever.
        if shared.watched.get(&endpoint.id) != Some(&endpoint.revision) {
            return;
        }
        if let Some(known) = shared.exposed.get_mut(&endpoint.id) {
            known.samples = samples;
            return;
        }
        let objective = endpoint.spec.slo.is_some();
        let labels = labels(endpoint);
        if shared.has_room(self.most, objective, &labels) {
            shared.left_out.remove(&endpoint.id);
            shared.exposed.insert(endpoint.id, Exposed { labels, objective, samples });
        } else {
            shared.left_out.insert(endpoint.id);
        }
        self.count(&shared);
    }

    /// Takes an endpoint's own series away, as when it is gone or changed.
    pub fn forget(&self, id: i64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.watched.remove(&id);
        shared.exposed.remove(&id);
        shared.left_out.remove(&id);
        self.count(&shared);
    }

    fn count(&self, shared: &Shared) {
        self.left_out.set(i64::try_from(shared.left_out.len()).unwrap_or(i64::MAX));
    }
}

impl Shared {
    /// Whether an endpoint that has no series can have some; one with an objective takes the place of
    /// one without.
    fn has_room(&mut self, most: usize, objective: bool, labels: &[(String, String)]) -> bool {
        let full = self.exposed.len() >= most;
        // One series, one endpoint: of two with the same labels the first has it.
        if (full && !objective) || self.exposed.values().any(|other| other.labels == labels) {
            return false;
        }
        if full {
            let newest = self.exposed.iter().filter(|(_, other)| !other.objective).map(|(id, _)| *id).max();
            let Some(id) = newest else { return false };
            self.exposed.remove(&id);
            self.left_out.insert(id);
        }
        true
    }
}

/// The labels of an endpoint: its name, namespace and group, and its own as
/// `label_…`.
fn labels(endpoint: &Endpoint) -> Vec<(String, String)> {
    let own = endpoint.spec.labels.iter().map(|(name, value)| {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        (format!("label_{}", name.chars().map(plain).collect::<String>()), value.clone())
    });
    let mut labels: BTreeMap<String, String> = own.collect();
    labels.insert("endpoint".into(), endpoint.name.clone());
    labels.insert("namespace".into(), endpoint.namespace.clone());
    labels.insert("group".into(), endpoint.spec.group.clone().unwrap_or_default());
    labels.into_iter().collect()
}

impl Collector for Exposition {
    // Which families there are depends on what is watched.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        families(
            shared.exposed.values().map(|exposed| (exposed.labels.as_slice(), exposed.samples.as_slice())),
        )
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use watchkeeper_store::{ConnectOptions, GrpcProbe, HttpProbe, IcmpProbe};

    use super::*;
    use crate::probe::seen::Seen;

    fn value(samples: &[Sample], name: &str) -> Option<f64> {
        samples.iter().find(|sample| sample.name == name).map(|sample| sample.value)
    }

    #[test]
    fn an_answer_tells_its_address_and_when_it_was_modified() {
        let mut seen = Box::new(Seen::default());
        seen.ip = "127.0.0.1".parse().ok();
        let modified = HeaderValue::from_static("Wed, 21 Oct 2015 07:28:00 GMT");
        seen.headers.insert(http::header::LAST_MODIFIED, modified);
        let probe = Probe::Http(HttpProbe::new("http://a.example/"));
        let mut outcome = Outcome { seen, ..Outcome::default() };
        let found = samples(&probe, &outcome);
        // FNV-1a, 32 bits, of 7f 00 00 01.
        assert_eq!(value(&found, "probe_ip_addr_hash"), Some(f64::from(0xdaaf_40ed_u32)));
        assert_eq!(value(&found, "probe_http_last_modified_timestamp_seconds"), Some(1_445_412_480.0));
        outcome.seen.headers.insert(http::header::LAST_MODIFIED, HeaderValue::from_static("long ago"));
        assert_eq!(value(&samples(&probe, &outcome), "probe_http_last_modified_timestamp_seconds"), None);
    }

    #[test]
    fn a_ping_has_three_phases() {
        let probe = Probe::Icmp(IcmpProbe {
            host: "a.example".into(),
            count: 1,
            payload_bytes: 28,
            connect: ConnectOptions::default(),
        });
        let found = samples(&probe, &Outcome::default());
        let phases: Vec<_> = found
            .iter()
            .filter(|sample| sample.name == "probe_icmp_duration_seconds")
            .map(|sample| sample.labels[0].1.as_str())
            .collect();
        assert_eq!(phases, ["resolve", "setup", "rtt"]);
    }

    #[test]
    fn a_grpc_service_is_in_one_state_of_all() {
        let probe = Probe::Grpc(GrpcProbe {
            address: "a.example:50051".into(),
            service: String::new(),
            metadata: Vec::new(),
            tls: None,
            connect: ConnectOptions::default(),
        });
        let mut outcome = Outcome::default();
        (outcome.seen.serving, outcome.seen.grpc_status) = (Some("NOT_SERVING"), Some(0));
        let found = samples(&probe, &outcome);
        let states: Vec<_> = found
            .iter()
            .filter(|sample| sample.name == "probe_grpc_healthcheck_response")
            .map(|sample| (sample.labels[0].1.as_str(), sample.value))
            .collect();
        let expected = [("UNKNOWN", 0.0), ("SERVING", 0.0), ("NOT_SERVING", 1.0), ("SERVICE_UNKNOWN", 0.0)];
        assert_eq!(states, expected);
        assert_eq!(value(&found, "probe_grpc_ssl"), Some(0.0));
        assert_eq!(value(&found, "probe_grpc_status_code"), Some(0.0));
    }
}

//! What people write on their objects. Everything is checked here, so that a mistake is told by name.

use std::collections::BTreeMap;
use std::str::FromStr;

use watchkeeper_crds::TimeSpan;

use super::Refusal;

/// What the names of all annotations begin with.
pub const PREFIX: &str = "watchkeeper.dev/";
/// The annotation that asks for an endpoint.
pub const MONITOR: &str = "watchkeeper.dev/monitor";

const KNOWN: [&str; 16] = [
    "monitor",
    "instance",
    "name",
    "group",
    "interval",
    "timeout",
    "probe",
    "scheme",
    "host",
    "port",
    "path",
    "expected-status",
    "alert-channels",
    "suspended",
    "slo-target",
    "slo-window",
];

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Probe {
    /// By an HTTP request.
    #[default]
    Http,
    /// By a TCP connection.
    Tcp,
}

/// What the annotations of an object ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    /// Namespace (where it is said) and name of the instance.
    pub instance: Option<(Option<String>, String)>,
    /// Name to show.
    pub name: Option<String>,
    /// Group to show it in.
    pub group: Option<String>,
    /// Time from one check to the next.
    pub interval: Option<TimeSpan>,
    /// Time after which a check has failed.
    pub timeout: Option<TimeSpan>,
    /// How it is asked.
    pub probe: Probe,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Which of the object's hosts.
    pub host: Option<String>,
    /// Which of a Service's ports, by number or name.
    pub port: Option<String>,
    /// Path, with its query.
    pub path: Option<String>,
    /// Answers that count as up.
    pub expected_status: Vec<String>,
    /// Channels that are told.
    pub alert_channels: Vec<String>,
    /// Whether it is not checked for the time being.
    pub suspended: bool,
    /// Percent of time that it should be up.
    pub slo_target: Option<String>,
    /// Over which time.
    pub slo_window: Option<String>,
}

/// Whether an object asks for an endpoint, however badly.
#[must_use]
pub fn asks(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(MONITOR).is_some_and(|value| value.trim() != "false")
}

/// What an object asks for; nothing when it asks for no endpoint.
///
/// # Errors
/// [`Refusal`] that names the annotation at fault.
pub fn read(annotations: &BTreeMap<String, String>) -> Result<Option<Wish>, Refusal> {
    if !asks(annotations) {
        return Ok(None);
    }
    let ours =
        || annotations.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value.trim())));
    let refuse = |name: &str, problem: &str| {
        Err(Refusal::new("InvalidAnnotation", format!("{PREFIX}{name}: {problem}")))
    };
    let mut wish = Wish::default();
    for (name, value) in ours() {
        let text = || Some(value.to_owned());
        match name {
            "monitor" if value == "true" => {}
            "monitor" => return refuse(name, "write \"true\" or \"false\""),
            "instance" => match value.split_once('/') {
                Some((namespace, instance)) if is_name(namespace) && is_name(instance) => {
                    wish.instance = Some((Some(namespace.to_owned()), instance.to_owned()));
                }
                None if is_name(value) => wish.instance = Some((None, value.to_owned())),
                _ => return refuse(name, "write the name of an AnalyticsInstance, or namespace/name"),
            },
            "name" if (1..=128).contains(&value.len()) => wish.name = text(),
            "group" if (1..=128).contains(&value.len()) => wish.group = text(),
            "name" | "group" => return refuse(name, "write 1 to 128 characters"),
            "interval" => match span(value) {
                Some(span) if span.get().as_secs() >= 1 => wish.interval = Some(span),
                _ => return refuse(name, "write a duration of at least 1s, for example 30s or 5m"),
            },
            "timeout" => match span(value) {
                Some(span) if !span.get().is_zero() => wish.timeout = Some(span),
                _ => return refuse(name, "write a duration, for example 5s"),
            },
            "probe" => match value {
                "http" => wish.probe = Probe::Http,
                "tcp" => wish.probe = Probe::Tcp,
                _ => return refuse(name, "write http or tcp"),
            },
            "scheme" if matches!(value, "http" | "https") => wish.scheme = text(),
            "scheme" => return refuse(name, "write http or https"),
            "host" if is_host(value) => wish.host = text(),
            "host" => return refuse(name, "write a DNS name in lower case"),
            "port" if !value.is_empty() && value.len() <= 15 => wish.port = text(),
            "port" => return refuse(name, "write the number or the name of a port"),
            "path" if is_path(value) => wish.path = text(),
            "path" => return refuse(name, "write a path that begins with / and has no white space"),
            "expected-status" => {
                wish.expected_status = list(value);
                let good = |code: &String| is_status(code);
                if !(1..=32).contains(&wish.expected_status.len()) || !wish.expected_status.iter().all(good) {
                    return refuse(
                        name,
                        "write up to 32 codes, ranges or classes separated by commas, for example 200,400-404,3xx",
                    );
                }
            }
            "alert-channels" => {
                wish.alert_channels = list(value);
                let good = |name: &String| (1..=63).contains(&name.len());
                if !(1..=20).contains(&wish.alert_channels.len()) || !wish.alert_channels.iter().all(good) {
                    return refuse(
                        name,
                        "write 1 to 20 names of channels separated by commas, for example ops,chat",
                    );
                }
            }
            "suspended" => match value {
                "true" => wish.suspended = true,
                "false" => {}
                _ => return refuse(name, "write \"true\" or \"false\""),
            },
            "slo-target" => wish.slo_target = text(),
            "slo-window" => wish.slo_window = text(),
            _ => {
                let known = KNOWN.join(", ");
                return refuse(name, &format!("there is no such annotation; there are {known}"));
            }
        }
    }
    if wish.slo_window.is_some() && wish.slo_target.is_none() {
        return refuse("slo-window", "write slo-target too, for example \"99.9\"");
    }
    Ok(Some(wish))
}

/// A duration without days, as the schema has it.
fn span(value: &str) -> Option<TimeSpan> {
    let short = value.len() <= watchkeeper_crds::durations::MAX_LENGTH as usize && !value.contains('d');
    TimeSpan::from_str(value).ok().filter(|_| short)
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn is_name(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&value.len()) && value.bytes().all(plain)
}

/// Whether this is a DNS name in lower case.
#[must_use]
pub fn is_host(value: &str) -> bool {
    (1..=253).contains(&value.len())
        && value.split('.').all(|label| is_name(label) && !label.starts_with('-') && !label.ends_with('-'))
}

fn is_path(value: &str) -> bool {
    value.starts_with('/') && value.len() <= 1_024 && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether this is a code, a class or a range, as the schema has them.
fn is_status(text: &str) -> bool {
    let code = |code: &[u8]| matches!(code, [b'1'..=b'5', tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit());
    match text.as_bytes() {
        [b'1'..=b'5', b'x', b'x'] => true,
        bytes => match bytes.iter().position(|byte| *byte == b'-') {
            Some(dash) => {
                let (first, last) = (&bytes[..dash], &bytes[dash + 1..]);
                code(first) && code(last) && first <= last
            }
            None => code(bytes),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<Option<Wish>, Refusal> {
        let mut all: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect();
        all.insert("kubernetes.io/ingress.class".to_owned(), "nginx".to_owned());
        read(&all)
    }

    #[test]
    fn only_what_says_so_asks_for_an_endpoint() {
        assert_eq!(with(&[]), Ok(None));
        assert_eq!(with(&[("monitor", "false"), ("nonsense", "x")]), Ok(None));
        assert_eq!(with(&[("interval", "30s")]), Ok(None));
        assert_eq!(with(&[("monitor", "true")]), Ok(Some(Wish::default())));
    }

    #[test]
    fn every_annotation_that_is_known_is_read() {
        let wish = with(&[
            ("monitor", "true"),
            ("instance", "watch/main"),
            ("name", "Shop"),
            ("group", "web"),
            ("interval", "30s"),
            ("timeout", "5s"),
            ("probe", "tcp"),
            ("scheme", "https"),
            ("host", "shop.example.com"),
            ("port", "8080"),
            ("path", "/healthz?full=1"),
            ("expected-status", "200, 3xx"),
            ("alert-channels", "ops,chat"),
            ("suspended", "true"),
            ("slo-target", "99.9"),
            ("slo-window", "7d"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(wish.instance, Some((Some("watch".to_owned()), "main".to_owned())));
        assert_eq!(wish.expected_status, ["200", "3xx"]);
        assert_eq!(wish.alert_channels, ["ops", "chat"]);
        assert_eq!((wish.probe, wish.suspended), (Probe::Tcp, true));
        assert_eq!((wish.slo_target.as_deref(), wish.slo_window.as_deref()), (Some("99.9"), Some("7d")));
    }

    #[test]
    fn statuses_are_those_of_the_schema() {
        for good in ["200", "2xx", "400-404"] {
            assert!(is_status(good), "{good}");
        }
        for bad in ["600", "6xx", "20", "2x0", "200-", "-200", "200-2xx", "200-201-202", "300-200"] {
            assert!(!is_status(bad), "{bad}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_the_name_of_its_annotation() {
        for (name, value) in [
            ("monitor", "yes"),
            ("instance", "a/b/c"),
            ("instance", "Main"),
            ("name", ""),
            ("interval", "0s"),
            ("interval", "1d"),
            ("timeout", "soon"),
            ("probe", "icmp"),
            ("scheme", "ftp"),
            ("host", "a b"),
            ("host", "-a.example.com"),
            ("path", "healthz"),
            ("path", "/a b"),
            ("expected-status", "20"),
            ("expected-status", ""),
            ("expected-status", "200-"),
            ("expected-status", "200-99"),
            ("alert-channels", ","),
            ("alert-channels", &"a".repeat(64)),
            ("alert-channels", &"a,".repeat(21)),
            ("suspended", "1"),
            ("intervall", "30s"),
            ("slo-window", "7d"),
        ] {
            let refusal = with(&[("monitor", "true"), (name, value)]).unwrap_err();
            assert!(refusal.message.starts_with(&format!("{PREFIX}{name}: ")), "{}", refusal.message);
        }
    }
}

//! What somebody wants to be watched, as upstream's clients and its YAML file say it.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};
use url::Url;
use watchkeeper_store::{AlertSpec, EndpointSpec, HttpProbe, Probe, Retry};

use super::{fields::Fields, problem::FieldProblem};

/// Longest name, characters.
const NAME: usize = 255;
/// Longest URL, characters: what upstream's table holds.
const URL: usize = 2_048;
/// Longest interval and timeout, seconds.
const LONGEST: i64 = 31_536_000;
const LONGEST_TIMEOUT: i64 = 3_600;
/// Headers at most, and the longest value, bytes.
const HEADERS: usize = 64;
const HEADER: usize = 8 << 10;
/// Largest body, bytes.
const BODY: usize = 64 << 10;

/// Methods that a check may use.
const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS];

/// Attempts after one that got no answer, and the pause before the first of them, which doubles.
const RETRIES: u32 = 2;
const BACKOFF: Duration = Duration::from_secs(1);

/// An endpoint, as upstream defines one.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitoringEndpoint {
    /// Name, unique among those that came this way.
    pub name: String,
    /// Absolute URL, http or https.
    pub url: String,
    /// Method, upper case.
    pub method: String,
    /// Seconds from one check to the next.
    pub interval: u32,
    /// Seconds that one attempt may take.
    pub timeout: u32,
    /// The one status that counts as success.
    pub expected_status: u16,
    /// Headers to send; values may be secrets.
    pub headers: Option<Map<String, Value>>,
    /// JSON to send with POST, PUT and PATCH.
    pub body: Option<Map<String, Value>>,
    /// Whether it is checked.
    pub is_active: bool,
}

impl MonitoringEndpoint {
    /// Reads a new one; what is left out has upstream's default.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn create(body: &Value) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::of(body)?;
        fields.require("name");
        fields.require("url");
        let mut new = Self {
            name: String::new(),
            url: String::new(),
            method: "GET".into(),
            interval: 60,
            timeout: 5,
            expected_status: 200,
            headers: None,
            body: None,
            is_active: true,
        };
        new.take(&mut fields);
        if fields.problems.is_empty() { Ok(new) } else { Err(fields.problems) }
    }

    /// Changes what `body` gives and leaves all else.
    ///
    /// # Errors
    /// Everything that is wrong with it; nothing is changed then.
    pub fn update(&mut self, body: &Value) -> Result<(), Vec<FieldProblem>> {
        let mut fields = Fields::of(body)?;
        let mut changed = self.clone();
        changed.take(&mut fields);
        if !fields.problems.is_empty() {
            return Err(fields.problems);
        }
        *self = changed;
        Ok(())
    }

    fn take(&mut self, fields: &mut Fields<'_>) {
        if let Some(name) = fields.text("name", 1..=NAME) {
            name.clone_into(&mut self.name);
        }
        if let Some(url) = fields.text("url", 1..=URL) {
            match web_address(url) {
                Ok(()) => url.clone_into(&mut self.url),
                Err(why) => fields.refuse("url", why, &url.into()),
            }
        }
        if let Some(method) = fields.text("method", 1..=10) {
            match METHODS.iter().find(|known| known.as_str().eq_ignore_ascii_case(method)) {
                Some(known) => known.as_str().clone_into(&mut self.method),
                None => {
                    let all: Vec<_> = METHODS.iter().map(Method::as_str).collect();
                    fields.refuse("method", format!("must be one of {}", all.join(", ")), &method.into());
                }
            }
        }
        let mut number =
            |name, range| fields.integer(name, range).and_then(|number| u32::try_from(number).ok());
        if let Some(interval) = number("interval", 10..=LONGEST) {
            self.interval = interval;
        }
        if let Some(timeout) = number("timeout", 1..=LONGEST_TIMEOUT) {
            self.timeout = timeout;
        }
        if let Some(status) = number("expected_status", 100..=599).and_then(|it| u16::try_from(it).ok()) {
            self.expected_status = status;
        }
        if let Some(active) = fields.flag("is_active") {
            self.is_active = active;
        }
        self.take_headers(fields);
        if fields.has("body") {
            match fields.dictionary("body") {
                Some(body) if Value::Object(body.clone()).to_string().len() > BODY => {
                    fields.refuse("body", format!("may have {BODY} bytes"), &Value::Null);
                }
                body => self.body = body.filter(|body| !body.is_empty()).cloned(),
            }
        }
    }

    fn take_headers(&mut self, fields: &mut Fields<'_>) {
        if !fields.has("headers") {
            return;
        }
        let Some(headers) = fields.dictionary("headers") else {
            self.headers = None;
            return;
        };
        if headers.len() > HEADERS {
            fields.refuse("headers", format!("there may be {HEADERS} of them"), &Value::Null);
            return;
        }
        for (name, value) in headers {
            let place = ["body", "headers", name.as_str()];
            // A value may be a secret and is not repeated.
            let problem = match value.as_str() {
                None => {
                    let message = "Input should be a valid string";
                    Some(FieldProblem::new("string_type", &place, message, Value::Null))
                }
                Some(_) if name.parse::<HeaderName>().is_err() => {
                    Some(FieldProblem::value(&place, "is not the name of a header", &name.as_str().into()))
                }
                Some(text) if text.len() > HEADER || text.parse::<HeaderValue>().is_err() => {
                    let message = format!("must be the value of a header, {HEADER} bytes at most");
                    Some(FieldProblem::value(&place, message, &Value::Null))
                }
                Some(_) => None,
            };
            fields.problems.extend(problem);
        }
        self.headers = Some(headers.clone()).filter(|headers| !headers.is_empty());
    }

    /// What upstream would say of a stored endpoint; of one that is not asked by HTTP, and so came
    /// another way, what fits.
    pub(crate) fn of(name: &str, spec: &EndpointSpec) -> Self {
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let mut view = Self {
            name: name.to_owned(),
            url: spec.probe.target().to_owned(),
            method: spec.probe.kind().to_ascii_uppercase(),
            interval: seconds(spec.interval),
            timeout: seconds(spec.timeout),
            expected_status: 200,
            headers: None,
            body: None,
            is_active: !spec.suspended,
        };
        if let Probe::Http(http) = &spec.probe {
            view.url.clone_from(&http.url);
            view.method.clone_from(&http.method);
            view.expected_status = expected_status(http);
            if !http.headers.is_empty() {
                let headers = http.headers.iter();
                view.headers =
                    Some(headers.map(|(name, value)| (name.clone(), value.as_str().into())).collect());
            }
            view.body = http.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
        }
        view
    }

    /// What the store keeps of it. `before` is what it was until now, whose other settings stay.
    pub fn spec(&self, before: Option<&EndpointSpec>, alerts: &AlertSpec) -> EndpointSpec {
        let headers = self.headers.iter().flatten();
        let mut http = HttpProbe::new(self.url.clone());
        http.method.clone_from(&self.method);
        http.headers =
            headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        http.body = self.body.clone().map(|body| Value::Object(body).to_string());
        http.json_body = true;
        http.expected_status = vec![self.expected_status.to_string()];
        let mut spec = before.cloned().unwrap_or_else(|| EndpointSpec {
            retries: RETRIES,
            backoff: BACKOFF,
            retry: Retry { exponential: true, no_answer_only: true },
            alerts: alerts.clone(),
            ..EndpointSpec::new(self.name.clone(), Probe::Http(http.clone()))
        });
        spec.display_name.clone_from(&self.name);
        spec.interval = Duration::from_secs(self.interval.into());
        spec.timeout = Duration::from_secs(self.timeout.into());
        spec.suspended = !self.is_active;
        spec.probe = Probe::Http(http);
        spec
    }
}

/// The one status that a probe expects; the first of several.
pub(super) fn expected_status(http: &HttpProbe) -> u16 {
    let first = http.expected_status.first().map_or("200", String::as_str);
    let digits: String = first.chars().take(3).map(|c| if c.is_ascii_digit() { c } else { '0' }).collect();
    digits.parse().unwrap_or(200)
}

fn web_address(text: &str) -> Result<(), &'static str> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(()),
        _ => Err("must be an absolute URL, http or https"),
    }
}

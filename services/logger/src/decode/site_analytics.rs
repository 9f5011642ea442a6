//! site-analytics: views of a website. One in the query string, as its README has it; one as a JSON
//! object; or up to 200 as `{"traffic": […]}`.
//!
//! The names of both generations are understood in each form: `ip_addr` and `ip_address`. All or
//! nothing of a batch is taken. Error texts are the original's.

use std::{collections::HashMap, fmt};

use jiff::{civil::DateTime, tz::TimeZone};
use serde_json::{Map, Value};
use watchkeeper_runtime::field_errors::{FieldErrors, MISSING, NULL, UNKNOWN};

use super::text;

/// Views that one request may report.
pub const MAX_VIEWS: usize = 200;

/// Longest URL kept, bytes.
const URL: usize = 8_192;
/// Longest address kept, bytes.
const IP: usize = 255;
/// Longest user agent kept, bytes.
const USER_AGENT: usize = 1_024;

/// One view of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// When it happened, UTC milliseconds; `None` is the time of arrival.
    pub ts: Option<i64>,
    /// What was asked for, as it was posted.
    pub url: String,
    /// Client's address, as it was posted; it may be none.
    pub ip: String,
    /// `User-Agent` header, possibly empty.
    pub user_agent: String,
    /// Whether the visitor does not want to be tracked: `Sec-GPC: 1` or `DNT: 1`, which the website
    /// passes on as `gpc` or `dnt`.
    pub opted_out: bool,
}

/// Why a request is refused; none of its views is stored then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The query string lacks an argument.
    Argument(&'static str),
    /// The body is no JSON object.
    Malformed(String),
    /// Fields are missing, wrong or unknown.
    Invalid(FieldErrors),
    /// A batch of nothing.
    Empty,
    /// A batch of more than [`MAX_VIEWS`].
    TooMany(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(name) => write!(f, "Missing \"{name}\" arg"),
            Self::Malformed(why) => write!(f, "Invalid parameters: the body must be a JSON object: {why}"),
            Self::Invalid(errors) => write!(f, "Invalid parameters: {errors}"),
            Self::Empty => f.write_str("The request did not contain any traffic records."),
            Self::TooMany(count) => write!(
                f,
                "Too many traffic records in this request; the maximum allowed is {MAX_VIEWS} but this one has {count}"
            ),
        }
    }
}

/// Reads a request: a query that has any of the arguments is a view of its own, and the body then
/// does not matter.
///
/// # Errors
/// Whatever is wrong with it.
pub fn decode(query: &[(String, String)], body: &[u8]) -> Result<Vec<View>, Refusal> {
    const ARGUMENTS: [&str; 4] = ["url", "ip_addr", "ip_address", "user_agent"];
    let queried = query.iter().any(|(name, _)| ARGUMENTS.contains(&name.as_str()));
    if queried || body.is_empty() { Ok(vec![from_query(query)?]) } else { from_json(body) }
}

fn from_query(query: &[(String, String)]) -> Result<View, Refusal> {
    // The first of a name counts, as in the original.
    let mut arguments: HashMap<&str, &str> = HashMap::new();
    for (name, value) in query {
        arguments.entry(name).or_insert(value);
    }
    let argument = |name| arguments.get(name).copied();
    let ts = match argument("timestamp").map(|text| (text, time(text))) {
        Some((_, None)) => {
            let mut errors = FieldErrors::default();
            errors.add("timestamp", NO_TIME);
            return Err(Refusal::Invalid(errors));
        }
        Some((_, ts)) => ts,
        None => None,
    };
    Ok(View {
        ts,
        url: cut(argument("url").ok_or(Refusal::Argument("url"))?, URL),
        ip: cut(
            argument("ip_addr").or(argument("ip_address")).ok_or(Refusal::Argument("ip_addr"))?.trim(),
            IP,
        ),
        user_agent: cut(argument("user_agent").ok_or(Refusal::Argument("user_agent"))?.trim(), USER_AGENT),
        opted_out: SIGNALS.iter().any(|name| matches!(argument(name), Some("1" | "true"))),
    })
}

/// By what a website passes on that a visitor does not want to be tracked.
const SIGNALS: [&str; 2] = ["gpc", "dnt"];

const NO_TEXT: &str = "Not a valid string.";
const NO_TIME: &str = "Not a valid datetime.";
const NO_LIST: &str = "Not a valid list.";

fn from_json(body: &[u8]) -> Result<Vec<View>, Refusal> {
    // Text that is not UTF-8 is taken: one odd user agent costs nobody a batch.
    let text = String::from_utf8_lossy(body);
    let value: Value = serde_json::from_str(&text).map_err(|e| Refusal::Malformed(e.to_string()))?;
    let Value::Object(mut object) = value else {
        return Err(Refusal::Malformed("it is something else".into()));
    };
    let mut errors = FieldErrors::default();
    let Some(traffic) = object.shift_remove("traffic") else {
        return view(object, false).map(|view| vec![view]).map_err(Refusal::Invalid);
    };
    let rows = match traffic {
        Value::Array(rows) => rows,
        Value::Null => {
            errors.add("traffic", NULL);
            Vec::new()
        }
        _ => {
            errors.add("traffic", NO_LIST);
            Vec::new()
        }
    };
    object.keys().for_each(|name| errors.add(name, UNKNOWN));
    if !errors.is_empty() {
        return Err(Refusal::Invalid(errors));
    }
    match rows.len() {
        0 => return Err(Refusal::Empty),
        many if many > MAX_VIEWS => return Err(Refusal::TooMany(many)),
        _ => {}
    }
    let (mut views, mut wrong) = (Vec::with_capacity(rows.len()), Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        let read = match row {
            Value::Object(object) => view(object, true),
            _ => {
                let mut errors = FieldErrors::default();
                errors.add("_schema", "Invalid input type.");
                Err(errors)
            }
        };
        match read {
            Ok(view) => views.push(view),
            Err(errors) => wrong.push((index, errors)),
        }
    }
    if wrong.is_empty() {
        return Ok(views);
    }
    errors.add_items("traffic", &wrong);
    Err(Refusal::Invalid(errors))
}

/// One view as a JSON object. URLs of a batch are trimmed, as the original does; what else there is
/// has white space around it only by mistake, as its import script makes it.
fn view(mut object: Map<String, Value>, trim: bool) -> Result<View, FieldErrors> {
    let mut errors = FieldErrors::default();
    if let Some(ip) = object.shift_remove("ip_addr") {
        object.entry("ip_address").or_insert(ip);
    }
    let mut field = |name: &str, limit| match object.shift_remove(name) {
        Some(Value::String(text)) => cut(if trim || name != "url" { text.trim() } else { &text }, limit),
        other => {
            errors.add(
                name,
                match other {
                    None => MISSING,
                    Some(Value::Null) => NULL,
                    Some(_) => NO_TEXT,
                },
            );
            String::new()
        }
    };
    let (url, ip, user_agent) = (field("url", URL), field("ip_address", IP), field("user_agent", USER_AGENT));
    let ts = match object.shift_remove("timestamp") {
        None => None,
        Some(Value::Null) => {
            errors.add("timestamp", NULL);
            None
        }
        Some(value) => {
            let ts = value.as_str().and_then(time);
            if ts.is_none() {
                errors.add("timestamp", NO_TIME);
            }
            ts
        }
    };
    // Both are looked at, so that neither stays behind as unknown.
    let signals = SIGNALS.map(|name| object.shift_remove(name).is_some_and(|value| signal(&value)));
    object.keys().for_each(|name| errors.add(name, UNKNOWN));
    let opted_out = signals.contains(&true);
    if errors.is_empty() { Ok(View { ts, url, ip, user_agent, opted_out }) } else { Err(errors) }
}

/// Whether a header's signal was passed on: as the header has it (`1`), or as what it means.
fn signal(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_i64() == Some(1),
        Value::String(text) => text.trim() == "1",
        _ => false,
    }
}

/// A time as any generation of the original wrote it; without a zone it is UTC.
pub fn time(text: &str) -> Option<i64> {
    text::time(text).or_else(|| {
        // `%f` of the one would be a fraction after a dot, of the other it is after a colon.
        let (seconds, fraction) = text.trim().rsplit_once(':')?;
        let whole = DateTime::strptime("%m-%d-%Y-%H:%M:%S", seconds).ok()?;
        let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && (1..=6).contains(&fraction.len());
        let micros: i64 = format!("{fraction:0<6}").parse().ok().filter(|_| digits)?;
        Some(TimeZone::UTC.to_timestamp(whole).ok()?.as_millisecond() + micros / 1_000)
    })
}

fn cut(text: &str, limit: usize) -> String {
    text::cut(text, limit).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn json_views(body: &Value) -> Result<Vec<View>, String> {
        decode(&[], body.to_string().as_bytes()).map_err(|refusal| refusal.to_string())
    }

    fn plain() -> View {
        View { ts: None, url: "/".into(), ip: "1.2.3.4".into(), user_agent: "UA".into(), opted_out: false }
    }

    #[test]
    fn the_three_forms_mean_the_same() {
        let queried = query(&[("url", "/"), ("ip_addr", "1.2.3.4"), ("user_agent", "UA")]);
        assert_eq!(decode(&queried, b""), Ok(vec![plain()]));
        let single = json!({"url": "/", "ip_address": "1.2.3.4", "user_agent": "UA"});
        assert_eq!(json_views(&single), Ok(vec![plain()]));
        assert_eq!(json_views(&json!({"traffic": [single]})), Ok(vec![plain()]));
        let old = json!({"url": "/", "ip_addr": "1.2.3.4", "user_agent": "UA"});
        assert_eq!(json_views(&old), Ok(vec![plain()]));
    }

    #[test]
    fn who_does_not_want_to_be_tracked_is_told_in_each_form() {
        for (name, value, out) in [
            ("gpc", json!(true), true),
            ("dnt", json!(1), true),
            ("gpc", json!("1"), true),
            ("dnt", json!(0), false),
            ("gpc", json!(false), false),
            ("dnt", json!(null), false),
        ] {
            let single = json!({"url": "/", "ip_address": "1.2.3.4", "user_agent": "UA", name: value});
            let expected = View { opted_out: out, ..plain() };
            assert_eq!(json_views(&single), Ok(vec![expected.clone()]), "{single}");
            assert_eq!(json_views(&json!({"traffic": [single]})), Ok(vec![expected]));
        }
        for (value, out) in [("1", true), ("true", true), ("0", false), ("", false)] {
            let queried =
                query(&[("url", "/"), ("ip_addr", "1.2.3.4"), ("user_agent", "UA"), ("gpc", value)]);
            assert_eq!(decode(&queried, b""), Ok(vec![View { opted_out: out, ..plain() }]), "{value}");
        }
    }

    #[test]
    fn a_missing_argument_of_the_query_is_named() {
        for missing in ["url", "ip_addr", "user_agent"] {
            let mut pairs = query(&[("url", "/"), ("ip_addr", "1"), ("user_agent", "")]);
            pairs.retain(|(name, _)| name != missing);
            assert_eq!(
                decode(&pairs, b"").expect_err("refused").to_string(),
                format!("Missing \"{missing}\" arg")
            );
        }
        assert_eq!(decode(&[], b""), Err(Refusal::Argument("url")));
    }

    #[test]
    fn missing_null_mistyped_and_unknown_fields_are_told_as_marshmallow_does() {
        assert_eq!(
            json_views(&json!({"ip_address": null, "user_agent": 5, "zzz": 1})).expect_err("refused"),
            "Invalid parameters: {'url': ['Missing data for required field.'], \
             'ip_address': ['Field may not be null.'], 'user_agent': ['Not a valid string.'], \
             'zzz': ['Unknown field.']}"
        );
        let late = json!({"url": "/", "ip_address": "1", "user_agent": "", "timestamp": "yesterday"});
        assert_eq!(
            json_views(&json!({"traffic": [late]})).expect_err("refused"),
            "Invalid parameters: {'traffic': {0: {'timestamp': ['Not a valid datetime.']}}}"
        );
        assert!(json_views(&json!([])).expect_err("refused").starts_with("Invalid parameters: "));
    }

    #[test]
    fn a_batch_has_1_to_200_views() {
        let view = json!({"url": " / ", "ip_address": "1.2.3.4", "user_agent": "UA"});
        let batch = |count| json_views(&json!({"traffic": vec![view.clone(); count]}));
        assert_eq!(batch(200).expect("taken"), vec![plain(); 200]);
        assert_eq!(batch(0).expect_err("refused"), "The request did not contain any traffic records.");
        assert_eq!(
            batch(201).expect_err("refused"),
            "Too many traffic records in this request; the maximum allowed is 200 but this one has 201"
        );
    }

    #[test]
    fn times_are_taken_with_and_without_a_zone_and_as_the_import_script_has_them() {
        for time in ["2023-11-14T22:13:20", "2023-11-14T23:13:20+01:00", "11-14-2023-22:13:20:000000"] {
            let view = json!({"url": "/", "ip_address": "1", "user_agent": "UA\n", "timestamp": time});
            let read = &json_views(&view).expect("taken")[0];
            assert_eq!((read.ts, read.user_agent.as_str()), (Some(1_700_000_000_000), "UA"));
        }
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,40}") {
            let _ = decode(&[], &body);
            let _ = decode(&query(&[("url", &text), ("timestamp", &text)]), &body);
            let _ = json_views(&json!({"url": text, "traffic": text}));
        }
    }
}

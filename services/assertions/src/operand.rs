//! The sides of a condition and what they come to.

use std::borrow::Cow;

use regex::Regex;

use crate::{Facts, Subject, glob::Glob, path::Path};

/// Longest value shown when a condition fails.
const MAX_SHOWN: usize = 80;

/// One side of a condition.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Text(String),
    Placeholder(Placeholder),
    Len(Placeholder),
    Has(Placeholder),
    Any(Vec<Operand>),
    Pattern(Glob),
    Regex(Regex),
}

#[derive(Debug, Clone)]
pub(crate) enum Placeholder {
    Status,
    ResponseTime,
    Connected,
    Ip,
    DnsRcode,
    CertificateExpiration,
    DomainExpiration,
    BodySize,
    Body(Path),
    Header(String),
}

impl Placeholder {
    fn subject(&self) -> Subject {
        match self {
            Self::Status => Subject::Status,
            Self::Body(_) | Self::BodySize => Subject::Body,
            Self::Header(_) => Subject::Header,
            Self::DomainExpiration => Subject::Domain,
            Self::Connected => Subject::Connected,
            Self::DnsRcode => Subject::DnsRcode,
            _ => Subject::Other,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Status => "[STATUS]".into(),
            Self::ResponseTime => "[RESPONSE_TIME]".into(),
            Self::Connected => "[CONNECTED]".into(),
            Self::Ip => "[IP]".into(),
            Self::DnsRcode => "[DNS_RCODE]".into(),
            Self::CertificateExpiration => "[CERTIFICATE_EXPIRATION]".into(),
            Self::DomainExpiration => "[DOMAIN_EXPIRATION]".into(),
            Self::BodySize => "[BODY_SIZE]".into(),
            Self::Body(path) => format!("[BODY]{}", path.text),
            Self::Header(name) => format!("[HEADER].{name}"),
        }
    }

    /// What the probe saw of it.
    fn value<'a>(&self, facts: &'a Facts) -> Value<'a> {
        let text = |text: Option<String>| text.map_or(Value::Missing, |text| Value::Text(text.into()));
        let millis = |time: Option<i64>| time.map_or(Value::Missing, Value::Number);
        match self {
            // As Gatus has it: without an answer there is a status, and it is 0.
            Self::Status => Value::Number(facts.status.unwrap_or(0).into()),
            Self::ResponseTime => Value::Number(facts.response_time),
            Self::Connected => text(Some(facts.connected.to_string())),
            Self::Ip => text(facts.ip.clone()),
            Self::DnsRcode => text(facts.dns_rcode.map(str::to_owned)),
            Self::CertificateExpiration => millis(facts.certificate_expiration),
            Self::DomainExpiration => millis(facts.domain_expiration),
            Self::BodySize => length(facts.body.len()),
            Self::Body(path) if path.is_empty() => {
                Value::Text(String::from_utf8_lossy(facts.body.trim_ascii()))
            }
            Self::Body(path) => match facts.json.of(facts.body) {
                Some(body) => text(path.find(body).map(plain)),
                None => Value::Missing,
            },
            Self::Header(name) => facts
                .headers
                .iter()
                .find(|(own, _)| own.eq_ignore_ascii_case(name))
                .map_or(Value::Missing, |(_, value)| Value::Text(Cow::Borrowed(value))),
        }
    }

    /// Elements of an array, or characters of anything else.
    fn len<'a>(&self, facts: &'a Facts) -> Value<'a> {
        if let Self::Body(path) = self
            && let Some(body) = facts.json.of(facts.body)
        {
            return match path.find(body) {
                None => Value::Missing,
                Some(serde_json::Value::Array(items)) => length(items.len()),
                Some(_) if path.is_empty() => length(facts.body.trim_ascii().len()),
                Some(value) => length(plain(value).len()),
            };
        }
        match self.value(facts) {
            Value::Text(text) => length(text.len()),
            Value::Number(number) => length(number.to_string().len()),
            Value::Missing => Value::Missing,
        }
    }
}

fn length<'a>(length: usize) -> Value<'a> {
    Value::Number(i64::try_from(length).unwrap_or(i64::MAX))
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a side comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    /// The probe did not see it.
    Missing,
}

impl Value<'_> {
    /// As a number: a duration in milliseconds, an integer, or the whole part
    /// of a decimal number.
    pub fn number(&self) -> Option<i64> {
        let text = match self {
            Self::Number(number) => return Some(*number),
            Self::Missing => return None,
            Self::Text(text) => text.trim(),
        };
        duration(text).or_else(|| integer(text)).or_else(|| {
            let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
            #[allow(clippy::cast_possible_truncation)] // the whole part is what is meant
            Some(number as i64)
        })
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => integer(text),
            Self::Missing => None,
        }
    }

    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Number(number) => Some(number.to_string().into()),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Missing => None,
        }
    }
}

/// An integer in the bases that Go takes: 10, 0x, 0o, 0 and 0b.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

/// A duration as Go writes it (`1h30m`, `1.5s`, `300ms`), in milliseconds.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += amount
            * match &rest[..end] {
                "ns" => 1e-6,
                "us" | "µs" | "μs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3_600e3,
                _ => return None,
            };
        rest = &rest[end..];
    }
    #[allow(clippy::cast_possible_truncation)] // the whole milliseconds are what is meant
    Some((sign * total) as i64)
}

impl Operand {
    pub fn mentions(&self, subject: Subject) -> bool {
        match self {
            Self::Placeholder(inner) | Self::Len(inner) | Self::Has(inner) => inner.subject() == subject,
            Self::Any(options) => options.iter().any(|option| option.mentions(subject)),
            Self::Text(_) | Self::Pattern(_) | Self::Regex(_) => false,
        }
    }

    /// Whether what the side is about may lie beyond where the body was cut.
    pub fn is_cut(&self, facts: &Facts) -> bool {
        match self {
            Self::Placeholder(Placeholder::Body(path)) | Self::Has(Placeholder::Body(path)) => {
                facts.body_cut && !path.is_empty()
            }
            Self::Len(Placeholder::Body(_)) => facts.body_cut,
            Self::Any(options) => options.iter().any(|option| option.is_cut(facts)),
            _ => false,
        }
    }

    /// What the side comes to; patterns come to nothing by themselves.
    pub fn resolve<'a>(&'a self, facts: &'a Facts) -> Value<'a> {
        match self {
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Placeholder(inner) => inner.value(facts),
            Self::Len(inner) => inner.len(facts),
            Self::Has(inner) => {
                Value::Text(if inner.value(facts) == Value::Missing { "false" } else { "true" }.into())
            }
            Self::Any(_) | Self::Pattern(_) | Self::Regex(_) => Value::Missing,
        }
    }

    /// The side as written, with what it came to where that says more.
    pub fn explain(&self, facts: &Facts) -> String {
        let written = match self {
            Self::Text(text) => return text.clone(),
            Self::Pattern(glob) => return format!("pat({})", glob.text),
            Self::Regex(regex) => return format!("regex({regex})"),
            Self::Any(options) => {
                let options: Vec<String> = options.iter().map(|option| option.explain(facts)).collect();
                return format!("any({})", options.join(", "));
            }
            Self::Placeholder(inner) => inner.text(),
            Self::Len(inner) => format!("len({})", inner.text()),
            Self::Has(inner) => format!("has({})", inner.text()),
        };
        if self.is_cut(facts) {
            return format!("{written} (not known: the body is longer than maxBodyBytes)");
        }
        let value = self.resolve(facts);
        match value.text() {
            None => format!("{written} (missing)"),
            Some(text) if text.len() > MAX_SHOWN => {
                format!("{written} ({}…)", &text[..text.floor_char_boundary(MAX_SHOWN)])
            }
            Some(text) => format!("{written} ({text})"),
        }
    }
}

/// Whether two sides are equal: by pattern, by choice, as integers or as texts.
pub(crate) fn equal(left: &Operand, right: &Operand, facts: &Facts) -> bool {
    match (left, right) {
        (Operand::Any(options), other) | (other, Operand::Any(options)) => {
            options.iter().any(|option| equal(option, other, facts))
        }
        (Operand::Pattern(glob), other) | (other, Operand::Pattern(glob)) => {
            other.resolve(facts).text().is_some_and(|text| glob.matches(&text))
        }
        (Operand::Regex(regex), other) | (other, Operand::Regex(regex)) => {
            other.resolve(facts).text().is_some_and(|text| regex.is_match(&text))
        }
        _ => {
            let (left, right) = (left.resolve(facts), right.resolve(facts));
            match (left.integer(), right.integer()) {
                (Some(left), Some(right)) => left == right,
                // A duration against a placeholder that is one.
                _ if matches!(left, Value::Number(_)) != matches!(right, Value::Number(_)) => {
                    match (left.number(), right.number()) {
                        (Some(left), Some(right)) => left == right,
                        _ => left.text().is_some() && left.text() == right.text(),
                    }
                }
                _ => left.text().is_some() && left.text() == right.text(),
            }
        }
    }
}

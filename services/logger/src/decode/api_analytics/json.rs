//! From JSON into rows without a tree in between. Names are understood in any
//! case; of a member that is there twice the last counts, and one that is
//! spelled as it should be before one that is not.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Number;

use super::{Envelope, Repairs, Row, UNKNOWN_TIME};
use crate::decode::text;

/// Longest path and query kept, bytes each.
const PATH: usize = 2_048;
/// Longest user agent kept, bytes.
const USER_AGENT: usize = 1_024;
/// Longest other text kept, bytes.
const TEXT: usize = 255;

/// A value, as far as it is of use here.
enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(Number),
    Flag(bool),
    /// A list or an object, which nothing here is.
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalars;

        impl<'de> Visitor<'de> for Scalars {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Flag(flag))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Number::from_f64(number).map_or(Scalar::Other, Scalar::Number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(Scalars)
    }
}

/// Finds a member's place among `names`, and whether it is spelled so.
fn place(names: &[&str], key: &str) -> Option<(usize, bool)> {
    if let Some(at) = names.iter().position(|name| *name == key) {
        return Some((at, true));
    }
    names.iter().position(|name| name.eq_ignore_ascii_case(key)).map(|at| (at, false))
}

/// A name, borrowed where JSON has no escapes in it.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

const ENVELOPE: [&str; 4] = ["api_key", "framework", "privacy_level", "requests"];

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Envelopes;

        impl<'de> Visitor<'de> for Envelopes {
            type Value = Envelope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Envelope, A::Error> {
                let mut envelope = Envelope::default();
                let mut exactly = [false; ENVELOPE.len()];
                while let Some(Name(name)) = object.next_key()? {
                    let at = match place(&ENVELOPE, &name) {
                        Some((at, exact)) if exact || !exactly[at] => {
                            exactly[at] = exact;
                            at
                        }
                        _ => {
                            object.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    match at {
                        0 => envelope.api_key = string(object.next_value()?, "api_key")?,
                        1 => envelope.framework = string(object.next_value()?, "framework")?,
                        2 => envelope.privacy_level = integer(object.next_value()?, "privacy_level")?,
                        _ => {
                            (envelope.rows, envelope.repairs) = object.next_value::<Rows>()?.into_parts();
                        }
                    }
                }
                Ok(envelope)
            }
        }

        deserializer.deserialize_any(Envelopes)
    }
}

fn string<E: Error>(value: Scalar<'_>, name: &str) -> Result<String, E> {
    match value {
        Scalar::Null => Ok(String::new()),
        Scalar::Text(text) => Ok(text.into_owned()),
        _ => Err(E::custom(format_args!("{name} must be a string"))),
    }
}

fn integer<E: Error>(value: Scalar<'_>, name: &str) -> Result<i64, E> {
    match value {
        Scalar::Null => Some(0),
        Scalar::Number(number) => number.as_i64(),
        _ => None,
    }
    .ok_or_else(|| E::custom(format_args!("{name} must be an integer")))
}

/// A list of rows, or nothing.
#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    repairs: Repairs,
}

impl Rows {
    fn into_parts(self) -> (Vec<Row>, Repairs) {
        (self.rows, self.repairs)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;

        impl<'de> Visitor<'de> for Lists {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("requests as an array")
            }
            fn visit_unit<E>(self) -> Result<Rows, E> {
                Ok(Rows::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(row) = list.next_element_seed(OneRow(&mut rows.repairs))? {
                    rows.rows.extend(row);
                }
                Ok(rows)
            }
        }

        deserializer.deserialize_any(Lists)
    }
}

/// Reads one row, and counts what had to be put right in it. What is no object is no row.
struct OneRow<'a>(&'a mut Repairs);

impl<'de> DeserializeSeed<'de> for OneRow<'_> {
    type Value = Option<Row>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

const ROW: [&str; 12] = [
    "path",
    "hostname",
    "ip_address",
    "user_agent",
    "method",
    "status",
    "response_time",
    "user_id",
    "created_at",
    "referrer",
    "gpc",
    "dnt",
];

impl<'de> Visitor<'de> for OneRow<'_> {
    type Value = Option<Row>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Option<Row>, A::Error> {
        let mut values: [Scalar<'de>; ROW.len()] = [const { Scalar::Null }; ROW.len()];
        let mut exactly = [false; ROW.len()];
        while let Some(Name(name)) = object.next_key()? {
            match place(&ROW, &name) {
                Some((at, exact)) if exact || !exactly[at] => {
                    exactly[at] = exact;
                    values[at] = object.next_value()?;
                }
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(row(values, self.0)))
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.0.dropped += 1;
        Ok(None)
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        self.visit_unit()
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        self.visit_unit()
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        self.visit_unit()
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        self.visit_unit()
    }
    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        self.visit_unit()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.visit_unit()
    }
}

fn row(values: [Scalar<'_>; ROW.len()], repairs: &mut Repairs) -> Row {
    let [path, host, ip, user_agent, method, status, response_time, user, created_at, referrer, gpc, dnt] =
        values;
    let ip_text = text(ip, TEXT, repairs);
    let ip = ip_text.as_deref().and_then(text::address);
    repairs.ip += u64::from(ip_text.is_some() && ip.is_none());

    let ts = text(created_at, TEXT, repairs).as_deref().and_then(text::time);
    repairs.created_at += u64::from(ts.is_none());

    let full = text(path, PATH * 2, repairs).unwrap_or_default();
    let (path, query) = match full.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*full, None),
    };

    Row {
        ts: ts.unwrap_or(UNKNOWN_TIME),
        method: text(method, 32, repairs).map(|method| method.to_ascii_uppercase()),
        host: text(host, TEXT, repairs).map(Cow::into_owned),
        path: text::cut(path, PATH).to_owned(),
        query: query.map(|query| text::cut(query, PATH).to_owned()),
        #[allow(clippy::cast_possible_truncation)] // clamped
        status: number(&status, repairs)
            .map(|status| clamp(status, f64::from(i16::MIN), f64::from(i16::MAX), repairs) as i32),
        #[allow(clippy::cast_possible_truncation)] // clamped
        duration_us: number(&response_time, repairs)
            .map(|ms| clamp(ms, f64::from(i32::MIN), f64::from(i32::MAX), repairs))
            .map(|ms| (ms * 1_000.0).round() as i64),
        ip,
        user_agent: text(user_agent, USER_AGENT, repairs).map(Cow::into_owned),
        user: text(user, TEXT, repairs).map(Cow::into_owned),
        referrer: text(referrer, PATH, repairs).map(Cow::into_owned),
        opted_out: signal(&gpc) || signal(&dnt),
    }
}

/// Whether a header's signal was passed on: as the header has it (`1`), or as what it means.
fn signal(value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Flag(on) => *on,
        Scalar::Number(number) => number.as_i64() == Some(1),
        Scalar::Text(text) => text.trim() == "1",
        Scalar::Null | Scalar::Other => false,
    }
}

/// A text of at most `limit` bytes; empty is unknown. A number is taken as its
/// digits: some applications have numeric user ids.
fn text<'a>(value: Scalar<'a>, limit: usize, repairs: &mut Repairs) -> Option<Cow<'a, str>> {
    let text = match value {
        Scalar::Text(text) => text,
        Scalar::Number(number) => Cow::Owned(number.to_string()),
        Scalar::Null | Scalar::Flag(_) | Scalar::Other => return None,
    };
    if text.is_empty() {
        return None;
    }
    if text.len() <= limit {
        return Some(text);
    }
    repairs.text += 1;
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text::cut(text, limit)),
        Cow::Owned(text) => Cow::Owned(text::cut(&text, limit).to_owned()),
    })
}

/// A number, also when it was sent as a text.
fn number(value: &Scalar<'_>, repairs: &mut Repairs) -> Option<f64> {
    let number = match value {
        Scalar::Null => return None,
        Scalar::Number(number) => number.as_f64(),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Flag(_) | Scalar::Other => None,
    };
    let number = number.filter(|n: &f64| n.is_finite());
    repairs.number += u64::from(number.is_none() || matches!(value, Scalar::Text(_)));
    number
}

fn clamp(number: f64, low: f64, high: f64, repairs: &mut Repairs) -> f64 {
    repairs.number += u64::from(!(low..=high).contains(&number));
    number.clamp(low, high)
}

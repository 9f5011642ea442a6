//! Conditions on what a probe saw: a small typed grammar, its reader and its judge.
//!
//! ```text
//! condition   = operand SP operator SP operand
//! operator    = "==" | "!=" | "<=" | ">=" | "<" | ">"
//! operand     = placeholder | function | text
//! placeholder = "[STATUS]" | "[RESPONSE_TIME]" | "[CONNECTED]" | "[IP]" | "[DNS_RCODE]"
//!             | "[CERTIFICATE_EXPIRATION]" | "[DOMAIN_EXPIRATION]" | "[BODY_SIZE]"
//!             | "[BODY]" path | "[HEADER]." name
//! function    = "len(" placeholder ")" | "has(" placeholder ")"
//!             | "any(" operand *("," operand) ")" | "pat(" glob ")" | "regex(" expression ")"
//!             | "lit(" JSON string ")"
//! path        = *("." key | "[" index "]")
//! ```
//!
//! Texts of Gatus mean the same here, with one difference: where Gatus takes an
//! operand of `<` that is no number for 0, the condition does not hold.

mod glob;
mod operand;
mod parse;
mod path;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::OnceCell;

use operand::{Operand, Value};
pub use parse::{ParseError, parse};

/// Longest text of a condition, bytes.
pub const MAX_CONDITION: usize = 4_096;

/// What a probe saw. Times are milliseconds; what it did not see is `None`.
#[derive(Debug, Clone, Default)]
pub struct Facts<'a> {
    /// Status of the answer.
    pub status: Option<u16>,
    /// Time of the whole check.
    pub response_time: i64,
    /// Whether a connection came about.
    pub connected: bool,
    /// Address that was asked.
    pub ip: Option<String>,
    /// Response code of a DNS server.
    pub dns_rcode: Option<&'a str>,
    /// Time until the server's own certificate expires; negative when it has.
    pub certificate_expiration: Option<i64>,
    /// Time until the domain's registration expires.
    pub domain_expiration: Option<i64>,
    /// Names and values of the answer's headers, in order.
    pub headers: Vec<(&'a str, Cow<'a, str>)>,
    /// Body of the answer, as far as it was read.
    pub body: &'a [u8],
    /// Whether the body was longer.
    pub body_cut: bool,
    /// The body as JSON, which the first condition to ask for it reads; nothing before.
    pub json: Json,
}

/// A body as JSON, read once however many conditions ask for it.
#[derive(Debug, Clone, Default)]
pub struct Json(OnceCell<Option<serde_json::Value>>);

impl Json {
    /// The value of `body`; `None` when that is not JSON.
    fn of(&self, body: &[u8]) -> Option<&serde_json::Value> {
        self.0.get_or_init(|| serde_json::from_slice(body).ok()).as_ref()
    }
}

/// A condition that was understood.
#[derive(Debug, Clone)]
pub struct Condition {
    left: Operand,
    comparison: Comparison,
    right: Operand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Less,
    Greater,
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::Greater => ">",
        }
    }
}

/// A part of what a probe can see, for those who must know what a condition needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Status of the answer.
    Status,
    /// Its body or the body's size.
    Body,
    /// One of its headers.
    Header,
    /// Expiry of the domain's registration.
    Domain,
    /// Whether a connection came about.
    Connected,
    /// Response code of a DNS server.
    DnsRcode,
    /// Something else.
    Other,
}

impl Condition {
    /// Whether the condition speaks of `subject`.
    pub fn mentions(&self, subject: Subject) -> bool {
        self.left.mentions(subject) || self.right.mentions(subject)
    }

    /// Judges what a probe saw.
    ///
    /// # Errors
    /// The condition with the values that made it fail, as `[STATUS] (500) == 200`.
    pub fn judge(&self, facts: &Facts) -> Result<(), String> {
        let holds = match self.comparison {
            Comparison::Equal => operand::equal(&self.left, &self.right, facts),
            Comparison::NotEqual => !operand::equal(&self.left, &self.right, facts),
            ordering => {
                match (self.left.resolve(facts).number(), self.right.resolve(facts).number()) {
                    (Some(left), Some(right)) => match ordering {
                        Comparison::AtMost => left <= right,
                        Comparison::AtLeast => left >= right,
                        Comparison::Less => left < right,
                        _ => left > right,
                    },
                    // Nothing can be said of what is no number, so it does not hold.
                    _ => false,
                }
            }
        };
        // What was cut off may be what decides: nothing that is not known holds.
        if holds && !self.left.is_cut(facts) && !self.right.is_cut(facts) {
            return Ok(());
        }
        Err(format!(
            "{} {} {}",
            self.left.explain(facts),
            self.comparison.as_str(),
            self.right.explain(facts)
        ))
    }
}

/// Writes a text so that it stands for itself as an operand.
pub fn literal(text: &str) -> String {
    let plain = !text.is_empty()
        && text.trim() == text
        && !text.contains(['[', '(', ','])
        && ![" == ", " != ", " <= ", " >= ", " < ", " > "].iter().any(|operator| text.contains(operator));
    if plain { text.to_owned() } else { format!("lit({})", serde_json::Value::from(text)) }
}

/// A text as a regular expression that matches just it.
pub fn escape(text: &str) -> String {
    regex::escape(text)
}

/// Whether a text is a regular expression that probes take.
///
/// # Errors
/// What is wrong with it.
pub fn check_regex(text: &str) -> Result<(), String> {
    parse::expression(text).map(|_| ())
}

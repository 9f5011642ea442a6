//! Reading conditions.

use regex::RegexBuilder;

use crate::{
    Comparison, Condition, MAX_CONDITION,
    glob::Glob,
    operand::{Operand, Placeholder},
    path::Path,
};

/// Largest automaton of an expression, bytes: it may come from a stranger.
const MAX_REGEX: usize = 1 << 20;

/// Comparisons in the order in which they are looked for.
const COMPARISONS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::AtMost,
    Comparison::AtLeast,
    Comparison::Greater,
    Comparison::Less,
];

/// Names of the placeholders, for those who mistyped one.
const PLACEHOLDERS: &str = "[STATUS], [RESPONSE_TIME], [CONNECTED], [IP], [BODY], [BODY_SIZE], [HEADER].name, \
                            [CERTIFICATE_EXPIRATION], [DOMAIN_EXPIRATION] and [DNS_RCODE]";

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {message}")]
pub struct ParseError {
    /// Where it goes wrong, in characters from 1.
    pub position: usize,
    /// What is wrong and how to mend it.
    pub message: String,
}

/// Reads a condition.
///
/// # Errors
/// [`ParseError`].
pub fn parse(text: &str) -> Result<Condition, ParseError> {
    // Positions within are bytes; people count characters.
    read(text).map_err(|(at, message)| ParseError {
        position: text.get(..at).map_or(0, |before| before.chars().count()) + 1,
        message,
    })
}

type At<T> = Result<T, (usize, String)>;

fn read(text: &str) -> At<Condition> {
    if text.len() > MAX_CONDITION {
        return Err((
            MAX_CONDITION,
            format!("a condition may have {MAX_CONDITION} bytes; this one has more"),
        ));
    }
    for comparison in COMPARISONS {
        let separator = format!(" {} ", comparison.as_str());
        let Some(at) = outside(text, &separator) else { continue };
        let left = operand(text, 0, at)?;
        let right = operand(text, at + separator.len(), text.len())?;
        let ordered = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        for (side, start) in [(&left, 0), (&right, at + separator.len())] {
            if ordered && matches!(side, Operand::Any(_) | Operand::Pattern(_) | Operand::Regex(_)) {
                return Err((start, "any(), pat() and regex() compare by == and != alone".into()));
            }
            if let (true, Operand::Text(text)) = (ordered, side)
                && crate::Value::Text(text.into()).number().is_none()
            {
                return Err((
                    start,
                    format!("`{text}` is neither a number nor a duration: write 300 or 48h"),
                ));
            }
        }
        if [&left, &right].iter().all(|side| matches!(side, Operand::Text(_))) {
            return Err((0, format!("it speaks of nothing that is seen: name one of {PLACEHOLDERS}")));
        }
        let patterns =
            [&left, &right].iter().filter(|s| matches!(s, Operand::Pattern(_) | Operand::Regex(_))).count();
        if patterns == 2 {
            return Err((0, "two patterns cannot be compared: write a placeholder on one side".into()));
        }
        return Ok(Condition { left, comparison, right });
    }
    Err((
        text.len(),
        "there is no comparison: write one of ==, !=, <=, >=, < and > with a space on each side".into(),
    ))
}

/// The first place of `separator` outside a literal or an expression, whose texts are their own.
fn outside(text: &str, separator: &str) -> Option<usize> {
    let own = |at: usize| {
        ["lit(", "regex("].iter().any(|name| {
            text[..at].rfind(name).is_some_and(|start| {
                let end = text[start..].rfind(')').map_or(text.len(), |end| start + end);
                // One that begins its side and closes after the separator holds it.
                let begins = text[..start].trim_end().is_empty()
                    || COMPARISONS.iter().any(|c| text[..start].ends_with(&format!(" {} ", c.as_str())));
                begins && end > at
            })
        })
    };
    text.match_indices(separator).map(|(at, _)| at).find(|at| !own(*at))
}

fn operand(text: &str, start: usize, end: usize) -> At<Operand> {
    let whole = &text[start..end];
    let start = start + (whole.len() - whole.trim_start().len());
    let inner = whole.trim();
    if inner.is_empty() {
        return Err((start, "one side is empty: write lit(\"\") for an empty text".into()));
    }
    for (name, read) in FUNCTIONS {
        let Some(argument) = inner.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')) else {
            continue;
        };
        let at = start + name.len() + 1;
        let Some(argument) = argument.strip_suffix(')') else {
            return Err((start + inner.len(), format!("{name}( is not closed: add )")));
        };
        return read(text, at, at + argument.len());
    }
    match placeholder(inner, start)? {
        Some(placeholder) => Ok(Operand::Placeholder(placeholder)),
        None => Ok(Operand::Text(inner.to_owned())),
    }
}

type Reader = fn(&str, usize, usize) -> At<Operand>;

const FUNCTIONS: [(&str, Reader); 6] =
    [("len", len), ("has", has), ("any", any), ("pat", pattern), ("regex", regex), ("lit", lit)];

fn len(text: &str, start: usize, end: usize) -> At<Operand> {
    argument("len", text, start, end).map(Operand::Len)
}

fn has(text: &str, start: usize, end: usize) -> At<Operand> {
    argument("has", text, start, end).map(Operand::Has)
}

fn argument(name: &str, text: &str, start: usize, end: usize) -> At<Placeholder> {
    placeholder(text[start..end].trim(), start)?
        .ok_or_else(|| (start, format!("{name}() takes a placeholder, such as {name}([BODY].data)")))
}

fn any(text: &str, start: usize, end: usize) -> At<Operand> {
    let mut options = Vec::new();
    let mut from = start;
    for part in text[start..end].split(',') {
        options.push(operand(text, from, from + part.len())?);
        from += part.len() + 1;
    }
    Ok(Operand::Any(options))
}

fn pattern(text: &str, start: usize, end: usize) -> At<Operand> {
    Glob::new(&text[start..end]).map(Operand::Pattern).map_err(|why| (start, why.to_owned()))
}

fn regex(text: &str, start: usize, end: usize) -> At<Operand> {
    expression(&text[start..end]).map(Operand::Regex).map_err(|why| (start, why))
}

/// Reads a regular expression.
pub(crate) fn expression(text: &str) -> Result<regex::Regex, String> {
    RegexBuilder::new(text).size_limit(MAX_REGEX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".into(),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the regular expression is not valid: {last}")
        }
    })
}

fn lit(text: &str, start: usize, end: usize) -> At<Operand> {
    serde_json::from_str(text[start..end].trim())
        .map(Operand::Text)
        .map_err(|_| (start, "lit() takes a JSON string, such as lit(\"a, b\")".into()))
}

/// A placeholder, or `None` for a text that does not look like one.
fn placeholder(text: &str, start: usize) -> At<Option<Placeholder>> {
    let Some((name, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return Ok(None);
    };
    let looks = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if !looks {
        return Ok(None);
    }
    let after = start + name.len() + 2;
    let found = match name {
        "BODY" => {
            let path = Path::new(rest).map_err(|(at, message)| (after + at, message))?;
            return Ok(Some(Placeholder::Body(path)));
        }
        "HEADER" => {
            return match rest.strip_prefix('.') {
                Some(name) if !name.is_empty() && !name.contains(char::is_whitespace) => {
                    Ok(Some(Placeholder::Header(name.to_owned())))
                }
                _ => Err((after, "a header is named as [HEADER].Content-Type".into())),
            };
        }
        "STATUS" => Placeholder::Status,
        "RESPONSE_TIME" => Placeholder::ResponseTime,
        "CONNECTED" => Placeholder::Connected,
        "IP" => Placeholder::Ip,
        "DNS_RCODE" => Placeholder::DnsRcode,
        "CERTIFICATE_EXPIRATION" => Placeholder::CertificateExpiration,
        "DOMAIN_EXPIRATION" => Placeholder::DomainExpiration,
        "BODY_SIZE" => Placeholder::BodySize,
        _ => return Err((start, format!("[{name}] is not known; there are {PLACEHOLDERS}"))),
    };
    if !rest.is_empty() {
        return Err((after, format!("[{name}] has no parts: remove `{rest}`")));
    }
    Ok(Some(found))
}

//! Errors of fields as Python's marshmallow words and writes them, for the interfaces that used it:
//! `{'url': ['Missing data for required field.']}`.

use std::fmt::{self, Write};

/// A required field is not there.
pub const MISSING: &str = "Missing data for required field.";
/// A field is null that may not be.
pub const NULL: &str = "Field may not be null.";
/// A field that is not known.
pub const UNKNOWN: &str = "Unknown field.";

/// What is wrong with which fields, in the order of finding it. As text it is a Python dictionary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(Vec<(String, String)>);

impl FieldErrors {
    /// Adds what is wrong with a field.
    pub fn add(&mut self, field: &str, message: &str) {
        self.0.push((literal(field), format!("[{}]", literal(message))));
    }

    /// Adds what is wrong inside a field: `items` by their index.
    pub fn add_items(&mut self, field: &str, items: &[(usize, Self)]) {
        let inner: Vec<String> = items.iter().map(|(index, errors)| format!("{index}: {errors}")).collect();
        self.0.push((literal(field), format!("{{{}}}", inner.join(", "))));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (index, (field, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{field}: {value}")?;
        }
        f.write_char('}')
    }
}

/// A text as Python writes it in its source.
fn literal(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut literal = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\\' => literal.push_str("\\\\"),
            other if other == quote => literal.extend(['\\', other]),
            other if other.is_control() => literal.push_str(&format!("\\x{:02x}", u32::from(other))),
            other => literal.push(other),
        }
    }
    literal.push(quote);
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_a_python_dictionary() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.to_string(), "{}");
        errors.add("start_date", MISSING);
        errors.add("zzz", UNKNOWN);
        assert_eq!(
            errors.to_string(),
            "{'start_date': ['Missing data for required field.'], 'zzz': ['Unknown field.']}"
        );
        let mut outer = FieldErrors::default();
        outer.add_items("traffic", &[(3, errors)]);
        assert!(outer.to_string().starts_with("{'traffic': {3: {'start_date': ["), "{outer}");
    }

    #[test]
    fn texts_are_quoted_and_escaped_as_python_does() {
        assert_eq!(literal("it's"), "\"it's\"");
        assert_eq!(literal("a'b\"c"), "'a\\'b\"c'");
        assert_eq!(literal("a\n\\\u{1}é"), "'a\\n\\\\\\x01é'");
    }
}

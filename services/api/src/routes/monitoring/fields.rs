//! Reading JSON fields by the rules of pydantic 2 in its lax mode, and collecting every mistake.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::problem::FieldProblem;
use crate::routes::is_plain;

/// An object of a body, and what is wrong with it.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pub problems: Vec<FieldProblem>,
}

impl<'a> Fields<'a> {
    /// The body as an object.
    ///
    /// # Errors
    /// When it is none.
    pub fn of(body: &'a Value) -> Result<Self, Vec<FieldProblem>> {
        match body.as_object() {
            Some(object) => Ok(Self { object, problems: Vec::new() }),
            None => Err(vec![FieldProblem::new(
                "model_attributes_type",
                &["body"],
                "Input should be a valid dictionary or object to extract fields from",
                body.clone(),
            )]),
        }
    }

    /// A field that was given, and not as null.
    pub fn given(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there, if only as null.
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Notes that a required field is not there.
    pub fn require(&mut self, name: &str) {
        if !self.has(name) {
            let whole = Value::Object(self.object.clone());
            self.problems.push(FieldProblem::missing(&["body", name], &whole));
        } else if self.given(name).is_none() {
            self.fail("string_type", name, "Input should be a valid string", &Value::Null);
        }
    }

    fn fail(&mut self, kind: &'static str, name: &str, message: &str, input: &Value) {
        self.problems.push(FieldProblem::new(kind, &["body", name], message, input.clone()));
    }

    /// Notes a problem in words of our own.
    pub fn refuse(&mut self, name: &str, message: impl std::fmt::Display, input: &Value) {
        self.problems.push(FieldProblem::value(&["body", name], message, input));
    }

    /// A text of so many characters.
    pub fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<&'a str> {
        let value = self.given(name)?;
        let Some(text) = value.as_str() else {
            self.fail("string_type", name, "Input should be a valid string", value);
            return None;
        };
        let characters = text.chars().count();
        if characters < *length.start() {
            let least = length.start();
            let words = if *least == 1 { "character" } else { "characters" };
            let message = format!("String should have at least {least} {words}");
            self.push("string_too_short", name, message, value, json!({ "min_length": least }));
            return None;
        }
        if characters > *length.end() {
            let most = length.end();
            let message = format!("String should have at most {most} characters");
            self.push("string_too_long", name, message, value, json!({ "max_length": most }));
            return None;
        }
        if !is_plain(text) {
            self.refuse(name, "must have no control characters", value);
            return None;
        }
        Some(text)
    }

    fn push(&mut self, kind: &'static str, name: &str, message: String, input: &Value, context: Value) {
        let problem = FieldProblem::new(kind, &["body", name], message, input.clone());
        self.problems.push(problem.context(context));
    }

    /// A whole number in a range.
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<i64> {
        let value = self.given(name)?;
        match integer(value, &["body", name], range) {
            Ok(number) => Some(number),
            Err(problem) => {
                self.problems.push(*problem);
                None
            }
        }
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.given(name)?;
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            Value::String(text) => word(text),
            _ => None,
        };
        if flag.is_none() {
            let (kind, message) = match value {
                Value::String(_) | Value::Number(_) => {
                    ("bool_parsing", "Input should be a valid boolean, unable to interpret input")
                }
                _ => ("bool_type", "Input should be a valid boolean"),
            };
            self.fail(kind, name, message, value);
        }
        flag
    }

    /// An object.
    pub fn dictionary(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        let value = self.given(name)?;
        let found = value.as_object();
        if found.is_none() {
            self.fail("dict_type", name, "Input should be a valid dictionary", value);
        }
        found
    }
}

/// A word for yes or no.
pub(super) fn word(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// A whole number in a range, also one that is written as text.
pub(super) fn integer(
    value: &Value,
    place: &[&str],
    range: RangeInclusive<i64>,
) -> Result<i64, Box<FieldProblem>> {
    let fail = |kind, message| Err(Box::new(FieldProblem::new(kind, place, message, value.clone())));
    let number = match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number,
            #[allow(clippy::cast_possible_truncation)] // whole and in the range of i64, as asked before
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 9e15 => float as i64,
            _ => {
                let message = "Input should be a valid integer, got a number with a fractional part";
                return fail("int_from_float", message);
            }
        },
        Value::String(text) => match text.trim().parse() {
            Ok(number) => number,
            Err(_) => {
                let message = "Input should be a valid integer, unable to parse string as an integer";
                return fail("int_parsing", message);
            }
        },
        _ => return fail("int_type", "Input should be a valid integer"),
    };
    let bound = |kind, message: String, context| {
        Err(Box::new(FieldProblem::new(kind, place, message, value.clone()).context(context)))
    };
    if number < *range.start() {
        let least = range.start();
        let message = format!("Input should be greater than or equal to {least}");
        return bound("greater_than_equal", message, json!({ "ge": least }));
    }
    if number > *range.end() {
        let most = range.end();
        let message = format!("Input should be less than or equal to {most}");
        return bound("less_than_equal", message, json!({ "le": most }));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_are_read_as_pydantic_reads_them() {
        let number = |value: Value| integer(&value, &["body", "n"], 10..=20).map_err(|p| p.to_string());
        assert_eq!([json!(10), json!("20"), json!(12.0)].map(number), [Ok(10), Ok(20), Ok(12)]);
        for (bad, why) in [
            (json!(9), "n: Input should be greater than or equal to 10"),
            (json!(21), "n: Input should be less than or equal to 20"),
            (json!(10.5), "n: Input should be a valid integer, got a number with a fractional part"),
            (json!("x"), "n: Input should be a valid integer, unable to parse string as an integer"),
            (json!([]), "n: Input should be a valid integer"),
        ] {
            assert_eq!(number(bad), Err(why.to_owned()));
        }
        assert_eq!([word("Yes"), word("off"), word("maybe")], [Some(true), Some(false), None]);
    }
}

//! Tests of conditions, compiled.

use std::collections::HashSet;

use regex::RegexBuilder;

use crate::{AskError, Comparison, Test};

/// Compares two numbers.
pub(crate) fn compare(found: f64, comparison: Comparison, wanted: f64) -> bool {
    match comparison {
        Comparison::Less => found < wanted,
        Comparison::AtMost => found <= wanted,
        Comparison::Greater => found > wanted,
        Comparison::AtLeast => found >= wanted,
        #[allow(clippy::float_cmp)] // whole numbers, and times that were whole microseconds
        Comparison::Equal => found == wanted,
        #[allow(clippy::float_cmp)]
        Comparison::NotEqual => found != wanted,
    }
}

/// A test of a text that may be unknown.
pub(crate) type TextTest = Box<dyn Fn(Option<&str>) -> bool + Send + Sync>;

/// Compiles a test.
///
/// # Errors
/// When an expression is malformed or too large.
pub(crate) fn text_test(test: &Test, ignore_case: bool) -> Result<TextTest, AskError> {
    let fold = move |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
    Ok(match test {
        Test::Is(values) => {
            let unknown = values.contains(&None);
            let values: HashSet<String> = values.iter().flatten().map(|value| fold(value)).collect();
            Box::new(move |text| match text {
                None => unknown,
                Some(text) if ignore_case => values.contains(&text.to_lowercase()),
                Some(text) => values.contains(text),
            })
        }
        Test::Contains(parts) => {
            let parts: Vec<String> = parts.iter().map(|part| fold(part)).collect();
            Box::new(move |text| {
                text.is_some_and(|text| {
                    let lower = ignore_case.then(|| text.to_lowercase());
                    let text = lower.as_deref().unwrap_or(text);
                    parts.iter().any(|part| text.contains(part))
                })
            })
        }
        Test::Glob(globs) => {
            let globs =
                globs.iter().map(|glob| glob_regex(glob, ignore_case)).collect::<Result<Vec<_>, _>>()?;
            Box::new(move |text| text.is_some_and(|text| globs.iter().any(|glob| glob.is_match(text))))
        }
        Test::Like(pattern) => regexes(&[like(pattern)], ignore_case)?,
        Test::Matches(expressions) => regexes(expressions, ignore_case)?,
    })
}

fn glob_regex(text: &str, ignore_case: bool) -> Result<regex::Regex, AskError> {
    // Only `*` and `?` are special: brackets and braces are ordinary in paths.
    let mut expression = String::from("^");
    for character in text.chars() {
        match character {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    compile(&expression, ignore_case)
}

/// SQL's `LIKE` as a regular expression.
fn like(pattern: &str) -> String {
    let mut expression = String::from("^");
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            '\\' => {
                let escaped = characters.next().unwrap_or('\\');
                expression.push_str(&regex::escape(escaped.encode_utf8(&mut [0; 4])));
            }
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    expression
}

fn regexes(expressions: &[String], ignore_case: bool) -> Result<TextTest, AskError> {
    let compiled = expressions
        .iter()
        .map(|expression| compile(expression, ignore_case))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Box::new(move |text| text.is_some_and(|text| compiled.iter().any(|regex| regex.is_match(text)))))
}

fn compile(expression: &str, ignore_case: bool) -> Result<regex::Regex, AskError> {
    RegexBuilder::new(expression)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| AskError::Question(format!("the expression `{expression}` cannot be used: {error}")))
}

//! Tests of conditions, compiled.

use std::collections::HashSet;

use crate::{AskError, Comparison, Test, expression::Expression, wildcards::Wildcards};

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

/// Compiles a test. That of expressions can take a while: it is not for the executor.
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
            let globs: Vec<_> = globs.iter().map(|glob| Wildcards::glob(glob, ignore_case)).collect();
            Box::new(move |text| text.is_some_and(|text| globs.iter().any(|glob| glob.fit(text))))
        }
        Test::Like(pattern) => {
            let pattern = Wildcards::like(pattern, ignore_case);
            Box::new(move |text| text.is_some_and(|text| pattern.fit(text)))
        }
        Test::Matches(expressions) => {
            let expressions = expressions.iter().map(|text| {
                Expression::new(text, ignore_case)
                    .map_err(|error| AskError::Question(format!("the expression `{text}` is {error}")))
            });
            let expressions = expressions.collect::<Result<Vec<_>, _>>()?;
            Box::new(move |text| text.is_some_and(|text| expressions.iter().any(|one| one.is_match(text))))
        }
    })
}

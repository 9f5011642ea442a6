//! Regular expressions of conditions, bounded in the memory that they take once compiled.

use regex_automata::{
    meta::{BuildError, Regex},
    util::syntax,
};

/// Memory that the program of one expression may take, bytes.
const PROGRAM: usize = 1 << 20;

/// Memory that one thread may keep of the states that an expression was in, bytes.
const STATES: usize = 256 << 10;

/// A compiled regular expression, in the syntax of the `regex` crate.
#[derive(Debug, Clone)]
pub struct Expression(Regex);

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Its program would be too large.
    #[error("too large; use smaller repetitions, or several expressions")]
    TooLarge,
    /// It is malformed: where and how.
    #[error("not a regular expression: {0}")]
    Malformed(String),
}

impl Expression {
    /// Compiles an expression. This can take milliseconds: it is not for the executor.
    ///
    /// # Errors
    /// When it is malformed or too large.
    pub fn new(text: &str, ignore_case: bool) -> Result<Self, ExpressionError> {
        let config = Regex::config().nfa_size_limit(Some(PROGRAM)).hybrid_cache_capacity(STATES);
        let syntax = syntax::Config::new().case_insensitive(ignore_case).dot_matches_new_line(true);
        let built = Regex::builder().configure(config).syntax(syntax).build(text);
        built.map(Self).map_err(|error| refusal(&error))
    }

    /// Memory that it takes, bytes.
    pub fn bytes(&self) -> usize {
        self.0.memory_usage()
    }

    /// Whether it matches a text somewhere.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn refusal(error: &BuildError) -> ExpressionError {
    match error.syntax_error() {
        Some(syntax) => ExpressionError::Malformed(syntax.to_string()),
        None if error.size_limit().is_some() => ExpressionError::TooLarge,
        None => ExpressionError::Malformed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_somewhere_over_lines_and_in_any_case_where_that_is_wanted() {
        let matches = |expression, ignore_case, text| {
            Expression::new(expression, ignore_case).expect(expression).is_match(text)
        };
        assert!(matches("b.d", false, "ab\ndc") && !matches("^b", false, "ab"));
        assert!(matches("É", true, "é") && !matches("É", false, "é") && matches("(?i)É", false, "é"));
    }

    #[test]
    fn what_is_refused_is_malformed_or_too_large_and_the_rest_tells_its_size() {
        assert!(
            matches!(Expression::new("(", false), Err(ExpressionError::Malformed(why)) if why.contains("unclosed"))
        );
        assert_eq!(Expression::new(r"\w{500}", false).map(drop), Err(ExpressionError::TooLarge));
        let bytes = |expression| Expression::new(expression, false).expect(expression).bytes();
        assert!(bytes("^/v1/") < 100_000 && bytes(r"\w{20}") > 100_000);
    }
}

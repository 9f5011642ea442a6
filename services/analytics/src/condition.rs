//! Which hits a question is about.

use crate::Dimension;

/// A condition on hits. It is true or false, never unknown: an unknown value fails every test
/// but [`Test::Is`] with `None`, and so passes its negation.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of these; of none at all every hit.
    All(Vec<Condition>),
    /// At least one of these; of none at all no hit.
    Any(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// A test of a dimension's value as text: a status is its digits, a flag `true` or `false`.
    Text {
        /// What is tested.
        dimension: Dimension,
        /// The test.
        test: Test,
        /// Whether upper and lower case are the same.
        ignore_case: bool,
    },
    /// A comparison of a number; an unknown one fails it.
    Number {
        /// What is compared.
        field: Field,
        /// How.
        comparison: Comparison,
        /// With what, in the field's unit.
        value: f64,
    },
}

/// A test of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Equal to one of these; `None` is unknown.
    Is(Vec<Option<String>>),
    /// Contains one of these.
    Contains(Vec<String>),
    /// Matches one of these with `*` for any characters and `?` for one.
    Glob(Vec<String>),
    /// Matches SQL's `LIKE`, with `%`, `_` and `\` before one of the three.
    Like(String),
    /// Matches one of these regular expressions (the syntax of the `regex` crate) somewhere.
    Matches(Vec<String>),
}

/// A number of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// HTTP status.
    Status,
    /// Time to the answer, milliseconds.
    Duration,
    /// Size of the request, bytes.
    RequestBytes,
    /// Size of the answer, bytes.
    ResponseBytes,
}

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
}

impl Default for Condition {
    /// Every hit.
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Condition {
    /// The dimension has this value.
    pub fn is(dimension: Dimension, value: impl Into<String>) -> Self {
        Self::Text { dimension, test: Test::Is(vec![Some(value.into())]), ignore_case: false }
    }

    /// The dimension is unknown.
    pub fn is_unknown(dimension: Dimension) -> Self {
        Self::Text { dimension, test: Test::Is(vec![None]), ignore_case: false }
    }

    /// Both this and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All(mut all), Self::All(more)) => {
                all.extend(more);
                Self::All(all)
            }
            (Self::All(mut all), one) => {
                all.push(one);
                Self::All(all)
            }
            (one, other) => Self::All(vec![one, other]),
        }
    }

    /// Not this.
    #[must_use]
    pub fn negate(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// Calls `each` with every dimension that is tested.
    pub fn visit_dimensions(&self, each: &mut impl FnMut(Dimension)) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.visit_dimensions(each));
            }
            Self::Not(condition) => condition.visit_dimensions(each),
            Self::Text { dimension, .. } => each(*dimension),
            Self::Number { .. } => {}
        }
    }
}

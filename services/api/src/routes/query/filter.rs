//! Filters: `[operator, dimension, values, {"case_sensitive"}]`, and `and`, `or`, `not` of them.

use serde_json::Value;
use watchkeeper_analytics::{Comparison, Condition, Dimension, Expression, Field, Test};
use watchkeeper_runtime::error::ApiError;

use super::node::Node;

/// `and`, `or` and `not` inside each other.
const DEPTH: usize = 8;

/// Tests in one request.
const TESTS: usize = 200;

/// Values in one request, over all its tests.
const VALUES: usize = 5_000;

/// Longest value, bytes.
const VALUE: usize = 2_048;

/// Longest pattern, bytes.
const PATTERN: usize = 512;

/// Patterns in one request: values of `matches`, `like` and `glob`, which cost more than others.
const PATTERNS: usize = 50;

/// Bytes of all values of `like` and `glob` in one request: each is walked along every text in as many
/// steps as both have characters, multiplied.
const WILDCARDS: usize = 4 << 10;

/// Memory that the compiled expressions of one request may take together, bytes.
const EXPRESSIONS: usize = 8 << 20;

/// Every operator.
const OPERATORS: &str = "is, is_not, contains, contains_not, matches, matches_not, like, like_not, glob, \
                         glob_not, <, <=, >, >=, and, or, not";

/// What the filters of one request may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    tests: usize,
    values: usize,
    patterns: usize,
    wildcards: usize,
    expressions: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            tests: TESTS,
            values: VALUES,
            patterns: PATTERNS,
            wildcards: WILDCARDS,
            expressions: EXPRESSIONS,
        }
    }
}

/// Reads a list of filters, all of which must hold. A single filter may stand for a list of one.
/// Expressions are compiled, to see that they can be: not for the executor.
pub(crate) fn filters(node: &Node<'_>, budget: &mut Budget) -> Result<Condition, ApiError> {
    let items = node.items(TESTS)?;
    if items.first().is_some_and(|first| first.value().is_string()) {
        return one(node, budget, 0);
    }
    Ok(Condition::All(items.iter().map(|item| one(item, budget, 0)).collect::<Result<_, _>>()?))
}

fn one(node: &Node<'_>, budget: &mut Budget, depth: usize) -> Result<Condition, ApiError> {
    if depth > DEPTH {
        return Err(node.fail(format!("Filters may be {DEPTH} levels deep.")));
    }
    let parts = node.items(4)?;
    let [operator, rest @ ..] = parts.as_slice() else {
        return Err(node.fail("Must be [operator, dimension, values] or [\"and\", [filters]]."));
    };
    let name = operator.text()?;
    match (name, rest) {
        ("and" | "or", [inner]) => {
            let inner: Vec<_> = inner
                .items(TESTS)?
                .iter()
                .map(|item| one(item, budget, depth + 1))
                .collect::<Result<_, _>>()?;
            if inner.is_empty() {
                return Err(node.fail(format!("Give `{name}` at least one filter.")));
            }
            Ok(if name == "and" { Condition::All(inner) } else { Condition::Any(inner) })
        }
        ("not", [inner]) => Ok(one(inner, budget, depth + 1)?.negate()),
        ("and" | "or", _) => Err(node.fail(format!("Must be [\"{name}\", [filters]]."))),
        ("not", _) => Err(node.fail("Must be [\"not\", filter].")),
        (_, [what, values]) => test(node, operator, what, values, false, budget),
        (_, [what, values, options]) => {
            let options = options.object(&["case_sensitive"])?;
            let sensitive = options.get("case_sensitive").map(|flag| flag.flag()).transpose()?;
            test(node, operator, what, values, sensitive == Some(false), budget)
        }
        _ if known(name) => Err(node.fail(format!("Must be [\"{name}\", dimension, values]."))),
        _ => Err(unknown(operator, name)),
    }
}

fn known(operator: &str) -> bool {
    OPERATORS.split(", ").any(|known| known == operator)
}

fn unknown(operator: &Node<'_>, name: &str) -> ApiError {
    operator.fail(format!("There is no operator `{name}`; use {OPERATORS}."))
}

fn test(
    node: &Node<'_>,
    operator: &Node<'_>,
    what: &Node<'_>,
    values: &Node<'_>,
    ignore_case: bool,
    budget: &mut Budget,
) -> Result<Condition, ApiError> {
    let name = operator.text()?;
    let values = list(values)?;
    if budget.tests == 0 {
        return Err(node.fail(format!("A request may have {TESTS} tests.")));
    }
    if budget.values < values.len() {
        return Err(node.fail(format!("A request may have {VALUES} values in its filters.")));
    }
    budget.tests -= 1;
    budget.values -= values.len();
    let comparison = match name {
        "<" => Some(Comparison::Less),
        "<=" => Some(Comparison::AtMost),
        ">" => Some(Comparison::Greater),
        ">=" => Some(Comparison::AtLeast),
        _ => None,
    };
    if let Some(comparison) = comparison {
        let field = number_field(what.text()?).ok_or_else(|| {
            what.fail("Only numbers can be compared: status, duration (ms), request_bytes, response_bytes.")
        })?;
        let [value] = values.as_slice() else {
            return Err(operator.fail(format!("`{name}` takes exactly one number.")));
        };
        return Ok(Condition::Number { field, comparison, value: number(value)? });
    }
    let (positive, negative) = name.strip_suffix("_not").map_or((name, false), |positive| (positive, true));
    let condition = match (positive, what.text()?) {
        ("is", text) if matches!(text, "duration" | "request_bytes" | "response_bytes") => {
            equal(number_field(text), &values)?
        }
        ("is" | "contains" | "matches" | "like" | "glob", text) => {
            let dimension = dimension(what, text)?;
            let test = text_test(positive, dimension, &values, ignore_case, budget)?;
            match test {
                Tested::One(test) => Condition::Text { dimension, test, ignore_case },
                Tested::Any(tests) => Condition::Any(
                    tests.into_iter().map(|test| Condition::Text { dimension, test, ignore_case }).collect(),
                ),
            }
        }
        _ => return Err(unknown(operator, name)),
    };
    Ok(if negative { condition.negate() } else { condition })
}

fn equal(field: Option<Field>, values: &[Node<'_>]) -> Result<Condition, ApiError> {
    let each = values.iter().map(|value| {
        let field = field.ok_or_else(|| value.fail("Not a number's field."))?;
        Ok(Condition::Number { field, comparison: Comparison::Equal, value: number(value)? })
    });
    Ok(Condition::Any(each.collect::<Result<_, ApiError>>()?))
}

enum Tested {
    One(Test),
    Any(Vec<Test>),
}

fn text_test(
    operator: &str,
    dimension: Dimension,
    values: &[Node<'_>],
    ignore_case: bool,
    budget: &mut Budget,
) -> Result<Tested, ApiError> {
    Ok(Tested::One(match operator {
        "is" => {
            let values = values.iter().map(|value| exact(value, dimension)).collect::<Result<_, _>>()?;
            Test::Is(values)
        }
        "contains" => Test::Contains(texts(values, VALUE)?),
        "glob" => Test::Glob(wildcards(values, budget)?),
        "like" => {
            let mut patterns = wildcards(values, budget)?;
            match patterns.pop() {
                Some(pattern) if patterns.is_empty() => Test::Like(pattern),
                last => return Ok(Tested::Any(patterns.into_iter().chain(last).map(Test::Like).collect())),
            }
        }
        _ => {
            let patterns = patterns(values, budget)?;
            for (pattern, value) in patterns.iter().zip(values) {
                budget.expression(pattern, ignore_case).map_err(|why| value.fail(why))?;
            }
            Test::Matches(patterns)
        }
    }))
}

fn texts(values: &[Node<'_>], limit: usize) -> Result<Vec<String>, ApiError> {
    let each = values.iter().map(|value| {
        let text = plain(value)?.ok_or_else(|| value.fail("null can only be tested with `is`."))?;
        if text.len() > limit {
            return Err(value.fail(format!("May have {limit} bytes.")));
        }
        Ok(text)
    });
    each.collect()
}

fn patterns(values: &[Node<'_>], budget: &mut Budget) -> Result<Vec<String>, ApiError> {
    if let Some(one_too_many) = values.get(budget.patterns) {
        let message = format!("A request may have {PATTERNS} values of matches, like and glob together.");
        return Err(one_too_many.fail(message));
    }
    budget.patterns -= values.len();
    texts(values, PATTERN)
}

fn wildcards(values: &[Node<'_>], budget: &mut Budget) -> Result<Vec<String>, ApiError> {
    let patterns = patterns(values, budget)?;
    for (pattern, value) in patterns.iter().zip(values) {
        budget.wildcards = budget.wildcards.checked_sub(pattern.len()).ok_or_else(|| {
            value.fail(format!(
                "A request may have {WILDCARDS} bytes in its values of like and glob together."
            ))
        })?;
    }
    Ok(patterns)
}

impl Budget {
    /// Whether an expression compiles within what is left; the evaluator compiles it again for itself.
    fn expression(&mut self, pattern: &str, ignore_case: bool) -> Result<(), String> {
        let expression = Expression::new(pattern, ignore_case).map_err(|error| format!("It is {error}."))?;
        let left = self.expressions.checked_sub(expression.bytes());
        self.expressions = left.ok_or(
            "The expressions of this request are too large together; use smaller repetitions, or fewer of them.",
        )?;
        Ok(())
    }
}

/// A value to be equal to, checked against what the dimension can be at all.
fn exact(node: &Node<'_>, dimension: Dimension) -> Result<Option<String>, ApiError> {
    let Some(text) = plain(node)? else { return Ok(None) };
    if text.len() > VALUE {
        return Err(node.fail(format!("May have {VALUE} bytes.")));
    }
    // A number however it is written: `05` is the hour 5.
    let whole = |least: i32, most: i32| {
        let number = text.parse::<i32>().ok().filter(|number| (least..=most).contains(number));
        number.map(|number| number.to_string())
    };
    let flag = matches!(text.as_str(), "true" | "false");
    let class = text.len() == 3 && text.ends_with("xx");
    let (value, wanted) = match dimension {
        Dimension::Status => (whole(i32::MIN, i32::MAX), "a number such as 404"),
        Dimension::StatusClass => (class.then_some(text), "a class such as 2xx"),
        Dimension::Bot | Dimension::Home => (flag.then_some(text), "true or false"),
        Dimension::HourOfDay => (whole(0, 23), "an hour from 0 to 23"),
        Dimension::Weekday => (whole(1, 7), "a day from 1 (Monday) to 7 (Sunday)"),
        _ => return Ok(Some(text)),
    };
    value.map(Some).ok_or_else(|| node.fail(format!("Must be {wanted}, or null for unknown.")))
}

fn dimension(node: &Node<'_>, text: &str) -> Result<Dimension, ApiError> {
    match text.parse::<Dimension>() {
        Ok(Dimension::Time(_)) => Err(node.fail("Time is not filtered but ranged: use date_range.")),
        Ok(dimension) => Ok(dimension),
        Err(_) if number_field(text).is_some() => {
            Err(node.fail(format!("`{text}` is a number: use <, <=, >, >= or is.")))
        }
        Err(_) => Err(node.fail(format!("There is no dimension `{text}`; use {}.", filterable()))),
    }
}

/// Names of what can be filtered by.
fn filterable() -> String {
    let names = Dimension::all().filter(|dimension| !matches!(dimension, Dimension::Time(_)));
    let numbers = ["duration", "request_bytes", "response_bytes"].map(str::to_owned);
    names.map(|dimension| dimension.to_string()).chain(numbers).collect::<Vec<_>>().join(", ")
}

fn number_field(text: &str) -> Option<Field> {
    Some(match text {
        "status" => Field::Status,
        "duration" => Field::Duration,
        "request_bytes" => Field::RequestBytes,
        "response_bytes" => Field::ResponseBytes,
        _ => return None,
    })
}

/// Values: a list, or a single one for short.
fn list<'a>(node: &Node<'a>) -> Result<Vec<Node<'a>>, ApiError> {
    if !node.value().is_array() {
        return Ok(vec![node.clone()]);
    }
    let values = node.items(VALUES)?;
    if values.is_empty() {
        return Err(node.fail("Give at least one value."));
    }
    Ok(values)
}

fn plain(node: &Node<'_>) -> Result<Option<String>, ApiError> {
    Ok(Some(match node.value() {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(node.fail("Must be a text, a number, true, false or null.")),
    }))
}

fn number(node: &Node<'_>) -> Result<f64, ApiError> {
    let number = match node.value() {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| node.fail("Must be a number."))
}

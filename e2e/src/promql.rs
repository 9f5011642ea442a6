//! Which metrics a PromQL expression asks for.

use std::collections::BTreeSet;

/// Words of the language that look like names.
const WORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "atan2", "inf", "nan"];
/// Words before a list of labels in parentheses.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names of all metrics in `expression`, which may also be one of Grafana's
/// `label_values(metric, label)`.
#[must_use]
pub fn metrics(expression: &str) -> BTreeSet<String> {
    let expression = without_strings(expression);
    let expression = match expression.trim().strip_prefix("label_values(") {
        Some(arguments) => arguments.rsplit_once(',').map_or("", |(metric, _)| metric).to_owned(),
        None => expression,
    };
    let mut names = BTreeSet::new();
    let mut rest = expression.as_str();
    while let Some(first) = rest.chars().next() {
        if let Some(close) = closing(first) {
            rest = after(rest, close);
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !is_of_name(letter)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            rest = behind;
            let next = behind.trim_start();
            // A function, or an aggregation that names its labels first.
            let called =
                ["(", "by ", "by(", "without ", "without("].iter().any(|start| next.starts_with(start));
            if LABEL_LISTS.contains(&word) {
                rest = after(rest, ')');
            } else if !called && !WORDS.contains(&word.to_ascii_lowercase().as_str()) {
                names.insert(word.to_owned());
            }
        } else if first.is_ascii_digit() || first == '$' {
            // A number with its unit, or a variable of Grafana's.
            let end = rest[1..].find(|letter: char| !is_of_name(letter) && letter != '.');
            rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// What ends that which holds no metric: label selectors and ranges.
fn closing(opening: char) -> Option<char> {
    match opening {
        '{' => Some('}'),
        '[' => Some(']'),
        _ => None,
    }
}

fn after(text: &str, end: char) -> &str {
    text.find(end).map_or("", |place| &text[place + end.len_utf8()..])
}

fn without_strings(expression: &str) -> String {
    let (mut kept, mut quoted) = (String::new(), false);
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => drop(letters.next()),
            _ if !quoted => kept.push(letter),
            _ => {}
        }
    }
    kept
}

/// The names of all series in an exposition.
#[must_use]
pub fn exposed(exposition: &str) -> BTreeSet<String> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(expression: &str) -> Vec<String> {
        metrics(expression).into_iter().collect()
    }

    #[test]
    fn neither_labels_nor_functions_nor_numbers_are_metrics() {
        let expression =
            r#"histogram_quantile(0.9, sum by (job, le) (rate(a_bucket{b="c_d{", e=~"f|\"g"}[10m]))) > 5e3"#;
        assert_eq!(names(expression), ["a_bucket"]);
        assert_eq!(names(r"x == 0 and on (job, instance) y == 1 unless z offset 5m"), ["x", "y", "z"]);
        assert_eq!(names(r#"label_replace(group(a) unless b{c="d"}, "m", "n", "", "")"#), ["a", "b"]);
        assert_eq!(names("rate(a[$__rate_interval]) * $factor"), ["a"]);
        assert_eq!(names(r#"label_values(a{b=~"$b"}, job)"#), ["a"]);
        assert_eq!(names("absent(a)"), ["a"]);
    }

    #[test]
    fn series_are_named_as_they_are_exposed() {
        let text = "# HELP a_seconds A.\na_seconds_bucket{le=\"1\"} 3\na_seconds_sum 1\nb 2\n";
        let expected = ["a_seconds_bucket", "a_seconds_sum", "b"].map(str::to_owned);
        assert_eq!(exposed(text), expected.into());
    }
}

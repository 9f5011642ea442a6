//! Environment variables in Gatus' file: `$NAME` and `${NAME}`, where `$$` is a dollar sign.

use std::collections::BTreeSet;

use serde_json::Value;

/// The value with its dollar signs as they are meant, and the variables that it names.
pub fn read(mut value: Value) -> (Value, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    walk(&mut value, &mut names);
    (value, names)
}

fn walk(value: &mut Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => *text = plain(text, names),
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, names)),
        Value::Object(object) => object.values_mut().for_each(|value| walk(value, names)),
        _ => {}
    }
}

fn plain(text: &str, names: &mut BTreeSet<String>) -> String {
    let parts: Vec<&str> = text.split("$$").collect();
    names.extend(parts.iter().flat_map(|part| part.split('$').skip(1)).filter_map(name).map(str::to_owned));
    parts.join("$")
}

/// The name that stands behind a dollar sign.
fn name(text: &str) -> Option<&str> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').map(|(name, _)| name);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    Some(&text[..end]).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_found_wherever_they_stand_and_doubled_dollars_are_dollars() {
        let (value, names) = read(json!({
            "url": "https://${HOST}/$PATH?q=1",
            "conditions": ["[BODY] == regex(^a$$)", "[BODY].price == 5 $"],
        }));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["HOST", "PATH"]);
        assert_eq!(value["conditions"], json!(["[BODY] == regex(^a$)", "[BODY].price == 5 $"]));
    }
}

//! Other programs' YAML, whose merge keys (`<<`) no reader of ours knows.

use serde_json::Value;

/// Reads a text of one document; JSON is YAML.
///
/// # Errors
/// When it is neither.
pub fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    let mut value = serde_yaml::from_str(text)?;
    merge(&mut value);
    Ok(value)
}

/// Puts what stands behind a merge key where it is meant to be. A key of its own wins, then the first of a list.
fn merge(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(merge),
        Value::Object(object) => {
            // What is merged may itself have such a key.
            object.values_mut().for_each(merge);
            let merged = match object.remove("<<") {
                Some(Value::Array(list)) => list,
                Some(one) => vec![one],
                None => return,
            };
            let merged = merged.into_iter().filter_map(|one| match one {
                Value::Object(one) => Some(one),
                _ => None,
            });
            for (key, value) in merged.flatten() {
                object.entry(key).or_insert(value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merge_keys_give_what_is_not_said_otherwise() {
        let text = "
base: &base {interval: 5m, group: core}
more: &more {<<: *base, client: {timeout: 5s}}
list:
  - {<<: *more, group: shop}
  - {<<: [{interval: 1m}, *more]}
";
        let list = &read(text).expect("YAML")["list"];
        assert_eq!(list[0], json!({ "interval": "5m", "group": "shop", "client": { "timeout": "5s" } }));
        assert_eq!(list[1], json!({ "interval": "1m", "group": "core", "client": { "timeout": "5s" } }));
    }
}

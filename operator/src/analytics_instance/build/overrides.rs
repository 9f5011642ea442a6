//! Lays a user's partial pod template over the built one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use crate::context::Error;

/// Objects merge key by key, lists of named things by name, null removes, everything
/// else is replaced. Labels that select the pods stay what they are.
pub fn lay_over(
    template: PodTemplateSpec,
    over: Option<&Map<String, Value>>,
    selector: &BTreeMap<String, String>,
    service: &str,
) -> Result<PodTemplateSpec, Error> {
    let Some(over) = over else {
        return Ok(template);
    };
    let wrong = |error: serde_json::Error| {
        Error::InvalidSpec(format!("spec.{service}.podTemplate does not fit a pod template: {error}"))
    };
    let mut value = serde_json::to_value(&template).map_err(wrong)?;
    merge(&mut value, &Value::Object(over.clone()));
    let mut merged: PodTemplateSpec = serde_json::from_value(value).map_err(wrong)?;
    merged.metadata.get_or_insert_default().labels.get_or_insert_default().extend(selector.clone());
    Ok(merged)
}

fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.shift_remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if named(base) && named(over) && !base.is_empty() => {
            for item in over {
                match base.iter_mut().find(|known| known["name"] == item["name"]) {
                    Some(known) => merge(known, item),
                    None => base.push(item.clone()),
                }
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|item| item["name"].is_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(base: Value, over: Value) -> Value {
        let mut base = base;
        merge(&mut base, &over);
        base
    }

    #[test]
    fn named_lists_merge_by_name_and_others_are_replaced() {
        assert_eq!(
            merged(
                json!({"c": [{"name": "a", "x": 1}], "l": [1, 2]}),
                json!({"c": [{"name": "a", "y": 2}, {"name": "b"}], "l": [3]})
            ),
            json!({"c": [{"name": "a", "x": 1, "y": 2}, {"name": "b"}], "l": [3]})
        );
    }

    #[test]
    fn null_removes_and_objects_merge() {
        assert_eq!(
            merged(json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null, "d": 3}})),
            json!({"a": {"c": 2, "d": 3}})
        );
    }

    #[test]
    fn labels_that_select_the_pods_cannot_be_changed() {
        let selector: BTreeMap<_, _> = [("app".to_owned(), "watchkeeper".to_owned())].into();
        let over = json!({"metadata": {"labels": {"app": "other", "team": "a"}}});
        let template = lay_over(PodTemplateSpec::default(), over.as_object(), &selector, "api").unwrap();
        let labels = template.metadata.unwrap().labels.unwrap();
        assert_eq!((labels["app"].as_str(), labels["team"].as_str()), ("watchkeeper", "a"));
    }
}

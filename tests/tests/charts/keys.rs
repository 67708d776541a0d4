//! Every value has an effect.

use pushscale_tests::charts::{Helm, Key, keys};
use serde_json::{Map, Value, json};

use crate::{directory, read};

#[test]
fn every_value_of_the_pushscale_chart_changes_the_manifests() {
    every_key_changes_the_rendering("pushscale");
}

#[test]
fn every_value_of_the_torchserve_chart_changes_the_manifests() {
    every_key_changes_the_rendering("torchserve");
}

fn every_key_changes_the_rendering(chart: &str) {
    let Some(helm) = Helm::for_test() else { return };
    let keys = keys(&read(&directory(chart).join("values.yaml")));
    let mut count = 0;
    for key in keys.iter().filter(|key| !key.is_section) {
        let mut values = json!({});
        for (path, value) in with(key) {
            put(&mut values, &path, value.clone());
        }
        let render = |values: &Value| {
            helm.template(chart, values)
                .unwrap_or_else(|error| panic!("{chart}: {} with {values}: {error}", key.name()))
        };
        let before = render(&values);
        put(&mut values, &key.name(), another(key));
        let after = render(&values);
        assert!(
            before != after,
            "{chart}: {} changes nothing: {values}",
            key.name()
        );
        count += 1;
    }
    assert!(count > 50, "{count} keys of {chart} are not all of them");
}

/// The other values that the key needs to have an effect.
fn with(key: &Key) -> Map<String, Value> {
    key.hints["with"].as_object().cloned().unwrap_or_default()
}

/// A value that differs from the default.
fn another(key: &Key) -> Value {
    let hint = &key.hints["try"];
    if !hint.is_null() {
        return hint.clone();
    }
    if let Some(choice) = key.hints["enum"].as_array() {
        let other = choice.iter().find(|choice| **choice != key.default);
        return other.unwrap().clone();
    }
    match &key.default {
        Value::Bool(is) => json!(!is),
        Value::Number(number) => json!(number.as_i64().unwrap() + 1),
        other => panic!("{} is {other}: add another value (try)", key.name()),
    }
}

fn put(values: &mut Value, path: &str, value: Value) {
    let slot = path
        .split('.')
        .fold(values, |object, name| &mut object[name]);
    *slot = value;
}

//! Generates values.schema.json from the annotated values. Every object is closed, so that a misspelt key is rejected
//! by name.

use serde_json::{Map, Value, json};

use super::kubernetes::{self, Kubernetes};
use super::values::Key;

/// Hints that are keywords of JSON Schema and are copied.
const WORDS: [&str; 6] = ["type", "enum", "pattern", "minimum", "maximum", "items"];

/// Returns the schema as text.
pub fn schema(chart: &str, keys: &[Key]) -> String {
    let mut kubernetes = Kubernetes::default();
    let mut root = closed();
    for key in keys {
        let mut schema = if key.is_section {
            closed()
        } else {
            of(key, &mut kubernetes)
        };
        schema["description"] = json!(key.what);
        put(&mut root, &key.path, schema);
    }
    // Helm passes the parent chart's `global` to every subchart.
    root["properties"]["global"] = json!({ "type": "object" });
    root["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    root["title"] = json!(format!("Values of the chart {chart}"));
    root["definitions"] = Value::Object(kubernetes.definitions());
    format!("{}\n", serde_json::to_string_pretty(&root).unwrap())
}

fn closed() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

fn put(root: &mut Value, path: &[String], schema: Value) {
    let slot = path.iter().fold(root, |object, name| {
        &mut object["properties"][name.as_str()]
    });
    *slot = schema;
}

fn of(key: &Key, kubernetes: &mut Kubernetes) -> Value {
    if let Some(name) = key.hints["k8s"].as_str() {
        return match name.strip_suffix("[]") {
            Some(name) => json!({ "type": "array", "items": kubernetes.reference(name) }),
            None => kubernetes.optional(name),
        };
    }
    if let Some(field) = key.hints["crd"].as_str() {
        return kubernetes::of_the_scaler(field);
    }
    if let Some(of) = key.hints["map"].as_str() {
        return json!({ "type": "object", "additionalProperties": { "type": of } });
    }
    let mut schema = Map::new();
    for word in WORDS {
        let hint = &key.hints[word];
        if !hint.is_null() {
            schema.insert(word.to_owned(), hint.clone());
        }
    }
    if !schema.contains_key("type") {
        schema.insert("type".to_owned(), json!(type_of(key)));
    }
    Value::Object(schema)
}

fn type_of(key: &Key) -> &'static str {
    match &key.default {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        other => panic!("{} is {other}: add its type as a hint", key.name()),
    }
}

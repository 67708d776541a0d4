//! Fills in what the schema has a default for.

use serde_json::{Map, Value};

use super::schema::Schema;

/// Fills in the fields that are absent and have a default. A default has its own fields filled in too.
pub(super) fn apply(object: &mut Map<String, Value>, schema: &Schema) {
    for (name, field) in &schema.properties {
        if let (Some(default), None) = (&field.default, object.get(name)) {
            object.insert(name.clone(), default.clone());
        }
    }
    for (name, value) in object {
        if let Some(field) = schema.field(name) {
            apply_within(value, field);
        }
    }
}

fn apply_within(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(fields) => apply(fields, schema),
        Value::Array(items) => {
            let Some(schema) = &schema.items else { return };
            for item in items {
                // Nulls elsewhere are gone already.
                if let (true, false, Some(default)) =
                    (item.is_null(), schema.nullable, &schema.default)
                {
                    *item = default.clone();
                }
                apply_within(item, schema);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

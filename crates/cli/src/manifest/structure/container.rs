//! The elements of a list and the fields of an object.

use serde_json::{Map, Value};

use super::super::problem::Problem;
use super::super::schema::{AdditionalProperties, Schema};
use super::{Findings, check_value, invalid};

pub(super) fn check_list(schema: &Schema, items: &[Value], path: &str) -> Findings {
    let mut findings = Findings::default();
    if let Some(schema) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            findings.merge(check_value(schema, item, &format!("{path}[{index}]")));
        }
    }
    let count = Value::from(items.len());
    if let Some(least) = schema
        .min_items
        .filter(|least| is_below(items.len(), *least))
    {
        let words = format!("should have at least {least} items");
        findings.push(invalid(path, &count, &words));
    }
    if let Some(most) = schema.max_items.filter(|most| is_above(items.len(), *most)) {
        findings.push(Problem::too_many(path, items.len(), most));
    }
    findings.matched += 1;
    findings
}

pub(super) fn check_object(schema: &Schema, fields: &Map<String, Value>, path: &str) -> Findings {
    let mut findings = Findings::default();
    let count = Value::from(fields.len());
    if let Some(least) = schema
        .min_properties
        .filter(|least| is_below(fields.len(), *least))
    {
        let words = format!("should have at least {least} properties");
        findings.push(invalid(path, &count, &words));
    }
    if let Some(most) = schema
        .max_properties
        .filter(|most| is_above(fields.len(), *most))
    {
        findings.push(Problem::too_many(path, fields.len(), most));
    }
    for (name, value) in fields {
        if schema.properties.contains_key(name) {
            continue;
        }
        match &schema.additional_properties {
            Some(AdditionalProperties::Schema(schema)) => {
                findings.merge(check_value(schema, value, &format!("{path}.{name}")));
            }
            Some(AdditionalProperties::Allowed(false)) => {
                let detail = format!("{path}.{name} in body is a forbidden property");
                findings.push(Problem::invalid(path, name.as_str(), detail));
            }
            Some(AdditionalProperties::Allowed(true)) | None => {}
        }
    }
    for (name, schema) in &schema.properties {
        if let Some(value) = fields.get(name) {
            findings.merge(check_value(schema, value, &below(path, name)));
        }
    }
    for name in &schema.required {
        if !fields.contains_key(name) {
            findings.push(Problem::required(below(path, name), ""));
        }
    }
    findings
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn is_below(count: usize, least: i64) -> bool {
    i64::try_from(count).is_ok_and(|count| count < least)
}

fn is_above(count: usize, most: i64) -> bool {
    i64::try_from(count).is_ok_and(|count| count > most)
}

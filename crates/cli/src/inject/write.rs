//! Values as text: lines of YAML, or JSON where the text around is between brackets.

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

use crate::yaml;

/// What people write first.
const FIRST: [&str; 12] = [
    "name",
    "image",
    "imagePullPolicy",
    "restartPolicy",
    "env",
    "value",
    "valueFrom",
    "ports",
    "livenessProbe",
    "resources",
    "securityContext",
    "volumeMounts",
];

/// `key: value`, as lines with this indent.
pub(super) fn entry(key: &str, value: &Value, indent: usize) -> String {
    let mut out = String::new();
    put_entry(&mut out, key, value, indent);
    out
}

/// `- value`, as lines with this indent.
pub(super) fn item(value: &Value, indent: usize) -> String {
    let mut out = String::new();
    put_item(&mut out, value, indent);
    out
}

/// A value in one line, in JSON, which is YAML between brackets.
pub(super) fn flow(value: &Value) -> String {
    value.to_string()
}

/// A scalar as people write it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn put_entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    out.push_str(&" ".repeat(indent));
    out.push_str(&plain(&Value::from(key)));
    out.push(':');
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            for (key, value) in ordered(fields) {
                put_entry(out, key, value, indent + 2);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                put_item(out, item, indent + 2);
            }
        }
        other => {
            out.push(' ');
            out.push_str(&plain(other));
            out.push('\n');
        }
    }
}

fn put_item(out: &mut String, value: &Value, indent: usize) {
    let Value::Object(fields) = value else {
        out.push_str(&" ".repeat(indent));
        out.push_str("- ");
        out.push_str(&plain(value));
        out.push('\n');
        return;
    };
    let mut inner = String::new();
    for (key, value) in ordered(fields) {
        put_entry(&mut inner, key, value, indent + 2);
    }
    inner.replace_range(indent..=indent, "-");
    out.push_str(&inner);
}

fn ordered(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by_key(|(key, _)| {
        let place = FIRST.iter().position(|first| first == key);
        place.unwrap_or(FIRST.len())
    });
    all
}

/// May it stand without quotes, and is it text then?
fn is_plain(text: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._:@-".contains(&byte);
    let begins = |begin: fn(u8) -> bool| text.bytes().next().is_some_and(begin);
    // Digits alone, or with colons between them, are read in many ways; 16Mi is not.
    let quantity = begins(|byte| byte.is_ascii_digit())
        && !text.contains(':')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let begins_well = quantity || begins(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    begins_well
        && text.bytes().all(safe)
        && !text.ends_with(':')
        && yaml::resolve(text, ScalarStyle::Plain).is_ok_and(|value| value.is_string())
}

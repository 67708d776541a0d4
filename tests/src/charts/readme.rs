//! Generates the table of values in a chart's README.

use std::fmt::Write as _;

use serde_json::Value;

use super::values::Key;

const BEGIN: &str = "<!-- values: written by `make generate` from values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";

/// Returns the README with the table of these keys in place of the old one.
///
/// # Panics
/// The README has no markers for the table.
pub fn readme(old: &str, keys: &[Key]) -> String {
    let (before, rest) = old
        .split_once(BEGIN)
        .unwrap_or_else(|| panic!("no line {BEGIN} in the README"));
    let (_, after) = rest
        .split_once(END)
        .unwrap_or_else(|| panic!("no line {END} in the README"));
    format!("{before}{BEGIN}{}{END}{after}", table(keys))
}

fn table(keys: &[Key]) -> String {
    let mut table = "\n| key | default | what |\n| --- | --- | --- |\n".to_owned();
    for key in keys {
        let default = if key.is_section {
            String::new()
        } else {
            format!("`{}`", shown(&key.default))
        };
        if key.is_section && key.what.is_empty() {
            continue;
        }
        let what = key.what.replace('|', "\\|");
        let choice = key.hints["enum"].as_array().map(|words| {
            let words: Vec<_> = words
                .iter()
                .map(|word| format!("`{}`", shown(word)))
                .collect();
            format!(" ({})", words.join(", "))
        });
        writeln!(
            table,
            "| `{}` | {default} | {what}{} |",
            key.name(),
            choice.unwrap_or_default()
        )
        .unwrap();
    }
    table.push('\n');
    table
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

//! Formats values like Go: the API server's error messages contain them.

use std::fmt::Write as _;

use serde_json::Value;

/// Formats a simple value like the verbs %v and %q, and any other value as JSON.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(double)) => float(double),
            _ => number.to_string(),
        },
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => json(value),
    }
}

/// Formats a double like the verb %v: with as few digits as possible, and with an exponent below 1e-4 and from 1e6 up.
pub(super) fn float(double: f64) -> String {
    with_exponent_beyond(double, 1e-4, 1e6, 2)
}

/// Formats a string like the verb %q.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            _ if is_printable(character) => quoted.push(character),
            _ => push_code(&mut quoted, character),
        }
    }
    quoted.push('"');
    quoted
}

fn push_code(quoted: &mut String, character: char) {
    let code = u32::from(character);
    // Writing into a String cannot fail.
    let written = match code {
        0..0x80 => write!(quoted, "\\x{code:02x}"),
        0x80..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    written.ok();
}

/// Whether both languages print the character itself: letters, marks, numbers, punctuation, symbols and the space.
fn is_printable(character: char) -> bool {
    // Rust escapes a combining mark only at the start of a string.
    let after_a_letter: String = ['a', character].iter().collect();
    after_a_letter.escape_debug().nth(1) == Some(character) || character == '\''
}

/// Formats a value like encoding/json: sorted keys, no spaces, and characters with a meaning in HTML escaped.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(double)) => with_exponent_beyond(double, 1e-6, 1e21, 1),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let field = |(key, value): (&String, _)| format!("{}:{}", json_text(key), json(value));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::String(text) => json_text(text),
        Value::Null | Value::Bool(_) => value.to_string(),
    }
}

fn json_text(text: &str) -> String {
    let mut written = Value::from(text).to_string();
    for (character, code) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        written = written.replace(character, code);
    }
    written
}

/// Formats a double with as few digits as possible; outside `low..high` with an exponent of at least `digits` digits.
fn with_exponent_beyond(double: f64, low: f64, high: f64, digits: usize) -> String {
    if double == 0.0 || (low..high).contains(&double.abs()) {
        return double.to_string();
    }
    // Rust writes 1e-7 and 1e21 where Go writes 1e-07 and 1e+21.
    let written = format!("{double:e}");
    match written.split_once('e') {
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(below) => format!("{mantissa}e-{below:0>digits$}"),
            None => format!("{mantissa}e+{exponent:0>digits$}"),
        },
        None => written,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn doubles_are_formatted_like_go() {
        for (double, plain, as_json) in [
            (1.5, "1.5", "1.5"),
            (100_000.5, "100000.5", "100000.5"),
            (1_000_000.0, "1e+06", "1000000"),
            (1_234_567.5, "1.2345675e+06", "1234567.5"),
            (1e20, "1e+20", "100000000000000000000"),
            (1e21, "1e+21", "1e+21"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "0.00001"),
            (2.5e-10, "2.5e-10", "2.5e-10"),
            (1e-7, "1e-07", "1e-7"),
        ] {
            assert_eq!(float(double), plain);
            assert_eq!(json(&json!(double)), as_json);
        }
    }

    #[test]
    fn strings_are_quoted_like_go() {
        for (text, expected) in [
            ("é😀'", r#""é😀'""#),
            ("\"\\\t", r#""\"\\\t""#),
            ("\u{a0}\u{200b}\u{ad}", r#""\u00a0\u200b\u00ad""#),
            ("\u{e000}\u{2028}\u{7f}\u{1}", r#""\ue000\u2028\x7f\x01""#),
            ("\u{e0001}", r#""\U000e0001""#),
            // A combining mark is printed, even at the start.
            ("\u{301}a\u{301}", "\"\u{301}a\u{301}\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn objects_are_json_with_sorted_keys() {
        let object = json!({ "b": [1, null, 1.5], "a": "<x>" });
        assert_eq!(value(&object), r#"{"a":"\u003cx\u003e","b":[1,null,1.5]}"#);
    }
}

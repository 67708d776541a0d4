//! Values as Go prints them: the API server's sentences repeat them.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// As the verbs %v and %q print a simple value, and as JSON anything else.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => plain_number(number),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => json(value),
    }
}

/// As the verb %v prints a number.
pub(super) fn plain_number(number: &Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(double)) => float(double),
        (None, None) => number.to_string(),
    }
}

/// As the verb %v prints a double: the fewest digits that are it, and an exponent below 1e-4 and from 1e6 up.
pub(super) fn float(double: f64) -> String {
    exponent_beyond(double, 1e-4, 1e6, 2)
}

/// As the verb %q prints a text.
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

/// Letters, marks, numbers, punctuation, symbols and the space, in both languages.
fn is_printable(character: char) -> bool {
    // A text escapes a mark only where it is the first character.
    let after_a_letter: String = ['a', character].iter().collect();
    after_a_letter.escape_debug().nth(1) == Some(character) || character == '\''
}

/// As encoding/json writes it: keys in order, no spaces, and what HTML could mistake escaped.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(double)) => exponent_beyond(double, 1e-6, 1e21, 1),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .filter_map(|key| Some((key, fields.get(key)?)))
                .map(|(key, value)| format!("{}:{}", json_text(key), json(value)))
                .collect();
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

/// The fewest digits that are it; with an exponent of at least so many digits if it is smaller or larger.
fn exponent_beyond(double: f64, low: f64, high: f64, digits: usize) -> String {
    let size = double.abs();
    if size == 0.0 || (low..high).contains(&size) {
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
    fn doubles_are_written_as_go_writes_them() {
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
    fn texts_are_quoted_as_go_quotes_them() {
        for (text, expected) in [
            ("é😀'", r#""é😀'""#),
            ("\"\\\t", r#""\"\\\t""#),
            ("\u{a0}\u{200b}\u{ad}", r#""\u00a0\u200b\u00ad""#),
            ("\u{e000}\u{2028}\u{7f}\u{1}", r#""\ue000\u2028\x7f\x01""#),
            ("\u{e0001}", r#""\U000e0001""#),
            // A mark is printed, at the beginning too.
            ("\u{301}a\u{301}", "\"\u{301}a\u{301}\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn objects_are_json_in_order() {
        let object = json!({ "b": [1, null, 1.5], "a": "<x>" });
        assert_eq!(value(&object), r#"{"a":"\u003cx\u003e","b":[1,null,1.5]}"#);
    }
}

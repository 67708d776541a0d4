//! Resolves the scalars of YAML 1.1 like go-yaml does for kubectl, with numbers as in JSON.

use granit_parser::ScalarStyle;
use serde_json::{Number, Value};

/// Resolves a scalar without a tag. A quoted scalar is a string.
pub(super) fn resolve(text: &str, style: ScalarStyle) -> Result<Value, String> {
    if style != ScalarStyle::Plain {
        return Ok(Value::from(text));
    }
    resolve_plain(text)
}

/// Resolves a scalar with a tag.
pub(super) fn resolve_tagged(text: &str, tag: &str) -> Result<Value, String> {
    let value = match tag {
        "bool" | "int" | "float" | "null" => resolve_plain(text)?,
        "binary" => return Err("!!binary is not supported in a manifest".to_owned()),
        // Any other tag makes it a string.
        _ => return Ok(Value::from(text)),
    };
    let fits = match tag {
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => value.is_null(),
    };
    if fits {
        Ok(value)
    } else {
        Err(format!("{text:?} is not a valid !!{tag}"))
    }
}

fn resolve_plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("{text} is not a number in JSON"));
    }
    let number = if text.starts_with('.') {
        double(&without_separators(text))
    } else if text.starts_with(|first: char| first.is_ascii_digit() || "+-".contains(first)) {
        let digits = text.replace('_', "");
        whole(&digits).or_else(|| double(&digits))
    } else {
        None
    };
    // Dates remain strings.
    Ok(number.map_or_else(|| Value::from(text), Value::Number))
}

/// Removes the underscores between two digits of a fraction.
fn without_separators(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    text.char_indices()
        .filter(|(at, character)| {
            *character != '_' || !is_digit(at.checked_sub(1)) || !is_digit(at.checked_add(1))
        })
        .map(|(_, character)| character)
        .collect()
}

/// Parses an integer: decimal, or with the prefix of another base; a leading zero means octal.
fn whole(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    // The parser of the standard library would accept a second sign.
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, base).ok()?);
    let number = if negative { -magnitude } else { magnitude };
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => Some(Number::from(number)),
        // The API server reads a larger integer as a double.
        (Err(_), Ok(_)) if text.starts_with('+') => None,
        (Err(_), Ok(number)) => Number::from_f64(number as f64),
        (Err(_), Err(_)) => None,
    }
}

/// Parses a number with a fraction or an exponent.
fn double(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let decimal = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let double: f64 = text.parse().ok().filter(|_| decimal)?;
    // A double without a fraction is written without one, and read as an integer.
    let written = double.to_string();
    if double.abs() < 1e21
        && let Ok(number) = written.parse::<i64>()
    {
        return Some(Number::from(number));
    }
    Number::from_f64(double)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_are_resolved_like_kubectl_does() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!(true)),
            ("yEs", json!("yEs")),
            ("5", json!(5)),
            ("+5", json!(5)),
            ("-5", json!(-5)),
            ("1_000", json!(1000)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("017", json!(15)),
            ("08", json!(8)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("5.0", json!(5)),
            ("1e3", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            (".2_5", json!(0.25)),
            ("._5", json!("._5")),
            ("5.", json!(5)),
            ("1e30", json!(1e30)),
            ("1e999", json!("1e999")),
            ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615.0)),
            ("30000000000000000000", json!(3e19)),
            (".", json!(".")),
            ("-", json!("-")),
            ("+-5", json!("+-5")),
            ("0x", json!("0x")),
            ("0x+5", json!("0x+5")),
            ("7ms", json!("7ms")),
            ("1.2.3", json!("1.2.3")),
            ("2020-01-01", json!("2020-01-01")),
            ("inf", json!("inf")),
            ("1:30", json!("1:30")),
        ] {
            assert_eq!(resolve(text, ScalarStyle::Plain), Ok(expected), "{text}");
        }
        assert_eq!(resolve("5", ScalarStyle::DoubleQuoted), Ok(json!("5")));
        assert!(resolve("-.inf", ScalarStyle::Plain).is_err());
        assert!(resolve(".nan", ScalarStyle::Plain).is_err());
    }

    #[test]
    fn a_tag_determines_the_type() {
        assert_eq!(resolve_tagged("5", "str"), Ok(json!("5")));
        assert_eq!(resolve_tagged("5", "int"), Ok(json!(5)));
        assert_eq!(resolve_tagged("5", "float"), Ok(json!(5)));
        assert!(resolve_tagged("x", "int").is_err());
        assert!(resolve_tagged("aGk=", "binary").is_err());
    }
}

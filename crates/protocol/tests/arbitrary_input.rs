//! Arbitrary input neither panics nor yields a message with an invalid number.

#![cfg(test)]

use proptest::prelude::*;
use pushscale_protocol::Push;
use serde_json::Value;

const VALID: &str = include_str!("../testdata/overloaded-v1.json");

/// The positions of the numbers in the valid message.
fn numbers() -> Vec<std::ops::Range<usize>> {
    let bytes = VALID.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = VALID[at..].find(": ") {
        let start = at + colon + 2;
        let digits = bytes[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
            .count();
        if digits > 0 {
            found.push(start..start + digits);
        }
        at = start;
    }
    found
}

/// A replacement for a number.
fn replacement() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?",
        prop::sample::select(vec![
            "null", "true", "\"1\"", "[]", "{}", "-0.0", "1e400", ""
        ])
        .prop_map(str::to_owned),
    ]
}

fn numbers_are_valid(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|n| n.is_finite() && n >= 0.0),
        Value::Array(items) => items.iter().all(numbers_are_valid),
        Value::Object(fields) => fields.values().all(numbers_are_valid),
        _ => true,
    }
}

#[test]
fn the_valid_message_has_numbers_to_replace() {
    assert_eq!(numbers().len(), 19);
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(body in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Err(error) = Push::parse(&body) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_broken_message_is_parsed_or_rejected(
        cut in 0..VALID.len(), inserted in "\\PC{0,8}", removed in 0_usize..8,
    ) {
        let end = (cut + removed).min(VALID.len());
        let body = [&VALID.as_bytes()[..cut], inserted.as_bytes(), &VALID.as_bytes()[end..]].concat();
        if let Ok(push) = Push::parse(&body) {
            prop_assert!(numbers_are_valid(&serde_json::to_value(&push).unwrap()));
        }
    }

    #[test]
    fn a_replaced_number_is_valid_or_rejected(which in 0_usize..19, text in replacement()) {
        let mut body = VALID.to_owned();
        body.replace_range(numbers()[which].clone(), &text);
        if let Ok(push) = Push::parse(body.as_bytes()) {
            prop_assert!(numbers_are_valid(&serde_json::to_value(&push).unwrap()), "{text}");
        }
    }
}

//! Whatever is sent: no panic, and no number that is none gets through.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use pushscale_protocol::Push;
use serde_json::Value;

const GOOD: &str = include_str!("../testdata/overloaded-v1.json");

/// Where the good message has numbers.
fn numbers() -> Vec<std::ops::Range<usize>> {
    let bytes = GOOD.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = GOOD[at..].find(": ") {
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

/// Something in the place of a number.
fn stand_in() -> impl Strategy<Value = String> {
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

fn every_number_is_one(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|n| n.is_finite() && n >= 0.0),
        Value::Array(items) => items.iter().all(every_number_is_one),
        Value::Object(fields) => fields.values().all(every_number_is_one),
        _ => true,
    }
}

#[test]
fn the_good_message_has_numbers_to_replace() {
    assert_eq!(numbers().len(), 19);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Err(error) = Push::parse(&body) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_broken_message_is_read_or_refused(
        cut in 0..GOOD.len(), inserted in "\\PC{0,8}", removed in 0_usize..8,
    ) {
        let end = (cut + removed).min(GOOD.len());
        let body = [&GOOD.as_bytes()[..cut], inserted.as_bytes(), &GOOD.as_bytes()[end..]].concat();
        if let Ok(push) = Push::parse(&body) {
            prop_assert!(every_number_is_one(&serde_json::to_value(&push).unwrap()));
        }
    }

    #[test]
    fn no_number_gets_through_that_is_none(which in 0_usize..19, text in stand_in()) {
        let mut body = GOOD.to_owned();
        body.replace_range(numbers()[which].clone(), &text);
        if let Ok(push) = Push::parse(body.as_bytes()) {
            prop_assert!(every_number_is_one(&serde_json::to_value(&push).unwrap()), "{text}");
        }
    }
}

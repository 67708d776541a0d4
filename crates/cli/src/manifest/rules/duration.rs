//! Durations as Go reads them: `1m30.5s`, `500µs`, `-1h`.

use std::sync::Arc;

use chrono::TimeDelta;
use kube_cel::cel::ExecutionError;

/// CEL's function `duration`.
pub(super) fn of(text: Arc<String>) -> Result<kube_cel::cel::Value, ExecutionError> {
    match nanoseconds(&text) {
        Some(nanoseconds) => Ok(TimeDelta::nanoseconds(nanoseconds).into()),
        None => Err(ExecutionError::function_error("duration", "no duration")),
    }
}

/// The duration that a text is, unless it is none or is longer than 292 years.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (whole, fraction, after) = number(rest)?;
        let end = after
            .find(|character: char| character == '.' || character.is_ascii_digit())
            .unwrap_or(after.len());
        let (name, next) = after.split_at_checked(end)?;
        let unit = unit(name)?;
        let whole = match whole {
            "" => 0,
            digits => digits.parse::<u64>().ok()?,
        };
        sum = sum
            .checked_add(whole.checked_mul(unit)?)?
            .checked_add(fraction_of(unit, fraction))
            .filter(|sum| *sum <= i64::MIN.unsigned_abs())?;
        rest = next;
    }
    if negative {
        0_i64.checked_sub_unsigned(sum)
    } else {
        i64::try_from(sum).ok()
    }
}

/// The digits before and behind the point, at least one in all, and what follows.
fn number(text: &str) -> Option<(&str, &str, &str)> {
    let (whole, after) = digits(text)?;
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => digits(after)?,
        None => ("", after),
    };
    (!whole.is_empty() || !fraction.is_empty()).then_some((whole, fraction, after))
}

fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end)
}

fn unit(name: &str) -> Option<u64> {
    match name {
        "ns" => Some(1),
        // The micro sign and the letter mu look the same.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000),
        _ => None,
    }
}

/// The part of a unit that these digits behind a point are, in whole nanoseconds.
fn fraction_of(unit: u64, digits: &str) -> u64 {
    // Digits behind the 18th change nothing: an hour has 3.6e12 nanoseconds.
    let digits: String = digits.chars().take(18).collect();
    let Ok(value) = digits.parse::<u128>() else {
        return 0;
    };
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    u64::try_from(value * u128::from(unit) / scale).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("7ms", Some(7_000_000)),
            ("1m30.5s", Some(90_500_000_000)),
            ("500µs", Some(500_000)),
            ("500μs", Some(500_000)),
            ("500us", Some(500_000)),
            ("1h", Some(3_600_000_000_000)),
            ("-1.5h", Some(-5_400_000_000_000)),
            ("+5s", Some(5_000_000_000)),
            (".5s", Some(500_000_000)),
            ("5.s", Some(5_000_000_000)),
            ("0", Some(0)),
            ("-0", Some(0)),
            ("0.9ns", Some(0)),
            ("0.1234567890123456789s", Some(123_456_789)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("9223372036854775808ns", None),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("2562048h", None),
            ("99999999999999999999h", None),
            ("", None),
            ("-", None),
            ("5", None),
            ("5x", None),
            ("5ms ", None),
            (" 5ms", None),
            (".s", None),
            ("1h-5m", None),
            ("1e3s", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text:?}");
        }
    }
}

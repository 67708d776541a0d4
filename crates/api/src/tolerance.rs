//! `behavior.*.tolerance`: a Kubernetes quantity, converted to exactly the number that the HPA computes with.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A quantity such as `0.05`, `"50m"` or `500u`, as written in the manifest.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Tolerance {
    /// A string.
    Text(String),
    /// A number: manifests often omit the quotes, like Kubernetes' own examples.
    Number(f64),
}

impl JsonSchema for Tolerance {
    fn schema_name() -> Cow<'static, str> {
        "Tolerance".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// A string or a number. A structural schema can express "integer or string" but not "number or string", so it
    /// accepts anything, and the aggregator reports an invalid quantity in the conditions.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}

impl Tolerance {
    /// Returns the double that the HPA computes with; `None` if this is not a quantity, or negative.
    ///
    /// The API server canonicalises a quantity ("0.118" becomes "118m"), and the controller multiplies the integer by a
    /// power of ten. The result is not always the double nearest to the decimal: 118m tolerates a ratio of 1.118, and
    /// the flag 0.118 does not (the HPA's `replica_calculator.go`).
    pub fn as_f64(&self) -> Option<f64> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        };
        let (digits, exponent) = match text.char_indices().next_back()? {
            (at, 'n') => (&text[..at], -9),
            (at, 'u') => (&text[..at], -6),
            (at, 'm') => (&text[..at], -3),
            _ => (text.as_str(), 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let whole = whole.strip_prefix('+').unwrap_or(whole);
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let scale = exponent - i32::try_from(fraction.trim_end_matches('0').len()).ok()?;
        let mut value: i64 = format!("0{whole}{}", fraction.trim_end_matches('0'))
            .parse()
            .ok()?;
        // Use the largest power of a thousand that represents the value; round up below nano.
        let mut canonical = [0, -3, -6, -9].into_iter().find(|power| *power <= scale);
        let mut shift = scale - canonical.unwrap_or(-9);
        while shift > 0 {
            value = value.checked_mul(10)?;
            shift -= 1;
        }
        while shift < 0 {
            value = value / 10 + i64::from(value % 10 != 0);
            shift += 1;
            canonical = Some(-9);
        }
        let mut power = canonical.unwrap_or(-9);
        while power < 0 && value % 1000 == 0 {
            value /= 1000;
            power += 3;
        }
        // The HPA converts the same integer in the same way.
        let double = value as f64;
        Some(match power {
            0 => double,
            -3 => double * 1e-3,
            -6 => double * 1e-6,
            _ => double * 1e-9,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_converted_like_in_the_hpa() {
        let cases = [
            ("0.118", 118.0 * 1e-3),
            ("118m", 118.0 * 1e-3),
            ("0.1", 100.0 * 1e-3),
            ("500u", 500.0 * 1e-6),
            ("0.0005", 500.0 * 1e-6),
            ("1000m", 1.0),
            ("0", 0.0),
            ("1", 1.0),
            ("1.5", 1500.0 * 1e-3),
            (".5", 500.0 * 1e-3),
            ("1.0", 1.0),
            ("0.0000000001", 1e-9),
        ];
        for (text, expected) in cases {
            let found = Tolerance::Text(text.to_owned()).as_f64();
            assert_eq!(found, Some(expected), "{text}");
        }
        assert_eq!(Tolerance::Number(0.05).as_f64(), Some(50.0 * 1e-3));
    }

    #[test]
    fn an_invalid_quantity_is_rejected() {
        for text in [
            "",
            "-0.1",
            "ten",
            "1e3",
            "0.1.2",
            "m",
            ".",
            "99999999999999999999",
        ] {
            assert_eq!(Tolerance::Text(text.to_owned()).as_f64(), None, "{text:?}");
        }
    }
}

//! Kubernetes quantities: `100m`, `1.5`, `16Mi`, `1e3`.

use std::cmp::Ordering;

/// A quantity that is not negative, with its original text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) text: String,
    pub(super) nanos: u128,
}

/// The maximum number of digits of a Kubernetes quantity.
const MAX_DIGITS: usize = 18;

impl Quantity {
    pub(super) fn new(text: &str, nanos: u128) -> Self {
        Self {
            text: text.to_owned(),
            nanos,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        let ends = unsigned
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(ends);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if fraction.contains('.') || digits.is_empty() || digits.len() > MAX_DIGITS {
            return None;
        }
        let digits: u128 = digits.parse().ok()?;
        let fraction = u32::try_from(fraction.len()).ok()?;
        let nanos = digits.checked_mul(scale(suffix)?)? / 10_u128.checked_pow(fraction)?;
        Some(Self::new(text, nanos))
    }
}

/// Returns the number of nanos in one unit.
fn scale(suffix: &str) -> Option<u128> {
    let binary = |power: u32| (1_u128 << (10 * power)).checked_mul(1_000_000_000);
    let decimal = |exponent: i32| 10_u128.checked_pow(u32::try_from(exponent + 9).ok()?);
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let plain = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let good =
                matches!(plain.len(), 1 | 2) && plain.bytes().all(|byte| byte.is_ascii_digit());
            let exponent: i32 = exponent.parse().ok().filter(|_| good)?;
            (-9..=18).contains(&exponent).then(|| decimal(exponent))?
        }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.nanos, &self.text).cmp(&(other.nanos, &other.text))
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_parsed_like_in_kubernetes() {
        for (text, expected) in [
            ("1m", Some(1_000_000)),
            ("100m", Some(100_000_000)),
            ("0.1", Some(100_000_000)),
            (".5", Some(500_000_000)),
            ("1.", Some(1_000_000_000)),
            ("+2", Some(2_000_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("1E-3", Some(1_000_000)),
            ("1E", Some(10_u128.pow(27))),
            ("16Mi", Some((16 << 20) * 1_000_000_000)),
            ("0", Some(0)),
            ("-1", None),
            ("1mi", None),
            ("1 Mi", None),
            ("1K", None),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("Mi", None),
            ("1e", None),
            ("1e+", None),
            ("٣Mi", None),
            ("16Mi ", None),
            ("16Mi\n", None),
            ("9999999999999999999", None),
        ] {
            let found = Quantity::parse(text).map(|quantity| quantity.nanos);
            assert_eq!(found, expected, "{text:?}");
        }
    }
}

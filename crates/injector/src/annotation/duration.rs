//! Durations as the sidecar's settings have them: `250ms`, `1.5s`, `2m`.

/// A duration, and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) text: String,
    micros: u64,
}

impl Span {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|character: char| character.is_ascii_alphabetic())?;
        let (amount, unit) = text.split_at(unit_at);
        let micros: u64 = match unit {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        let (whole, fraction) = match amount.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (amount, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let good = (1..=9).contains(&whole.len()) && fraction.len() <= 6;
        if !good || !digits(whole) || !digits(fraction) {
            return None;
        }
        let exponent = u32::try_from(fraction.len()).ok()?;
        let amount: u64 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self {
            text: text.to_owned(),
            micros: amount.checked_mul(micros)? / 10_u64.pow(exponent),
        })
    }

    pub(super) fn millis(&self) -> u64 {
        self.micros / 1_000
    }

    /// In seconds, rounded up.
    pub(crate) fn seconds(&self) -> i64 {
        i64::try_from(self.micros.div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_digits_and_a_unit_and_nothing_else() {
        for (text, expected) in [
            ("1s", Some(1_000)),
            ("250ms", Some(250)),
            ("1.5s", Some(1_500)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1", None),
            ("-1s", None),
            ("+1s", None),
            (" 1s", None),
            ("1 s", None),
            ("1s ", None),
            ("1.s", None),
            (".5s", None),
            ("1e3s", None),
            ("1m30s", None),
            ("infs", None),
            ("١s", None),
            ("1µs", None),
            ("", None),
        ] {
            assert_eq!(
                Span::parse(text).map(|span| span.millis()),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_left_of_a_second_counts_as_one() {
        assert_eq!(Span::parse("25.1s").map(|span| span.seconds()), Some(26));
    }
}

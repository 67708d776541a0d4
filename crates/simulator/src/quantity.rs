//! Parsers for numbers, times and ranges.

use std::ops::Range;

use jiff::SignedDuration;

/// Maximum duration of a simulation: 31 days, in seconds.
pub const MAX_SECONDS: usize = 31 * 86_400;

/// Maximum arrival rate of a simulated cluster, in requests per second.
pub const MAX_REQUESTS_PER_SECOND: u32 = 1_000_000;

/// Parses a finite number of at least 0.
pub(crate) fn number(text: &str) -> Option<f64> {
    let number = text.trim().parse::<f64>().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// Parses a time of at least 0, in seconds: `100ms`, `1.5s`, `10m`, `1h30m`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Option<f64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let duration = text.trim().parse::<SignedDuration>().ok()?;
    (!duration.is_negative()).then(|| duration.as_secs_f64())
}

/// Parses a whole number of seconds, up to [`MAX_SECONDS`].
pub(crate) fn seconds(text: &str) -> Option<usize> {
    let seconds = duration(text)?;
    if seconds.fract() != 0.0 || seconds > MAX_SECONDS as f64 {
        return None;
    }
    Some(to_u32_saturating(seconds) as usize)
}

/// Converts to a whole number toward zero, saturating at 0 and at the largest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a double saturates"
)]
pub fn to_u32_saturating(number: f64) -> u32 {
    number as u32
}

/// Parses a half-open range of seconds, such as `600..1200`.
pub(crate) fn span(text: &str) -> Option<Range<usize>> {
    let (from, to) = text.split_once("..")?;
    let (from, to) = (seconds(from)?, seconds(to)?);
    (from < to).then_some(from..to)
}

/// Formats a time with its unit, rounded to nanoseconds.
pub(crate) fn write_duration(seconds: f64) -> String {
    if seconds >= 1.0 || seconds == 0.0 {
        return format!("{seconds}s");
    }
    let thousandth = |text: f64| (text * 1e6).round() / 1e6;
    if seconds >= 1e-3 {
        format!("{}ms", thousandth(seconds * 1e3))
    } else {
        format!("{}us", (seconds * 1e6 * 1e3).round() / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases = [
            ("600", Some(600.0)),
            ("0.5", Some(0.5)),
            ("100ms", Some(0.1)),
            ("1h30m", Some(5400.0)),
            ("2.5s", Some(2.5)),
            ("-1s", None),
            ("nan", None),
            ("inf", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn a_span_goes_forward_in_whole_seconds() {
        assert_eq!(span("600..20m"), Some(600..1200));
        for wrong in ["600", "600..600", "9..3", "0.5..2", "..5", "1..99999999"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn written_quantities_parse_to_the_same_value() {
        for seconds in [0.0, 1e-6, 0.000_123, 0.05, 0.1, 0.3, 0.999, 1.0, 2.5, 120.0] {
            assert_eq!(duration(&write_duration(seconds)), Some(seconds));
        }
    }
}

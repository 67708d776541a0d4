//! Queue latencies in whole nanoseconds.

use std::fmt;

use crate::numbers::short;
use crate::snapshot::{Snapshot, Visit};

/// A queue latency in whole nanoseconds.
///
/// The HorizontalPodAutoscaler counts in truncated thousandths of a metric's unit. TorchServe's unit is the
/// microsecond, so a thousandth is a nanosecond, and `target: 7ms` equals the HPA's `7000000m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Latency(i64);

impl Visit for Latency {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut bits = self.0.cast_unsigned();
        bits.visit(snapshot);
        self.0 = bits.cast_signed();
    }
}

impl Latency {
    /// No waiting. An unknown latency is `None` instead.
    pub const ZERO: Latency = Latency(0);

    /// Creates a latency from nanoseconds. Negative values occur only in recorded cases of the HPA.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Creates a latency from seconds, rounded down to nanoseconds.
    ///
    /// Returns `None` if `seconds` is not a number, negative, or beyond 292 years.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let nanos = seconds * 1e9;
        // A power of two, exact in a double.
        let limit = i64::MAX as f64;
        if !(nanos >= 0.0 && nanos < limit) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        Some(Self(nanos as i64))
    }

    /// Returns the latency in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Returns the latency in seconds, exact up to 2^53 ns, which are 104 days.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Latency {
    /// Writes three significant digits with a unit: `812µs`, `7ms`, `3.65s`. What rounds to the next unit has that
    /// one: `1s`, not `1000ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0.unsigned_abs() {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{}ns", self.0),
            1_000..999_500 => (self.as_secs_f64() * 1e6, "µs"),
            999_500..999_500_000 => (self.as_secs_f64() * 1e3, "ms"),
            _ => (self.as_secs_f64(), "s"),
        };
        write!(f, "{}{unit}", short(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_chooses_a_readable_unit() {
        let cases = [
            (0, "0s"),
            (999, "999ns"),
            (812_000, "812µs"),
            (7_000_000, "7ms"),
            (99_960_000, "100ms"),
            (999_499, "999µs"),
            (999_500, "1ms"),
            (999_499_999, "999ms"),
            (999_500_000, "1s"),
            (3_650_000_000, "3.65s"),
            (125_000_000_000, "125s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(Latency::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn invalid_latencies_are_rejected() {
        for bad in [f64::NAN, f64::INFINITY, -1e-9, 1e300] {
            assert_eq!(Latency::from_secs_f64(bad), None, "{bad}");
        }
        assert_eq!(
            Latency::from_secs_f64(0.25),
            Some(Latency::from_nanos(250_000_000))
        );
    }
}

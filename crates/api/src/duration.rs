//! Durations in a spec, such as `7ms`, `1.5s` or `1m30s`.
//!
//! jiff parses them. The CRD accepts jiff's short form without spaces: units in descending order, each at most once,
//! and a fraction in the last one only. Pattern and rule together accept nothing that jiff rejects.

use jiff::SignedDuration;

/// The maximum length of the text in the CRD.
pub(crate) const MAX_CHARS: usize = 32;

/// The CRD's pattern: the units and their order.
pub(crate) const PATTERN: &str = concat!(
    r"^([0-9]+(\.[0-9]{1,9})?h)?",
    r"([0-9]+(\.[0-9]{1,9})?m)?",
    r"([0-9]+(\.[0-9]{1,9})?s)?",
    r"([0-9]+(\.[0-9]{1,9})?ms)?",
    r"([0-9]+(\.[0-9]{1,9})?(us|µs))?",
    r"([0-9]+ns)?$",
);

/// The CRD's CEL rule about fractions.
pub(crate) const FRACTION_RULE: &str = "self.matches('^[^.]*([.][0-9]+[a-zµ]+)?$')";

/// The message of [`FRACTION_RULE`].
pub(crate) const FRACTION_MESSAGE: &str =
    "only the last unit of a duration may have a fraction, such as 1m1.5s";

/// Parses a duration; `None` if it is invalid or not greater than 0.
pub(crate) fn parse_positive(text: &str) -> Option<SignedDuration> {
    let duration = text.parse::<SignedDuration>().ok()?;
    duration.is_positive().then_some(duration)
}

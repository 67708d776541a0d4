//! Kubernetes quantities.

use std::time::Duration;

/// Returns whole microseconds as a quantity without a suffix: 7 s are `7000000`.
pub(crate) fn microseconds(duration: Duration) -> String {
    clamp(duration.as_micros()).to_string()
}

/// Returns seconds as a quantity with microseconds: 1.5 s are `1500000u`.
pub(crate) fn seconds(duration: Duration) -> String {
    match clamp(duration.as_micros()) {
        0 => "0".to_owned(),
        micros => format!("{micros}u"),
    }
}

/// The HPA computes with thousandths in 64 bits, so a larger value would overflow there.
fn clamp(value: u128) -> i64 {
    const MAX: i64 = i64::MAX / 1000;
    i64::try_from(value).map_or(MAX, |value| value.min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers() {
        assert_eq!(microseconds(Duration::from_millis(7)), "7000");
        assert_eq!(microseconds(Duration::from_nanos(999)), "0");
        assert_eq!(seconds(Duration::from_millis(1500)), "1500000u");
        assert_eq!(seconds(Duration::ZERO), "0");
    }

    #[test]
    fn the_largest_value_fits_into_thousandths() {
        let largest: i64 = microseconds(Duration::MAX).parse().unwrap();
        assert!(largest.checked_mul(1000).is_some());
    }
}

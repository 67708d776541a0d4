//! Conversions of floating-point numbers, and their text.

use std::fmt;
use std::time::Duration;

/// Converts to an integer toward zero, saturating at 0 and at the largest int32.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to an int32's range first"
)]
pub(crate) fn to_u32_saturating(number: f64) -> u32 {
    number.clamp(0.0, f64::from(i32::MAX)) as u32
}

/// Converts to single precision, saturating at a billion: seven digits of pods, requests and seconds are enough.
#[expect(
    clippy::cast_possible_truncation,
    reason = "losing digits is the purpose"
)]
pub(crate) fn to_f32(value: f64) -> f32 {
    value.min(1e9) as f32
}

/// Converts seconds to a duration; zero if they are negative or too many.
pub(crate) fn to_duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// A number with three significant digits, at most three decimals, without trailing zeros.
pub(crate) fn short(number: f64) -> impl fmt::Display {
    let scale = match number.abs() {
        100.0.. => 1.0,
        10.0.. => 10.0,
        1.0.. => 100.0,
        _ => 1000.0,
    };
    (number * scale).round() / scale
}

//! How much evidence a measurement needs before it counts. Each number is used by several rules.

use std::time::Duration;

/// The requests that a mean averages: with exponential times, its standard error is 6%.
pub(super) const MANY_REQUESTS: f64 = 300.0;

/// The requests that a mean needs at least: with exponential times, its standard error is 18%.
pub(super) const FEW_REQUESTS: f64 = 30.0;

/// A symptom that has lasted this long is a condition, and a reason to act.
pub(super) const PERSISTENCE: Duration = Duration::from_secs(30);

/// While a backlog drains and for this many seconds after it, waits do not follow the formula, and the server still
/// times the waits of the backlog. Learning from them moved the calibration to its bound and cost 20% more pods.
pub(super) const SETTLE_SECONDS: f64 = 90.0;

/// Requests completed within this many seconds and service times are recent.
const RECENT_SECONDS: f64 = 10.0;
const RECENT_SERVICES: f64 = 5.0;

/// A wait of more than this multiple of the target latency is a violation.
pub(super) const VIOLATION_FACTOR: f64 = 4.0;

/// Returns the seconds that are recent, for a service time in seconds.
pub(super) fn recent_seconds(service: f64) -> f64 {
    RECENT_SECONDS.max(RECENT_SERVICES * service)
}

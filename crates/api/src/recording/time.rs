//! Times as whole nanoseconds.

use std::time::Duration;

use pushscale_decision::Moment;

/// Returns a moment in nanoseconds, at most 584 years.
pub fn nanos(moment: Moment) -> u64 {
    duration_nanos(moment.since_origin())
}

/// Returns a duration in nanoseconds, at most 584 years.
pub(super) fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

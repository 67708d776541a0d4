//! Whether the clocks of the leader and of this machine agree, as far as the Lease shows it.

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::Snapshot;

const CHECK: &str = "clock";

/// A renewal this far in the future is not explained by the time of a request.
const TOLERANCE_SECONDS: i64 = 5;

pub(super) fn check(snapshot: &Snapshot) -> Vec<Finding> {
    let spec = snapshot
        .lease
        .as_ref()
        .and_then(|lease| lease.spec.as_ref());
    let Some(renewed) = spec.and_then(|spec| spec.renew_time.as_ref()) else {
        return Vec::new();
    };
    let ahead = renewed.0.duration_since(snapshot.now).as_secs();
    let seen = "the Lease's renewTime against the clock of this machine";
    vec![if ahead > TOLERANCE_SECONDS {
        Finding::wrong(
            CHECK,
            seen,
            format!(
                "the leader's clock is at least {ahead} s ahead of this machine's: schedules and `explain --at` are off"
            ),
            "synchronize the clocks (NTP) of the nodes and of this machine",
        )
    } else {
        Finding::good(CHECK, seen)
    }]
}

//! Whether the clocks of the leader and of this machine agree, as far as the Lease shows it.

use crate::doctor::finding::Finding;
use crate::doctor::snapshot::Snapshot;

const CHECK: &str = "clock";

const SEEN: &str = "the Lease's renewTime against the clock of this machine";

/// A renewal this far in the future is not explained by the time of a request.
const TOLERANCE_SECONDS: i64 = 5;

pub(super) fn check(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(age) = snapshot.lease_age() else {
        return Vec::new();
    };
    let difference = if -age > TOLERANCE_SECONDS {
        format!("at least {} s ahead of", -age)
    } else if snapshot.lease_looks_expired() && snapshot.lease_was_renewed() {
        format!("about {age} s behind")
    } else {
        return vec![Finding::good(CHECK, SEEN)];
    };
    vec![Finding::wrong(
        CHECK,
        SEEN,
        format!(
            "the leader's clock is {difference} this machine's: schedules and `explain --at` are off"
        ),
        "synchronize the clocks (NTP) of the nodes and of this machine",
    )]
}

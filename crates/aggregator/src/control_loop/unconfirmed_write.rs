//! A write without a response.

use std::time::Duration;

use pushscale_api::ScaleChange;
use pushscale_decision::Moment;

/// How long a replica count that appears after a failed write counts as that write. The API server applies a request
/// within its own timeout of a minute.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(60);

/// A write that failed, perhaps after the API server had stored it.
pub(super) struct UnconfirmedWrite {
    pub(super) at: Moment,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) change: ScaleChange,
}

impl UnconfirmedWrite {
    /// Returns whether the write was stored, given the replica count read at `now`; `None` if it may still be applied.
    pub(super) fn is_stored(&self, now: Moment, replicas: u32) -> Option<bool> {
        let recent = now.since(self.at) < UNCONFIRMED_FOR;
        if recent && replicas == self.from {
            return None;
        }
        Some(recent && replicas == self.to)
    }
}

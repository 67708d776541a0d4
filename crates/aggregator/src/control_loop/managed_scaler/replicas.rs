//! The replica count of a target: the last read, the write in flight, and who made each change.
//!
//! The decision engine counts changes by other clients, and stops all writes after three of them. Each change by an
//! aggregator must therefore be recorded as one, even if the former leader made it or its response was lost.

use std::convert::Infallible;
use std::time::Duration;

use pushscale_api::ScaleChange;
use pushscale_daemon::backoff::Backoff;
use pushscale_decision::Moment;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::scale_target::{SCALE_BACKOFF, Scale, ScaleError};

/// How long after our write an older version of the scale is ignored: a read that began before the write may arrive
/// after it. The time is limited because all versions are older after a backup is restored.
const IGNORE_OLDER_FOR: Duration = Duration::from_secs(10);

/// How long a replica count that appears after a failed write counts as that write. The API server applies a request
/// within its own timeout of a minute.
const UNCONFIRMED_FOR: Duration = Duration::from_secs(60);

/// Ends, with an error, when the write of a replica count is cancelled.
pub(crate) type Cancelled = oneshot::Receiver<Infallible>;

/// The replica count of one target.
pub(super) struct Replicas {
    /// The last read or write; `None` before the first.
    scale: Option<Result<Scale, ScaleError>>,
    /// The replicas of the last successful one. A failed read does not clear them.
    last: Option<u32>,
    /// The change of the write in flight.
    in_flight: Option<ScaleChange>,
    /// Cancels the write in flight when it is dropped.
    cancel_guard: Option<oneshot::Sender<Infallible>>,
    /// When we last wrote, and the version of the scale that the write returned.
    written: Option<(Moment, u64)>,
    /// Failed writes, until a read shows whether one of them was stored. All are from the same replica count.
    unconfirmed: Vec<UnconfirmedWrite>,
    /// A change that was seen while following, until it is known to be the leader's. Another client's stays here.
    unattributed: Option<(u32, u32)>,
    /// When this aggregator became the leader, until the scale has been read since.
    taking_over: Option<Instant>,
    /// No decision before this time, after a failed write.
    rejected: Option<RejectedWrite>,
    backoff: Backoff,
}

/// A write that failed, perhaps after the API server had stored it.
struct UnconfirmedWrite {
    at: Moment,
    from: u32,
    to: u32,
    change: ScaleChange,
}

/// A change of the replica count that an aggregator made, to be recorded by the decision engine.
#[derive(Debug)]
pub(super) struct OwnChange {
    pub(super) from: u32,
    pub(super) to: u32,
    /// `None` if it was the leader's, while this aggregator followed.
    pub(super) written: Option<ScaleChange>,
}

/// A read of the scale.
pub(crate) struct ScaleRead {
    /// When it began. The scale may have changed since.
    pub(crate) start: Instant,
    /// Whether an aggregator wrote the replicas last.
    pub(crate) written_by_us: bool,
    pub(crate) scale: Result<Scale, ScaleError>,
}

/// A failed write of the replica count.
#[derive(Clone, Debug)]
pub(super) struct RejectedWrite {
    pub(super) retry_at: Moment,
    is_down: bool,
    pub(super) error: String,
}

impl RejectedWrite {
    /// Whether another write need not wait: one that scales up after a scale-down was rejected.
    pub(super) fn allows(&self, from: u32, to: u32) -> bool {
        self.is_down && to > from
    }
}

impl Default for Replicas {
    fn default() -> Self {
        Self {
            scale: None,
            last: None,
            in_flight: None,
            cancel_guard: None,
            written: None,
            unconfirmed: Vec::new(),
            unattributed: None,
            taking_over: None,
            rejected: None,
            backoff: SCALE_BACKOFF,
        }
    }
}

impl Replicas {
    /// Returns the scale, or why it could not be read; `None` before the first read.
    pub(super) fn scale(&self) -> Option<&Result<Scale, ScaleError>> {
        self.scale.as_ref()
    }

    /// Returns the uid of the target that was read last; `None` if it is unknown.
    pub(super) fn target_uid(&self) -> Option<String> {
        self.scale.as_ref()?.as_ref().ok()?.uid.clone()
    }

    pub(super) fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> Option<&ScaleChange> {
        self.in_flight.as_ref()
    }

    #[cfg(test)]
    pub(super) fn has_written(&self) -> bool {
        self.written.is_some()
    }

    /// Requires a read that begins now or later before the next write: this aggregator has become the leader.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.taking_over = Some(now);
    }

    pub(super) fn is_taking_over(&self) -> bool {
        self.taking_over.is_some()
    }

    /// Returns the failed write that delays the next one at `now`.
    pub(super) fn rejected(&self, now: Moment) -> Option<&RejectedWrite> {
        self.rejected.as_ref().filter(|write| now < write.retry_at)
    }

    /// Records a read. Returns the change by an aggregator that it shows.
    pub(super) fn observe(
        &mut self,
        now: Moment,
        leads: bool,
        read: ScaleRead,
    ) -> Option<OwnChange> {
        if let (Some((at, version)), Ok(scale)) = (self.written, &read.scale)
            && scale.version < version
            && now.since(at) < IGNORE_OLDER_FOR
        {
            return None;
        }
        let mut own = None;
        if let Ok(scale) = &read.scale {
            // A write of our own is settled first, so that it is not recorded twice.
            own = self.confirm(now, scale.replicas);
            let follows = !leads || self.is_taking_over();
            if own.is_none() && (follows || self.unattributed.is_some()) {
                own = self.follow(scale.replicas, read.written_by_us);
            }
            self.last = Some(scale.replicas);
            if self.taking_over.is_some_and(|since| read.start >= since) {
                self.taking_over = None;
            }
        }
        self.scale = Some(read.scale);
        own
    }

    /// Settles the writes whose response was lost. As long as the replica count is the one before, each of them may
    /// still be applied. Returns the one that was stored.
    fn confirm(&mut self, now: Moment, replicas: u32) -> Option<OwnChange> {
        self.forget_unconfirmed(now);
        if self.unconfirmed.iter().any(|write| write.from == replicas) {
            return None;
        }
        let mut writes = std::mem::take(&mut self.unconfirmed).into_iter();
        let stored = writes.find(|write| write.to == replicas)?;
        Some(OwnChange {
            from: stored.from,
            to: stored.to,
            written: Some(stored.change),
        })
    }

    fn forget_unconfirmed(&mut self, now: Moment) {
        self.unconfirmed
            .retain(|write| now.since(write.at) < UNCONFIRMED_FOR);
    }

    /// Handles the replica count that a follower reads. Returns the leader's change, so that the rate limits continue
    /// after a change of leader.
    fn follow(&mut self, replicas: u32, written_by_us: bool) -> Option<OwnChange> {
        if let Some(from) = self.last
            && from != replicas
        {
            self.unattributed = Some((from, replicas));
        }
        let (from, to) = self.unattributed.take_if(|_| written_by_us)?;
        Some(OwnChange {
            from,
            to,
            written: None,
        })
    }

    /// Records that a write begins. Returns what cancels it.
    pub(super) fn write_begins(&mut self, change: ScaleChange) -> Cancelled {
        let (cancel_guard, cancelled) = oneshot::channel();
        self.in_flight = Some(change);
        self.cancel_guard = Some(cancel_guard);
        // From now on the replicas are ours, whoever changed them before.
        self.unattributed = None;
        cancelled
    }

    /// Records a write that was stored. Returns its change.
    pub(super) fn write_stored(&mut self, now: Moment, scale: Scale) -> Option<ScaleChange> {
        self.written = Some((now, scale.version));
        self.unconfirmed.clear();
        self.rejected = None;
        self.backoff.reset();
        self.last = Some(scale.replicas);
        self.scale = Some(Ok(scale));
        self.in_flight.take()
    }

    /// Records that another client changed the replica count before our write. It may have been an earlier write of
    /// our own, which is returned.
    pub(super) fn write_conflicts(&mut self, now: Moment, scale: Scale) -> Option<OwnChange> {
        self.in_flight = None;
        let own = self.confirm(now, scale.replicas);
        self.last = Some(scale.replicas);
        self.scale = Some(Ok(scale));
        own
    }

    /// Cancels the write in flight. It remains in flight until it has ended.
    pub(super) fn cancel_write(&mut self) {
        self.cancel_guard = None;
    }

    /// Records a write whose response was lost, or did not come before it was cancelled. Returns its change if the
    /// target shows that it was stored.
    pub(super) fn write_unconfirmed(
        &mut self,
        now: Moment,
        from: u32,
        to: u32,
    ) -> Option<OwnChange> {
        if let Some(change) = self.in_flight.take() {
            self.forget_unconfirmed(now);
            self.unconfirmed.push(UnconfirmedWrite {
                at: now,
                from,
                to,
                change,
            });
        }
        // The watch may have shown during the write that it was stored. The target is then read again only at its next
        // change.
        self.confirm(now, self.last?)
    }

    /// Records a write that failed. Returns its change if it was stored nevertheless, or else when to write again.
    pub(super) fn write_failed(
        &mut self,
        now: Moment,
        from: u32,
        to: u32,
        error: &str,
    ) -> Result<OwnChange, Moment> {
        if let Some(own) = self.write_unconfirmed(now, from, to) {
            return Ok(own);
        }
        let retry_at = now.plus(self.backoff.next_delay());
        self.rejected = Some(RejectedWrite {
            retry_at,
            is_down: to < from,
            error: error.to_owned(),
        });
        Err(retry_at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(to: u32) -> ScaleChange {
        let change = json!({ "time": "2026-03-02T08:00:00Z", "from": 10, "to": to, "reason": "" });
        serde_json::from_value(change).unwrap()
    }

    fn read(replicas: u32) -> ScaleRead {
        ScaleRead {
            start: Instant::now(),
            written_by_us: true,
            scale: Ok(Scale {
                replicas,
                existing: None,
                selector: "app=a".to_owned(),
                uid: None,
                version: 0,
            }),
        }
    }

    #[test]
    fn any_of_several_failed_writes_may_have_been_stored() {
        let stored = |second, found| {
            let mut replicas = Replicas::default();
            replicas.observe(Moment::ORIGIN, true, read(10));
            for (second, to) in [(0, 20), (30, 24)] {
                replicas.write_begins(change(to));
                let failed = replicas.write_failed(Moment::from_secs(second), 10, to, "failed");
                assert!(failed.is_err(), "the API server may still apply it");
            }
            let own = replicas.observe(Moment::from_secs(second), true, read(found));
            own.map(|own| (own.from, own.to, own.written.unwrap().to))
        };
        assert_eq!(stored(31, 10), None);
        assert_eq!(stored(31, 20), Some((10, 20, 20)));
        assert_eq!(stored(31, 24), Some((10, 24, 24)));
        assert_eq!(stored(31, 15), None);
        // The first one is too old.
        assert_eq!(stored(61, 20), None);
        assert_eq!(stored(61, 24), Some((10, 24, 24)));
    }
}

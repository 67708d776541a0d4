//! What a scaler asks of the control loop.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_decision::{Decision, Moment};
use tokio::time::Instant;

use super::managed_scaler::Cancelled;
use crate::history::LoadSample;
use crate::report::{Report, StoredCheckpoint};
use crate::scale_target::PodRef;

/// What a scaler needs to know to handle an input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    /// The time by which decisions are made.
    pub(super) now: Moment,
    /// The same time, as requests to the API server have it.
    pub(super) instant: Instant,
    /// The same time by the wall clock.
    pub(super) clock: Timestamp,
    /// Whether this aggregator is the leader.
    pub(super) leads: bool,
}

/// The effects of one input, in order.
pub(super) type Effects = Vec<Effect>;

/// One effect of an input of a scaler. The control loop executes it, and passes the result to the scaler as an input.
#[derive(Debug)]
pub(super) enum Effect {
    /// Wakes the scaler at `at`, and no longer at `before`.
    Wake { at: Moment, before: Option<Moment> },
    /// Writes the replica count.
    Write(ScaleWrite),
    /// Removes our marks from pods.
    Unmark(Vec<PodRef>),
    /// Sets the finalizers of the PushScaler.
    SetFinalizers(FinalizerChange),
    /// Reads the checkpoint.
    ReadCheckpoint(StoredCheckpoint),
    /// Reports a status, an event or a checkpoint to the API server.
    Report(Report),
    /// Records a decision.
    Decided(Decided),
    /// Records the load of ten seconds.
    Load(LoadSample),
    /// Updates the metrics: a decision, a condition or the replica count has changed.
    UpdateMetrics,
}

/// A write of the replica count.
#[derive(Debug)]
pub(super) struct ScaleWrite {
    pub(super) from: u32,
    pub(super) to: u32,
    /// The uid of the target; `None` if it is unknown.
    pub(super) target_uid: Option<String>,
    /// The pods to mark before, which are to be deleted first.
    pub(super) marked: Vec<PodRef>,
    /// When the newest reading behind the decision was taken.
    pub(super) newest_reading: Option<Moment>,
    /// Ends when the scaler cancels the write.
    pub(super) cancelled: Cancelled,
}

/// A change of the finalizers.
#[derive(Debug)]
pub(super) struct FinalizerChange {
    /// The resource version of the PushScaler that has the finalizers before.
    pub(super) version: String,
    pub(super) finalizers: Vec<String>,
    /// The replica count to write back before; `None`: none.
    pub(super) restore: Option<u32>,
}

/// A decision.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) decision: Arc<Decision>,
    /// Whether its outcome differs from the last one's.
    pub(super) is_new: bool,
    /// Whether it could have been written.
    pub(super) leads: bool,
}

/// Returns the time since the Unix epoch.
pub(super) fn unix_time(clock: Timestamp) -> Duration {
    Duration::try_from(clock.as_duration()).unwrap_or_default()
}

//! The inputs of a scaler, and what it asks of the control loop.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Checkpoint, Decision, Moment, Reason};
use tokio::time::Instant;

use super::managed_scaler::Cancelled;
use crate::history::LoadSample;
use crate::report::StoredCheckpoint;
use crate::scale_target::PodRef;

/// One input of a scaler: what the scaler needs to know of the present, and the effects of the input, in order.
#[derive(Debug)]
pub(super) struct Context {
    /// The time by which decisions are made.
    pub(super) now: Moment,
    /// The same time, as requests to the API server have it.
    pub(super) instant: Instant,
    /// The same time by the wall clock.
    pub(super) clock: Timestamp,
    /// Whether this aggregator is the leader.
    pub(super) leads: bool,
    effects: Vec<Effect>,
    /// When the scaler is to be woken; `None`: as before.
    wake_at: Option<Moment>,
}

impl Context {
    /// Begins the input at `now`, which is `instant`.
    pub(super) fn new(now: Moment, instant: Instant, clock: Timestamp, leads: bool) -> Self {
        Self {
            now,
            instant,
            clock,
            leads,
            effects: Vec::new(),
            wake_at: None,
        }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Wakes the scaler at `at`, unless it is woken before.
    pub(super) fn wake_at(&mut self, at: Moment) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes the effects, and when the scaler is to be woken.
    pub(super) fn take(&mut self) -> (Vec<Effect>, Option<Moment>) {
        (std::mem::take(&mut self.effects), self.wake_at.take())
    }
}

/// One effect of an input of a scaler. The control loop executes it, and passes the result to the scaler as an input.
#[derive(Debug)]
pub(super) enum Effect {
    /// Writes the replica count.
    Write(ScaleWrite),
    /// Removes our marks from pods.
    Unmark(Vec<PodRef>),
    /// Sets the finalizers of the PushScaler.
    SetFinalizers(FinalizerChange),
    /// Reads the checkpoint.
    ReadCheckpoint(StoredCheckpoint),
    /// Writes the checkpoint.
    WriteCheckpoint(Learned),
    /// Writes the status.
    Status(Box<PushScalerStatus>),
    /// Reports an event.
    Event(ScalerEvent),
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

/// What a scaler has learned.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) checkpoint: Box<Checkpoint>,
    /// The time of `checkpoint`.
    pub(super) at: Timestamp,
    pub(super) stored: StoredCheckpoint,
}

/// An event of a scaler.
#[derive(Debug)]
pub(super) struct ScalerEvent {
    pub(super) warning: bool,
    pub(super) reason: Reason,
    pub(super) action: String,
    pub(super) note: String,
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

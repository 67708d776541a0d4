//! Checkpoints store what a scaler has learned beyond the lifetime of the aggregators.
//!
//! Each aggregator reads the stored one when a scaler appears, and again when it becomes the leader. Only the leader
//! writes, and only after it has read: otherwise it would replace a week by what it has seen itself.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use pushscale_daemon::backoff::Backoff;
use pushscale_decision::{Checkpoint, Clock, Moment};

use super::ManagedScaler;
use crate::control_loop::effect::{Context, Effect, Effects, unix_time};
use crate::report::{CheckpointReport, Report, StoredCheckpoint};
use crate::scale_target::ScaleError;

/// Time between two writes of one scaler: as long as the longest bucket of what is learned.
const WRITE_INTERVAL: Duration = Duration::from_secs(600);

/// Backoff after failed reads.
const READ_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// When a scaler's checkpoint is read and written.
#[derive(Debug)]
pub(super) struct CheckpointState {
    read: Read,
    backoff: Backoff,
    /// When the next write is due. Followers only count the intervals.
    write_at: Moment,
    stored: StoredCheckpoint,
}

/// The state of the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// It is due at this time; `None`: now.
    Due(Option<Moment>),
    InProgress {
        /// Whether another one is due afterwards.
        again: bool,
    },
    Done,
}

impl CheckpointState {
    /// The uid spreads the writes of all scalers over the interval.
    pub(super) fn new(now: Moment, uid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        let share = hasher.finish() % WRITE_INTERVAL.as_secs();
        Self {
            read: Read::Due(None),
            backoff: READ_BACKOFF,
            write_at: now.plus(Duration::from_secs(share)),
            stored: StoredCheckpoint::default(),
        }
    }

    /// Makes a read due.
    pub(super) fn read_again(&mut self) {
        self.read = match self.read {
            Read::InProgress { .. } => Read::InProgress { again: true },
            Read::Due(_) | Read::Done => Read::Due(None),
        };
    }

    fn begin_read(&mut self) -> Effect {
        self.read = Read::InProgress { again: false };
        Effect::ReadCheckpoint(self.stored.clone())
    }

    fn is_read_due(&self, now: Moment) -> bool {
        matches!(self.read, Read::Due(at) if at.is_none_or(|at| at <= now))
    }

    /// Returns whether a write is due, and counts it.
    fn takes_write(&mut self, now: Moment) -> bool {
        if now < self.write_at {
            return false;
        }
        while self.write_at <= now {
            self.write_at = self.write_at.plus(WRITE_INTERVAL);
        }
        self.read == Read::Done
    }
}

impl ManagedScaler {
    /// Reads or writes the checkpoint if that is due.
    pub(super) fn update_checkpoint(&mut self, context: &Context, effects: &mut Effects) {
        if !self.has_checkpoint() {
            return;
        }
        if self.checkpoint.is_read_due(context.now) {
            effects.push(self.checkpoint.begin_read());
        } else if self.checkpoint.takes_write(context.now)
            && context.leads
            && let Some(report) = self.checkpoint_report(context, false)
        {
            effects.push(Effect::Report(report));
        }
    }

    /// Begins the read of the checkpoint if it is to be read, however soon. Returns whether one is in progress.
    pub(crate) fn finish_read(&mut self, effects: &mut Effects) -> bool {
        if !self.has_checkpoint() {
            return false;
        }
        if let Read::Due(_) = self.checkpoint.read {
            effects.push(self.checkpoint.begin_read());
        }
        self.checkpoint.read != Read::Done
    }

    /// Returns the checkpoint to write before the exit, if the stored one was read.
    pub(crate) fn last_checkpoint(&self, context: &Context) -> Option<Report> {
        let is_read = self.checkpoint.read == Read::Done;
        let is_due = is_read && self.has_checkpoint();
        is_due.then(|| self.checkpoint_report(context, true))?
    }

    pub(crate) fn checkpoint_read(
        &mut self,
        context: &Context,
        outcome: Result<Option<Box<Checkpoint>>, ScaleError>,
        effects: &mut Effects,
    ) {
        let now = context.now;
        let state = &mut self.checkpoint;
        let again = state.read == Read::InProgress { again: true };
        let next = match outcome {
            Ok(found) => {
                state.backoff.reset();
                state.read = if again { Read::Due(None) } else { Read::Done };
                if let (Some(found), Some(engine)) = (found, &mut self.engine) {
                    engine.restore_checkpoint(clock(context), &found);
                    tracing::info!(autoscaler = %self.key, models = found.models.len(), "checkpoint restored");
                }
                now
            }
            Err(_) => {
                let at = now.plus(state.backoff.next_delay());
                state.read = Read::Due(Some(at));
                at
            }
        };
        self.wake_at(next, effects);
    }

    /// Whether there is something to store, and an object to store it for.
    fn has_checkpoint(&self) -> bool {
        self.engine.is_some() && !self.deletion.deleting
    }

    /// Returns what was learned; `None` if that is nothing.
    fn checkpoint_report(&self, context: &Context, is_last: bool) -> Option<Report> {
        let checkpoint = self.engine.as_ref()?.checkpoint(clock(context));
        (!checkpoint.models.is_empty()).then(|| {
            Report::Checkpoint(CheckpointReport {
                scaler: self.key.clone(),
                uid: self.uid.clone(),
                target: self.target.clone(),
                at: context.clock,
                checkpoint: Box::new(checkpoint),
                is_last,
                stored: self.checkpoint.stored.clone(),
            })
        })
    }
}

fn clock(context: &Context) -> Clock {
    Clock {
        now: context.now,
        unix: unix_time(context.clock),
    }
}

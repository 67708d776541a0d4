//! Checkpoints store what a scaler has learned beyond the lifetime of the aggregators.
//!
//! Each aggregator reads the stored one when a scaler appears, and again when it becomes the leader. Only the leader
//! writes, and only after it has read: otherwise it would replace a week by what it has seen itself.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_daemon::backoff::Backoff;
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_decision::{Checkpoint, Clock, Moment};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::checkpoint;
use crate::event::{Event, WatchId};
use crate::metrics::ApiRequest;
use crate::names::ScalerKey;
use crate::report::{CheckpointReport, Report, StoredCheckpoint};
use crate::scale_target::{ScaleError, api_succeeded};

/// Time between two writes of one scaler: as long as the longest bucket of what is learned.
const WRITE_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum concurrent reads.
const MAX_READS: usize = 4;

/// Backoff after failed reads.
const READ_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));

/// What the reads of all scalers share.
#[derive(Debug)]
pub(super) struct CheckpointReads {
    permits: Arc<Semaphore>,
    failure_log: LogLimiter,
}

impl Default for CheckpointReads {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_READS)),
            failure_log: LogLimiter::default(),
        }
    }
}

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

/// Returns the time since the Unix epoch.
pub(super) fn unix_time() -> Duration {
    Duration::try_from(Timestamp::now().as_duration()).unwrap_or_default()
}

impl ControlLoop {
    /// Reads or writes the checkpoint if that is due.
    pub(super) fn update_checkpoint(&mut self, now: Moment, key: &ScalerKey) {
        let leads = self.leads();
        let clock = self.clock(now);
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        if scaler.engine.is_none() || scaler.deletion.deleting {
            return;
        }
        if scaler.checkpoint.is_read_due(now) {
            self.read_checkpoint(key);
        } else if scaler.checkpoint.takes_write(now)
            && leads
            && let Some(report) = scaler.checkpoint_report(clock, key, false)
        {
            self.report(report);
        }
    }

    /// Reads the checkpoint in a separate task, which ends with [`Event::CheckpointRead`].
    fn read_checkpoint(&mut self, key: &ScalerKey) {
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        scaler.checkpoint.read = Read::InProgress { again: false };
        let (watch, uid) = (scaler.watch.clone(), scaler.uid.clone());
        let target = scaler.target.clone();
        let scale_target = Arc::clone(&self.scale_target);
        let (events, metrics) = (self.events_tx.clone(), self.metrics.clone());
        let permits = Arc::clone(&self.checkpoint_reads.permits);
        let stored = scaler.checkpoint.stored.clone();
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let begun = Instant::now();
            let found = scale_target.read_checkpoint(&watch.scaler).await;
            metrics.api_request_ended(ApiRequest::CheckpointRead, begun, api_succeeded(&found));
            if let Ok(found) = &found {
                stored.record(found.as_ref().map(|found| &found.metadata));
            }
            let outcome = found.map(|found| {
                let checkpoint = checkpoint::learned(&found?, &watch.scaler, &uid, &target);
                checkpoint.map(Box::new)
            });
            let read = Event::CheckpointRead { watch, outcome };
            if events.send(read).await.is_err() {
                tracing::debug!("checkpoint read after the control loop exited");
            }
        });
    }

    pub(super) fn checkpoint_read(
        &mut self,
        watch: &WatchId,
        outcome: Result<Option<Box<Checkpoint>>, ScaleError>,
    ) {
        let now = self.now();
        let clock = self.clock(now);
        let key = &watch.scaler;
        let scaler = self.scalers.get_mut(key);
        let Some(scaler) = scaler.filter(|scaler| scaler.watch == *watch) else {
            return;
        };
        let state = &mut scaler.checkpoint;
        let again = state.read == Read::InProgress { again: true };
        let next = match outcome {
            Ok(found) => {
                state.backoff.reset();
                state.read = if again { Read::Due(None) } else { Read::Done };
                if let (Some(found), Some(engine)) = (found, &mut scaler.engine) {
                    engine.restore_checkpoint(clock, &found);
                    tracing::info!(autoscaler = %key, models = found.models.len(), "checkpoint restored");
                }
                now
            }
            Err(error) => {
                let at = now.plus(state.backoff.next_delay());
                state.read = Read::Due(Some(at));
                let log = &self.checkpoint_reads.failure_log;
                if let Some(left_out) = log.allow(Instant::now().into_std()) {
                    tracing::warn!(autoscaler = %key, %error, left_out, "failed to read the checkpoint");
                }
                at
            }
        };
        self.mark_due(key, next);
    }

    /// Reports what is known before the exit: all checkpoints, with what was learned since the last write, and the
    /// results of the writes in flight.
    ///
    /// A leader that has not read a checkpoint yet, or not again since it became the leader, reads it first. A failed
    /// read is not repeated. The caller limits the time: an API server that does not respond must not delay the exit.
    pub(super) async fn report_at_exit(&mut self, events: &mut mpsc::Receiver<Event>) {
        // This aggregator may have become the leader since the last turn.
        self.update_role();
        if !self.leads() {
            return;
        }
        let mut unread = BTreeSet::new();
        let keys: Vec<_> = self.scalers.keys().cloned().collect();
        for key in keys {
            if self.finish_read(&key) {
                unread.insert(key);
            } else {
                self.report_last_checkpoint(&key).await;
            }
        }
        while !unread.is_empty() || self.is_writing() {
            let Some(event) = events.recv().await else {
                return;
            };
            match event {
                Event::CheckpointRead { watch, outcome } => {
                    let failed = outcome.is_err();
                    self.checkpoint_read(&watch, outcome);
                    let key = watch.scaler;
                    if failed || !self.finish_read(&key) {
                        unread.remove(&key);
                        self.report_last_checkpoint(&key).await;
                    }
                }
                finished @ Event::WriteFinished { .. } => self.handle(finished),
                // The sender of another event sees that its reply is dropped.
                _ => {}
            }
        }
    }

    fn is_writing(&self) -> bool {
        let mut scalers = self.scalers.values();
        scalers.any(|scaler| scaler.replicas.is_writing())
    }

    /// Begins the read of a checkpoint if it is due. Returns whether one is in progress.
    fn finish_read(&mut self, key: &ScalerKey) -> bool {
        let Some(scaler) = self.scalers.get_mut(key) else {
            return false;
        };
        if scaler.engine.is_none() || scaler.deletion.deleting {
            return false;
        }
        if let Read::Due(_) = scaler.checkpoint.read {
            self.read_checkpoint(key);
            return true;
        }
        scaler.checkpoint.read != Read::Done
    }

    /// Reports what this scaler has learned, if its checkpoint was read.
    async fn report_last_checkpoint(&self, key: &ScalerKey) {
        let clock = self.clock(self.now());
        let scaler = self
            .scalers
            .get(key)
            .filter(|scaler| scaler.checkpoint.read == Read::Done && !scaler.deletion.deleting);
        if let Some(report) = scaler.and_then(|scaler| scaler.checkpoint_report(clock, key, true))
            && self.reports.send(report).await.is_err()
        {
            tracing::debug!(autoscaler = %key, "checkpoint not written: the reports ended first");
        }
    }

    fn clock(&self, now: Moment) -> Clock {
        Clock {
            now,
            unix: unix_time(),
        }
    }
}

impl ManagedScaler {
    /// Returns what was learned; `None` if that is nothing.
    fn checkpoint_report(&self, clock: Clock, key: &ScalerKey, is_last: bool) -> Option<Report> {
        let checkpoint = self.engine.as_ref()?.checkpoint(clock);
        (!checkpoint.models.is_empty()).then(|| {
            Report::Checkpoint(CheckpointReport {
                scaler: key.clone(),
                uid: self.uid.clone(),
                target: self.target.clone(),
                at: Timestamp::now(),
                checkpoint: Box::new(checkpoint),
                is_last,
                stored: self.checkpoint.stored.clone(),
            })
        })
    }
}

//! Reads of checkpoints, and what is reported before the exit.

use std::collections::BTreeSet;

use pushscale_decision::Checkpoint;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use crate::event::{Event, WatchId};
use crate::names::ScalerKey;
use crate::scale_target::ScaleError;

impl ControlLoop {
    pub(super) fn checkpoint_read(
        &mut self,
        watch: &WatchId,
        outcome: Result<Option<Box<Checkpoint>>, ScaleError>,
    ) {
        let failure = outcome.as_ref().err().cloned();
        let is_watched = self.scalers.with_watched(watch, |scaler, context| {
            scaler.checkpoint_read(context, outcome);
        });
        let log = &self.checkpoint_failure_log;
        if is_watched.is_some()
            && let Some(error) = failure
            && let Some(left_out) = log.allow(Instant::now().into_std())
        {
            tracing::warn!(autoscaler = %watch.scaler, %error, left_out, "failed to read the checkpoint");
        }
    }

    /// Reports what is known before the exit: all checkpoints, with what was learned since the last write, and the
    /// results of the writes in flight.
    ///
    /// A leader that has not read a checkpoint yet, or not again since it became the leader, reads it first. A failed
    /// read is not repeated. The caller limits the time: an API server that does not respond must not delay the exit.
    pub(super) async fn report_at_exit(&mut self, events: &mut mpsc::Receiver<Event>) {
        // This aggregator may have become the leader since the last turn.
        self.update_role();
        if !self.scalers.leads() {
            return;
        }
        let mut unread = BTreeSet::new();
        for key in self.scalers.keys() {
            if self.finish_read(&key) {
                unread.insert(key);
            } else {
                self.report_last_checkpoint(&key).await;
            }
        }
        while !unread.is_empty() || self.scalers.is_writing() {
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

    /// Begins the read of a checkpoint if it is due. Returns whether one is in progress.
    fn finish_read(&mut self, key: &ScalerKey) -> bool {
        let is_reading = self.scalers.with(key, ManagedScaler::finish_read);
        is_reading.unwrap_or(false)
    }

    /// Reports what this scaler has learned, if its checkpoint was read.
    async fn report_last_checkpoint(&self, key: &ScalerKey) {
        let context = self.scalers.context();
        if let Some(scaler) = self.scalers.get(key)
            && let Some(learned) = scaler.last_checkpoint(&context)
        {
            let reporter = &self.scalers.reporter;
            reporter.last_checkpoint(key, scaler, learned).await;
        }
    }
}

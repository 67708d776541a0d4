//! Requests of the scalers, each in a separate task that ends with an event. None delays the control loop.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::effect::{FinalizerChange, ScaleWrite};
use super::managed_scaler::ManagedScaler;
use super::marks::MarkReporter;
use super::restore::restore;
use super::scale_write::{write_as_leader, write_scale};
use crate::checkpoint;
use crate::event::{Event, Restore};
use crate::leadership::Leadership;
use crate::metrics::{ApiRequest, DeletionCostOutcome, Metrics};
use crate::names::{ScalerKey, TargetRef};
use crate::report::StoredCheckpoint;
use crate::scale_target::{PodRef, ScaleError, ScaleTarget, api_succeeded};

/// Maximum concurrent reads of checkpoints.
const MAX_CHECKPOINT_READS: usize = 4;

/// What the requests need. Each checks the leadership at the moment of the write.
pub(super) struct Requests {
    scale_target: Arc<dyn ScaleTarget>,
    leadership: Leadership,
    events: mpsc::Sender<Event>,
    mark_reporter: MarkReporter,
    checkpoint_reads: Arc<Semaphore>,
    metrics: Metrics,
}

impl Requests {
    pub(super) fn new(
        scale_target: Arc<dyn ScaleTarget>,
        leadership: Leadership,
        events: mpsc::Sender<Event>,
        metrics: Metrics,
    ) -> Self {
        Self {
            scale_target,
            leadership,
            events,
            mark_reporter: MarkReporter::new(metrics.clone()),
            checkpoint_reads: Arc::new(Semaphore::new(MAX_CHECKPOINT_READS)),
            metrics,
        }
    }

    /// Whether pods can be marked for deletion.
    pub(super) fn marks_pods(&self) -> bool {
        self.scale_target.marks_pods()
    }

    /// Writes the replica count. Ends with [`Event::WriteFinished`].
    pub(super) fn write(&self, term: u64, scaler: &ManagedScaler, write: ScaleWrite) {
        let ScaleWrite {
            from,
            to,
            target_uid: uid,
            marked,
            newest_reading,
            cancelled,
        } = write;
        let (target, watch) = (scaler.id.target.clone(), scaler.id.watch.clone());
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let events = self.events.clone();
        let mark_reporter = self.mark_reporter.clone();
        let metrics = self.metrics.clone();
        tokio::spawn(async move {
            let mut marks_forbidden = None;
            // The marks are a hint: the replica count is written whether or not they succeed.
            if !marked.is_empty() {
                let mark = scale_target.mark_for_deletion(&target, &marked);
                if let Some(result) = leadership.write_until_end(term, mark).await {
                    mark_reporter.report(&watch.scaler, &result, DeletionCostOutcome::Marked);
                    let is_known = result.forbidden || result.updated > 0;
                    marks_forbidden = is_known.then_some(result.forbidden);
                }
            }
            let write = write_scale(&*scale_target, &target, uid.as_deref(), from, to, &metrics);
            let outcome = tokio::select! {
                biased;
                // The scaler is gone, or no longer writes.
                _ = cancelled => Err(ScaleError::Cancelled { target: target.to_string() }),
                outcome = write_as_leader(&leadership, term, &target, write) => outcome,
            };
            let finished = Event::WriteFinished {
                watch,
                target,
                from,
                to,
                marked,
                newest_reading,
                marks_forbidden,
                outcome,
            };
            if events.send(finished).await.is_err() {
                tracing::debug!("write finished after the control loop exited");
            }
        });
    }

    /// Changes the finalizers. Ends with [`Event::FinalizerChanged`].
    pub(super) fn set_finalizers(
        &self,
        term: u64,
        scaler: &ManagedScaler,
        change: FinalizerChange,
    ) {
        let FinalizerChange {
            version,
            finalizers,
            restore: replicas,
        } = change;
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let (target, watch) = (scaler.id.target.clone(), scaler.id.watch.clone());
        let uid = scaler.id.uid.clone();
        let (events, metrics) = (self.events.clone(), self.metrics.clone());
        tokio::spawn(async move {
            let mut restored = Restore::NotDue;
            let outcome = write_as_leader(&leadership, term, &target, async {
                if let Some(replicas) = replicas {
                    restored = restore(&*scale_target, &target, replicas, &metrics).await?;
                }
                let scaler = &watch.scaler;
                scale_target
                    .set_finalizers(scaler, &version, &finalizers)
                    .await
            })
            .await;
            let changed = Event::FinalizerChanged {
                watch,
                uid,
                restore: restored,
                outcome: outcome.map(|()| version),
            };
            if events.send(changed).await.is_err() {
                tracing::debug!("finalizer changed after the control loop exited");
            }
        });
    }

    /// Reads the checkpoint. Ends with [`Event::CheckpointRead`].
    pub(super) fn read_checkpoint(&self, scaler: &ManagedScaler, stored: StoredCheckpoint) {
        let (watch, uid) = (scaler.id.watch.clone(), scaler.id.uid.clone());
        let target = scaler.id.target.clone();
        let scale_target = Arc::clone(&self.scale_target);
        let (events, metrics) = (self.events.clone(), self.metrics.clone());
        let permits = Arc::clone(&self.checkpoint_reads);
        tokio::spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire().await;
            let start = Instant::now();
            let found = scale_target.read_checkpoint(&watch.scaler).await;
            metrics.api_request_ended(ApiRequest::CheckpointRead, start, api_succeeded(&found));
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

    /// Removes marks of pods. The watch of the pods reports the result.
    pub(super) fn unmark(&self, term: u64, key: &ScalerKey, target: &TargetRef, pods: Vec<PodRef>) {
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let mark_reporter = self.mark_reporter.clone();
        let (scaler, target) = (key.clone(), target.clone());
        tokio::spawn(async move {
            let unmark = scale_target.unmark(&target, &pods);
            if let Some(result) = leadership.write_until_end(term, unmark).await {
                mark_reporter.report(&scaler, &result, DeletionCostOutcome::Unmarked);
            }
        });
    }
}

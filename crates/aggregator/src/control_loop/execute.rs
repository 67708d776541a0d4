//! Passes inputs to the scalers and executes their effects.

use std::sync::Arc;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Hold, Outcome};
use tokio::time::Instant;

use super::ControlLoop;
use super::audit;
use super::effect::{Context, Decided, Effect, FinalizerChange, Learned, ScaleWrite, ScalerEvent};
use super::managed_scaler::ManagedScaler;
use super::restore::restore;
use super::scale_write::{write_as_leader, write_scale};
use crate::checkpoint;
use crate::event::{Event, Restore, WatchId};
use crate::metrics::{ApiRequest, DecisionOutcome, DeletionCostOutcome};
use crate::names::ScalerKey;
use crate::report::{CheckpointReport, EventReport, Report, StatusReport, StoredCheckpoint};
use crate::scale_target::{ScaleError, api_succeeded};

impl ControlLoop {
    /// Returns what scalers need to know of the present.
    pub(super) fn context(&self) -> Context {
        Context::new(self.now(), Instant::now(), Timestamp::now(), self.leads())
    }

    /// Calls `f` with a scaler and executes the effects. Returns its result; `None` if there is no such scaler.
    pub(super) fn with_scaler<T>(
        &mut self,
        key: &ScalerKey,
        f: impl FnOnce(&mut ManagedScaler, &mut Context) -> T,
    ) -> Option<T> {
        let mut context = self.context();
        let scaler = self.scalers.get_mut(key)?;
        let output = f(scaler, &mut context);
        self.execute(key, &mut context);
        Some(output)
    }

    /// Calls `f` with the scaler of this watch and executes the effects. Returns its result; `None` if the watch was
    /// replaced: the scaler is gone, or has another target by now.
    pub(super) fn with_watched_scaler<T>(
        &mut self,
        watch: &WatchId,
        f: impl FnOnce(&mut ManagedScaler, &mut Context) -> T,
    ) -> Option<T> {
        let scaler = self.scalers.get(&watch.scaler)?;
        if scaler.watch() != watch {
            return None;
        }
        self.with_scaler(&watch.scaler, f)
    }

    /// Executes the effects of an input of a scaler.
    pub(super) fn execute(&mut self, key: &ScalerKey, context: &mut Context) {
        let (effects, wake_at) = context.take();
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        if let Some((at, before)) = wake_at.and_then(|at| scaler.wake_at(at)) {
            if let Some(before) = before {
                self.due.remove(&(before, key.clone()));
            }
            self.due.insert((at, key.clone()));
        }
        for effect in effects {
            match effect {
                Effect::Write(write) => self.write(key, write),
                Effect::Unmark(pods) => self.unmark(key, pods),
                Effect::SetFinalizers(change) => self.set_finalizers(key, change),
                Effect::ReadCheckpoint(stored) => self.read_checkpoint(key, stored),
                Effect::WriteCheckpoint(learned) => {
                    if let Some(scaler) = self.scalers.get(key) {
                        self.report(checkpoint_report(key, scaler, learned, false));
                    }
                }
                Effect::Status(status) => self.report_status(key, status),
                Effect::Event(event) => self.report_event(key, event),
                Effect::Decided(decided) => self.record_decision(key, &decided),
                Effect::Load(sample) => {
                    if let Some(scaler) = self.scalers.get(key) {
                        self.history.load(scaler.subject(), sample);
                    }
                }
                Effect::UpdateMetrics => self.update_metrics(key),
            }
        }
    }

    fn report_status(&mut self, key: &ScalerKey, status: Box<PushScalerStatus>) {
        let now = self.now();
        let Some(uid) = self.scalers.get(key).map(|scaler| scaler.uid().to_owned()) else {
            return;
        };
        let report = Report::Status(StatusReport {
            scaler: key.clone(),
            uid,
            status: status.clone(),
        });
        if self.report(report)
            && let Some(scaler) = self.scalers.get_mut(key)
        {
            scaler.status_queued(now, *status);
        }
    }

    fn report_event(&self, key: &ScalerKey, event: ScalerEvent) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        let ScalerEvent {
            warning,
            reason,
            action,
            note,
        } = event;
        let reason = reason.as_str();
        if warning {
            tracing::warn!(autoscaler = %key, reason, note, "autoscaler warning");
        }
        self.report(Report::Event(EventReport {
            scaler: key.clone(),
            uid: scaler.uid().to_owned(),
            warning,
            reason,
            action,
            note,
        }));
    }

    fn record_decision(&mut self, key: &ScalerKey, decided: &Decided) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        let decision = &decided.decision;
        self.metrics.decided(if decided.leads {
            outcome_of(decision)
        } else {
            DecisionOutcome::Following
        });
        self.history
            .decided(scaler.subject(), decision, decided.is_new);
        // A follower decides too, but its decisions have no effect.
        if decided.is_new && self.leads() {
            audit::log(key, scaler.target(), decision);
        }
    }

    /// Exports the last decision, the current conditions, and the load of the pods.
    fn update_metrics(&self, key: &ScalerKey) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        self.metrics.record_scaler(key, || scaler.sample());
        if let Some(store) = &self.external_metrics
            && let Some(sample) = scaler.external_sample(&self.context())
        {
            store.record(&key.namespace, &key.name, sample);
        }
    }

    /// Queues a report without waiting: a slow API server must not delay decisions. Returns whether it was queued.
    pub(super) fn report(&self, report: Report) -> bool {
        let sent = self.reports.try_send(report).is_ok();
        if !sent && !self.reports.is_closed() {
            self.metrics.report_dropped();
        }
        sent || self.reports.is_closed()
    }

    /// Writes the replica count in a separate task, which ends with [`Event::WriteFinished`].
    fn write(&self, key: &ScalerKey, write: ScaleWrite) {
        let (Some(term), Some(scaler)) = (self.term, self.scalers.get(key)) else {
            return;
        };
        let ScaleWrite {
            from,
            to,
            target_uid: uid,
            marked,
            newest_reading,
            cancelled,
        } = write;
        let (target, watch) = (scaler.target().clone(), scaler.watch().clone());
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let events = self.events_tx.clone();
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

    /// Changes the finalizers in a separate task, which ends with [`Event::FinalizerChanged`].
    fn set_finalizers(&self, key: &ScalerKey, change: FinalizerChange) {
        let (Some(term), Some(scaler)) = (self.term, self.scalers.get(key)) else {
            return;
        };
        let FinalizerChange {
            version,
            finalizers,
            restore: replicas,
        } = change;
        let replicas = replicas.filter(|_| match self.other_writer(key, scaler) {
            Some(other) => {
                tracing::info!(autoscaler = %key, other, "replicas not restored: another autoscaler has the target");
                false
            }
            None => true,
        });
        let scale_target = Arc::clone(&self.scale_target);
        let leadership = self.leadership.clone();
        let (target, watch) = (scaler.target().clone(), scaler.watch().clone());
        let uid = scaler.uid().to_owned();
        let (events, metrics) = (self.events_tx.clone(), self.metrics.clone());
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

    /// Reads the checkpoint in a separate task, which ends with [`Event::CheckpointRead`].
    fn read_checkpoint(&self, key: &ScalerKey, stored: StoredCheckpoint) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        let (watch, uid) = (scaler.watch().clone(), scaler.uid().to_owned());
        let target = scaler.target().clone();
        let scale_target = Arc::clone(&self.scale_target);
        let (events, metrics) = (self.events_tx.clone(), self.metrics.clone());
        let permits = Arc::clone(&self.checkpoint_reads.permits);
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
}

/// Returns the report of what a scaler has learned.
pub(super) fn checkpoint_report(
    key: &ScalerKey,
    scaler: &ManagedScaler,
    learned: Learned,
    is_last: bool,
) -> Report {
    let Learned {
        checkpoint,
        at,
        stored,
    } = learned;
    Report::Checkpoint(CheckpointReport {
        scaler: key.clone(),
        uid: scaler.uid().to_owned(),
        target: scaler.target().clone(),
        at,
        checkpoint,
        is_last,
        stored,
    })
}

fn outcome_of(decision: &Decision) -> DecisionOutcome {
    match &decision.outcome {
        Outcome::Scale { from, to, .. } if to > from => DecisionOutcome::ScaleUp,
        Outcome::Scale { .. } => DecisionOutcome::ScaleDown,
        Outcome::Recommend { .. } => DecisionOutcome::Recommended,
        Outcome::Hold(Hold::ModeOff) => DecisionOutcome::ModeOff,
        Outcome::Hold(Hold::RightSize) => DecisionOutcome::RightSize,
        Outcome::Hold(Hold::TargetUnreadable) => DecisionOutcome::TargetUnreadable,
        Outcome::Hold(Hold::Conflict) => DecisionOutcome::Conflict,
        Outcome::Hold(Hold::Disabled) => DecisionOutcome::Disabled,
        Outcome::Hold(Hold::SelectorUnusable) => DecisionOutcome::SelectorUnusable,
        Outcome::Hold(Hold::InsufficientData) => DecisionOutcome::InsufficientData,
    }
}

//! Reports what scalers decide: to the API server, in the metrics, and in the history.

use std::time::Duration;

use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Hold, Moment, Outcome, Reason};
use pushscale_external_metrics::Store;
use tokio::sync::mpsc;

use super::audit;
use super::effect::{Context, Decided, Learned, ScalerEvent};
use super::managed_scaler::ManagedScaler;
use crate::event::ScalerFacts;
use crate::history::{HistorySender, LoadSample};
use crate::metrics::{DecisionOutcome, Metrics, ScaleWriteOutcome};
use crate::names::ScalerKey;
use crate::report::{CheckpointReport, EventReport, Report, StatusReport};
use crate::scale_target::{ScaleError, Written};

/// Where reports go. None of them waits, except at the exit.
pub(super) struct Reporter {
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) metrics: Metrics,
    /// The store behind the external metrics; `None` if they are not served.
    pub(super) external_metrics: Option<Store>,
    pub(super) history: HistorySender,
}

impl Reporter {
    /// Queues a report without waiting: a slow API server must not delay decisions. Returns whether it was queued.
    pub(super) fn report(&self, report: Report) -> bool {
        let sent = self.reports.try_send(report).is_ok();
        if !sent && !self.reports.is_closed() {
            self.metrics.report_dropped();
        }
        sent || self.reports.is_closed()
    }

    /// Counts the end of a write of the replica count, which a reading from `newest_reading` caused.
    pub(super) fn write_finished(
        &self,
        now: Moment,
        newest_reading: Option<Moment>,
        outcome: &Result<Written, ScaleError>,
    ) {
        self.metrics.scale_written(match outcome {
            Ok(Written::Done(_)) => ScaleWriteOutcome::Written,
            Ok(Written::Conflict(_)) => ScaleWriteOutcome::Conflict,
            Err(ScaleError::Cancelled { .. }) => return,
            Err(_) => ScaleWriteOutcome::Failed,
        });
        if let (Some(taken), Ok(Written::Done(_))) = (newest_reading, outcome) {
            self.metrics.reacted(now.since(taken));
        }
    }

    pub(super) fn turn_ended(&mut self, duration: Duration) {
        self.history.send_removals();
        self.metrics.turn_ended(duration);
    }

    /// Reports that the lists of everything that could forbid a write are complete.
    pub(super) fn listed(&self) {
        if let Some(store) = &self.external_metrics {
            store.set_listed();
        }
    }

    /// Reports a PushScaler. `has_changed`: more than its status.
    pub(super) fn applied(
        &mut self,
        facts: &ScalerFacts,
        scaler: &ManagedScaler,
        has_changed: bool,
    ) {
        if has_changed {
            self.history
                .applied(&scaler.id.subject, scaler.decisions.problem_texts());
        }
        if let Some(store) = &self.external_metrics {
            let (labels, target) = (facts.labels.clone(), &facts.target);
            let target = format!("{} {target}", target.api_version);
            store.apply(&facts.key.namespace, &facts.key.name, labels, target);
        }
    }

    pub(super) fn removed(&mut self, key: &ScalerKey) {
        self.metrics.scaler_removed(key);
        self.history.removed(key);
        if let Some(store) = &self.external_metrics {
            store.remove(&key.namespace, &key.name);
        }
        tracing::info!(autoscaler = %key, "scaler removed");
    }

    pub(super) fn status(
        &self,
        context: &Context,
        scaler: &mut ManagedScaler,
        key: &ScalerKey,
        status: Box<PushScalerStatus>,
    ) {
        let report = Report::Status(StatusReport {
            scaler: key.clone(),
            uid: scaler.id.uid.clone(),
            status: status.clone(),
        });
        if self.report(report) {
            scaler.publisher.status_queued(context.now, *status);
        }
    }

    pub(super) fn event(&self, key: &ScalerKey, uid: String, event: ScalerEvent) {
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
            uid,
            warning,
            reason,
            action,
            note,
        }));
    }

    /// Reports that the replica count was written back. The PushScaler may be gone.
    pub(super) fn restored(&self, key: &ScalerKey, uid: String, replicas: u32) {
        tracing::info!(autoscaler = %key, replicas, "replicas restored");
        let event = ScalerEvent {
            warning: false,
            reason: Reason::SuccessfulRescale,
            action: format!("RestoreTo{replicas}"),
            note: format!("New size: {replicas}; reason: onDelete is Restore"),
        };
        self.event(key, uid, event);
    }

    pub(super) fn checkpoint(&self, key: &ScalerKey, scaler: &ManagedScaler, learned: Learned) {
        self.report(checkpoint_report(key, scaler, learned, false));
    }

    /// Reports a checkpoint before the exit, and waits until it is queued.
    pub(super) async fn last_checkpoint(
        &self,
        key: &ScalerKey,
        scaler: &ManagedScaler,
        learned: Learned,
    ) {
        let report = checkpoint_report(key, scaler, learned, true);
        if self.reports.send(report).await.is_err() {
            tracing::debug!(autoscaler = %key, "checkpoint not written: the reports ended first");
        }
    }

    pub(super) fn decided(
        &mut self,
        context: &Context,
        key: &ScalerKey,
        scaler: &ManagedScaler,
        decided: &Decided,
    ) {
        let decision = &decided.decision;
        self.metrics.decided(if decided.leads {
            outcome_of(decision)
        } else {
            DecisionOutcome::Following
        });
        self.history
            .decided(&scaler.id.subject, decision, decided.is_new);
        // A follower decides too, but its decisions have no effect.
        if decided.is_new && context.leads {
            audit::log(key, &scaler.id.target, decision);
        }
    }

    pub(super) fn load(&mut self, scaler: &ManagedScaler, sample: LoadSample) {
        self.history.load(&scaler.id.subject, sample);
    }

    /// Exports the last decision, the current conditions, and the load of the pods.
    pub(super) fn update_metrics(
        &self,
        context: &Context,
        key: &ScalerKey,
        scaler: &ManagedScaler,
    ) {
        self.metrics
            .record_scaler(key, || scaler.decisions.sample());
        if let Some(store) = &self.external_metrics
            && let Some(at_zero) = scaler.object.is_at_zero()
        {
            let sample = scaler.decisions.external_sample(context, at_zero);
            store.record(&key.namespace, &key.name, sample);
        }
    }
}

/// Returns the report of what a scaler has learned.
fn checkpoint_report(
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
        uid: scaler.id.uid.clone(),
        target: scaler.id.target.clone(),
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

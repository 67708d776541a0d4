//! Publishes decisions: the same explanation in the status, in events and on the pages.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Moment, Outcome, Reason, Warning};

use super::ControlLoop;
use super::audit;
use super::managed_scaler::ManagedScaler;
use crate::history::{LOAD_SECONDS, LoadSample};
use crate::names::ScalerKey;
use crate::report::{EventReport, Report, StatusReport};
use crate::status::differs_in_substance;
use crate::view::ScalerView;

/// Minimum interval between status writes that change only figures. The HPA writes its status every 15 s.
const FIGURES_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum interval between other status writes.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a metric must be missing before it causes a warning.
const METRIC_WARNING_DELAY: Duration = Duration::from_secs(5);

/// Minimum interval between identical warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(300);

impl ControlLoop {
    /// Publishes a new decision.
    pub(super) fn publish_decision(&mut self, now: Moment, key: &ScalerKey, decision: Decision) {
        for warning in self.due_warnings(now, key, &decision) {
            self.warn(now, key, warning.reason, warning.message);
        }
        let leads = self.leads();
        if let Some(scaler) = self.scalers.get_mut(key) {
            let decision = Arc::new(decision);
            let has_changed = scaler.is_new(&decision);
            let subject = &scaler.subject;
            self.history.decided(subject, &decision, has_changed);
            // A follower decides too, but its decisions have no effect.
            if has_changed && leads {
                audit::log(key, &scaler.target, &decision);
            }
            scaler.last_decision = Some(decision);
            scaler.decided_generation = scaler.generation;
        }
        self.record_load(now, key);
        self.publish_status(now, key);
    }

    /// Records the load of each ten seconds once they are complete.
    fn record_load(&mut self, now: Moment, key: &ScalerKey) {
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        let Some(engine) = &scaler.engine else { return };
        for number in scaler.load_clock.completed(now) {
            let length = u64::from(LOAD_SECONDS);
            let seconds = number * length..(number + 1) * length;
            let age = now.since(Moment::from_secs(seconds.start));
            let sample = LoadSample {
                number,
                start: Timestamp::now().checked_sub(age).unwrap_or_default(),
                load: engine.measured_load(seconds),
            };
            self.history.load(&scaler.subject, sample);
        }
    }

    /// Returns the decision's warnings. Those about a metric are left out until it has been missing for a while,
    /// because every metric is missing at startup.
    fn due_warnings(&mut self, now: Moment, key: &ScalerKey, decision: &Decision) -> Vec<Warning> {
        let is_metric_warning = |warning: &&Warning| {
            matches!(
                warning.reason,
                Reason::FailedGetPodsMetric | Reason::FailedComputeMetricsReplicas
            )
        };
        let Some(scaler) = self.scalers.get_mut(key) else {
            return Vec::new();
        };
        if !decision
            .warnings
            .iter()
            .any(|warning| is_metric_warning(&warning))
        {
            scaler.metric_failing_since = None;
            return decision.warnings.clone();
        }
        let since = *scaler.metric_failing_since.get_or_insert(now);
        let is_due = now.since(since) >= METRIC_WARNING_DELAY;
        decision
            .warnings
            .iter()
            .filter(|warning| is_due || !is_metric_warning(warning))
            .cloned()
            .collect()
    }

    /// Publishes the last decision with the current conditions, or what is wrong with the spec.
    pub(super) fn publish_status(&mut self, now: Moment, key: &ScalerKey) {
        self.record_sample(key);
        self.record_external_metrics(now, key);
        // A follower leaves the history of the conditions as the leader's status has it. A new leader reads it first.
        let leads = self.leads();
        let scaler = self.scalers.get_mut(key);
        let Some(scaler) = scaler.filter(|scaler| leads && scaler.status_unread.is_none()) else {
            return;
        };
        // The end of a write publishes. Until then the conditions report that the target can be scaled: if all writes
        // are rejected, the status would never have anything else.
        if scaler.replicas.is_writing() {
            return;
        }
        if !scaler.spec_problems.is_empty() {
            self.publish_invalid_spec(now, key);
            return;
        }
        let (Some(decision), Some(engine)) = (&scaler.last_decision, &scaler.engine) else {
            return;
        };
        let status = scaler.status_history.status(
            &scaler.target,
            scaler.decided_generation,
            decision,
            engine.conditions(),
            Timestamp::now(),
        );
        self.publish(now, key, status);
    }

    fn publish_invalid_spec(&mut self, now: Moment, key: &ScalerKey) {
        let Some(scaler) = self.scalers.get_mut(key) else {
            return;
        };
        let status = scaler.status_history.invalid_spec_status(
            &scaler.target,
            scaler.generation,
            &scaler.spec_problems,
            Timestamp::now(),
        );
        self.publish(now, key, status);
    }

    /// Reports the status, unless it is unchanged or the last one is too recent.
    fn publish(&mut self, now: Moment, key: &ScalerKey, status: PushScalerStatus) {
        let Some(scaler) = self.scalers.get(key) else {
            return;
        };
        if let Some((at, last)) = &scaler.status {
            if *last == status {
                return;
            }
            let substance = differs_in_substance(last, &status);
            let interval = if last.last_scale_time != status.last_scale_time
                || last.replicas_before != status.replicas_before
            {
                Duration::ZERO
            } else if substance {
                STATUS_INTERVAL
            } else {
                FIGURES_INTERVAL
            };
            if now.since(*at) < interval {
                if substance {
                    let at = at.plus(interval);
                    self.mark_due(key, at);
                }
                return;
            }
        }
        let report = Report::Status(StatusReport {
            scaler: key.clone(),
            uid: scaler.uid.clone(),
            status: Box::new(status.clone()),
        });
        if self.report(report)
            && let Some(scaler) = self.scalers.get_mut(key)
        {
            scaler.status = Some((now, status));
        }
    }

    /// Reports a warning, unless it was reported recently.
    pub(super) fn warn(&mut self, now: Moment, key: &ScalerKey, reason: Reason, note: String) {
        let leads = self.leads();
        let Some(scaler) = self.scalers.get_mut(key).filter(|_| leads) else {
            return;
        };
        scaler
            .warned
            .retain(|_, at| now.since(*at) < WARNING_INTERVAL);
        let warning = (reason.as_str(), note.clone());
        if scaler.warned.contains_key(&warning) {
            return;
        }
        scaler.warned.insert(warning, now);
        tracing::warn!(autoscaler = %key, reason = reason.as_str(), note, "autoscaler warning");
        let event = Report::Event(EventReport {
            scaler: key.clone(),
            uid: scaler.uid.clone(),
            warning: true,
            reason: reason.as_str(),
            action: "Scale".to_owned(),
            note,
        });
        self.report(event);
    }

    /// Queues a report without waiting: a slow API server must not delay decisions. Returns whether it was queued.
    pub(super) fn report(&self, report: Report) -> bool {
        let sent = self.reports.try_send(report).is_ok();
        if !sent && !self.reports.is_closed() {
            self.metrics.report_dropped();
        }
        sent || self.reports.is_closed()
    }

    /// Returns the state of one scaler; `None` if it does not exist.
    pub(super) fn view(&self, key: &ScalerKey) -> Option<ScalerView> {
        let scaler = self.scalers.get(key)?;
        Some(scaler.view(self.now(), key))
    }
}

impl ManagedScaler {
    /// Whether the decision's outcome differs from the last one's.
    fn is_new(&self, decision: &Decision) -> bool {
        match (&decision.outcome, self.last_decision.as_ref()) {
            (Outcome::Scale { .. }, _) | (_, None) => true,
            (outcome, Some(last)) => *outcome != last.outcome,
        }
    }

    pub(super) fn last_scale_reason(&self) -> String {
        match self
            .last_decision
            .as_ref()
            .map(|decision| &decision.outcome)
        {
            Some(Outcome::Scale { reason, .. }) => reason.to_string(),
            _ => String::new(),
        }
    }

    fn view(&self, now: Moment, key: &ScalerKey) -> ScalerView {
        let problems = self.spec_problems.iter().map(ToString::to_string);
        let start_delay = self.engine.as_ref().and_then(|engine| engine.start_delay());
        ScalerView::new(
            key,
            &self.target,
            now,
            self.last_decision.as_deref(),
            start_delay,
            self.status.as_ref().map(|(_, status)| status),
            problems.collect(),
        )
    }
}

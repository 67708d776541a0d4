//! Publishes decisions: the same explanation in the status, in events and on the pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Moment, Outcome, Reason, Warning};

use super::ManagedScaler;
use crate::control_loop::effect::{Context, Decided, Effect, Effects};
use crate::history::{LOAD_SECONDS, LoadSample};
use crate::report::{EventReport, Report, StatusReport};
use crate::status::differs_in_substance;

/// Minimum interval between status writes that change only figures. The HPA writes its status every 15 s.
const FIGURES_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum interval between other status writes.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a metric must be missing before it causes a warning.
const METRIC_WARNING_DELAY: Duration = Duration::from_secs(5);

/// Minimum interval between identical warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(300);

/// The status last reported, and when; `None` before the first.
#[derive(Debug, Default)]
pub(super) struct PublishedStatus(Option<(Moment, PushScalerStatus)>);

/// When a status is reported.
enum Due {
    Now,
    /// Not at all: it is unchanged, or differs in figures only.
    Never,
    At(Moment),
}

impl PublishedStatus {
    pub(super) fn last(&self) -> Option<&PushScalerStatus> {
        self.0.as_ref().map(|(_, status)| status)
    }

    fn due(&self, now: Moment, status: &PushScalerStatus) -> Due {
        let Some((at, last)) = &self.0 else {
            return Due::Now;
        };
        if last == status {
            return Due::Never;
        }
        let substance = differs_in_substance(last, status);
        let interval = if last.last_scale_time != status.last_scale_time
            || last.replicas_before != status.replicas_before
        {
            Duration::ZERO
        } else if substance {
            STATUS_INTERVAL
        } else {
            FIGURES_INTERVAL
        };
        match now.since(*at) < interval {
            false => Due::Now,
            true if substance => Due::At(at.plus(interval)),
            true => Due::Never,
        }
    }
}

/// Warnings, of which each is reported once in a while.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// Since when a metric cannot be computed.
    metric_failing_since: Option<Moment>,
    /// When each warning, by reason and message, was last reported.
    reported: BTreeMap<(&'static str, String), Moment>,
}

impl Warnings {
    /// Returns the decision's warnings. Those about a metric are left out until it has been missing for a while,
    /// because every metric is missing at startup.
    fn due(&mut self, now: Moment, decision: &Decision) -> Vec<Warning> {
        let is_metric_warning = |warning: &Warning| {
            matches!(
                warning.reason,
                Reason::FailedGetPodsMetric | Reason::FailedComputeMetricsReplicas
            )
        };
        let mut warnings = decision.warnings.clone();
        if !warnings.iter().any(is_metric_warning) {
            self.metric_failing_since = None;
            return warnings;
        }
        let since = *self.metric_failing_since.get_or_insert(now);
        if now.since(since) < METRIC_WARNING_DELAY {
            warnings.retain(|warning| !is_metric_warning(warning));
        }
        warnings
    }

    /// Returns whether a warning is to be reported, and counts it as reported then.
    fn take(&mut self, now: Moment, reason: Reason, note: &str) -> bool {
        self.reported
            .retain(|_, at| now.since(*at) < WARNING_INTERVAL);
        let warning = (reason.as_str(), note.to_owned());
        let is_new = !self.reported.contains_key(&warning);
        if is_new {
            self.reported.insert(warning, now);
        }
        is_new
    }
}

impl ManagedScaler {
    /// Publishes a new decision, which could be written if this aggregator `leads`.
    pub(super) fn publish_decision(
        &mut self,
        context: &Context,
        decision: Decision,
        leads: bool,
        effects: &mut Effects,
    ) {
        for warning in self.warnings.due(context.now, &decision) {
            self.warn(context, warning.reason, warning.message, effects);
        }
        let decision = Arc::new(decision);
        effects.push(Effect::Decided(Decided {
            decision: Arc::clone(&decision),
            is_new: self.is_new(&decision),
            leads,
        }));
        self.last_decision = Some(decision);
        self.decided_generation = self.generation;
        self.record_load(context, effects);
        self.publish_status(context, effects);
    }

    /// Records the load of each ten seconds once they are complete.
    fn record_load(&mut self, context: &Context, effects: &mut Effects) {
        let Some(engine) = &self.engine else { return };
        for number in self.load_clock.completed(context.now) {
            let length = u64::from(LOAD_SECONDS);
            let seconds = number * length..(number + 1) * length;
            let age = context.now.since(Moment::from_secs(seconds.start));
            effects.push(Effect::Load(LoadSample {
                number,
                start: context.clock.checked_sub(age).unwrap_or_default(),
                load: engine.measured_load(seconds),
            }));
        }
    }

    /// Publishes the last decision with the current conditions, or what is wrong with the spec.
    pub(super) fn publish_status(&mut self, context: &Context, effects: &mut Effects) {
        effects.push(Effect::UpdateMetrics);
        // A follower leaves the history of the conditions as the leader's status has it. A new leader reads it first.
        if !context.leads || self.status_unread.is_some() {
            return;
        }
        // The end of a write publishes. Until then the conditions report that the target can be scaled: if all writes
        // are rejected, the status would never have anything else.
        if self.replicas.is_writing() {
            return;
        }
        let status = if self.spec_problems.is_empty() {
            let (Some(decision), Some(engine)) = (&self.last_decision, &self.engine) else {
                return;
            };
            self.status_history.status(
                &self.target,
                self.decided_generation,
                decision,
                engine.conditions(),
                context.clock,
            )
        } else {
            self.status_history.invalid_spec_status(
                &self.target,
                self.generation,
                &self.spec_problems,
                context.clock,
            )
        };
        match self.published.due(context.now, &status) {
            Due::Now => {
                effects.push(Effect::Report(Report::Status(StatusReport {
                    scaler: self.key.clone(),
                    uid: self.uid.clone(),
                    status: Box::new(status),
                })));
            }
            Due::Never => {}
            Due::At(at) => self.wake_at(at, effects),
        }
    }

    /// Records that a status was queued for the API server. One that is dropped instead, because the queue is full, is
    /// due again.
    pub(crate) fn status_queued(&mut self, now: Moment, status: PushScalerStatus) {
        self.published.0 = Some((now, status));
    }

    /// Reports a warning, unless it was reported recently.
    pub(super) fn warn(
        &mut self,
        context: &Context,
        reason: Reason,
        note: String,
        effects: &mut Effects,
    ) {
        if context.leads && self.warnings.take(context.now, reason, &note) {
            let reason = reason.as_str();
            tracing::warn!(autoscaler = %self.key, reason, note, "autoscaler warning");
            self.report_event(true, reason, "Scale".to_owned(), note, effects);
        }
    }

    pub(super) fn report_event(
        &self,
        warning: bool,
        reason: &'static str,
        action: String,
        note: String,
        effects: &mut Effects,
    ) {
        effects.push(Effect::Report(Report::Event(EventReport {
            scaler: self.key.clone(),
            uid: self.uid.clone(),
            warning,
            reason,
            action,
            note,
        })));
    }

    /// Whether the decision's outcome differs from the last one's.
    fn is_new(&self, decision: &Decision) -> bool {
        match (&decision.outcome, self.last_decision.as_ref()) {
            (Outcome::Scale { .. }, _) | (_, None) => true,
            (outcome, Some(last)) => *outcome != last.outcome,
        }
    }

    /// Returns why the last decision changes the replica count.
    pub(super) fn last_scale_reason(&self) -> String {
        match self.last_decision.as_ref().map(|last| &last.outcome) {
            Some(Outcome::Scale { reason, .. }) => reason.to_string(),
            _ => String::new(),
        }
    }
}

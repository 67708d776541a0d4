//! Publishes what is known of a scaler: its status and its events.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Moment, Reason, Warning};
use tokio::time::Instant;

use super::decisions::Explained;
use super::replicas::OwnChange;
use crate::control_loop::effect::{Context, Effect, ScalerEvent};
use crate::event::StoredStatus;
use crate::names::TargetRef;
use crate::status::{StatusHistory, differs_in_substance};

/// Minimum interval between status writes that change only figures. The HPA writes its status every 15 s.
const FIGURES_INTERVAL: Duration = Duration::from_secs(10);

/// Minimum interval between other status writes.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a metric must be missing before it causes a warning.
const METRIC_WARNING_DELAY: Duration = Duration::from_secs(5);

/// Minimum interval between identical warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(300);

/// The status and the warnings of one scaler.
pub(crate) struct Publisher {
    history: StatusHistory,
    /// When this aggregator became the leader, until the status that the previous one has written was read since.
    unread: Option<Instant>,
    /// The last change of the replica count, if the leader made it while this aggregator followed. It may be missing in
    /// that leader's last status.
    predecessors_change: Option<(u32, u32)>,
    /// The status last reported, and when; `None` before the first.
    reported: Option<(Moment, PushScalerStatus)>,
    warnings: Warnings,
}

/// When a status is reported.
enum Due {
    Now,
    /// Not at all: it is unchanged, or differs in figures only.
    Never,
    At(Moment),
}

impl Publisher {
    pub(super) fn new(history: StatusHistory) -> Self {
        Self {
            history,
            unread: None,
            predecessors_change: None,
            reported: None,
            warnings: Warnings::default(),
        }
    }

    /// Continues the status of the leader.
    pub(super) fn follow(&mut self, history: StatusHistory) {
        self.history = history;
    }

    /// This aggregator has become the leader.
    pub(super) fn take_over(&mut self, now: Instant) {
        self.unread = Some(now);
        // The status is written again, whatever the previous leader wrote.
        self.reported = None;
    }

    /// Whether a status that was read from `start` on is to be continued.
    pub(crate) fn awaits_status(&self, start: Instant) -> bool {
        self.unread.is_some_and(|since| start >= since)
    }

    /// Continues the status that the previous leader has written; `None` if there is none. Returns the replica count
    /// before the oldest change since.
    pub(super) fn continue_status(&mut self, stored: Option<StoredStatus>) -> Option<i32> {
        self.unread = None;
        let stored = stored?;
        self.history.transitions = stored.transitions;
        self.history
            .continue_changes(stored.last_scale_time, stored.changes)
    }

    /// Records a change of the replica count by an aggregator.
    pub(super) fn record_change(&mut self, clock: Timestamp, change: OwnChange) {
        self.predecessors_change = match change.written {
            Some(written) => {
                self.history.record_change(clock, written);
                None
            }
            None => Some((change.from, change.to)),
        };
    }

    /// Adds the previous leader's last change to the history, unless that leader stored it or its status is unread.
    /// Returns the replica count before.
    pub(super) fn record_predecessors_change(&mut self, clock: Timestamp) -> Option<i32> {
        if self.unread.is_some() {
            return None;
        }
        let (from, to) = self.predecessors_change.take()?;
        self.history.record_predecessors_change(clock, from, to)
    }

    /// Publishes a status, if that is due. A follower leaves the history of the conditions as the leader's status has
    /// it. A new leader reads it first.
    pub(super) fn publish(
        &mut self,
        context: &mut Context,
        target: &TargetRef,
        explained: &Explained<'_>,
        replicas_before: Option<i32>,
    ) {
        if !context.leads || self.unread.is_some() {
            return;
        }
        let (history, now) = (&mut self.history, context.clock);
        let mut status = match *explained {
            Explained::Decision {
                generation,
                decision,
                conditions,
            } => history.status(target, generation, decision, conditions, now),
            Explained::InvalidSpec {
                generation,
                problems,
            } => history.invalid_spec_status(target, generation, problems, now),
        };
        status.replicas_before = replicas_before;
        match self.due(context.now, &status) {
            Due::Now => context.push(Effect::Status(Box::new(status))),
            Due::Never => {}
            Due::At(at) => context.wake_at(at),
        }
    }

    fn due(&self, now: Moment, status: &PushScalerStatus) -> Due {
        let Some((at, last)) = &self.reported else {
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

    /// Records that a status was queued for the API server. One that is dropped instead, because the queue is full, is
    /// due again.
    pub(crate) fn status_queued(&mut self, now: Moment, status: PushScalerStatus) {
        self.reported = Some((now, status));
    }

    /// Returns the status last reported.
    pub(super) fn reported(&self) -> Option<&PushScalerStatus> {
        self.reported.as_ref().map(|(_, status)| status)
    }

    /// Reports the warnings of a decision.
    pub(super) fn warn_of(&mut self, context: &mut Context, decision: &Decision) {
        for warning in self.warnings.due(context.now, decision) {
            self.warn(context, warning.reason, warning.message);
        }
    }

    /// Reports a warning, unless it was reported recently.
    pub(super) fn warn(&mut self, context: &mut Context, reason: Reason, note: String) {
        if context.leads && self.warnings.take(context.now, reason, &note) {
            context.push(Effect::Event(ScalerEvent {
                warning: true,
                reason,
                action: "Scale".to_owned(),
                note,
            }));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn context(second: u64) -> Context {
        let clock = Timestamp::UNIX_EPOCH + Duration::from_secs(second);
        Context::new(Moment::from_secs(second), Instant::now(), clock, true)
    }

    fn publish(publisher: &mut Publisher, second: u64, replicas_before: Option<i32>) -> usize {
        let mut context = context(second);
        let target = TargetRef::deployment("models", "torchserve");
        let explained = Explained::InvalidSpec {
            generation: Some(1),
            problems: &[],
        };
        publisher.publish(&mut context, &target, &explained, replicas_before);
        let (effects, _) = context.take();
        for effect in &effects {
            let Effect::Status(status) = effect else {
                panic!("{effect:?}");
            };
            publisher.status_queued(context.now, PushScalerStatus::clone(status));
        }
        effects.len()
    }

    #[test]
    fn a_new_leader_publishes_once_the_status_was_read() {
        let mut publisher = Publisher::new(StatusHistory::default());
        assert_eq!(publish(&mut publisher, 1, None), 1);
        assert_eq!(publish(&mut publisher, 2, None), 0, "it is unchanged");
        let elected = Instant::now();
        publisher.take_over(elected);
        assert!(!publisher.awaits_status(elected - Duration::from_secs(1)));
        assert!(publisher.awaits_status(elected));
        assert_eq!(publish(&mut publisher, 3, None), 0);
        assert_eq!(publisher.continue_status(None), None);
        assert_eq!(publish(&mut publisher, 3, None), 1);
        // The replica count before the first change does not wait: the change waits for it.
        assert_eq!(publish(&mut publisher, 3, Some(2)), 1);
    }

    #[test]
    fn the_predecessors_change_is_recorded_once_its_status_was_read() {
        let mut publisher = Publisher::new(StatusHistory::default());
        let clock = Timestamp::UNIX_EPOCH;
        let (from, to, written) = (2, 3, None);
        publisher.record_change(clock, OwnChange { from, to, written });
        publisher.take_over(Instant::now());
        assert_eq!(publisher.record_predecessors_change(clock), None);
        publisher.continue_status(None);
        assert_eq!(publisher.record_predecessors_change(clock), Some(2));
        assert_eq!(publisher.record_predecessors_change(clock), None);
    }

    #[test]
    fn identical_warnings_are_reported_every_five_minutes_by_the_leader() {
        let mut publisher = Publisher::new(StatusHistory::default());
        let mut warn = |second, leads| {
            let mut context = context(second);
            context.leads = leads;
            publisher.warn(&mut context, Reason::FailedRescale, "no".to_owned());
            context.take().0.len()
        };
        assert_eq!(warn(0, false), 0);
        assert_eq!([warn(1, true), warn(300, true), warn(301, true)], [1, 0, 1]);
    }
}

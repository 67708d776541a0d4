//! One explanation, many readers: status, events, pages.

use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::PushScalerStatus;
use pushscale_decision::{Decision, Moment, Outcome, Reason, Warning};

use super::ControlLoop;
use super::entry::{Entry, POINTS_KEPT, TOLD_KEPT};
use crate::names::ScalerKey;
use crate::report::Report;
use crate::status::differs_in_substance;
use crate::view::{Point, ScalerView, Told};

/// A status that differs only in figures is written this often at the most; the HPA writes its own every 15 s.
const FIGURES_EVERY: Duration = Duration::from_secs(10);

/// And any status this often at the most.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// A metric that cannot be computed is worth a warning once that has lasted so long.
const WARN_OF_METRIC_AFTER: Duration = Duration::from_secs(5);

/// The same warning is told again after this long.
const WARN_AGAIN_AFTER: Duration = Duration::from_secs(300);

impl ControlLoop {
    /// Tells what was decided.
    pub(super) fn tell(&mut self, now: Moment, key: &ScalerKey, decision: Decision) {
        let warnings = self.lasting_warnings(now, key, &decision);
        for warning in warnings {
            self.warn(now, key, warning.reason, warning.message);
        }
        if let Some(entry) = self.scalers.get_mut(key) {
            entry.note(now, &decision);
            entry.last = Some(decision);
        }
        self.tell_again(now, key);
    }

    /// The warnings, but for those of a metric that has only just begun to fail: every start begins that way.
    fn lasting_warnings(
        &mut self,
        now: Moment,
        key: &ScalerKey,
        decision: &Decision,
    ) -> Vec<Warning> {
        let of_metric = |warning: &&Warning| {
            matches!(
                warning.reason,
                Reason::FailedGetPodsMetric | Reason::FailedComputeMetricsReplicas
            )
        };
        let Some(entry) = self.scalers.get_mut(key) else {
            return Vec::new();
        };
        if !decision.warnings.iter().any(|warning| of_metric(&warning)) {
            entry.failing_since = None;
            return decision.warnings.clone();
        }
        let since = *entry.failing_since.get_or_insert(now);
        let lasting = now.since(since) >= WARN_OF_METRIC_AFTER;
        decision
            .warnings
            .iter()
            .filter(|warning| lasting || !of_metric(warning))
            .cloned()
            .collect()
    }

    /// Tells the last decision with the conditions as they are now.
    pub(super) fn tell_again(&mut self, now: Moment, key: &ScalerKey) {
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        let (Some(decision), Ok(scaler)) = (&entry.last, &entry.brain) else {
            return;
        };
        let status = entry.chronicle.status(
            &entry.target,
            entry.generation,
            decision,
            scaler.conditions(),
            Timestamp::now(),
        );
        self.publish(now, key, status);
    }

    pub(super) fn tell_invalid(&mut self, now: Moment, key: &ScalerKey) {
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        let Err(unusable) = &entry.brain else { return };
        let status = entry.chronicle.invalid(
            &entry.target,
            entry.generation,
            &unusable.problems,
            Timestamp::now(),
        );
        self.publish(now, key, status);
    }

    fn publish(&mut self, now: Moment, key: &ScalerKey, status: PushScalerStatus) {
        let Some(entry) = self.scalers.get(key) else {
            return;
        };
        if let Some((at, told)) = &entry.status {
            if *told == status {
                return;
            }
            let substance = differs_in_substance(told, &status);
            let pause = if told.last_scale_time != status.last_scale_time {
                Duration::ZERO
            } else if substance {
                STATUS_EVERY
            } else {
                FIGURES_EVERY
            };
            if now.since(*at) < pause {
                if substance {
                    // Not forgotten, only later.
                    let later = at.plus(pause);
                    self.mark_due(key, later);
                }
                return;
            }
        }
        let report = Report::Status {
            scaler: key.clone(),
            status: Box::new(status.clone()),
        };
        if self.report(report)
            && let Some(entry) = self.scalers.get_mut(key)
        {
            entry.status = Some((now, status));
        }
    }

    /// Tells a warning, unless it was told lately.
    pub(super) fn warn(&mut self, now: Moment, key: &ScalerKey, reason: Reason, note: String) {
        let Some(entry) = self.scalers.get_mut(key) else {
            return;
        };
        entry
            .warned
            .retain(|_, at| now.since(*at) < WARN_AGAIN_AFTER);
        let warning = (reason.as_str(), note.clone());
        if entry.warned.contains_key(&warning) {
            return;
        }
        entry.warned.insert(warning, now);
        tracing::warn!(autoscaler = %key, reason = reason.as_str(), "{note}");
        let happened = Report::Happened {
            scaler: key.clone(),
            uid: entry.uid.clone(),
            warning: true,
            reason: reason.as_str(),
            action: "Scale".to_owned(),
            note,
        };
        self.report(happened);
    }

    /// Whether it will be told. A slow API server must not hold up the next decision.
    pub(super) fn report(&self, report: Report) -> bool {
        let sent = self.reports.try_send(report).is_ok();
        if !sent && !self.reports.is_closed() {
            self.metrics.report_dropped();
        }
        sent || self.reports.is_closed()
    }

    pub(super) fn views(&self) -> Vec<ScalerView> {
        let now = self.now();
        self.scalers
            .iter()
            .map(|(key, entry)| entry.view(now, key))
            .collect()
    }
}

impl Entry {
    /// Keeps what the pages show of the past.
    fn note(&mut self, now: Moment, decision: &Decision) {
        let new = match (&decision.outcome, self.last.as_ref()) {
            (Outcome::Scale { .. }, _) | (_, None) => true,
            (outcome, Some(last)) => *outcome != last.outcome,
        };
        if new {
            if self.told.len() == TOLD_KEPT {
                self.told.pop_front();
            }
            self.told.push_back(Told {
                at: Timestamp::now(),
                explanation: decision.to_string(),
            });
        }
        let second = now.since_origin().as_secs();
        if self
            .points
            .back()
            .is_some_and(|point| point.second == second)
        {
            self.points.pop_back();
        } else if self.points.len() == POINTS_KEPT {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            second,
            replicas: decision.current,
            desired: decision.desired(),
            latency_seconds: decision
                .metrics
                .first()
                .map(|figure| figure.average.as_secs_f64()),
        });
    }

    pub(super) fn reason_of_last(&self) -> String {
        match self.last.as_ref().map(|decision| &decision.outcome) {
            Some(Outcome::Scale { reason, .. }) => reason.to_string(),
            _ => String::new(),
        }
    }

    fn view(&self, now: Moment, key: &ScalerKey) -> ScalerView {
        let problems = match &self.brain {
            Ok(_) => Vec::new(),
            Err(unusable) => unusable.problems.iter().map(ToString::to_string).collect(),
        };
        ScalerView::new(
            key,
            &self.target,
            now,
            self.last.as_ref(),
            self.status.as_ref().map(|(_, status)| status),
            problems,
            self.told.iter().cloned().collect(),
            self.points.iter().copied().collect(),
        )
    }
}

//! One pass of a decision (the HPA's `horizontal.go`).

use std::time::Duration;

use crate::conditions::{Condition, Reason};
use crate::decision::{Decision, Hold, Outcome, ScaleReason, Warning};
use crate::explain::count;
use crate::moment::Moment;
use crate::policy::{Algorithm, Bounds, HpaCompatibility, Mode, SYNC_PERIOD};
use crate::scaler::Scaler;
use crate::step::Step;
use crate::target::{Selector, TargetState};

/// One pass over the state of a scaler.
pub(crate) struct Pass<'a> {
    pub(crate) now: Moment,
    pub(crate) scaler: &'a mut Scaler,
    /// Reporting and running pods, for the metric with the smallest share of reporting pods.
    pub(crate) quorum: Option<(u32, u32)>,
    /// Pods that should exist and have not been observed. They do not report.
    pub(crate) unobserved: u32,
    /// Whether a slow pod can be replaced.
    pub(crate) replaces_slow: bool,
    /// Whether the fleet is outside of the envelope of the queueing model.
    pub(crate) is_outside_envelope: bool,
}

/// The proposal of all metrics together.
pub(crate) struct Proposal {
    pub(crate) replicas: u32,
    /// The reason if this is a scale-up.
    pub(crate) scale_up_reason: ScaleReason,
    /// The queueing model's limit for one scale-up.
    pub(crate) up_to: u32,
}

impl Scaler {
    /// Decides what to do at `now`.
    ///
    /// Follows the order of the HPA's `horizontal.go`. The decision contains every step that contributed to it.
    pub fn decide(&mut self, now: Moment, target: &TargetState) -> &Decision {
        let decision = &mut self.decision;
        decision.at = now;
        decision.steps.clear();
        decision.metrics.clear();
        decision.warnings.clear();
        let fresh_until = decision.freshness.count(self.fleet.pods(), now);
        let condition = &mut decision.conditions.fresh;
        decision.freshness.set_condition(condition);
        let (current, outcome) = Pass::new(now, self).run(target);
        let wake_at = self.wake_at(now, fresh_until);
        let decision = &mut self.decision;
        decision.current = current;
        decision.outcome = outcome;
        decision.wake_at = wake_at;
        decision
    }

    /// The next moment at which the decision may change without an event: a reading becomes stale, the fallback
    /// applies, or after the HPA's sync period, in which windows and rate limits have moved.
    fn wake_at(&self, now: Moment, fresh_until: Option<Moment>) -> Moment {
        let fallback = self
            .unknown_since
            .zip(self.policy.fallback)
            .map(|(since, fallback)| since.plus(fallback.after))
            .filter(|at| *at > now);
        fresh_until
            .map(|until| until.plus(Duration::from_millis(1)))
            .into_iter()
            .chain(fallback)
            .fold(now.plus(SYNC_PERIOD), Moment::min)
    }
}

impl<'a> Pass<'a> {
    fn new(now: Moment, scaler: &'a mut Scaler) -> Self {
        Self {
            now,
            scaler,
            quorum: None,
            unobserved: 0,
            replaces_slow: false,
            is_outside_envelope: false,
        }
    }

    fn run(mut self, target: &TargetState) -> (Option<u32>, Outcome) {
        if self.scaler.policy.mode != Mode::Apply {
            self.scaler.history.forget_writes();
        }
        if self.scaler.policy.algorithm != Algorithm::Model {
            self.scaler.forget_envelope();
            self.scaler.decision.conditions.forget_model();
        }
        if self.scaler.policy.mode == Mode::Off {
            self.scaler.forget_envelope();
            let message = format_args!("mode is Off: no decisions are made");
            self.active(false, Reason::ModeOff, message);
            let current = match target {
                TargetState::Known { replicas, .. } => Some(*replicas),
                _ => None,
            };
            return (current, Outcome::Hold(Hold::ModeOff));
        }
        let (current, outcome) = self.decide_for_target(target);
        let outcome = self.apply_pause(outcome);
        let outcome = self.apply_mode(outcome);
        (current, self.apply_envelope(outcome))
    }

    fn decide_for_target(&mut self, target: &TargetState) -> (Option<u32>, Outcome) {
        let (current, existing, selector, deletes_slow_first) = match target {
            TargetState::Known {
                replicas,
                existing,
                selector,
                deletes_slow_first,
            } => (*replicas, *existing, selector, *deletes_slow_first),
            TargetState::Unreadable { message } => {
                self.warn(Reason::FailedGetScale, message.clone());
                self.able(
                    false,
                    Reason::FailedGetScale,
                    format_args!("failed to read the target's scale: {message}"),
                );
                return (None, Outcome::Hold(Hold::TargetUnreadable));
            }
            TargetState::Conflict { with } => {
                let message = format!("{with} scales the same target: remove one of the two");
                self.able(false, Reason::TargetContested, format_args!("{message}"));
                self.warn(Reason::TargetContested, message);
                return (None, Outcome::Hold(Hold::Conflict));
            }
        };
        self.able(
            true,
            Reason::SucceededGetScale,
            format_args!("the target's scale was read"),
        );
        self.scaler.recommendations.begin(self.now, current);
        let policy = &self.scaler.policy;
        let behavior = policy.behavior.as_ref();
        let recommendation = behavior.filter(|_| policy.mode == Mode::Recommend);
        self.scaler
            .history
            .observe(self.now, current, recommendation);
        // A pod that the spec no longer asks for, or whose creation is still pending, is not missing.
        let expected = existing.map_or(0, |existing| existing.min(current));
        self.unobserved = expected.saturating_sub(self.scaler.decision.freshness.all());
        // Outside of the envelope, no scale-down would delete it.
        let outside = &self.scaler.decision.conditions.outside_envelope;
        self.replaces_slow = deletes_slow_first
            && self.scaler.policy.writes_both_directions()
            && outside.as_ref().is_none_or(|outside| !outside.status);
        if self.scaler.policy.hpa_compatibility == HpaCompatibility::Guarded
            && let Some(times) = self.scaler.history.conflict(self.now)
        {
            let message = format!(
                "another client changed the replicas {times} times soon after a write: find it with kubectl get -o yaml --show-managed-fields, or set mode: Recommend"
            );
            self.able(false, Reason::SizeContested, format_args!("{message}"));
            self.warn(Reason::SizeContested, message);
            return (Some(current), Outcome::Hold(Hold::Conflict));
        }

        let bounds = self.bounds();
        self.step(Step::Current {
            replicas: current,
            min: self.scaler.policy.bounds.min(),
            max: bounds.max(),
        });
        if current == 0 {
            let message =
                format_args!("the target has 0 replicas: set 1 or more to resume scaling");
            self.active(false, Reason::ScalingDisabled, message);
            self.scaler.forget_envelope();
            return (Some(0), Outcome::Hold(Hold::Disabled));
        }
        if bounds.min() > self.scaler.policy.bounds.min() {
            self.step(Step::ScheduledFloor {
                replicas: bounds.min(),
            });
        }
        if current > bounds.max() {
            return (
                Some(current),
                self.correct(current, bounds.max(), ScaleReason::AboveMax),
            );
        }
        if current < bounds.min() {
            return (
                Some(current),
                self.correct(current, bounds.min(), ScaleReason::BelowMin),
            );
        }
        (Some(current), self.decide_by_metrics(current, selector))
    }

    /// Returns the bounds, with the minimum raised to the scheduled floor.
    pub(crate) fn bounds(&self) -> Bounds {
        self.scaler.bounds()
    }

    fn correct(&mut self, from: u32, to: u32, reason: ScaleReason) -> Outcome {
        self.step(Step::OutOfBounds { to });
        Outcome::Scale { from, to, reason }
    }

    fn decide_by_metrics(&mut self, current: u32, selector: &Selector) -> Outcome {
        if let Some(outcome) = self.reject_selector(selector) {
            return outcome;
        }
        let proposed = match self.scaler.policy.algorithm {
            Algorithm::Ratio => self.propose_by_ratio(current),
            Algorithm::Model => self.propose_by_model(current),
        };
        let Some(proposal) = proposed else {
            return self.fall_back(current);
        };
        self.scaler.unknown_since = None;
        let proposed = self.require_quorum(current, proposal.replicas);
        let reason = if proposed > current {
            proposal.scale_up_reason
        } else if proposed < current {
            match self.scaler.policy.algorithm {
                Algorithm::Ratio => ScaleReason::AllBelowTarget,
                Algorithm::Model => ScaleReason::LessDemand,
            }
        } else {
            ScaleReason::None
        };
        let stabilized = match self.scaler.policy.algorithm {
            Algorithm::Ratio => self.stabilize(current, proposed),
            Algorithm::Model => self.stabilize_model(current, proposed),
        };
        let desired = match self.scaler.policy.algorithm {
            Algorithm::Ratio => self.limit(current, stabilized),
            Algorithm::Model => self.limit_model(current, stabilized, proposal.up_to),
        };
        if desired == current {
            Outcome::Hold(Hold::RightSize)
        } else {
            Outcome::Scale {
                from: current,
                to: desired,
                reason,
            }
        }
    }

    /// Applies the fallback if no metric has been computed for long enough. It never scales down.
    fn fall_back(&mut self, current: u32) -> Outcome {
        let hold = Outcome::Hold(Hold::InsufficientData);
        let since = *self.scaler.unknown_since.get_or_insert(self.now);
        let Some(fallback) = self.scaler.policy.fallback else {
            return hold;
        };
        let unknown_for = self.now.since(since);
        if unknown_for < fallback.after {
            return hold;
        }
        let bounds = self.bounds();
        let to = fallback.replicas.clamp(bounds.min(), bounds.max());
        self.step(Step::Fallback {
            unknown_for,
            replicas: to,
        });
        let message = format_args!(
            "no metric can be computed: fallback to at least {}",
            count(to)
        );
        self.active(false, Reason::FallbackActive, message);
        if to <= current {
            return hold;
        }
        Outcome::Scale {
            from: current,
            to,
            reason: ScaleReason::Fallback,
        }
    }

    fn reject_selector(&mut self, selector: &Selector) -> Option<Outcome> {
        let (event, reason, message) = match selector {
            Selector::Usable => return None,
            Selector::Missing => (
                Reason::SelectorRequired,
                Reason::InvalidSelector,
                "the target's scale has no selector".to_owned(),
            ),
            Selector::Invalid { message } => (
                Reason::InvalidSelector,
                Reason::InvalidSelector,
                format!("the target's selector is invalid: {message}"),
            ),
            Selector::Unlisted { message } => (
                Reason::FailedGetPodsMetric,
                Reason::FailedGetPodsMetric,
                format!("the target's pods cannot be listed: {message}"),
            ),
            Selector::Shared { with } => (
                Reason::AmbiguousSelector,
                Reason::AmbiguousSelector,
                format!("the target of {with} selects the same pods"),
            ),
        };
        self.warn(event, message.clone());
        self.warn(Reason::FailedComputeMetricsReplicas, message.clone());
        self.active(false, reason, format_args!("{message}"));
        Some(Outcome::Hold(Hold::SelectorUnusable))
    }

    /// Returns the proposal if it may be acted on, by the HPA's rule: if a metric failed, the others must not scale
    /// down.
    pub(crate) fn check_proposal(
        &mut self,
        current: u32,
        best: Option<Proposal>,
        first_problem: Option<String>,
    ) -> Option<Proposal> {
        let usable = match (&best, &first_problem) {
            (None, _) => false,
            (Some(best), Some(_)) => best.replicas >= current,
            (Some(_), None) => true,
        };
        if !usable {
            let message = first_problem.unwrap_or_else(|| "no metric is configured".to_owned());
            self.active(
                false,
                Reason::FailedGetPodsMetric,
                format_args!("{message}"),
            );
            self.warn(Reason::FailedComputeMetricsReplicas, message);
            return None;
        }
        let best = best?;
        let metrics = u32::try_from(self.scaler.policy.metrics.len()).unwrap_or(u32::MAX);
        if metrics > 1 {
            self.step(Step::Largest {
                metrics,
                replicas: best.replicas,
            });
        }
        Some(best)
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.scaler.decision.steps.push(step);
    }

    pub(crate) fn warn(&mut self, reason: Reason, message: String) {
        let warnings = &mut self.scaler.decision.warnings;
        warnings.push(Warning { reason, message });
    }

    pub(crate) fn able(&mut self, able: bool, reason: Reason, message: std::fmt::Arguments<'_>) {
        let condition = &mut self.scaler.decision.conditions.able_to_scale;
        Condition::set(condition, able, reason, message);
    }

    pub(crate) fn active(
        &mut self,
        active: bool,
        reason: Reason,
        message: std::fmt::Arguments<'_>,
    ) {
        let condition = &mut self.scaler.decision.conditions.scaling_active;
        Condition::set(condition, active, reason, message);
    }

    pub(crate) fn limited(
        &mut self,
        limited: bool,
        reason: Reason,
        message: std::fmt::Arguments<'_>,
    ) {
        let condition = &mut self.scaler.decision.conditions.scaling_limited;
        Condition::set(condition, limited, reason, message);
    }
}

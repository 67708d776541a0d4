//! Constrains a proposal: quorum, stabilization, limits, pause and mode.

use std::time::Duration;

use crate::behavior::{Behavior, SelectPolicy};
use crate::conditions::{Condition, Reason};
use crate::decision::{Hold, Outcome};
use crate::explain::count;
use crate::limits::Limit;
use crate::pass::Pass;
use crate::policy::{Direction, HpaCompatibility, Mode, QUORUM};
use crate::step::Step;

impl Pass<'_> {
    /// Prevents a scale-down while too few pods report.
    pub(crate) fn require_quorum(&mut self, current: u32, proposed: u32) -> u32 {
        if self.scaler.policy.hpa_compatibility == HpaCompatibility::Exact || proposed >= current {
            return proposed;
        }
        match self.quorum {
            Some((reporting, running)) => {
                let unobserved = self.unobserved;
                let expected = running.saturating_add(unobserved);
                if f64::from(reporting) >= QUORUM * f64::from(expected) {
                    return proposed;
                }
                self.step(Step::NoQuorum {
                    reporting,
                    expected,
                    unobserved,
                });
                current
            }
            None => proposed,
        }
    }

    /// Applies the user's scale-up window; the queueing model's proposal already contains its hold.
    pub(crate) fn stabilize_model(&mut self, current: u32, proposed: u32) -> u32 {
        let behavior = self.scaler.policy.behavior.as_ref();
        let window = behavior.and_then(|behavior| behavior.scale_up.stabilization_window);
        if let (Some(window), Some(behavior)) = (window, &self.scaler.policy.behavior)
            && !window.is_zero()
        {
            let recommendations = &mut self.scaler.recommendations;
            let none = Duration::ZERO;
            let stabilized = recommendations.between(self.now, behavior, none, current, proposed);
            if stabilized != proposed {
                return self.set_stabilized(current, proposed, stabilized);
            }
        }
        let steps = &self.scaler.decision.steps;
        let held = steps
            .iter()
            .rfind(|step| matches!(step, Step::Held { .. } | Step::HeldAfterStart { .. }));
        let condition = &mut self.scaler.decision.conditions.able_to_scale;
        match held {
            Some(held) if proposed == current => Condition::set(
                condition,
                true,
                Reason::ScaleDownStabilized,
                format_args!("{held}"),
            ),
            _ => Condition::set(
                condition,
                true,
                Reason::ReadyForNewScale,
                format_args!("no hold applies"),
            ),
        }
        proposed
    }

    pub(crate) fn stabilize(&mut self, current: u32, proposed: u32) -> u32 {
        let flag = self.scaler.policy.hpa_flags.downscale_stabilization;
        let recommendations = &mut self.scaler.recommendations;
        let stabilized = match &self.scaler.policy.behavior {
            None => recommendations.highest(self.now, flag, proposed),
            Some(behavior) => {
                let down = behavior.scale_down.stabilization_window.unwrap_or(flag);
                recommendations.between(self.now, behavior, down, current, proposed)
            }
        };
        if stabilized != proposed {
            return self.set_stabilized(current, proposed, stabilized);
        }
        self.able(
            true,
            Reason::ReadyForNewScale,
            format_args!("no hold applies"),
        );
        stabilized
    }

    fn set_stabilized(&mut self, current: u32, proposed: u32, to: u32) -> u32 {
        let flag = self.scaler.policy.hpa_flags.downscale_stabilization;
        let (reason, window) = match &self.scaler.policy.behavior {
            // The HPA's path without `behavior` reports this for both directions.
            None => (Reason::ScaleDownStabilized, flag),
            Some(behavior) if proposed >= current => (
                Reason::ScaleUpStabilized,
                behavior.scale_up.stabilization_window.unwrap_or_default(),
            ),
            Some(behavior) => (
                Reason::ScaleDownStabilized,
                behavior.scale_down.stabilization_window.unwrap_or(flag),
            ),
        };
        let step = Step::Stabilized {
            proposed,
            to,
            window,
        };
        self.able(true, reason, format_args!("{step}"));
        self.step(step);
        to
    }

    pub(crate) fn limit(&mut self, current: u32, proposed: u32) -> u32 {
        let bounds = self.bounds();
        let policy = &self.scaler.policy;
        let history = &self.scaler.history;
        let (allowed, cap) = match &policy.behavior {
            None => history.limit_plain(policy.hpa_compatibility, bounds, current, proposed),
            Some(behavior) => history.limit_by(self.now, behavior, bounds, current, proposed),
        };
        self.set_limited(proposed, allowed, cap)
    }

    /// Applies the policies of `behavior`, or without any the model's rate limits (docs/ALGORITHM-DETAILS.md, I3), and
    /// the bounds.
    pub(crate) fn limit_model(&mut self, current: u32, proposed: u32, up_to: u32) -> u32 {
        let bounds = self.bounds();
        let history = &self.scaler.history;
        let behavior = self.scaler.policy.behavior.as_ref();
        let (allowed, cap) = match behavior.filter(|behavior| limits(behavior, proposed > current))
        {
            Some(behavior) => history.limit_by(self.now, behavior, bounds, current, proposed),
            None => {
                let (allowed, cap) = history.limit_model(self.now, current, proposed, up_to);
                match bounds.clamp(allowed) {
                    within if within > allowed => (within, Some(Limit::MinReplicas)),
                    within if within < allowed => (within, Some(Limit::MaxReplicas)),
                    within => (within, cap),
                }
            }
        };
        self.set_limited(proposed, allowed, cap)
    }

    fn set_limited(&mut self, proposed: u32, allowed: u32, cap: Option<Limit>) -> u32 {
        match cap {
            None => {
                let message = format_args!("the desired replicas are within all limits");
                self.limited(false, Reason::DesiredWithinRange, message);
            }
            Some(cap) => {
                let step = Step::Limited {
                    proposed,
                    to: allowed,
                    cap,
                };
                self.limited(true, reason_of(cap), format_args!("{step}"));
                self.step(step);
            }
        }
        allowed
    }

    pub(crate) fn apply_pause(&mut self, outcome: Outcome) -> Outcome {
        let Outcome::Scale { from, to, .. } = outcome else {
            return outcome;
        };
        let direction = if to > from {
            Direction::Up
        } else {
            Direction::Down
        };
        if self.scaler.policy.paused != Some(direction) {
            return outcome;
        }
        let step = Step::Paused { direction, to };
        self.limited(true, Reason::ScalingPaused, format_args!("{step}"));
        self.step(step);
        Outcome::Hold(Hold::RightSize)
    }

    pub(crate) fn apply_mode(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Scale { from, to, reason } if self.scaler.policy.mode == Mode::Recommend => {
                self.able(
                    true,
                    Reason::RecommendOnly,
                    format_args!("mode is Recommend: would scale to {}", count(to)),
                );
                Outcome::Recommend { from, to, reason }
            }
            outcome => outcome,
        }
    }

    /// Outside of the envelope, recommends a scale-down instead of applying it. Scale-ups are applied, because a fleet
    /// that is too small loses requests.
    pub(crate) fn apply_envelope(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Scale { from, to, reason } if to < from && self.is_outside_envelope => {
                self.able(
                    true,
                    Reason::RecommendOnly,
                    format_args!("outside of the envelope: would scale to {}", count(to)),
                );
                Outcome::Recommend { from, to, reason }
            }
            outcome => outcome,
        }
    }
}

/// Returns whether `behavior` limits a direction; the queueing model only follows explicit policies.
fn limits(behavior: &Behavior, up: bool) -> bool {
    let rules = if up {
        &behavior.scale_up
    } else {
        &behavior.scale_down
    };
    !rules.policies.is_empty() || rules.select_policy == SelectPolicy::Disabled
}

fn reason_of(cap: Limit) -> Reason {
    match cap {
        Limit::MinReplicas => Reason::TooFewReplicas,
        Limit::MaxReplicas => Reason::TooManyReplicas,
        Limit::ScaleUpLimit => Reason::ScaleUpLimit,
        Limit::ScaleDownLimit => Reason::ScaleDownLimit,
    }
}

//! One pass over a scaler's facts (hpa-spec 2.2 to 2.6).

use crate::behavior::Behavior;
use crate::conditions::{Condition, Reason};
use crate::decision::{Hold, Outcome, Warning, Why};
use crate::limits::Cap;
use crate::moment::Moment;
use crate::policy::{Algorithm, Bounds, Direction, Manner, Mode, QUORUM};
use crate::scaler::Scaler;
use crate::step::Step;
use crate::target::{Selector, TargetFacts};

/// One pass of the loop.
pub(crate) struct Pass<'a> {
    pub(crate) now: Moment,
    pub(crate) scaler: &'a mut Scaler,
    /// Of the metric that fewest pods report: how many do, and how many should.
    pub(crate) quorum: Option<(u32, u32)>,
}

/// What all metrics together ask for.
pub(crate) struct Proposal {
    pub(crate) replicas: u32,
    /// Why, if that is more than there are.
    pub(crate) why_more: Why,
    /// The queue model's own limit to one step up.
    pub(crate) up_to: u32,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(now: Moment, scaler: &'a mut Scaler) -> Self {
        Self {
            now,
            scaler,
            quorum: None,
        }
    }

    pub(crate) fn run(mut self, target: &TargetFacts) -> (Option<u32>, Outcome) {
        if self.scaler.policy.mode == Mode::Off {
            let condition = &mut self.scaler.decision.conditions.scaling_active;
            let message = format_args!("mode is Off: nothing is decided and nothing is written");
            Condition::set(condition, false, Reason::SwitchedOff, message);
            let current = match target {
                TargetFacts::Known { replicas, .. } => Some(*replicas),
                _ => None,
            };
            return (current, Outcome::Hold(Hold::Off));
        }
        let (current, outcome) = self.by_target(target);
        let outcome = self.unless_paused(outcome);
        (current, self.by_mode(outcome))
    }

    fn by_target(&mut self, target: &TargetFacts) -> (Option<u32>, Outcome) {
        let (current, selector) = match target {
            TargetFacts::Known { replicas, selector } => (*replicas, selector),
            TargetFacts::Unreadable { message } => {
                self.warn(Reason::FailedGetScale, message.clone());
                self.able(
                    false,
                    Reason::FailedGetScale,
                    format_args!("the target's scale cannot be read: {message}"),
                );
                return (None, Outcome::Hold(Hold::TargetUnreadable));
            }
            TargetFacts::Contested { by } => {
                let message = format!("{by} writes the same target: remove one of the two");
                self.able(false, Reason::TargetContested, format_args!("{message}"));
                self.warn(Reason::TargetContested, message);
                return (None, Outcome::Hold(Hold::Contested));
            }
        };
        self.able(
            true,
            Reason::SucceededGetScale,
            format_args!("the target's scale was read"),
        );
        self.scaler.recommendations.begin(self.now, current);
        self.scaler.history.seen(self.now, current);
        if self.scaler.policy.manner == Manner::Guarded
            && let Some(times) = self.scaler.history.contested(self.now)
        {
            let message = format!(
                "somebody else set another size {times} times soon after ours: find who writes the target (kubectl get -o yaml --show-managed-fields), or set mode: Recommend"
            );
            self.able(false, Reason::SizeContested, format_args!("{message}"));
            self.warn(Reason::SizeContested, message);
            return (Some(current), Outcome::Hold(Hold::Contested));
        }

        let bounds = self.bounds();
        self.step(Step::Size {
            current,
            min: self.scaler.policy.bounds.min(),
            max: bounds.max(),
        });
        if current == 0 {
            Condition::set(
                &mut self.scaler.decision.conditions.scaling_active,
                false,
                Reason::ScalingDisabled,
                format_args!("the target has 0 replicas; set it to 1 or more and scaling goes on"),
            );
            return (Some(0), Outcome::Hold(Hold::Disabled));
        }
        if bounds.min() > self.scaler.policy.bounds.min() {
            self.step(Step::Scheduled {
                replicas: bounds.min(),
            });
        }
        if current > bounds.max() {
            return (
                Some(current),
                self.correct(current, bounds.max(), Why::AboveMax),
            );
        }
        if current < bounds.min() {
            return (
                Some(current),
                self.correct(current, bounds.min(), Why::BelowMin),
            );
        }
        (Some(current), self.by_metrics(current, selector))
    }

    /// The bounds with a schedule's floor.
    pub(crate) fn bounds(&self) -> Bounds {
        let bounds = self.scaler.policy.bounds;
        bounds.raised_to(self.scaler.scheduled.unwrap_or(0))
    }

    fn correct(&mut self, from: u32, to: u32, why: Why) -> Outcome {
        self.step(Step::Corrected { to });
        Outcome::Scale { from, to, why }
    }

    fn by_metrics(&mut self, current: u32, selector: &Selector) -> Outcome {
        if let Some(outcome) = self.refuse_selector(selector) {
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
        let proposed = self.demand_quorum(current, proposal.replicas);
        let why = if proposed > current {
            proposal.why_more
        } else if proposed < current {
            match self.scaler.policy.algorithm {
                Algorithm::Ratio => Why::AllBelowTarget,
                Algorithm::Model => Why::LessDemand,
            }
        } else {
            Why::Unsaid
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
                why,
            }
        }
    }

    /// Nothing can be computed. After a while the fallback holds, which never lowers.
    fn fall_back(&mut self, current: u32) -> Outcome {
        let hold = Outcome::Hold(Hold::NotEnoughKnown);
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
        Condition::set(
            &mut self.scaler.decision.conditions.scaling_active,
            false,
            Reason::FallbackActive,
            format_args!("no metric can be computed: the fallback of at least {to} holds"),
        );
        if to <= current {
            return hold;
        }
        Outcome::Scale {
            from: current,
            to,
            why: Why::Fallback,
        }
    }

    /// Never down while too few of the pods report.
    fn demand_quorum(&mut self, current: u32, proposed: u32) -> u32 {
        if self.scaler.policy.manner == Manner::Hpa || proposed >= current {
            return proposed;
        }
        match self.quorum {
            Some((reporting, running)) if f64::from(reporting) < QUORUM * f64::from(running) => {
                self.step(Step::NoQuorum { reporting, running });
                current
            }
            _ => proposed,
        }
    }

    fn refuse_selector(&mut self, selector: &Selector) -> Option<Outcome> {
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
                format!("the target's selector cannot be used: {message}"),
            ),
            Selector::Shared { with } => (
                Reason::AmbiguousSelector,
                Reason::AmbiguousSelector,
                format!("the target's pods are also under the target of {with}"),
            ),
        };
        self.warn(event, message.clone());
        self.warn(Reason::FailedComputeMetricsReplicas, message.clone());
        let condition = &mut self.scaler.decision.conditions.scaling_active;
        Condition::set(condition, false, reason, format_args!("{message}"));
        Some(Outcome::Hold(Hold::SelectorUnusable))
    }

    /// Whether all metrics together say something, by the HPA's rule: if some failed, the others may raise the size or
    /// keep it, never lower it.
    pub(crate) fn settle(
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
            let condition = &mut self.scaler.decision.conditions.scaling_active;
            let reason = Reason::FailedGetPodsMetric;
            Condition::set(condition, false, reason, format_args!("{message}"));
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

    /// With the queue model only what `behavior` says in so many words: its own hold is in the proposal.
    fn stabilize_model(&mut self, current: u32, proposed: u32) -> u32 {
        let held = self
            .scaler
            .decision
            .steps
            .iter()
            .find_map(|step| match step {
                Step::Held { .. } => Some(step.clone()),
                _ => None,
            });
        let stabilized = match &self.scaler.policy.behavior {
            None => proposed,
            Some(behavior) => {
                let down = behavior.down.window.unwrap_or_default();
                let recommendations = &mut self.scaler.recommendations;
                recommendations.between(self.now, behavior, down, current, proposed)
            }
        };
        if stabilized != proposed {
            return self.tell_stabilized(current, proposed, stabilized);
        }
        match held {
            Some(held) if proposed == current => {
                let reason = Reason::ScaleDownStabilized;
                self.able(true, reason, format_args!("{held}"));
            }
            _ => self.able(
                true,
                Reason::ReadyForNewScale,
                format_args!("nothing holds the proposed size"),
            ),
        }
        stabilized
    }

    fn stabilize(&mut self, current: u32, proposed: u32) -> u32 {
        let flag = self.scaler.policy.flags.downscale_stabilization;
        let recommendations = &mut self.scaler.recommendations;
        let stabilized = match &self.scaler.policy.behavior {
            None => recommendations.highest(self.now, flag, proposed),
            Some(behavior) => {
                let down = behavior.down.window.unwrap_or(flag);
                recommendations.between(self.now, behavior, down, current, proposed)
            }
        };
        if stabilized != proposed {
            return self.tell_stabilized(current, proposed, stabilized);
        }
        self.able(
            true,
            Reason::ReadyForNewScale,
            format_args!("nothing holds the proposed size"),
        );
        stabilized
    }

    fn tell_stabilized(&mut self, current: u32, proposed: u32, to: u32) -> u32 {
        let flag = self.scaler.policy.flags.downscale_stabilization;
        let (reason, window) = match &self.scaler.policy.behavior {
            // The HPA's older path says so whichever way it went.
            None => (Reason::ScaleDownStabilized, flag),
            Some(behavior) if proposed >= current => (
                Reason::ScaleUpStabilized,
                behavior.up.window.unwrap_or_default(),
            ),
            Some(behavior) => (
                Reason::ScaleDownStabilized,
                behavior.down.window.unwrap_or(flag),
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

    fn limit(&mut self, current: u32, wanted: u32) -> u32 {
        let bounds = self.bounds();
        let policy = &self.scaler.policy;
        let history = &self.scaler.history;
        let (allowed, cap) = match &policy.behavior {
            None => history.limit_plain(policy.manner, bounds, current, wanted),
            Some(behavior) => history.limit_by(self.now, behavior, bounds, current, wanted),
        };
        self.tell_limited(wanted, allowed, cap)
    }

    /// The queue model's rails (decision.md I3), what `behavior` limits in so many words, and the bounds.
    fn limit_model(&mut self, current: u32, wanted: u32, up_to: u32) -> u32 {
        let bounds = self.bounds();
        let history = &self.scaler.history;
        let (allowed, cap) = history.limit_model(self.now, current, wanted, up_to);
        let (allowed, cap) = match &self.scaler.policy.behavior {
            Some(behavior) if limits(behavior, allowed > current) => {
                let (by_behavior, by) =
                    history.limit_by(self.now, behavior, bounds, current, allowed);
                (by_behavior, by.or(cap))
            }
            _ => match bounds.clamp(allowed) {
                within if within > allowed => (within, Some(Cap::MinReplicas)),
                within if within < allowed => (within, Some(Cap::MaxReplicas)),
                within => (within, cap),
            },
        };
        self.tell_limited(wanted, allowed, cap)
    }

    fn tell_limited(&mut self, wanted: u32, allowed: u32, cap: Option<Cap>) -> u32 {
        let condition = &mut self.scaler.decision.conditions.scaling_limited;
        match cap {
            None => Condition::set(
                condition,
                false,
                Reason::DesiredWithinRange,
                format_args!("the wanted size is within bounds and limits"),
            ),
            Some(cap) => {
                let step = Step::Limited {
                    wanted,
                    to: allowed,
                    cap,
                };
                Condition::set(condition, true, reason_of(cap), format_args!("{step}"));
                self.step(step);
            }
        }
        allowed
    }

    fn unless_paused(&mut self, outcome: Outcome) -> Outcome {
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
        let step = Step::Paused {
            direction,
            wanted: to,
        };
        let condition = &mut self.scaler.decision.conditions.scaling_limited;
        Condition::set(
            condition,
            true,
            Reason::ScalingPaused,
            format_args!("{step}"),
        );
        self.step(step);
        Outcome::Hold(Hold::RightSize)
    }

    fn by_mode(&mut self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Scale { from, to, why } if self.scaler.policy.mode == Mode::Recommend => {
                self.able(
                    true,
                    Reason::RecommendOnly,
                    format_args!("mode is Recommend: {to} would be written"),
                );
                Outcome::Recommend { from, to, why }
            }
            outcome => outcome,
        }
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.scaler.decision.steps.push(step);
    }

    pub(crate) fn warn(&mut self, reason: Reason, message: String) {
        let warnings = &mut self.scaler.decision.warnings;
        warnings.push(Warning { reason, message });
    }

    fn able(&mut self, able: bool, reason: Reason, message: std::fmt::Arguments<'_>) {
        let condition = &mut self.scaler.decision.conditions.able_to_scale;
        Condition::set(condition, able, reason, message);
    }
}

/// Whether a behavior limits a direction: with the queue model only policies that were written down do.
fn limits(behavior: &Behavior, up: bool) -> bool {
    let rules = if up { &behavior.up } else { &behavior.down };
    !rules.policies.is_empty() || rules.select == crate::behavior::Select::Disabled
}

fn reason_of(cap: Cap) -> Reason {
    match cap {
        Cap::MinReplicas => Reason::TooFewReplicas,
        Cap::MaxReplicas => Reason::TooManyReplicas,
        Cap::ScaleUpLimit => Reason::ScaleUpLimit,
        Cap::ScaleDownLimit => Reason::ScaleDownLimit,
    }
}

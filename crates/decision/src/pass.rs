//! One pass over a scaler's facts (hpa-spec 2.2 to 2.6).

use crate::average::Groups;
use crate::conditions::{Condition, Reason};
use crate::decision::{Figure, Hold, Outcome, Warning};
use crate::limits::Cap;
use crate::moment::Moment;
use crate::policy::{Manner, QUORUM};
use crate::recommend::{Band, recommend};
use crate::scaler::Scaler;
use crate::step::Step;
use crate::target::{Selector, TargetFacts};

/// One pass of the HPA's loop.
pub(crate) struct Pass<'a> {
    now: Moment,
    scaler: &'a mut Scaler,
    steps: Vec<Step>,
    figures: Vec<Figure>,
    warnings: Vec<Warning>,
    /// Of the metric that fewest pods report: how many do, and how many run.
    quorum: Option<(u32, u32)>,
}

/// What a pass found.
pub(crate) struct Done {
    pub(crate) current: Option<u32>,
    pub(crate) outcome: Outcome,
    pub(crate) steps: Vec<Step>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(now: Moment, scaler: &'a mut Scaler) -> Self {
        Self {
            now,
            scaler,
            steps: Vec::new(),
            figures: Vec::new(),
            warnings: Vec::new(),
            quorum: None,
        }
    }

    pub(crate) fn run(mut self, target: &TargetFacts) -> Done {
        let (current, outcome) = self.by_target(target);
        Done {
            current,
            outcome,
            steps: self.steps,
            figures: self.figures,
            warnings: self.warnings,
        }
    }

    fn by_target(&mut self, target: &TargetFacts) -> (Option<u32>, Outcome) {
        let (current, selector) = match target {
            TargetFacts::Known { replicas, selector } => (*replicas, selector),
            TargetFacts::Unreadable { message } => {
                self.warn(Reason::FailedGetScale, message.clone());
                self.scaler.conditions.able_to_scale = Condition::no(
                    Reason::FailedGetScale,
                    format!("the target's scale cannot be read: {message}"),
                );
                return (None, Outcome::Hold(Hold::TargetUnreadable));
            }
            TargetFacts::Contested { by } => {
                let message = format!("{by} writes the same target: remove one of the two");
                self.warn(Reason::TargetContested, message.clone());
                self.scaler.conditions.able_to_scale =
                    Condition::no(Reason::TargetContested, message);
                return (None, Outcome::Hold(Hold::Contested));
            }
        };
        self.scaler.conditions.able_to_scale =
            Condition::yes(Reason::SucceededGetScale, "the target's scale was read");
        self.scaler.recommendations.begin(self.now, current);
        self.scaler.history.seen(self.now, current);

        let bounds = self.scaler.policy.bounds;
        self.steps.push(Step::Size {
            current,
            min: bounds.min(),
            max: bounds.max(),
        });
        if current == 0 {
            self.scaler.conditions.scaling_active = Condition::no(
                Reason::ScalingDisabled,
                "the target has 0 replicas; set it to 1 or more and scaling goes on",
            );
            return (Some(0), Outcome::Hold(Hold::Disabled));
        }
        if current > bounds.max() {
            let reason = "Current number of replicas above Spec.MaxReplicas";
            return (Some(current), self.correct(current, bounds.max(), reason));
        }
        if current < bounds.min() {
            let reason = "Current number of replicas below Spec.MinReplicas";
            return (Some(current), self.correct(current, bounds.min(), reason));
        }
        (Some(current), self.by_metrics(current, selector))
    }

    fn correct(&mut self, from: u32, to: u32, reason: &str) -> Outcome {
        self.steps.push(Step::Corrected { to });
        Outcome::Scale {
            from,
            to,
            reason: reason.to_owned(),
        }
    }

    fn by_metrics(&mut self, current: u32, selector: &Selector) -> Outcome {
        if let Some(outcome) = self.refuse_selector(selector) {
            return outcome;
        }
        let Some((proposed, above)) = self.propose(current) else {
            return Outcome::Hold(Hold::NotEnoughKnown);
        };
        let proposed = self.demand_quorum(current, proposed);
        let reason = if proposed > current {
            format!("{above} above target")
        } else if proposed < current {
            "All metrics below target".to_owned()
        } else {
            String::new()
        };
        let stabilized = self.stabilize(current, proposed);
        let desired = self.limit(current, stabilized);
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

    /// Never down while too few of the running pods report.
    fn demand_quorum(&mut self, current: u32, proposed: u32) -> u32 {
        if self.scaler.policy.manner == Manner::Hpa || proposed >= current {
            return proposed;
        }
        match self.quorum {
            Some((reporting, running)) if f64::from(reporting) < QUORUM * f64::from(running) => {
                self.steps.push(Step::NoQuorum { reporting, running });
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
        self.scaler.conditions.scaling_active = Condition::no(reason, message);
        Some(Outcome::Hold(Hold::SelectorUnusable))
    }

    /// The largest proposal of all metrics and the name of its metric; `None` if they must not be acted on.
    fn propose(&mut self, current: u32) -> Option<(u32, String)> {
        let band = self.band();
        let policy = &self.scaler.policy;
        let mut best: Option<(u32, String)> = None;
        let mut first_problem: Option<String> = None;
        let mut pods_told = false;
        for metric in &policy.metrics {
            let groups = Groups::sort(self.scaler.fleet.members(), self.now, metric);
            if !pods_told || groups.silent > 0 {
                pods_told = true;
                self.steps.push(Step::Pods {
                    reporting: groups.reporting(),
                    silent: groups.silent,
                    pending: groups.pending,
                    ignored: groups.ignored,
                });
            }
            let running = groups.reporting() + groups.silent;
            let share =
                |(reporting, running): (u32, u32)| f64::from(reporting) / f64::from(running.max(1));
            let here = (groups.reporting(), running);
            if self.quorum.is_none_or(|least| share(here) < share(least)) {
                self.quorum = Some(here);
            }
            let found = recommend(
                metric,
                &groups,
                current,
                band,
                policy.manner,
                &mut self.steps,
            );
            match found {
                Ok((proposed, average)) => {
                    self.figures.push(Figure {
                        model: metric.model.clone(),
                        average: average.mean,
                        target: metric.target.latency(),
                        proposed,
                    });
                    if best.as_ref().is_none_or(|(most, _)| proposed > *most) {
                        best = Some((proposed, name(metric.model.as_deref())));
                    }
                }
                Err(problem) => {
                    let problem = problem.problem();
                    self.steps.push(Step::MetricFailed {
                        model: metric.model.clone(),
                        problem,
                    });
                    let message = format!("{}: {problem}", name(metric.model.as_deref()));
                    self.warnings.push(Warning {
                        reason: Reason::FailedGetPodsMetric,
                        message: message.clone(),
                    });
                    first_problem.get_or_insert(message);
                }
            }
        }
        let metrics = u32::try_from(policy.metrics.len()).unwrap_or(u32::MAX);
        let usable = match (&best, &first_problem) {
            (None, _) => false,
            // Some failed: the others may raise the size or keep it, never lower it.
            (Some((most, _)), Some(_)) => *most >= current,
            (Some(_), None) => true,
        };
        if !usable {
            let message = first_problem.unwrap_or_else(|| "no metric is configured".to_owned());
            self.warn(Reason::FailedComputeMetricsReplicas, message.clone());
            self.scaler.conditions.scaling_active =
                Condition::no(Reason::FailedGetPodsMetric, message);
            return None;
        }
        let (most, above) = best?;
        if metrics > 1 {
            self.steps.push(Step::Largest {
                metrics,
                replicas: most,
            });
        }
        self.scaler.conditions.scaling_active = Condition::yes(
            Reason::ValidMetricFound,
            format!("a replica count was computed from {above}"),
        );
        Some((most, above))
    }

    fn band(&self) -> Band {
        let policy = &self.scaler.policy;
        let flag = policy.flags.tolerance;
        let behavior = policy.behavior.as_ref();
        Band {
            down: behavior.and_then(|b| b.down.tolerance).unwrap_or(flag),
            up: behavior.and_then(|b| b.up.tolerance).unwrap_or(flag),
        }
    }

    fn stabilize(&mut self, current: u32, proposed: u32) -> u32 {
        let flag = self.scaler.policy.flags.downscale_stabilization;
        let recommendations = &mut self.scaler.recommendations;
        let (stabilized, held_by, window) = match &self.scaler.policy.behavior {
            None => (
                recommendations.highest(self.now, flag, proposed),
                Reason::ScaleDownStabilized,
                flag,
            ),
            Some(behavior) => {
                let down_window = behavior.down.window.unwrap_or(flag);
                let up_window = behavior.up.window.unwrap_or_default();
                let stabilized =
                    recommendations.between(self.now, behavior, down_window, current, proposed);
                if proposed >= current {
                    (stabilized, Reason::ScaleUpStabilized, up_window)
                } else {
                    (stabilized, Reason::ScaleDownStabilized, down_window)
                }
            }
        };
        self.scaler.conditions.able_to_scale = if stabilized == proposed {
            Condition::yes(Reason::ReadyForNewScale, "nothing holds the proposed size")
        } else {
            let step = Step::Stabilized {
                proposed,
                to: stabilized,
                window,
            };
            let message = step.to_string();
            self.steps.push(step);
            Condition::yes(held_by, message)
        };
        stabilized
    }

    fn limit(&mut self, current: u32, wanted: u32) -> u32 {
        let policy = &self.scaler.policy;
        let history = &self.scaler.history;
        let (allowed, cap) = match &policy.behavior {
            None => history.limit_plain(policy.manner, policy.bounds, current, wanted),
            Some(behavior) => history.limit_by(self.now, behavior, policy.bounds, current, wanted),
        };
        self.scaler.conditions.scaling_limited = match cap {
            None => Condition::no(
                Reason::DesiredWithinRange,
                "the wanted size is within bounds and limits",
            ),
            Some(cap) => {
                let step = Step::Limited {
                    wanted,
                    to: allowed,
                    cap,
                };
                let message = step.to_string();
                self.steps.push(step);
                Condition::yes(reason_of(cap), message)
            }
        };
        allowed
    }

    fn warn(&mut self, reason: Reason, message: String) {
        self.warnings.push(Warning { reason, message });
    }
}

fn reason_of(cap: Cap) -> Reason {
    match cap {
        Cap::MinReplicas => Reason::TooFewReplicas,
        Cap::MaxReplicas => Reason::TooManyReplicas,
        Cap::ScaleUpLimit => Reason::ScaleUpLimit,
        Cap::ScaleDownLimit => Reason::ScaleDownLimit,
    }
}

fn name(model: Option<&str>) -> String {
    match model {
        Some(model) => format!("queue latency of model {model}"),
        None => "queue latency".to_owned(),
    }
}

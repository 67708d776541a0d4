//! Why a decision has neither more nor fewer replicas, and what would change it.

use std::cmp::Reverse;

use crate::decision::{Decision, Hold, Outcome};
use crate::explain::count;
use crate::limits::Limit;
use crate::numbers::short;
use crate::policy::Direction;
use crate::step::{BacklogBound, Step};

/// The condition under which a decision without a metric changes.
const UNTIL_METRIC_KNOWN: &str =
    "a metric can be computed: see the conditions ScalingActive and Fresh";

/// The other side of an explanation: what kept the replicas from being more or fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alternatives {
    /// Why there are not more replicas.
    pub not_more: Vec<String>,
    /// What would have to change for more replicas: one of these.
    pub more_if: Vec<String>,
    /// Why there are not fewer replicas.
    pub not_fewer: Vec<String>,
    /// What would have to change for fewer replicas: all of these.
    pub fewer_if: Vec<String>,
}

impl Alternatives {
    fn add(&mut self, excludes: Excludes, reason: &str, change: &str) {
        if excludes != Excludes::Fewer {
            push(&mut self.not_more, reason);
            push(&mut self.more_if, change);
        }
        if excludes != Excludes::More {
            push(&mut self.not_fewer, reason);
            push(&mut self.fewer_if, change);
        }
    }
}

fn push(lines: &mut Vec<String>, line: &str) {
    if !lines.iter().any(|known| known == line) {
        lines.push(line.to_owned());
    }
}

/// Which alternatives a step excludes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excludes {
    More,
    Fewer,
    Both,
}

impl Decision {
    /// Returns why the decision has neither more nor fewer replicas, and what would change it.
    pub fn alternatives(&self) -> Alternatives {
        let mut found = Alternatives::default();
        if let Outcome::Hold(hold) = &self.outcome
            && let Some(change) = change_of_hold(*hold)
        {
            found.add(Excludes::Both, &hold.to_string(), change);
        }
        let Some(desired) = self.desired() else {
            return found;
        };
        for step in &self.steps {
            if let Some((excludes, change)) = exclusion(step, desired, &self.steps) {
                found.add(excludes, &step.to_string(), &change);
            }
        }
        if found.not_more.is_empty()
            && let Some((step, change)) = bound_of_backlog(&self.steps, desired)
        {
            found.add(Excludes::More, &step.to_string(), change);
        }
        if let Some(need) = Need::largest(&self.steps) {
            need.complete(desired, &mut found);
        }
        complete_with_ratio(&self.steps, desired, &mut found);
        found.not_fewer.extend(runner_up(&self.steps, desired));
        found
    }
}

/// What would end a hold that no step explains; `None` if the steps do.
fn change_of_hold(hold: Hold) -> Option<&'static str> {
    Some(match hold {
        Hold::RightSize => return None,
        Hold::TargetUnreadable => "the target can be read: see the condition AbleToScale",
        Hold::Conflict => "only one client scales the target: see the condition AbleToScale",
        Hold::Disabled => "the target is scaled to 1 or more",
        Hold::SelectorUnusable => "the target's pods are known: see the condition ScalingActive",
        Hold::InsufficientData => UNTIL_METRIC_KNOWN,
        Hold::ModeOff => "spec.mode is Apply or Recommend",
    })
}

/// Returns the step whose bound keeps a backlog from ordering more than `desired` replicas, and what would end that.
fn bound_of_backlog(steps: &[Step], desired: u32) -> Option<(&Step, &'static str)> {
    steps.iter().find_map(|step| {
        let change = match step {
            Step::Backlog {
                replicas, bound_by, ..
            } if *replicas == desired => match bound_by {
                BacklogBound::StartCost => {
                    "more requests wait, or spec.podSecondsPerViolation is higher"
                }
                BacklogBound::MaxOrder => "the arrival rate rises",
                BacklogBound::DrainTime | BacklogBound::EarlierOrder => return None,
            },
            Step::UnevenLoad {
                unordered: Some(replicas),
                ..
            } if *replicas > desired => "requests reach all pods: see the condition LoadUneven",
            _ => return None,
        };
        Some((step, change))
    })
}

/// Returns which alternatives to `desired` a step excludes, and what would end that; `None` if it excludes none.
fn exclusion(step: &Step, desired: u32, all: &[Step]) -> Option<(Excludes, String)> {
    use Excludes::{Both, Fewer, More};
    // A need below the desired replicas does not keep them.
    let keeps = |replicas: &u32| *replicas >= desired;
    let (excludes, change) = match step {
        Step::Limited { proposed, cap, .. } => match cap {
            Limit::MaxReplicas => {
                return Some((More, format!("spec.maxReplicas is {proposed} or more")));
            }
            // The minimum may be that of a schedule, which has its own step.
            Limit::MinReplicas if all.iter().any(is_floor) => return None,
            Limit::MinReplicas => (Fewer, "spec.minReplicas is lower"),
            Limit::ScaleUpLimit => (
                More,
                "time passes, or spec.behavior.scaleUp allows larger steps",
            ),
            Limit::ScaleDownLimit => (
                Fewer,
                "time passes, or spec.behavior.scaleDown allows larger steps",
            ),
        },
        Step::Stabilized { proposed, to, .. } => (
            if proposed > to { More } else { Fewer },
            "the proposals of the whole window agree, or stabilizationWindowSeconds is shorter",
        ),
        Step::Paused { direction, .. } => (
            match direction {
                Direction::Up => More,
                Direction::Down => Fewer,
            },
            "spec.pause is removed",
        ),
        Step::Overdue { .. } => (
            More,
            "the pods that start become ready: see kubectl describe pod",
        ),
        Step::Stuck { .. } => (Both, "requests are completed: see the pods' logs"),
        Step::WithinTolerance { low, high } => {
            let (low, high) = (short(*low), short(*high));
            return Some((
                Both,
                format!(
                    "the latency is below {low} or above {high} times the target, or spec.behavior has a smaller tolerance"
                ),
            ));
        }
        Step::OutOfBounds { .. } => (Both, "the next decision follows the readings"),
        // With several models, the need of another one explains more.
        Step::Idle | Step::Needed { .. } if Need::largest(all).is_none() => {
            (More, "requests arrive")
        }
        Step::Contradicted => (Both, "the pods without a reading report"),
        Step::NoQuorum { .. } => (Fewer, "80% of the pods report: see the condition Fresh"),
        Step::KeptWhilePending { replicas, .. } if keeps(replicas) => {
            (Fewer, "the pending pods become ready")
        }
        Step::KeptWhileWaiting { replicas, .. } if keeps(replicas) => {
            (Fewer, "requests wait less than the target")
        }
        Step::Held { replicas, window } if keeps(replicas) => {
            let window = window.as_secs();
            return Some((Fewer, format!("fewer replicas are enough for {window} s")));
        }
        Step::HeldAfterStart { replicas, .. } if keeps(replicas) => {
            (Fewer, "the hold after the aggregator's start ends")
        }
        Step::Backlog { replicas, .. } if keeps(replicas) => (Fewer, "the backlog is worked off"),
        Step::RiseExpected { replicas, .. } if keeps(replicas) => {
            (Fewer, "the expected rise is over, or does not come")
        }
        Step::Lost { replicas, .. } if keeps(replicas) => {
            (Fewer, "the lost pods become ready, or are deleted")
        }
        Step::Replacement { replicas } if keeps(replicas) => {
            (Fewer, "one more pod is ready, and a slow one is deleted")
        }
        Step::LatencyGuard { replicas, .. } if keeps(replicas) => (
            Fewer,
            "no metric is missing: see the condition MetricsIncomplete",
        ),
        Step::Fallback { replicas, .. } if keeps(replicas) => (Both, UNTIL_METRIC_KNOWN),
        Step::ScheduledFloor { replicas } if keeps(replicas) => (Fewer, "the schedule ends"),
        Step::TooManyModels { .. } => (Fewer, "spec.metrics names the models"),
        Step::ModelWithoutPlan { .. } => (Fewer, "every model has a plan"),
        _ => return None,
    };
    Some((excludes, change.to_owned()))
}

/// The largest need that the queueing model computed from an arrival rate.
struct Need {
    /// The rate that it was computed from, in requests per second.
    rate: f64,
    /// Pods before rounding and head-room.
    pods: f64,
    headroom: f64,
    replicas: u32,
}

impl Need {
    fn largest(steps: &[Step]) -> Option<Self> {
        let mut current = 0.0;
        let mut largest: Option<Self> = None;
        for step in steps {
            match step {
                Step::Arrivals { rate, .. } | Step::Trend { rate, .. } => current = *rate,
                Step::Needed {
                    pods,
                    headroom,
                    replicas,
                } if *pods > 0.0
                    && largest
                        .as_ref()
                        .is_none_or(|largest| largest.replicas < *replicas) =>
                {
                    largest = Some(Self {
                        rate: current,
                        pods: *pods,
                        headroom: *headroom,
                        replicas: *replicas,
                    });
                }
                _ => {}
            }
        }
        largest
    }

    /// The arrival rate up to which `replicas` meet the target, if the capacity is proportional to the pods.
    fn capacity(&self, replicas: u32) -> f64 {
        f64::from(replicas) / self.headroom * self.rate / self.pods
    }

    /// Adds the arrival rate as a reason, where nothing else is one.
    fn complete(&self, desired: u32, found: &mut Alternatives) {
        let rate = short(self.rate);
        let up_to = |replicas| {
            let capacity = short(self.capacity(replicas));
            let replicas = count(replicas);
            format!(
                "{replicas} meet the target up to about {capacity}/s, and {rate}/s are expected"
            )
        };
        if found.not_more.is_empty() && self.replicas <= desired {
            let capacity = short(self.capacity(desired));
            let change = format!("the arrival rate exceeds about {capacity}/s");
            found.add(Excludes::More, &up_to(desired), &change);
        }
        if found.not_fewer.is_empty() && self.replicas >= desired {
            match desired.checked_sub(1).filter(|fewer| *fewer > 0) {
                Some(fewer) => {
                    let capacity = short(self.capacity(fewer));
                    let change = format!("the arrival rate falls below about {capacity}/s");
                    found.add(Excludes::Fewer, &up_to(fewer), &change);
                }
                None => found
                    .not_fewer
                    .push("1 replica is the least: Pushscale does not scale to 0".to_owned()),
            }
        }
    }
}

/// Adds the proposal of the ratio rule as a reason, where nothing else is one.
fn complete_with_ratio(steps: &[Step], desired: u32, found: &mut Alternatives) {
    let proposal = steps.iter().rev().find_map(|step| match step {
        Step::Proposed { replicas, .. } | Step::Largest { replicas, .. } => Some((step, *replicas)),
        _ => None,
    });
    let Some((step, replicas)) = proposal else {
        return;
    };
    let step = step.to_string();
    if found.not_more.is_empty() && replicas <= desired {
        found.add(Excludes::More, &step, "the queue latency rises");
    }
    if found.not_fewer.is_empty() && replicas >= desired {
        found.add(Excludes::Fewer, &step, "the queue latency falls");
    }
}

/// A proposal of the queueing model.
#[derive(Clone, Copy)]
struct Claim<'a> {
    /// What it is for.
    what: &'static str,
    /// The model, if it is known.
    model: Option<&'a str>,
    replicas: u32,
}

impl Claim<'_> {
    fn of(step: &Step) -> Option<Claim<'_>> {
        let mut model = None;
        let (what, replicas) = match step {
            Step::Needed { replicas, .. } => ("this model", replicas),
            Step::Held { replicas, .. } | Step::HeldAfterStart { replicas, .. } => {
                ("the hold", replicas)
            }
            Step::Backlog { replicas, .. } => ("the backlog", replicas),
            Step::RiseExpected { replicas, .. } => ("the expected rise", replicas),
            Step::Lost { replicas, .. } => ("the lost pods", replicas),
            Step::Replacement { replicas } => ("the replacement", replicas),
            Step::Stuck { replicas } => ("the safeguard", replicas),
            Step::KeptWhileWaiting { replicas, .. } | Step::LatencyGuard { replicas, .. } => {
                ("the safeguard", replicas)
            }
            Step::RunnerUp {
                model: name,
                replicas,
            } => {
                model = Some(name.as_ref());
                ("this model", replicas)
            }
            _ => return None,
        };
        Some(Claim {
            what,
            model,
            replicas: *replicas,
        })
    }
}

/// Returns the replicas without the proposal that decides; `None` if they are not fewer than `desired`.
fn runner_up(steps: &[Step], desired: u32) -> Option<String> {
    let mut claims: Vec<Claim<'_>> = steps.iter().filter_map(Claim::of).collect();
    // Stable: of equal ones, the first.
    claims.sort_by_key(|claim| Reverse(claim.replicas));
    let [largest, second, ..] = claims[..] else {
        return None;
    };
    if largest.replicas < desired || second.replicas >= desired {
        return None;
    }
    let mut text = format!("without {}: {}", largest.what, count(second.replicas));
    if let Some(model) = second.model {
        text += &format!(" for model {model}");
    }
    Some(text)
}

fn is_floor(step: &Step) -> bool {
    matches!(step, Step::ScheduledFloor { .. })
}

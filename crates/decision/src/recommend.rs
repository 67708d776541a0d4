//! The proposal of one metric by the ratio rule (the HPA's `replica_calculator.go`).

use crate::average::{Average, Groups};
use crate::latency::Latency;
use crate::numbers::to_u32_saturating;
use crate::policy::{HpaCompatibility, Metric};
use crate::step::Step;

/// The tolerance around a ratio of 1, both ends included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    pub(crate) down: f64,
    pub(crate) up: f64,
}

impl Band {
    fn contains(self, ratio: f64) -> bool {
        // The HPA computes in this order and in doubles, so that rounding excludes the same values here.
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }

    fn step(self) -> Step {
        Step::WithinTolerance {
            low: 1.0 - self.down,
            high: 1.0 + self.up,
        }
    }
}

/// Why a metric has no proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProposal {
    NoPods,
    NotReporting,
}

impl NoProposal {
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NoPods => "the target's selector matches no pods",
            Self::NotReporting => "no pod has a fresh reading",
        }
    }
}

/// Returns the proposal of one metric and the average over the pods that report.
pub(crate) fn recommend(
    metric: &Metric,
    groups: &mut Groups,
    current: u32,
    band: Band,
    compatibility: HpaCompatibility,
    steps: &mut Vec<Step>,
) -> Result<(u32, Average), NoProposal> {
    if groups.listed() == 0 {
        return Err(NoProposal::NoPods);
    }
    let target = metric.target;
    let direct = groups.average(metric).ok_or(NoProposal::NotReporting)?;
    steps.push(Step::Average {
        model: metric.model.clone(),
        aggregate: metric.aggregate,
        latency: direct.mean,
        pods: direct.pods,
        target: target.latency(),
        ratio: direct.ratio,
    });

    if compatibility == HpaCompatibility::Guarded && direct.ratio > 1.0 {
        leave_out_surge(groups, current);
    }
    let up_with_pending = groups.pending > 0 && direct.ratio > 1.0;
    if groups.not_reporting == 0 && !up_with_pending {
        if band.contains(direct.ratio) {
            steps.push(band.step());
            return Ok((current, direct));
        }
        let replicas = round_up(direct.ratio, direct.pods);
        steps.push(Step::Proposed {
            ratio: direct.ratio,
            pods: direct.pods,
            replicas,
        });
        if compatibility == HpaCompatibility::Guarded
            && contradicts(direct.ratio, replicas, current)
        {
            steps.push(Step::Contradicted);
            return Ok((current, direct));
        }
        let serving = groups.reporting().min(current);
        if compatibility == HpaCompatibility::Guarded && groups.pending > 0 && replicas < serving {
            // During a rollout, or if new pods do not start, the serving pods carry the load of all. How many fewer
            // would do can be measured once all pods are ready.
            steps.push(Step::KeptWhilePending {
                pending: groups.pending,
                replicas: serving,
            });
            return Ok((serving, direct));
        }
        return Ok((replicas, direct));
    }

    let assumed = if groups.not_reporting == 0 || direct.ratio == 1.0 {
        None
    } else if direct.ratio < 1.0 {
        Some(target.latency())
    } else {
        Some(Latency::ZERO)
    };
    let filled = groups
        .with_assumed(assumed, up_with_pending, metric)
        .unwrap_or(direct);
    steps.push(Step::Assumed {
        not_reporting: assumed.map(|latency| (groups.not_reporting, latency)),
        pending: if up_with_pending { groups.pending } else { 0 },
        latency: filled.mean,
        pods: filled.pods,
        ratio: filled.ratio,
    });
    if band.contains(filled.ratio) {
        steps.push(band.step());
        return Ok((current, direct));
    }
    let turned =
        (direct.ratio < 1.0 && filled.ratio > 1.0) || (direct.ratio > 1.0 && filled.ratio < 1.0);
    if turned {
        steps.push(Step::Contradicted);
        return Ok((current, direct));
    }
    let replicas = round_up(filled.ratio, filled.pods);
    steps.push(Step::Proposed {
        ratio: filled.ratio,
        pods: filled.pods,
        replicas,
    });
    if contradicts(filled.ratio, replicas, current) {
        steps.push(Step::Contradicted);
        return Ok((current, direct));
    }
    Ok((replicas, direct))
}

/// Leaves out the surge pods of a rollout, which replace other pods and add no capacity.
///
/// Pods that are pending or not reporting count as future capacity. If the new version is broken, its surge pods would
/// hide an overload of the old one forever.
fn leave_out_surge(groups: &mut Groups, current: u32) {
    let missing = current.saturating_sub(groups.reporting());
    groups.not_reporting = groups.not_reporting.min(missing);
    groups.pending = groups.pending.min(missing - groups.not_reporting);
}

/// Returns whether a ratio below 1 would scale up, or one above 1 would scale down.
fn contradicts(ratio: f64, replicas: u32, current: u32) -> bool {
    (ratio < 1.0 && replicas > current) || (ratio > 1.0 && replicas < current)
}

/// Returns `ratio × pods`, rounded up, computed in doubles like the HPA.
///
/// Beyond an int32, the HPA's conversion yields the smallest int32 on amd64 and scales to `minReplicas`. Here it
/// saturates at the largest: an overload must never look like idleness.
fn round_up(ratio: f64, pods: u32) -> u32 {
    to_u32_saturating((ratio * f64::from(pods)).ceil())
}

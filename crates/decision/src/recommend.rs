//! What one metric asks for (the HPA's `replica_calculator.go`), and what several ask for together (its
//! `horizontal.go`).

use crate::average::{Average, Groups};
use crate::latency::Latency;
use crate::policy::{HpaCompatibility, Metric};
use crate::step::Step;

/// The tolerance band around a ratio of 1, both ends inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Band {
    pub(crate) down: f64,
    pub(crate) up: f64,
}

impl Band {
    fn holds(self, ratio: f64) -> bool {
        // In this order and in doubles, as the HPA has it: some ends are outside by rounding, and so are ours.
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }

    fn step(self) -> Step {
        Step::WithinTolerance {
            low: 1.0 - self.down,
            high: 1.0 + self.up,
        }
    }
}

/// Why a metric could not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProposal {
    NoPods,
    NobodyReports,
}

impl NoProposal {
    pub(crate) fn problem(self) -> &'static str {
        match self {
            Self::NoPods => "the target's selector finds no pods",
            Self::NobodyReports => "no pod has a fresh reading",
        }
    }
}

/// The replicas that one metric asks for, and the average over the pods that report.
pub(crate) fn recommend(
    metric: &Metric,
    groups: &mut Groups,
    current: u32,
    band: Band,
    manner: HpaCompatibility,
    steps: &mut Vec<Step>,
) -> Result<(u32, Average), NoProposal> {
    if groups.listed() == 0 {
        return Err(NoProposal::NoPods);
    }
    let target = metric.target;
    let direct = groups.average(metric).ok_or(NoProposal::NobodyReports)?;
    steps.push(Step::Average {
        model: metric.model.clone(),
        aggregate: metric.aggregate,
        mean: direct.mean,
        pods: direct.pods,
        target: target.latency(),
        ratio: direct.ratio,
    });

    if manner == HpaCompatibility::Guarded && direct.ratio > 1.0 {
        leave_out_surge(groups, current);
    }
    let up_with_pending = groups.pending > 0 && direct.ratio > 1.0;
    if groups.silent == 0 && !up_with_pending {
        if band.holds(direct.ratio) {
            steps.push(band.step());
            return Ok((current, direct));
        }
        let replicas = round_up(direct.ratio, direct.pods);
        steps.push(Step::Proposed {
            ratio: direct.ratio,
            pods: direct.pods,
            replicas,
        });
        if manner == HpaCompatibility::Guarded && contradicts(direct.ratio, replicas, current) {
            steps.push(Step::Contradicted);
            return Ok((current, direct));
        }
        let serve = groups.reporting().min(current);
        if manner == HpaCompatibility::Guarded && groups.pending > 0 && replicas < serve {
            // A rollout has taken away half of the pods, or new ones do not start: those that serve carry the load of all,
            // and how few would do is seen once all are there.
            steps.push(Step::ServingKept {
                pending: groups.pending,
                replicas: serve,
            });
            return Ok((serve, direct));
        }
        return Ok((replicas, direct));
    }

    let silent_as = if groups.silent == 0 || direct.ratio == 1.0 {
        None
    } else if direct.ratio < 1.0 {
        Some(target.latency())
    } else {
        Some(Latency::ZERO)
    };
    let filled = groups
        .refilled(silent_as, up_with_pending, metric)
        .unwrap_or(direct);
    steps.push(Step::Refilled {
        silent: silent_as.map(|latency| (groups.silent, latency)),
        pending: if up_with_pending { groups.pending } else { 0 },
        mean: filled.mean,
        pods: filled.pods,
        ratio: filled.ratio,
    });
    if band.holds(filled.ratio) {
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

/// Silent and pending pods count as help that is to come. Those of a rollout's surge take the place of others and are no
/// help; if their version is broken they would hide any overload of the old one for ever.
fn leave_out_surge(groups: &mut Groups, current: u32) {
    let missing = current.saturating_sub(groups.reporting());
    groups.silent = groups.silent.min(missing);
    groups.pending = groups.pending.min(missing - groups.silent);
}

/// A ratio below 1 that would raise the size, or one above 1 that would lower it.
fn contradicts(ratio: f64, replicas: u32, current: u32) -> bool {
    (ratio < 1.0 && replicas > current) || (ratio > 1.0 && replicas < current)
}

/// `ratio × pods`, rounded up, in doubles as the HPA does.
///
/// Beyond an int32 the HPA's conversion gives the smallest one on amd64, which scales to `minReplicas`.
/// Here it stays the largest: an overload must never look like idleness.
fn round_up(ratio: f64, pods: u32) -> u32 {
    let exact = (ratio * f64::from(pods)).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to an int32's range first"
    )]
    {
        exact.clamp(0.0, f64::from(i32::MAX)) as u32
    }
}

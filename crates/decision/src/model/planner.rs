//! Computes the pods that one model needs: observes, proposes, combines the proposals, and applies the safeguards.

use std::time::Duration;

use crate::step::Step;

use super::fleet_snapshot::FleetSnapshot;
use super::observe::{Holds, Inputs, Observation};
use super::plan::{NoPlan, Plan, PlanReason, Situation};
use super::rules::Rule;
use super::state::ModelState;

/// Pods for one reason. The largest proposal counts.
#[derive(Clone, Debug)]
struct Proposal {
    pods: u32,
    reason: PlanReason,
    /// The explanation, with what binds.
    step: Step,
}

impl ModelState {
    /// Returns the plan for this model, and adds its steps.
    pub(crate) fn plan(
        &mut self,
        situation: &Situation<'_>,
        fleet_snapshot: &mut FleetSnapshot,
        steps: &mut Vec<Step>,
    ) -> Result<Plan, NoPlan> {
        let inputs = match self.observe(situation, fleet_snapshot)? {
            Observation::Load(inputs) => inputs,
            Observation::Idle(holds) => {
                steps.push(Step::Idle);
                let mut plan = Plan::of(1);
                combine(propose_holds(holds), &mut plan, steps);
                return Ok(plan);
            }
        };
        inputs.explain(steps);
        let mut plan = inputs.plan();
        combine(propose(&inputs), &mut plan, steps);
        replace_lost(&inputs, &mut plan, steps);
        self.replace_slow(&inputs, &mut plan, steps);
        self.apply_safeguards(&inputs, &mut plan, steps);
        Ok(plan)
    }
}

impl Inputs<'_> {
    /// Returns the plan for the arrival rate alone.
    fn plan(&self) -> Plan {
        Plan {
            incomplete: self.missing,
            percentile: self.percentile,
            up_to: self.backlog.most,
            slow_pod: self.slow_pod.clone().filter(|_| self.is_slow_for_long),
            uneven: self.uneven.clone(),
            overloaded: self.overloaded.clone(),
            vanished: self.vanished,
            outside: self.outside,
            batch_delay_above: self.batch_delay_above,
            ..Plan::of(self.demand.replicas)
        }
    }
}

/// Returns the proposals beyond the need, in the order in which they are compared.
fn propose(inputs: &Inputs<'_>) -> impl Iterator<Item = Proposal> {
    let backlog = &inputs.backlog;
    let for_backlog = Proposal {
        pods: backlog.pods,
        reason: PlanReason::Backlog,
        step: Step::Backlog {
            waiting: backlog.requests,
            starting: inputs.pods.starting,
            replicas: backlog.pods,
            bound_by: backlog.bound_by,
        },
    };
    let for_rise = inputs.rise.map(|rise| Proposal {
        pods: rise.replicas,
        reason: PlanReason::RiseExpected,
        step: Step::RiseExpected {
            period: Duration::from_secs(rise.period),
            rate: rise.rate,
            replicas: rise.replicas,
        },
    });
    propose_holds(inputs.holds)
        .chain([for_backlog])
        .chain(for_rise)
}

fn propose_holds(holds: Holds) -> impl Iterator<Item = Proposal> {
    let proposal = |pods, step| Proposal {
        pods,
        reason: PlanReason::Demand,
        step,
    };
    let need = holds.need.map(|(replicas, window)| {
        let step = Step::Held { replicas, window };
        proposal(replicas, step)
    });
    let start = holds.start.map(|(replicas, window)| {
        let step = Step::HeldAfterStart { replicas, window };
        proposal(replicas, step)
    });
    need.into_iter().chain(start)
}

/// Raises the plan to the largest proposal. Each one that raises it is explained.
fn combine(proposals: impl Iterator<Item = Proposal>, plan: &mut Plan, steps: &mut Vec<Step>) {
    for proposal in proposals {
        if proposal.pods > plan.pods {
            plan.pods = proposal.pods;
            plan.reason = proposal.reason;
            steps.push(proposal.step);
        }
    }
}

/// Orders one more pod for each lost one, because the replicas include the lost ones. It orders at most as many as are
/// needed: if the new pods crash as well, more of them do not help.
fn replace_lost(inputs: &Inputs<'_>, plan: &mut Plan, steps: &mut Vec<Step>) {
    let lost = inputs.pods.lost;
    if lost > 0 && Rule::Lost.applies() {
        plan.pods = plan.pods.saturating_add(lost.min(plan.pods));
        steps.push(Step::Lost {
            pods: lost,
            replicas: plan.pods,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_proposal_counts_and_each_one_that_raises_the_plan_is_explained() {
        let window = Duration::from_secs(300);
        let holds = Holds {
            need: Some((5, window)),
            start: Some((4, window)),
        };
        let rise = Proposal {
            pods: 7,
            reason: PlanReason::RiseExpected,
            step: Step::Idle,
        };
        let (mut plan, mut steps) = (Plan::of(3), Vec::new());
        combine(propose_holds(holds).chain([rise]), &mut plan, &mut steps);
        assert_eq!((plan.pods, plan.reason), (7, PlanReason::RiseExpected));
        let held = Step::Held {
            replicas: 5,
            window,
        };
        assert_eq!(steps, [held, Step::Idle]);
    }
}

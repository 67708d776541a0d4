//! What the loop keeps of one PushScaler.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use backoff::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use pushscale_api::{PushScalerSpec, PushScalerStatus, Schedules, SpecProblem};
use pushscale_decision::{
    Conditions, Decision, Mode, Moment, PodUid, Policy, Selector, TargetState,
};

use super::leaving_pods::LeavingPods;
use super::recorded::Recorded;
use crate::event::{ScalerFacts, WatchId};
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::{Scale, ScaleError};
use crate::status::Chronicle;
use crate::view::{Point, Told};

/// Two decisions of one scaler are at least this far apart. A thousand pods push a thousand times a second, and
/// the windows of the rule remember each decision.
const DECISION_GAP: Duration = Duration::from_millis(250);

/// Pauses after failed writes of a size; the HPA waits its 15 s.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(Duration::from_secs(15))
    .without_max_times()
    .with_jitter();

/// So many decisions that changed something, or held for a new reason, are kept for the pages.
pub(super) const TOLD_KEPT: usize = 50;

/// So many points of the past are kept for the status page, one a second.
pub(super) const POINTS_KEPT: usize = 600;

pub(super) struct Entry {
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    pub(super) target: TargetRef,
    pub(super) watch: WatchId,
    pub(super) brain: Result<Box<Recorded>, Box<Unusable>>,
    pub(super) schedules: Schedules,
    pub(super) scale: Option<Result<Scale, ScaleError>>,
    pub(super) selector_problem: Option<String>,
    /// All pods under the selector were told once; before that, few pods may be many.
    pub(super) pods_listed: bool,
    /// It writes sizes: what it only recommends, nobody contests.
    pub(super) writes: bool,
    /// Another autoscaler that writes the same target.
    pub(super) contested_by: Option<String>,
    /// Pods that another scaler's target selects as well.
    pub(super) shared: BTreeMap<PodUid, ScalerKey>,
    /// Which pods go first.
    pub(super) leaving: LeavingPods,
    pub(super) due: Option<Moment>,
    pub(super) decided: Option<Moment>,
    pub(super) writing: bool,
    /// When we last wrote the size, and the target's version by that.
    pub(super) written: Option<(Moment, u64)>,
    pub(super) retry_at: Option<Moment>,
    pub(super) pauses: Option<ExponentialBackoff>,
    /// When the newest reading that no decision has seen yet was taken.
    pub(super) newest_reading: Option<Moment>,
    pub(super) last: Option<Decision>,
    pub(super) chronicle: Chronicle,
    pub(super) status: Option<(Moment, PushScalerStatus)>,
    /// Since when no metric can be computed.
    pub(super) failing_since: Option<Moment>,
    pub(super) warned: BTreeMap<(&'static str, String), Moment>,
    pub(super) told: VecDeque<Told>,
    pub(super) points: VecDeque<Point>,
}

/// A spec that cannot be used, and what is remembered for when it can be again.
pub(super) struct Unusable {
    pub(super) problems: Vec<SpecProblem>,
    pub(super) conditions: Conditions,
}

impl Entry {
    pub(super) fn new(facts: ScalerFacts) -> Self {
        let ScalerFacts {
            key: _,
            uid,
            generation,
            target,
            watch,
            policy,
            spec,
            schedules,
            conditions,
            last_scale_time,
            transitions,
        } = facts;
        Self {
            uid,
            generation,
            target,
            watch,
            writes: writes(&policy),
            brain: brain(policy, spec, conditions),
            schedules,
            scale: None,
            selector_problem: None,
            pods_listed: false,
            contested_by: None,
            shared: BTreeMap::new(),
            leaving: LeavingPods::default(),
            due: None,
            decided: None,
            writing: false,
            written: None,
            retry_at: None,
            pauses: None,
            newest_reading: None,
            last: None,
            chronicle: Chronicle {
                last_scale_time,
                transitions,
            },
            status: None,
            failing_since: None,
            warned: BTreeMap::new(),
            told: VecDeque::new(),
            points: VecDeque::new(),
        }
    }

    /// The spec has changed, or the status has by our own hand. Memory stays.
    pub(super) fn apply_spec(
        &mut self,
        now: Moment,
        generation: Option<i64>,
        policy: Result<Policy, Vec<SpecProblem>>,
        spec: Option<Arc<PushScalerSpec>>,
        schedules: Schedules,
    ) {
        self.generation = generation;
        self.schedules = schedules;
        self.writes = writes(&policy);
        match (&mut self.brain, policy) {
            (Ok(scaler), Ok(policy)) => scaler.set_policy(now, policy, spec),
            (Ok(scaler), Err(problems)) => {
                self.brain = Err(Box::new(Unusable {
                    problems,
                    conditions: scaler.conditions().clone(),
                }));
            }
            (Err(unusable), policy) => {
                self.brain = brain(policy, spec, std::mem::take(&mut unusable.conditions));
            }
        }
    }

    /// What is known of the target; `None` before the first news of it and of its pods.
    pub(super) fn target_facts(&self) -> Option<TargetState> {
        if let Some(by) = &self.contested_by {
            return Some(TargetState::Conflict { with: by.clone() });
        }
        let scale = match self.scale.as_ref()? {
            Ok(scale) => scale,
            Err(error) => {
                return Some(TargetState::Unreadable {
                    message: error.to_string(),
                });
            }
        };
        let selector = if scale.selector.is_empty() {
            Selector::Missing
        } else if !self.pods_listed {
            return None;
        } else if let Some(message) = &self.selector_problem {
            Selector::Invalid {
                message: message.clone(),
            }
        } else if let Some(other) = self.shared.values().next() {
            Selector::Shared {
                with: format!("PushScaler {other}"),
            }
        } else {
            Selector::Usable
        };
        Some(TargetState::Known {
            replicas: scale.replicas,
            selector,
        })
    }

    /// It is to be asked at `at`, or earlier if it was to be anyway. `due` lists what is due when.
    pub(super) fn mark_due(
        &mut self,
        key: &ScalerKey,
        at: Moment,
        due: &mut BTreeSet<(Moment, ScalerKey)>,
    ) {
        let at = self.not_before(at);
        if self.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(later) = self.due.replace(at) {
            due.remove(&(later, key.clone()));
        }
        due.insert((at, key.clone()));
    }

    /// `at`, or the first moment after it at which it may be asked.
    fn not_before(&self, at: Moment) -> Moment {
        let after_last = self.decided.map(|decided| decided.plus(DECISION_GAP));
        [after_last, self.retry_at]
            .into_iter()
            .flatten()
            .fold(at, Moment::max)
    }

    pub(super) fn next_pause(&mut self) -> Duration {
        let pauses = self.pauses.get_or_insert_with(|| RETRY.build());
        pauses.next().unwrap_or(Duration::from_secs(15))
    }
}

fn writes(policy: &Result<Policy, Vec<SpecProblem>>) -> bool {
    policy
        .as_ref()
        .is_ok_and(|policy| policy.mode == Mode::Apply)
}

fn brain(
    policy: Result<Policy, Vec<SpecProblem>>,
    spec: Option<Arc<PushScalerSpec>>,
    conditions: Conditions,
) -> Result<Box<Recorded>, Box<Unusable>> {
    match policy {
        Ok(policy) => Ok(Box::new(Recorded::new(policy, spec, conditions))),
        Err(problems) => Err(Box::new(Unusable {
            problems,
            conditions,
        })),
    }
}

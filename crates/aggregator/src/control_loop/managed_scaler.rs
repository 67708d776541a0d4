//! The state of one PushScaler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::{Floor, PushScalerSpec, PushScalerStatus, Schedules, SpecProblem};
use pushscale_decision::{
    Conditions, Decision, Mode, Moment, PodUid, Policy, Selector, TargetState,
};
use tokio::time::Instant;

use super::checkpoint::CheckpointState;
use super::deletion_order::DeletionOrder;
use super::finalizer::FinalizerState;
use super::load_clock::LoadClock;
use super::recorder::Recorder;
use super::replicas::{OwnChange, Replicas, ScaleRead};
use crate::event::{ScalerDeletion, ScalerFacts, WatchId};
use crate::history::ScalerSubject;
use crate::names::{ScalerKey, TargetRef};
use crate::status::StatusHistory;

/// Minimum time between two decisions of one scaler. A thousand pods push a thousand times per second, and the
/// stabilization windows keep every decision.
const MIN_DECISION_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct ManagedScaler {
    /// Its name and target in the history.
    pub(super) subject: Arc<ScalerSubject>,
    pub(super) uid: String,
    pub(super) generation: Option<i64>,
    pub(super) target: TargetRef,
    pub(super) watch: WatchId,
    /// The decision engine; `None` until the spec is valid for the first time. An edit that makes the spec invalid
    /// keeps the engine, which continues to learn: a typo in a time zone must not discard it.
    pub(super) engine: Option<Box<Recorder>>,
    /// Why nothing is decided; empty if the spec is valid.
    pub(super) spec_problems: Vec<SpecProblem>,
    /// The conditions that a new engine starts with, from the status.
    restored_conditions: Conditions,
    schedules: Schedules,
    /// The schedules' floor and when it was computed. Some schedules take milliseconds to compute.
    floor: Option<(Timestamp, Floor)>,
    pub(super) replicas: Replicas,
    /// Why the pods are unknown, although the scale has a selector.
    pub(super) pods_problem: Option<Selector>,
    /// Whether the pods were listed. Before that, only some of them may be known.
    pub(super) pods_listed: bool,
    /// Whether the mode is Apply and the PushScaler is not being deleted. A scaler that writes nothing has no conflict.
    pub(super) writes: bool,
    /// What its deletion depends on.
    pub(super) deletion: ScalerDeletion,
    pub(super) finalizer: FinalizerState,
    /// The other autoscaler that writes the same target.
    pub(super) conflicts_with: Option<String>,
    /// Pods that another scaler's target also selects.
    pub(super) shared: BTreeMap<PodUid, ScalerKey>,
    pub(super) deletion_order: DeletionOrder,
    /// Whether the API server forbade marking pods the last time.
    pub(super) marks_forbidden: bool,
    pub(super) checkpoint: CheckpointState,
    /// When the next decision is due.
    pub(super) due: Option<Moment>,
    /// When the last decision was made.
    pub(super) decided: Option<Moment>,
    /// When the newest reading since the last write was taken.
    pub(super) newest_reading: Option<Moment>,
    pub(super) last_decision: Option<Arc<Decision>>,
    /// The generation of the spec that the last decision followed. The spec may have changed since.
    pub(super) decided_generation: Option<i64>,
    /// Which part of the load is recorded next.
    pub(super) load_clock: LoadClock,
    pub(super) status_history: StatusHistory,
    /// When this aggregator became the leader, until the status that the previous one has written was read since.
    pub(super) status_unread: Option<Instant>,
    /// The last change of the replica count, if the leader made it while this aggregator followed. It may be missing in
    /// that leader's last status.
    predecessors_change: Option<(u32, u32)>,
    /// The status last reported, and when.
    pub(super) status: Option<(Moment, PushScalerStatus)>,
    /// Since when a metric cannot be computed.
    pub(super) metric_failing_since: Option<Moment>,
    /// When each warning, by reason and message, was last reported.
    pub(super) warned: BTreeMap<(&'static str, String), Moment>,
}

impl ManagedScaler {
    pub(super) fn new(now: Moment, facts: ScalerFacts) -> Self {
        let ScalerFacts {
            key,
            uid,
            generation,
            labels: _,
            target,
            watch,
            policy,
            spec,
            schedules,
            conditions,
            last_scale_time,
            transitions,
            changes,
            deletion,
        } = facts;
        let checkpoint = CheckpointState::new(now, &uid);
        let mut scaler = Self {
            subject: Arc::new(ScalerSubject::new(key, &target)),
            uid,
            generation,
            target,
            watch,
            writes: false,
            finalizer: FinalizerState::default(),
            engine: None,
            spec_problems: Vec::new(),
            restored_conditions: conditions,
            schedules: Schedules::default(),
            floor: None,
            replicas: Replicas::new(),
            pods_problem: None,
            pods_listed: false,
            conflicts_with: None,
            shared: BTreeMap::new(),
            deletion_order: DeletionOrder::default(),
            marks_forbidden: false,
            checkpoint,
            due: None,
            decided: None,
            newest_reading: None,
            last_decision: None,
            decided_generation: None,
            load_clock: LoadClock::default(),
            status_history: StatusHistory {
                last_scale_time,
                transitions,
                changes,
                replicas_before: None,
            },
            deletion: ScalerDeletion::default(),
            status_unread: None,
            predecessors_change: None,
            status: None,
            metric_failing_since: None,
            warned: BTreeMap::new(),
        };
        scaler.apply_deletion(deletion);
        scaler.status_history.replicas_before = scaler.deletion.replicas_before;
        scaler.apply_spec(now, generation, policy, spec, schedules);
        scaler
    }

    /// Applies a changed spec. What the engine has learned is kept.
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
        self.floor = None;
        self.writes = policy
            .as_ref()
            .is_ok_and(|policy| policy.mode == Mode::Apply)
            && !self.deletion.deleting;
        // What is restored at the deletion depends on the outcome of the write.
        let restores = self.deletion.deleting && self.deletion.restores;
        if !self.writes && !restores {
            self.replicas.cancel_write();
        }
        let policy = match policy {
            Ok(policy) => policy,
            Err(problems) => {
                self.spec_problems = problems;
                return;
            }
        };
        self.spec_problems.clear();
        match &mut self.engine {
            Some(engine) => engine.set_policy(now, policy, spec),
            None => {
                let conditions = std::mem::take(&mut self.restored_conditions);
                let mut engine = Box::new(Recorder::new(policy, spec, conditions));
                // The watch reports each pod once, perhaps before there was an engine.
                for (uid, pod) in self.deletion_order.pods() {
                    engine.apply_pod(now, uid.clone(), pod.clone());
                }
                self.engine = Some(engine);
            }
        }
    }

    /// Returns what the schedules demand at `clock`.
    pub(super) fn scheduled_floor(&mut self, clock: Timestamp) -> Floor {
        let cached = self.floor.filter(|(computed, floor)| {
            // A clock that was set back may be before the floor's begin.
            *computed <= clock && floor.until.is_none_or(|until| clock < until)
        });
        if let Some((_, floor)) = cached {
            return floor;
        }
        let floor = self.schedules.floor(clock);
        self.floor = Some((clock, floor));
        floor
    }

    /// Returns the input of a decision about the target; `None` until the target and its pods were read. `marks_pods`
    /// is whether the scale target marks pods for deletion.
    pub(super) fn target_state(&self, marks_pods: bool) -> Option<TargetState> {
        if let Some(with) = &self.conflicts_with {
            return Some(TargetState::Conflict { with: with.clone() });
        }
        let scale = match self.replicas.scale()? {
            Ok(scale) => scale,
            Err(error) => {
                return Some(TargetState::Unreadable {
                    message: error.to_string(),
                });
            }
        };
        let selector = if scale.selector.is_empty() {
            Selector::Missing
        } else if let Some(problem) = &self.pods_problem {
            problem.clone()
        } else if !self.pods_listed {
            return None;
        } else if let Some(other) = self.shared.values().next() {
            Selector::Shared {
                with: format!("PushScaler {other}"),
            }
        } else {
            Selector::Usable
        };
        Some(TargetState::Known {
            replicas: scale.replicas,
            existing: scale.existing,
            selector,
            deletes_slow_first: marks_pods
                && !self.marks_forbidden
                && self.deletion_order.is_honoured(),
        })
    }

    /// Applies a read of the scale.
    pub(super) fn apply_scale(&mut self, now: Moment, leads: bool, read: ScaleRead) {
        if let Some(change) = self.replicas.observe(now, leads, read) {
            // A scaler that writes nothing has no leader whose change it could be.
            let writes = self.writes && self.conflicts_with.is_none();
            if writes || change.written.is_some() {
                self.record_change(now, change);
            }
        }
        if leads {
            self.record_predecessors_change();
        }
    }

    /// Adds the previous leader's last change to the history, unless that leader stored it. Both must have been read.
    pub(super) fn record_predecessors_change(&mut self) {
        if self.status_unread.is_some() || self.replicas.is_taking_over() {
            return;
        }
        let Some((from, to)) = self.predecessors_change.take() else {
            return;
        };
        let history = &mut self.status_history;
        history.record_predecessors_change(Timestamp::now(), from, to);
    }

    /// Records a change of the replica count as an aggregator's, so that it counts for the rate limits, and not as
    /// another client's.
    pub(super) fn record_change(&mut self, now: Moment, change: OwnChange) {
        self.predecessors_change = match change.written {
            Some(written) => {
                self.status_history.record_change(Timestamp::now(), written);
                None
            }
            None => Some((change.from, change.to)),
        };
        if let Some(engine) = &mut self.engine {
            engine.record_scale(now, change.from, change.to);
        }
    }

    /// Schedules the next decision at `at`, unless an earlier one is scheduled. `due` is the schedule of all scalers.
    pub(super) fn mark_due(
        &mut self,
        key: &ScalerKey,
        at: Moment,
        due: &mut BTreeSet<(Moment, ScalerKey)>,
    ) {
        let at = self.earliest_decision(at);
        if self.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(later) = self.due.replace(at) {
            due.remove(&(later, key.clone()));
        }
        due.insert((at, key.clone()));
    }

    /// Returns `at`, or the first time after it at which a decision is allowed.
    fn earliest_decision(&self, at: Moment) -> Moment {
        self.decided
            .map_or(at, |decided| at.max(decided.plus(MIN_DECISION_INTERVAL)))
    }
}

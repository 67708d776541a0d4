//! One PushScaler: it has one owner, takes inputs, and returns effects.
//!
//! A scaler has no clock, sends nothing and starts no task; it only cancels its own write. Its state can be rebuilt
//! from what the API server and the sidecars report.

mod checkpoint;
mod decide;
mod deletion_order;
mod figures;
mod finalizer;
mod load_clock;
mod pods;
mod publish;
mod recorder;
mod replicas;
mod segment;
mod spec;
mod take_over;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_api::{Floor, Schedules, SpecProblem};
use pushscale_decision::{Conditions, Decision, Moment, PodUid, Selector, TargetState};
use tokio::time::Instant;

pub(super) use decide::Limits;
pub(super) use replicas::{Cancelled, ScaleRead};
pub use segment::RecordedSegments;

use super::effect::{Context, Effect, Effects};
use crate::event::{ScalerDeletion, ScalerFacts, WatchId};
use crate::history::ScalerSubject;
use crate::names::{ScalerKey, TargetRef};
use crate::status::StatusHistory;
use checkpoint::CheckpointState;
use deletion_order::DeletionOrder;
use finalizer::FinalizerState;
use load_clock::LoadClock;
use publish::{PublishedStatus, Warnings};
use recorder::Recorder;
use replicas::{OwnChange, Replicas};

/// Minimum time between two decisions of one scaler. A thousand pods push a thousand times per second, and the
/// stabilization windows keep every decision.
const MIN_DECISION_INTERVAL: Duration = Duration::from_millis(250);

/// The state of one PushScaler.
pub(super) struct ManagedScaler {
    key: ScalerKey,
    /// Its name and target in the history.
    subject: Arc<ScalerSubject>,
    uid: String,
    generation: Option<i64>,
    target: TargetRef,
    watch: WatchId,
    /// The decision engine; `None` until the spec is valid for the first time. An edit that makes the spec invalid
    /// keeps the engine, which continues to learn: a typo in a time zone must not discard it.
    engine: Option<Box<Recorder>>,
    /// Why nothing is decided; empty if the spec is valid.
    spec_problems: Vec<SpecProblem>,
    /// The conditions that a new engine starts with, from the status.
    restored_conditions: Conditions,
    schedules: Schedules,
    /// The schedules' floor and when it was computed. Some schedules take milliseconds to compute.
    floor: Option<(Timestamp, Floor)>,
    replicas: Replicas,
    /// Why the pods are unknown, although the scale has a selector.
    pods_problem: Option<Selector>,
    /// Whether the pods were listed. Before that, only some of them may be known.
    pods_listed: bool,
    /// Whether the mode is Apply and the PushScaler is not being deleted. A scaler that writes nothing has no conflict.
    writes: bool,
    /// What its deletion depends on.
    deletion: ScalerDeletion,
    finalizer: FinalizerState,
    /// The other autoscaler that writes the same target.
    conflicts_with: Option<String>,
    /// Pods that another scaler's target also selects.
    shared: BTreeMap<PodUid, ScalerKey>,
    deletion_order: DeletionOrder,
    /// Whether the API server forbade marking pods the last time.
    marks_forbidden: bool,
    checkpoint: CheckpointState,
    /// When the next decision is due.
    due: Option<Moment>,
    /// When the last decision was made.
    decided: Option<Moment>,
    /// When the newest reading since the last write was taken.
    newest_reading: Option<Moment>,
    last_decision: Option<Arc<Decision>>,
    /// The generation of the spec that the last decision followed. The spec may have changed since.
    decided_generation: Option<i64>,
    /// Which part of the load is recorded next.
    load_clock: LoadClock,
    status_history: StatusHistory,
    /// When this aggregator became the leader, until the status that the previous one has written was read since.
    status_unread: Option<Instant>,
    /// The last change of the replica count, if the leader made it while this aggregator followed. It may be missing in
    /// that leader's last status.
    predecessors_change: Option<(u32, u32)>,
    published: PublishedStatus,
    warnings: Warnings,
}

impl ManagedScaler {
    pub(super) fn new(context: &Context, facts: ScalerFacts) -> Self {
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
        let mut scaler = Self {
            subject: Arc::new(ScalerSubject::new(key.clone(), &target)),
            checkpoint: CheckpointState::new(context.now, &uid),
            key,
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
            published: PublishedStatus::default(),
            warnings: Warnings::default(),
        };
        scaler.apply_deletion(deletion);
        scaler.status_history.replicas_before = scaler.deletion.replicas_before;
        scaler.apply_spec(context.now, generation, policy, spec, schedules);
        scaler
    }

    pub(super) fn subject(&self) -> &Arc<ScalerSubject> {
        &self.subject
    }

    pub(super) fn target(&self) -> &TargetRef {
        &self.target
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Returns the watch that reports the target and its pods.
    pub(super) fn watch(&self) -> &WatchId {
        &self.watch
    }

    /// Whether it writes replica counts unless another autoscaler does: its mode is Apply, and it is not being deleted.
    pub(super) fn writes(&self) -> bool {
        self.writes
    }

    /// Returns the other autoscaler that writes the same target.
    pub(super) fn conflicts_with(&self) -> Option<&str> {
        self.conflicts_with.as_deref()
    }

    /// Whether a write of the replica count is in flight.
    pub(super) fn is_writing(&self) -> bool {
        self.replicas.is_writing()
    }

    /// Returns when it is to be woken.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Records whether another autoscaler writes the same target.
    pub(super) fn set_conflict(
        &mut self,
        now: Moment,
        with: Option<String>,
        effects: &mut Effects,
    ) {
        if self.conflicts_with != with {
            self.conflicts_with = with;
            self.wake_at(now, effects);
        }
    }

    /// Returns the input of a decision about the target; `None` until the target and its pods were read. `marks_pods`
    /// is whether pods can be marked for deletion.
    fn target_state(&self, marks_pods: bool) -> Option<TargetState> {
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
    pub(super) fn apply_scale(
        &mut self,
        context: &Context,
        read: ScaleRead,
        effects: &mut Effects,
    ) {
        if let Some(change) = self.replicas.observe(context.now, context.leads, read) {
            // A scaler that writes nothing has no leader whose change it could be.
            let writes = self.writes && self.conflicts_with.is_none();
            if writes || change.written.is_some() {
                self.record_change(context, change);
            }
        }
        if context.leads {
            self.record_predecessors_change(context.clock);
        }
        self.wake_at(context.now, effects);
    }

    /// Adds the previous leader's last change to the history, unless that leader stored it. Both must have been read.
    fn record_predecessors_change(&mut self, clock: Timestamp) {
        if self.status_unread.is_some() || self.replicas.is_taking_over() {
            return;
        }
        if let Some((from, to)) = self.predecessors_change.take() {
            let history = &mut self.status_history;
            history.record_predecessors_change(clock, from, to);
        }
    }

    /// Records a change of the replica count as an aggregator's, so that it counts for the rate limits, and not as
    /// another client's.
    fn record_change(&mut self, context: &Context, change: OwnChange) {
        self.predecessors_change = match change.written {
            Some(written) => {
                self.status_history.record_change(context.clock, written);
                None
            }
            None => Some((change.from, change.to)),
        };
        if let Some(engine) = &mut self.engine {
            engine.record_scale(context.now, change.from, change.to);
        }
    }

    /// Wakes it at `at`, or at the first time after it at which a decision is allowed, unless it is woken before.
    pub(super) fn wake_at(&mut self, at: Moment, effects: &mut Effects) {
        let earliest = self
            .decided
            .map(|decided| decided.plus(MIN_DECISION_INTERVAL));
        let at = earliest.map_or(at, |earliest| at.max(earliest));
        if self.due.is_none_or(|due| at < due) {
            let before = self.due.replace(at);
            effects.push(Effect::Wake { at, before });
        }
    }
}

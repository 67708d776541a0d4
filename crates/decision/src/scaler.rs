//! The state of one target's scaler and its public interface.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::average::Groups;
use crate::checkpoint::{Checkpoint, Clock, RestoredModels};
use crate::conditions::{Condition, Conditions, Reason};
use crate::decision::Decision;
use crate::fleet::Fleet;
use crate::fleet_load::FleetLoad;
use crate::limits::History;
use crate::measured_load::MeasuredLoad;
use crate::model::{FleetSnapshot, ModelState, StartDelay};
use crate::moment::Moment;
use crate::pod::{Pod, PodUid};
use crate::policy::{Algorithm, Bounds, Policy};
use crate::reading::{Reading, Rejection};
use crate::snapshot::{Snapshot, Visit};
use crate::stabilize::Recommendations;

/// The autoscaler of one target.
///
/// The caller reports events with [`apply_pod`](Self::apply_pod), [`learn`](Self::learn) and
/// [`record_scale`](Self::record_scale), and asks for a decision with [`decide`](Self::decide). Nothing else changes
/// the state.
#[derive(Clone, Debug)]
pub struct Scaler {
    pub(crate) policy: Policy,
    pub(crate) fleet: Fleet,
    pub(crate) recommendations: Recommendations,
    pub(crate) history: History,
    pub(crate) models: Vec<ModelState>,
    pub(crate) restored_models: RestoredModels,
    /// When a pod last reported a model that is not tracked.
    pub(crate) untracked_at: Option<Moment>,
    pub(crate) start_delay: StartDelay,
    /// The minimum that a schedule currently sets.
    pub(crate) scheduled_floor: Option<u32>,
    /// Since when no metric could be computed.
    pub(crate) unknown_since: Option<Moment>,
    /// The last decision. The next one reuses its allocations, like those of the two fields below.
    pub(crate) decision: Decision,
    pub(crate) groups: Groups,
    pub(crate) fleet_snapshot: FleetSnapshot,
}

impl Visit for Scaler {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.fleet.visit(snapshot);
        self.recommendations.visit(snapshot);
        self.history.visit(snapshot);
        snapshot.list(&mut self.models, || ModelState::new("".into()));
        self.restored_models.visit(snapshot);
        self.untracked_at.visit(snapshot);
        self.start_delay.visit(snapshot);
        self.scheduled_floor.visit(snapshot);
        self.unknown_since.visit(snapshot);
        self.decision.conditions.visit(snapshot);
    }
}

impl Scaler {
    /// Creates a scaler without history. `conditions` are those in the object's status, which survive a restart.
    pub fn new(policy: Policy, conditions: Conditions) -> Self {
        Self {
            policy,
            fleet: Fleet::default(),
            recommendations: Recommendations::default(),
            history: History::default(),
            models: Vec::new(),
            restored_models: RestoredModels::default(),
            untracked_at: None,
            start_delay: StartDelay::default(),
            scheduled_floor: None,
            unknown_since: None,
            decision: Decision::none(conditions),
            groups: Groups::default(),
            fleet_snapshot: FleetSnapshot::default(),
        }
    }

    /// Returns the policy in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Replaces the policy and keeps the history.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Forgets whether the fleet is outside of the envelope, because nothing measures that now.
    pub(crate) fn forget_envelope(&mut self) {
        self.decision.conditions.outside_envelope = None;
        self.models.iter_mut().for_each(ModelState::forget_envelope);
    }

    /// Sets the minimum that a schedule requires, if any.
    pub fn set_scheduled_floor(&mut self, replicas: Option<u32>) {
        self.scheduled_floor = replicas;
    }

    /// Adds or updates a pod that the target's selector matches.
    pub fn apply_pod(&mut self, now: Moment, uid: PodUid, pod: Pod) {
        if let Some(took) = self.fleet.apply(now, uid, pod) {
            self.start_delay.learn(took);
        }
    }

    /// Removes a deleted pod.
    pub fn remove_pod(&mut self, uid: &PodUid) {
        self.fleet.remove(uid);
    }

    /// Processes a reading that the sidecar took at `taken` and that was received at `now`.
    ///
    /// # Errors
    /// Fails if the pod is unknown or the reading does not follow the pod's last one; then nothing changes.
    pub fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Reading,
    ) -> Result<(), Rejection> {
        self.learn_shared(now, uid, taken, &Arc::new(reading.clone()))
    }

    /// Like [`learn`](Self::learn), and keeps the reading itself: several scalers of a pod have one copy.
    ///
    /// # Errors
    /// Fails if the pod is unknown or the reading does not follow the pod's last one; then nothing changes.
    pub fn learn_shared(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Arc<Reading>,
    ) -> Result<(), Rejection> {
        self.fleet.learn(now, uid, taken, reading)?;
        if self.policy.algorithm != Algorithm::Model || !reading.server.has_metrics() {
            return Ok(());
        }
        self.track_models(now, reading);
        let Some(pod) = self.fleet.get_mut(uid) else {
            return Ok(());
        };
        let serves = pod.pod.ready && !pod.pod.terminating && !reading.terminating;
        // A pod that was observed to become ready has counted since its first request, at most a second before.
        let earliest = Moment::at(taken.since_origin().saturating_sub(Duration::from_secs(1)));
        let counts_since = pod.ready_since.map(|since| since.min(earliest));
        pod.histories
            .resize_with(self.models.len(), Default::default);
        for (model, history) in self.models.iter_mut().zip(&mut pod.histories) {
            let of_model = reading.of_model(&model.name);
            model.learn(
                history,
                taken,
                reading.fresh_for,
                of_model,
                counts_since,
                serves,
            );
        }
        Ok(())
    }

    /// Encodes the state, so that [`restore`](Self::restore) can continue from it.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.clone().visit(&mut snapshot);
        snapshot
    }

    /// Creates a scaler from a snapshot; `None` if the snapshot is corrupt or from another release.
    pub fn restore(policy: Policy, mut snapshot: Snapshot) -> Option<Self> {
        snapshot.start_decoding();
        let mut scaler = Self::new(policy, Conditions::default());
        scaler.visit(&mut snapshot);
        snapshot.fully_decoded().then_some(scaler)
    }

    /// Returns what was learned, for [`restore_checkpoint`](Self::restore_checkpoint) after a restart.
    pub fn checkpoint(&self, clock: Clock) -> Checkpoint {
        let tracked = self.models.iter().filter(|model| !model.name.is_empty());
        // No pod may have reported a model since the last restart.
        let restored = self.restored_models.0.iter();
        let models = tracked
            .map(ModelState::checkpoint)
            .chain(restored.filter_map(|model| ModelState::still_known(clock.now, model)))
            .take(Checkpoint::MAX_MODELS)
            .map(|model| model.moved_to_wall_clock(clock))
            .collect();
        Checkpoint {
            start_delay: self.start_delay.observed(),
            models,
        }
    }

    /// Adds what was learned before a restart. What this scaler has learned itself since stays.
    ///
    /// Values out of range are ignored, and so are rates of the future or of more than a week ago.
    pub fn restore_checkpoint(&mut self, clock: Clock, checkpoint: &Checkpoint) {
        if let Some(starts) = checkpoint.start_delay {
            self.start_delay.restore(starts);
        }
        self.restored_models.0.clear();
        for model in checkpoint.models.iter().take(Checkpoint::MAX_MODELS) {
            let restored = model.moved_to_moments(clock);
            let mut tracked = self.models.iter_mut();
            match tracked.find(|tracked| tracked.name == model.name) {
                Some(tracked) => tracked.restore(clock.now, &restored),
                None => {
                    let known = ModelState::still_known(clock.now, &restored);
                    self.restored_models.0.extend(known);
                }
            }
        }
    }

    /// Records that the target was scaled.
    pub fn record_scale(&mut self, now: Moment, from: u32, to: u32) {
        self.history
            .record_scale(now, self.policy.behavior.as_ref(), from, to);
        Condition::set(
            &mut self.decision.conditions.able_to_scale,
            true,
            Reason::SucceededRescale,
            format_args!("scaled from {from} to {to} replicas"),
        );
    }

    /// Records that the target could not be scaled.
    pub fn record_scale_failure(&mut self, error: &str) {
        Condition::set(
            &mut self.decision.conditions.able_to_scale,
            false,
            Reason::FailedUpdateScale,
            format_args!("failed to update the target's scale: {error}"),
        );
    }

    /// Returns whether the pod's requests take much longer than those of the other pods.
    pub fn is_slow(&self, uid: &PodUid) -> bool {
        self.fleet.get(uid).is_some_and(|pod| {
            let mut models = self.models.iter().zip(&pod.histories);
            models.any(|(model, history)| model.is_slow(history))
        })
    }

    /// Returns the current conditions.
    pub fn conditions(&self) -> &Conditions {
        &self.decision.conditions
    }

    /// Returns the load of the pods that report at `now`.
    pub fn load(&self, now: Moment) -> FleetLoad {
        FleetLoad::measure(self.fleet.pods(), now)
    }

    /// Returns the load in these seconds since the origin; unknown for seconds more than 300 s ago, and with
    /// `algorithm: Ratio`. Readings for the last three seconds may be missing.
    pub fn measured_load(&self, seconds: Range<u64>) -> MeasuredLoad {
        MeasuredLoad::measure(&self.models, seconds)
    }

    /// Returns the learned time from the creation of a pod until it is ready; `None` before one was observed.
    pub fn start_delay(&self) -> Option<Duration> {
        let starts = self.start_delay.observed()?;
        Duration::try_from_secs_f64(starts.seconds).ok()
    }

    /// Returns the replicas to start a target with that has none: the minimum, raised to the scheduled floor. Without
    /// pods nothing more is known about the demand.
    pub fn start_replicas(&self) -> u32 {
        self.bounds().min()
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let bounds = self.policy.bounds;
        bounds.raised_to(self.scheduled_floor.unwrap_or(0))
    }

    /// Returns the last decision.
    pub fn last_decision(&self) -> &Decision {
        &self.decision
    }
}

//! All scalers: passes inputs to them and executes the effects.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pushscale_decision::{Moment, PodUid};
use tokio::time::Instant;

use super::clock::Clock;
use super::conflicts::{Competitors, conflicts};
use super::effect::{Context, Effect, FinalizerChange};
use super::managed_scaler::{Limits, ManagedScaler};
use super::reporter::Reporter;
use super::requests::Requests;
use crate::event::{ScalerFacts, StoredStatus, WatchId};
use crate::leadership::Leadership;
use crate::names::{ScalerKey, TargetRef};
use crate::scale_target::PodRef;

/// Bytes of the recordings of all scalers together.
const RECORDED_BYTES: usize = 32 << 20;

/// Maximum bytes of the recording of one scaler: about ten minutes of ten pods with one model.
const MAX_RECORDED_BYTES: usize = 4 << 20;

/// The state of all scalers, and what executes their effects.
pub(super) struct Scalers {
    all: BTreeMap<ScalerKey, ManagedScaler>,
    due: BTreeSet<(Moment, ScalerKey)>,
    pub(super) competitors: Competitors,
    pub(super) clock: Clock,
    leadership: Leadership,
    /// The term of this aggregator as the leader in this turn; `None` while it follows.
    term: Option<u64>,
    requests: Requests,
    pub(super) reporter: Reporter,
}

impl Scalers {
    pub(super) fn new(leadership: Leadership, requests: Requests, reporter: Reporter) -> Self {
        let term = leadership.term();
        reporter.metrics.set_leader(term.is_some());
        Self {
            all: BTreeMap::new(),
            due: BTreeSet::new(),
            competitors: Competitors::default(),
            clock: Clock::start(),
            leadership,
            term,
            requests,
            reporter,
        }
    }

    /// Whether this aggregator leads in this turn.
    pub(super) fn leads(&self) -> bool {
        self.term.is_some()
    }

    pub(super) fn get(&self, key: &ScalerKey) -> Option<&ManagedScaler> {
        self.all.get(key)
    }

    /// Returns the names of all scalers.
    pub(super) fn keys(&self) -> Vec<ScalerKey> {
        self.all.keys().cloned().collect()
    }

    /// Returns what scalers need to know of the present.
    pub(super) fn context(&self) -> Context {
        let (now, instant) = (self.clock.now(), Instant::now());
        Context::new(now, instant, Timestamp::now(), self.leads())
    }

    /// Calls `f` with a scaler and executes the effects. Returns its result; `None` if there is no such scaler.
    pub(super) fn with<T>(
        &mut self,
        key: &ScalerKey,
        f: impl FnOnce(&mut ManagedScaler, &mut Context) -> T,
    ) -> Option<T> {
        let mut context = self.context();
        self.with_at(&mut context, key, f)
    }

    /// Calls `f` with the scaler of this watch and executes the effects. Returns its result; `None` if the watch was
    /// replaced: the scaler is gone, or has another target by now.
    pub(super) fn with_watched<T>(
        &mut self,
        watch: &WatchId,
        f: impl FnOnce(&mut ManagedScaler, &mut Context) -> T,
    ) -> Option<T> {
        let scaler = self.all.get(&watch.scaler)?;
        if scaler.id.watch != *watch {
            return None;
        }
        self.with(&watch.scaler, f)
    }

    /// Like [`with`](Self::with), at the time of `context`.
    pub(super) fn with_at<T>(
        &mut self,
        context: &mut Context,
        key: &ScalerKey,
        f: impl FnOnce(&mut ManagedScaler, &mut Context) -> T,
    ) -> Option<T> {
        let scaler = self.all.get_mut(key)?;
        let output = f(scaler, context);
        let (effects, wake_at) = context.take();
        if let Some((at, before)) = wake_at.and_then(|at| scaler.wakes.wake_at(at)) {
            if let Some(before) = before {
                self.due.remove(&(before, key.clone()));
            }
            self.due.insert((at, key.clone()));
        }
        for effect in effects {
            self.execute(context, key, effect);
        }
        Some(output)
    }

    fn execute(&mut self, context: &Context, key: &ScalerKey, effect: Effect) {
        let Some(scaler) = self.all.get_mut(key) else {
            return;
        };
        let (requests, reporter) = (&self.requests, &mut self.reporter);
        match (effect, self.term) {
            (Effect::Write(write), Some(term)) => requests.write(term, scaler, write),
            (Effect::Unmark(pods), Some(_)) => self.unmark(key, pods),
            (Effect::SetFinalizers(change), Some(term)) => self.set_finalizers(term, key, change),
            // A follower writes nothing.
            (Effect::Write(_) | Effect::Unmark(_) | Effect::SetFinalizers(_), None) => {}
            (Effect::ReadCheckpoint(stored), _) => requests.read_checkpoint(scaler, stored),
            (Effect::WriteCheckpoint(learned), _) => reporter.checkpoint(key, scaler, learned),
            (Effect::Status(status), _) => reporter.status(context, scaler, key, status),
            (Effect::Event(event), _) => reporter.event(key, scaler.id.uid.clone(), event),
            (Effect::Decided(decided), _) => reporter.decided(context, key, scaler, &decided),
            (Effect::Load(sample), _) => reporter.load(scaler, sample),
            (Effect::UpdateMetrics, _) => reporter.update_metrics(context, key, scaler),
        }
    }

    fn set_finalizers(&self, term: u64, key: &ScalerKey, mut change: FinalizerChange) {
        let Some(scaler) = self.all.get(key) else {
            return;
        };
        if change.restore.is_some()
            && let Some(other) = self.other_writer(key, scaler)
        {
            tracing::info!(autoscaler = %key, other, "replicas not restored: another autoscaler has the target");
            change.restore = None;
        }
        self.requests.set_finalizers(term, scaler, change);
    }

    /// Removes our marks from pods of the scaler's target. The marks are the target's: while another PushScaler writes
    /// it, only that one knows which of them it still needs.
    fn unmark(&self, key: &ScalerKey, pods: Vec<PodRef>) {
        let Some(scaler) = self.all.get(key) else {
            return;
        };
        let target = &scaler.id.target;
        if !self.is_written(target, |other| other != key) {
            self.remove_marks(key, target, pods);
        }
    }

    /// Removes the marks of a cancelled write. The watch of the pods may not have reported them before the scaler was
    /// removed, and another one may write the target by now, perhaps with the same name.
    pub(super) fn unmark_cancelled(&self, key: &ScalerKey, target: &TargetRef, pods: Vec<PodRef>) {
        if !self.is_written(target, |_| true) {
            self.remove_marks(key, target, pods);
        }
    }

    /// Whether one of these PushScalers writes the target, and no other autoscaler does.
    fn is_written(&self, target: &TargetRef, by: impl Fn(&ScalerKey) -> bool) -> bool {
        self.all.iter().any(|(key, scaler)| {
            by(key)
                && scaler.writes()
                && scaler.object.conflicts_with().is_none()
                && scaler.id.target.is_same_object(target)
        })
    }

    fn remove_marks(&self, key: &ScalerKey, target: &TargetRef, pods: Vec<PodRef>) {
        if let Some(term) = self.term
            && !pods.is_empty()
        {
            self.requests.unmark(term, key, target, pods);
        }
    }

    /// Returns another autoscaler that writes the scaler's target.
    fn other_writer(&self, key: &ScalerKey, scaler: &ManagedScaler) -> Option<String> {
        match self.others_writing(key, scaler).next() {
            Some((other, _)) => Some(format!("PushScaler {other}")),
            None => self.competitors.writer_of(&scaler.id.target),
        }
    }

    /// Returns the other PushScalers in mode Apply of the scaler's target. If there is another autoscaler, none of them
    /// writes.
    fn others_writing(
        &self,
        key: &ScalerKey,
        scaler: &ManagedScaler,
    ) -> impl Iterator<Item = (&ScalerKey, &ManagedScaler)> {
        self.all.iter().filter(move |(other, found)| {
            *other != key && found.writes() && found.id.target.is_same_object(&scaler.id.target)
        })
    }

    /// Records which targets two autoscalers write.
    pub(super) fn detect_conflicts(&mut self) {
        for (key, conflicts_with) in conflicts(&self.all, &self.competitors) {
            self.with(&key, |scaler, context| {
                scaler.object.set_conflict(context, conflicts_with);
            });
        }
    }

    /// Applies a PushScaler. A new one, one that was recreated under the same name, or one with another target replaces
    /// what was learned before: it was removed by the caller. Returns whether more than its status has changed.
    pub(super) fn apply(&mut self, facts: &ScalerFacts) -> bool {
        let key = &facts.key;
        let is_known = self.all.contains_key(key);
        if !is_known {
            tracing::info!(autoscaler = %key, target = %facts.target, "scaler added");
            let scaler = ManagedScaler::new(self.clock.now(), facts);
            self.all.insert(key.clone(), scaler);
        }
        let has_changed = self.with(key, |scaler, context| {
            if is_known {
                return scaler.apply(context, facts);
            }
            context.wake_at(context.now);
            true
        });
        let has_changed = has_changed.unwrap_or(false);
        if let Some(scaler) = self.all.get(key) {
            self.reporter.applied(facts, scaler, has_changed);
        }
        has_changed
    }

    pub(super) fn remove(&mut self, key: &ScalerKey) -> Option<ManagedScaler> {
        let marked = self.all.get(key)?.object.marked();
        self.unmark(key, marked);
        let scaler = self.all.remove(key)?;
        if let Some(due) = scaler.wakes.due() {
            self.due.remove(&(due, key.clone()));
        }
        self.reporter.removed(key);
        Some(scaler)
    }

    /// Returns when the first scaler is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let (at, _) = self.due.first()?;
        Some(self.clock.instant(*at))
    }

    /// Wakes each scaler that is due, and calls `before` before each.
    pub(super) fn wake_due(&mut self, before: impl Fn()) {
        let now = self.clock.now();
        let limits = Limits {
            recorded_bytes: (RECORDED_BYTES / self.all.len().max(1)).min(MAX_RECORDED_BYTES),
            marks_pods: self.requests.marks_pods(),
        };
        while self.due.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.due.pop_first()
        {
            before();
            self.with(&key, |scaler, context| scaler.wake(context, limits));
        }
    }

    /// Compares the term with that of the last turn. A new leader reads all scales and statuses before it writes them:
    /// its last view of them may be older than the previous leader's last write. Returns whether it is a new leader.
    pub(super) fn update_role(&mut self) -> bool {
        let term = self.leadership.term();
        if term == self.term {
            return false;
        }
        self.term = term;
        self.reporter.metrics.set_leader(term.is_some());
        if term.is_none() {
            return false;
        }
        for key in self.keys() {
            self.with(&key, ManagedScaler::take_over);
        }
        true
    }

    /// Continues the statuses that the previous leader has written.
    pub(super) fn statuses_read(
        &mut self,
        start: Instant,
        mut statuses: BTreeMap<ScalerKey, StoredStatus>,
    ) {
        for key in self.keys() {
            self.with(&key, |scaler, context| {
                if scaler.publisher.awaits_status(start) {
                    scaler.continue_status(context, statuses.remove(&key));
                }
            });
        }
    }

    /// Wakes all scalers in this turn, or as soon as they may decide again.
    pub(super) fn wake_all(&mut self) {
        for key in self.keys() {
            self.with(&key, |_, context| context.wake_at(context.now));
        }
    }

    /// Whether all scalers have warmed up.
    pub(super) fn are_warm(&self) -> bool {
        self.all.values().all(ManagedScaler::is_warm)
    }

    /// Whether a write of a replica count is in flight.
    pub(super) fn is_writing(&self) -> bool {
        self.all.values().any(|scaler| scaler.object.is_writing())
    }

    /// Records for each of the pod's scalers whether the pod also belongs to another object that is scaled. Several
    /// scalers of one object see the same pods; whether they conflict depends on their modes.
    pub(super) fn update_shared(&mut self, uid: &PodUid, scalers: &BTreeSet<ScalerKey>) {
        for key in scalers {
            let Some(target) = self.all.get(key).map(|scaler| &scaler.id.target) else {
                continue;
            };
            let other = scalers.iter().find(|other| {
                let other = self.all.get(*other);
                other.is_some_and(|other| !other.id.target.is_same_object(target))
            });
            if let Some(scaler) = self.all.get_mut(key) {
                scaler.object.set_shared(uid, other.cloned());
            }
        }
    }

    /// Counts the scalers, and this many pods.
    pub(super) fn count_known(&self, pods: usize) {
        self.reporter.metrics.set_known(self.all.len(), pods);
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ScalerKey, &ManagedScaler)> {
        self.all.iter()
    }

    #[cfg(test)]
    pub(super) fn get_mut(&mut self, key: &ScalerKey) -> Option<&mut ManagedScaler> {
        self.all.get_mut(key)
    }
}

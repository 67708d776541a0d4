//! Facts come in: of scalers, targets, pods and readings.

use std::collections::BTreeSet;
use std::time::Duration;

use pushscale_decision::{Pod, PodUid, Reading};

use super::ControlLoop;
use super::entry::Entry;
use crate::event::{Pushed, ScalerFacts, Standing, Verdict, WatchId};
use crate::names::ScalerKey;
use crate::scale_target::{Scale, ScaleError};

/// A pod's readings are at least this far apart. The fastest sidecar pushes every 100 ms; half of that is a
/// flood or a loop gone wrong, and it must not crowd out the others.
const READING_GAP: Duration = Duration::from_millis(50);

/// A read of a size that began before our write may be told after it; for so long the older one is not believed.
/// No longer: after a restored backup all versions are older.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(10);

impl ControlLoop {
    pub(super) fn apply_scaler(&mut self, facts: ScalerFacts) {
        let now = self.now();
        let key = facts.key.clone();
        match self.scalers.get_mut(&key) {
            Some(entry) if entry.watch == facts.watch && entry.uid == facts.uid => {
                // Our own status writes come back this way: only another generation is another spec.
                if entry.generation == facts.generation && entry.generation.is_some() {
                    return;
                }
                entry.apply_spec(
                    now,
                    facts.generation,
                    facts.policy,
                    facts.spec,
                    facts.schedules,
                );
            }
            _ => {
                // New, made anew under its old name, or pointed at another target: what was learnt of the old
                // one says nothing.
                self.forget_scaler(&key);
                tracing::info!(autoscaler = %key, target = %facts.target, "scaling");
                self.scalers.insert(key.clone(), Entry::new(facts));
            }
        }
        self.find_contests();
        self.mark_due(&key, self.now());
    }

    pub(super) fn forget_scaler(&mut self, key: &ScalerKey) {
        if let Some(entry) = self.scalers.get(key) {
            self.let_stay(key, entry.leaving.marked());
        }
        for uid in self.directory.under(key) {
            self.remove_pod(key, &uid);
        }
        let Some(entry) = self.scalers.remove(key) else {
            return;
        };
        if let Some(due) = entry.due {
            self.due.remove(&(due, key.clone()));
        }
        tracing::info!(autoscaler = %key, "no longer scaling");
        self.find_contests();
    }

    /// Finds which targets have two autoscalers that write. One that recommends may stand beside one that writes: that
    /// is how one moves from an HPA to us, and back. Seldom, and over few objects.
    pub(super) fn find_contests(&mut self) {
        let targets: Vec<_> = self
            .scalers
            .iter()
            .filter(|(_, entry)| entry.writes)
            .map(|(key, entry)| {
                (
                    format!("PushScaler {key}"),
                    key.clone(),
                    entry.target.clone(),
                )
            })
            .collect();
        let now = self.now();
        let mut changed = Vec::new();
        for (key, entry) in &mut self.scalers {
            let ours = targets
                .iter()
                .find(|(_, other, target)| other != key && target.is_same_object(&entry.target))
                .map(|(name, ..)| name.clone());
            let theirs = self
                .rivals
                .iter()
                .find(|(_, target)| target.is_same_object(&entry.target))
                .map(|(name, _)| format!("HorizontalPodAutoscaler {name}"));
            let contested_by = ours.or(theirs).filter(|_| entry.writes);
            if entry.contested_by != contested_by {
                entry.contested_by = contested_by;
                changed.push(key.clone());
            }
        }
        for key in changed {
            self.mark_due(&key, now);
        }
    }

    pub(super) fn read_target(&mut self, watch: &WatchId, scale: Result<Scale, ScaleError>) {
        let now = self.now();
        let Some(entry) = self.watched(watch) else {
            return;
        };
        if let (Some((at, version)), Ok(read)) = (entry.written, &scale)
            && read.version < version
            && now.since(at) < OVERTAKEN_WITHIN
        {
            return;
        }
        entry.scale = Some(scale);
        self.mark_due(&watch.scaler, now);
    }

    pub(super) fn apply_pod(&mut self, watch: &WatchId, uid: PodUid, pod: Pod, standing: Standing) {
        let now = self.now();
        let key = &watch.scaler;
        let Some(entry) = self.watched(watch) else {
            return;
        };
        entry.selector_problem = None;
        entry.leaving.apply(uid.clone(), pod.clone(), standing);
        if let Ok(scaler) = &mut entry.brain {
            scaler.apply_pod(now, uid.clone(), pod.clone());
        }
        if self.directory.get_mut(&uid).is_none() {
            self.gate.pod_seen(&uid);
        }
        let under = self.directory.add(uid.clone(), &pod.name, key).clone();
        self.note_shared(&uid, &under);
        self.mark_due(key, now);
    }

    pub(super) fn forget_pod(&mut self, watch: &WatchId, uid: &PodUid) {
        if self.watched(watch).is_some() {
            self.remove_pod(&watch.scaler, uid);
            self.end_token(uid);
            self.mark_due(&watch.scaler, self.now());
        }
    }

    pub(super) fn list_pods(&mut self, watch: &WatchId, uids: &BTreeSet<PodUid>) {
        let Some(entry) = self.watched(watch) else {
            return;
        };
        entry.selector_problem = None;
        entry.pods_listed = true;
        for uid in self.directory.under(&watch.scaler) {
            if !uids.contains(&uid) {
                self.remove_pod(&watch.scaler, &uid);
                self.end_token(&uid);
            }
        }
        self.mark_due(&watch.scaler, self.now());
    }

    pub(super) fn pods_unlistable(&mut self, watch: &WatchId, message: String) {
        if let Some(entry) = self.watched(watch) {
            entry.selector_problem = Some(message);
            entry.pods_listed = true;
            self.mark_due(&watch.scaler, self.now());
        }
    }

    fn remove_pod(&mut self, key: &ScalerKey, uid: &PodUid) {
        let now = self.now();
        if let Some(entry) = self.scalers.get_mut(key) {
            entry.shared.remove(uid);
            entry.leaving.forget(uid);
            if let Ok(scaler) = &mut entry.brain {
                scaler.remove_pod(now, uid);
            }
        }
        let left = self.directory.remove(uid, key);
        self.note_shared(uid, &left);
    }

    /// Its token ends with a pod; one that only left one of several selectors goes on.
    fn end_token(&mut self, uid: &PodUid) {
        if self.directory.get_mut(uid).is_none() {
            self.gate.pod_gone(uid);
        }
    }

    /// Tells each scaler that the pod is under which other one it is, if any.
    fn note_shared(&mut self, uid: &PodUid, under: &BTreeSet<ScalerKey>) {
        for key in under {
            let Some(entry) = self.scalers.get_mut(key) else {
                continue;
            };
            match under.iter().find(|other| *other != key) {
                Some(other) => entry.shared.insert(uid.clone(), other.clone()),
                None => entry.shared.remove(uid),
            };
        }
    }

    /// The scaler of this watch, unless the watch is an old one.
    fn watched(&mut self, watch: &WatchId) -> Option<&mut Entry> {
        let entry = self.scalers.get_mut(&watch.scaler)?;
        (entry.watch == *watch).then_some(entry)
    }

    pub(super) fn learn(&mut self, pushed: Pushed) {
        let (verdict, told) = (
            pushed.verdict,
            self.learn_reading(
                &pushed.namespace,
                &pushed.name,
                &pushed.uid,
                pushed.reading.age + pushed.received.elapsed(),
                pushed.reading.reading,
            ),
        );
        // The sidecar may have hung up.
        verdict.send(told).ok();
    }

    fn learn_reading(
        &mut self,
        namespace: &str,
        name: &str,
        uid: &PodUid,
        age: Duration,
        reading: Reading,
    ) -> Verdict {
        let now = self.now();
        let Some(listed) = self.directory.get_mut(uid) else {
            return Verdict::UnknownPod;
        };
        if listed.name != name || listed.namespace != namespace {
            return Verdict::OtherPod {
                name: format!("{}/{}", listed.namespace, listed.name),
            };
        }
        let gap = listed.last_taken.map(|last| now.since(last));
        if gap.is_some_and(|gap| gap < READING_GAP) && !reading.terminating {
            return Verdict::TooSoon;
        }
        // What was taken before this process began is as old as can be told.
        let taken = pushscale_decision::Moment::at(now.since_origin().saturating_sub(age));
        let mut outcome = Verdict::UnknownPod;
        for key in &listed.scalers {
            let Some(entry) = self.scalers.get_mut(key) else {
                continue;
            };
            // A scaler whose spec is wrong takes no readings; the pod is not to blame.
            if let Ok(scaler) = &mut entry.brain {
                if let Err(refusal) = scaler.learn(now, uid, taken, &reading) {
                    return Verdict::Refused(refusal);
                }
                entry.leaving.hear(uid, taken, &reading);
                entry.newest_reading = Some(taken);
            }
            entry.mark_due(key, now, &mut self.due);
            outcome = Verdict::Taken;
        }
        if outcome == Verdict::Taken {
            listed.last_taken = Some(now);
        }
        outcome
    }
}

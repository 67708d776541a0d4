//! Applies observations: scalers, targets, pods and readings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pushscale_decision::{Moment, Pod, PodUid, Reading, Selector};

use super::ControlLoop;
use super::managed_scaler::{ManagedScaler, ScaleRead};

use crate::auth::PodIdentity;
use crate::event::{DeletionFacts, Pushed, ScalerFacts, Verdict, WatchId};
use crate::names::ScalerKey;

/// Minimum time between a pod's readings. The fastest sidecar pushes every 100 ms; a pod that pushes twice as fast is
/// faulty and must not crowd out the others.
const MIN_READING_INTERVAL: Duration = Duration::from_millis(50);

impl ControlLoop {
    pub(super) fn apply_scaler(&mut self, facts: &ScalerFacts) {
        let key = &facts.key;
        let is_known = |scaler: &ManagedScaler| scaler.is_of(facts);
        let has_changed = if self.scalers.get(key).is_some_and(is_known) {
            self.with_scaler(key, |scaler, context| scaler.apply(context, facts))
                .unwrap_or(false)
        } else {
            // A new scaler, one that was recreated under the same name, or one with another target: what was learned
            // before does not apply.
            self.remove_scaler(key);
            tracing::info!(autoscaler = %key, target = %facts.target, "scaler added");
            let scaler = ManagedScaler::new(self.now(), facts);
            self.scalers.insert(key.clone(), scaler);
            self.wake(key);
            true
        };
        if has_changed && let Some(scaler) = self.scalers.get(key) {
            self.history
                .applied(scaler.subject(), scaler.spec_problems());
        }
        if let Some(store) = &self.external_metrics {
            let (labels, target) = (facts.labels.clone(), &facts.target);
            let target = format!("{} {target}", target.api_version);
            store.apply(&key.namespace, &key.name, labels, target);
        }
        if has_changed {
            self.detect_conflicts();
        }
    }

    pub(super) fn remove_scaler(&mut self, key: &ScalerKey) {
        if let Some(scaler) = self.scalers.get(key) {
            self.unmark(key, scaler.marked());
        }
        let Some(scaler) = self.scalers.remove(key) else {
            return;
        };
        for uid in scaler.pod_uids() {
            self.remove_from_index(key, &uid);
        }
        if let Some(due) = scaler.due() {
            self.due.remove(&(due, key.clone()));
        }
        self.metrics.scaler_removed(key);
        self.history.removed(key);
        if let Some(store) = &self.external_metrics {
            store.remove(&key.namespace, &key.name);
        }
        tracing::info!(autoscaler = %key, "scaler removed");
        self.detect_conflicts();
    }

    /// Detects targets that two autoscalers write. A scaler in mode Recommend does not conflict: users migrate between
    /// an HPA and Pushscale that way. Does nothing until everything is listed, and then takes time in proportion to the
    /// number of scalers and HPAs.
    pub(super) fn detect_conflicts(&mut self) {
        if self.is_unlisted() {
            return;
        }
        let mut writers: HashMap<_, Vec<&ScalerKey>> = HashMap::new();
        for (key, scaler) in self.scalers.iter().filter(|(_, scaler)| scaler.writes()) {
            let target = scaler.target().object();
            writers.entry(target).or_default().push(key);
        }
        let mut hpas: HashMap<_, &ScalerKey> = HashMap::new();
        for (key, hpa) in &self.competing_hpas {
            hpas.entry(hpa.target.object()).or_insert(key);
        }
        let mut changed = Vec::new();
        for (key, scaler) in &self.scalers {
            let target = scaler.target().object();
            let other = writers
                .get(&target)
                .and_then(|writers| writers.iter().find(|other| **other != key));
            let conflicts_with = match (other, hpas.get(&target)) {
                _ if !scaler.writes() => None,
                (Some(other), _) => Some(format!("PushScaler {other}")),
                (None, Some(hpa)) => Some(format!("HorizontalPodAutoscaler {hpa}")),
                (None, None) => None,
            };
            if scaler.conflicts_with() != conflicts_with.as_deref() {
                changed.push((key.clone(), conflicts_with));
            }
        }
        for (key, conflicts_with) in changed {
            self.with_scaler(&key, |scaler, context| {
                scaler.set_conflict(context, conflicts_with);
            });
        }
    }

    pub(super) fn apply_scale(&mut self, watch: &WatchId, read: ScaleRead) {
        self.with_watched_scaler(watch, |scaler, context| {
            scaler.apply_scale(context, read);
        });
    }

    pub(super) fn apply_pod(
        &mut self,
        watch: &WatchId,
        uid: PodUid,
        pod: &Pod,
        deletion: DeletionFacts,
    ) {
        let is_changed = self.with_watched_scaler(watch, |scaler, context| {
            scaler.apply_pod(context, &uid, pod, deletion)
        });
        if is_changed != Some(true) {
            return;
        }
        if self.pod_index.get_mut(&uid).is_none() {
            self.authenticator.pod_selected(&uid);
        }
        let key = &watch.scaler;
        let scalers = self.pod_index.add(uid.clone(), &pod.name, key).clone();
        self.update_shared(&uid, &scalers);
    }

    pub(super) fn delete_pod(&mut self, watch: &WatchId, uid: &PodUid) {
        let is_watched = self.with_watched_scaler(watch, |scaler, context| {
            scaler.remove_pod(context, uid);
        });
        if is_watched.is_some() {
            self.remove_from_index(&watch.scaler, uid);
        }
    }

    pub(super) fn apply_pod_list(&mut self, watch: &WatchId, uids: &BTreeSet<PodUid>) {
        let deleted =
            self.with_watched_scaler(watch, |scaler, context| scaler.pods_listed(context, uids));
        for uid in deleted.unwrap_or_default() {
            self.delete_pod(watch, &uid);
        }
    }

    pub(super) fn pods_unknown(&mut self, watch: &WatchId, why: Selector) {
        self.with_watched_scaler(watch, |scaler, context| {
            scaler.pods_unknown(context, why);
        });
    }

    /// Removes a pod of this scaler from the index of all pods.
    fn remove_from_index(&mut self, key: &ScalerKey, uid: &PodUid) {
        let remaining = self.pod_index.remove(uid, key);
        if remaining.is_empty() {
            self.authenticator.pod_unselected(uid);
        }
        self.update_shared(uid, &remaining);
    }

    /// Records for each of the pod's scalers whether the pod also belongs to another object that is scaled. Several
    /// scalers of one object see the same pods; whether they conflict depends on their modes.
    fn update_shared(&mut self, uid: &PodUid, scalers: &BTreeSet<ScalerKey>) {
        for key in scalers {
            let Some(target) = self.scalers.get(key).map(ManagedScaler::target) else {
                continue;
            };
            let other = scalers.iter().find(|other| {
                let other = self.scalers.get(*other);
                other.is_some_and(|other| !other.target().is_same_object(target))
            });
            if let Some(scaler) = self.scalers.get_mut(key) {
                scaler.set_shared(uid, other.cloned());
            }
        }
    }

    pub(super) fn handle_push(&mut self, pushed: Pushed) {
        let age = pushed.reading.age + pushed.received.elapsed();
        let verdict = self.learn(&pushed.pod, age, Arc::new(pushed.reading.reading));
        // The sidecar may have disconnected.
        pushed.reply.send(verdict).ok();
    }

    fn learn(&mut self, pusher: &PodIdentity, age: Duration, reading: Arc<Reading>) -> Verdict {
        let mut context = self.context();
        let now = context.now;
        let uid = &pusher.uid;
        let Some(pod) = self.pod_index.get_mut(uid) else {
            return Verdict::UnknownPod;
        };
        if pod.name != pusher.name || pod.namespace != pusher.namespace {
            return Verdict::PodMismatch {
                pod: format!("{}/{}", pod.namespace, pod.name),
            };
        }
        let after = pod.last_accepted.map(|last| now.since(last));
        // The first reading of a terminating pod may follow its last one at once.
        let begins_to_terminate = reading.terminating && !pod.terminating;
        if after.is_some_and(|after| after < MIN_READING_INTERVAL) && !begins_to_terminate {
            return Verdict::RateLimited;
        }
        // A reading from before this process started gets the earliest time there is.
        let taken = Moment::at(now.since_origin().saturating_sub(age));
        let terminating = reading.terminating;
        let scalers = std::mem::take(&mut pod.scalers);
        let mut verdict = Verdict::UnknownPod;
        for key in &scalers {
            let Some(scaler) = self.scalers.get_mut(key) else {
                continue;
            };
            match scaler.learn(&mut context, uid, taken, &reading) {
                Ok(()) => {
                    self.execute(key, &mut context);
                    verdict = Verdict::Accepted { after };
                }
                // Another scaler of the pod may be younger, and not know the reading that this one compares it with.
                Err(rejection) if verdict == Verdict::UnknownPod => {
                    verdict = Verdict::Rejected(rejection);
                }
                Err(_) => {}
            }
        }
        if let Some(pod) = self.pod_index.get_mut(uid) {
            pod.scalers = scalers;
            if let Verdict::Accepted { .. } = verdict {
                pod.last_accepted = Some(now);
                pod.terminating = terminating;
            }
        }
        verdict
    }
}

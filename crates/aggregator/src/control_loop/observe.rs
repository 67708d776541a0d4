//! Applies observations: scalers, targets, pods and readings.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pushscale_decision::{Moment, Pod, PodUid, Reading, Selector};

use super::ControlLoop;
use super::managed_scaler::ManagedScaler;
use super::replicas::ScaleRead;
use crate::event::{DeletionFacts, Pushed, ScalerFacts, Verdict, WatchId};
use crate::names::ScalerKey;

/// Minimum time between a pod's readings. The fastest sidecar pushes every 100 ms; a pod that pushes twice as fast is
/// faulty and must not crowd out the others.
const MIN_READING_INTERVAL: Duration = Duration::from_millis(50);

impl ControlLoop {
    pub(super) fn apply_scaler(&mut self, facts: &ScalerFacts) {
        let now = self.now();
        let leads = self.leads();
        let key = facts.key.clone();
        match self.scalers.get_mut(&key) {
            Some(scaler) if scaler.watch == facts.watch && scaler.uid == facts.uid => {
                let deletion_begins = facts.deletion.deleting && !scaler.deletion.deleting;
                let is_awaited = scaler.apply_deletion(facts.deletion.clone());
                if !leads {
                    scaler.status_history.replicas_before = scaler.deletion.replicas_before;
                    scaler.status_history.last_scale_time = facts.last_scale_time;
                    scaler
                        .status_history
                        .transitions
                        .clone_from(&facts.transitions);
                    scaler.status_history.changes.clone_from(&facts.changes);
                }
                // Our own status writes also arrive here. The spec has changed only if the generation has.
                let same_spec =
                    scaler.generation == facts.generation && scaler.generation.is_some();
                if same_spec && !deletion_begins {
                    self.apply_labels(&key, facts.labels.clone(), &facts.target);
                    if is_awaited {
                        self.mark_due(&key, now);
                    }
                    return;
                }
                scaler.apply_spec(
                    now,
                    facts.generation,
                    facts.policy.clone(),
                    facts.spec.clone(),
                    facts.schedules.clone(),
                );
            }
            _ => {
                // A new scaler, one that was recreated under the same name, or one with another target: what was
                // learned before does not apply.
                self.remove_scaler(&key);
                tracing::info!(autoscaler = %key, target = %facts.target, "scaler added");
                let scaler = ManagedScaler::new(now, facts.clone());
                self.scalers.insert(key.clone(), scaler);
            }
        }
        if let Some(scaler) = self.scalers.get(&key) {
            let problems = scaler.spec_problems.iter().map(ToString::to_string);
            self.history.applied(&scaler.subject, problems.collect());
        }
        self.apply_labels(&key, facts.labels.clone(), &facts.target);
        self.detect_conflicts();
        self.mark_due(&key, self.now());
    }

    pub(super) fn remove_scaler(&mut self, key: &ScalerKey) {
        if let Some(scaler) = self.scalers.get(key) {
            self.unmark(key, scaler.deletion_order.marked());
            let uids: Vec<_> = scaler.deletion_order.uids().cloned().collect();
            for uid in uids {
                self.remove_pod(key, &uid);
            }
        }
        let Some(scaler) = self.scalers.remove(key) else {
            return;
        };
        if let Some(due) = scaler.due {
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
        for (key, scaler) in self.scalers.iter().filter(|(_, scaler)| scaler.writes) {
            writers.entry(scaler.target.object()).or_default().push(key);
        }
        let mut hpas: HashMap<_, &ScalerKey> = HashMap::new();
        for (key, hpa) in &self.competing_hpas {
            hpas.entry(hpa.target.object()).or_insert(key);
        }
        let mut changed = Vec::new();
        for (key, scaler) in &self.scalers {
            let target = scaler.target.object();
            let other = writers
                .get(&target)
                .and_then(|writers| writers.iter().find(|other| **other != key));
            let conflicts_with = match (other, hpas.get(&target)) {
                _ if !scaler.writes => None,
                (Some(other), _) => Some(format!("PushScaler {other}")),
                (None, Some(hpa)) => Some(format!("HorizontalPodAutoscaler {hpa}")),
                (None, None) => None,
            };
            if scaler.conflicts_with != conflicts_with {
                changed.push((key.clone(), conflicts_with));
            }
        }
        let now = self.now();
        for (key, conflicts_with) in changed {
            if let Some(scaler) = self.scalers.get_mut(&key) {
                scaler.conflicts_with = conflicts_with;
            }
            self.mark_due(&key, now);
        }
    }

    pub(super) fn apply_scale(&mut self, watch: &WatchId, read: ScaleRead) {
        let now = self.now();
        let leads = self.leads();
        if let Some(scaler) = self.watched(watch) {
            scaler.apply_scale(now, leads, read);
            self.mark_due(&watch.scaler, now);
        }
    }

    pub(super) fn apply_pod(
        &mut self,
        watch: &WatchId,
        uid: PodUid,
        pod: Pod,
        deletion: DeletionFacts,
    ) {
        let now = self.now();
        let key = &watch.scaler;
        let Some(scaler) = self.watched(watch) else {
            return;
        };
        // A resync repeats what is known.
        if scaler.deletion_order.contains(&uid, &pod, &deletion) {
            return;
        }
        scaler
            .deletion_order
            .apply(uid.clone(), pod.clone(), deletion);
        if let Some(engine) = &mut scaler.engine {
            engine.apply_pod(now, uid.clone(), pod.clone());
        }
        if self.pod_index.get_mut(&uid).is_none() {
            self.authenticator.pod_selected(&uid);
        }
        let scalers = self.pod_index.add(uid.clone(), &pod.name, key).clone();
        self.update_shared(&uid, &scalers);
        self.mark_due(key, now);
    }

    pub(super) fn delete_pod(&mut self, watch: &WatchId, uid: &PodUid) {
        if self.watched(watch).is_some() {
            self.remove_pod(&watch.scaler, uid);
            self.mark_due(&watch.scaler, self.now());
        }
    }

    pub(super) fn apply_pod_list(&mut self, watch: &WatchId, uids: &BTreeSet<PodUid>) {
        let Some(scaler) = self.watched(watch) else {
            return;
        };
        scaler.pods_problem = None;
        scaler.pods_listed = true;
        let known = scaler.deletion_order.uids();
        let deleted: Vec<_> = known.filter(|uid| !uids.contains(uid)).cloned().collect();
        for uid in deleted {
            self.remove_pod(&watch.scaler, &uid);
        }
        self.mark_due(&watch.scaler, self.now());
    }

    pub(super) fn pods_unknown(&mut self, watch: &WatchId, why: Selector) {
        if let Some(scaler) = self.watched(watch) {
            scaler.pods_problem = Some(why);
            scaler.pods_listed = false;
            self.mark_due(&watch.scaler, self.now());
        }
    }

    fn remove_pod(&mut self, key: &ScalerKey, uid: &PodUid) {
        let now = self.now();
        if let Some(scaler) = self.scalers.get_mut(key) {
            scaler.shared.remove(uid);
            scaler.deletion_order.remove(uid);
            if let Some(engine) = &mut scaler.engine {
                engine.remove_pod(now, uid);
            }
        }
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
            let Some(target) = self.scalers.get(key).map(|scaler| &scaler.target) else {
                continue;
            };
            let other = scalers.iter().find(|other| {
                let other = self.scalers.get(*other);
                other.is_some_and(|other| !other.target.is_same_object(target))
            });
            let other = other.cloned();
            let Some(scaler) = self.scalers.get_mut(key) else {
                continue;
            };
            match other {
                Some(other) => scaler.shared.insert(uid.clone(), other),
                None => scaler.shared.remove(uid),
            };
        }
    }

    /// Returns the scaler of this watch; `None` if the watch was replaced.
    fn watched(&mut self, watch: &WatchId) -> Option<&mut ManagedScaler> {
        let scaler = self.scalers.get_mut(&watch.scaler)?;
        (scaler.watch == *watch).then_some(scaler)
    }

    pub(super) fn handle_push(&mut self, pushed: Pushed) {
        let age = pushed.reading.age + pushed.received.elapsed();
        let verdict = self.learn(
            &pushed.namespace,
            &pushed.name,
            &pushed.uid,
            age,
            pushed.reading.reading,
        );
        // The sidecar may have disconnected.
        pushed.reply.send(verdict).ok();
    }

    fn learn(
        &mut self,
        namespace: &str,
        name: &str,
        uid: &PodUid,
        age: Duration,
        reading: Reading,
    ) -> Verdict {
        let now = self.now();
        let reading = Arc::new(reading);
        let Some(pod) = self.pod_index.get_mut(uid) else {
            return Verdict::UnknownPod;
        };
        if pod.name != name || pod.namespace != namespace {
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
        let mut verdict = Verdict::UnknownPod;
        for key in &pod.scalers {
            let Some(scaler) = self.scalers.get_mut(key) else {
                continue;
            };
            // A scaler whose spec was never valid ignores readings. The push is accepted: the pod is not at fault.
            if let Some(engine) = &mut scaler.engine {
                // Another scaler of the pod may be younger, and not know the reading that this one compares it with.
                if let Err(rejection) = engine.learn(now, uid, taken, &reading) {
                    if verdict == Verdict::UnknownPod {
                        verdict = Verdict::Rejected(rejection);
                    }
                    continue;
                }
                scaler.deletion_order.observe(uid, taken, &reading);
                scaler.newest_reading = Some(taken);
            }
            scaler.mark_due(key, now, &mut self.due);
            verdict = Verdict::Accepted { after };
            pod.last_accepted = Some(now);
            pod.terminating = reading.terminating;
        }
        verdict
    }
}

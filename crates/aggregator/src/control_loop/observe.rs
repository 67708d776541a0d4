//! Applies observations: scalers, pods and readings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pushscale_decision::{Moment, Pod, PodUid, Reading};

use super::ControlLoop;
use crate::auth::PodIdentity;
use crate::event::{DeletionFacts, Pushed, ScalerFacts, Verdict, WatchId};
use crate::names::ScalerKey;

impl ControlLoop {
    pub(super) fn apply_scaler(&mut self, facts: &ScalerFacts) {
        // A scaler that was recreated under the same name, or that has another target: what was learned before does not
        // apply.
        let known = self.scalers.get(&facts.key);
        if known.is_some_and(|scaler| !scaler.id.is_of(facts)) {
            self.remove_scaler(&facts.key);
        }
        if self.scalers.apply(facts) {
            self.detect_conflicts();
        }
    }

    pub(super) fn remove_scaler(&mut self, key: &ScalerKey) {
        let Some(scaler) = self.scalers.remove(key) else {
            return;
        };
        for uid in scaler.object.pod_uids() {
            self.remove_from_index(key, &uid);
        }
        self.detect_conflicts();
    }

    pub(super) fn apply_pod(
        &mut self,
        watch: &WatchId,
        uid: PodUid,
        pod: &Pod,
        deletion: DeletionFacts,
    ) {
        let is_changed = self.scalers.with_watched(watch, |scaler, context| {
            scaler.apply_pod(context, &uid, pod, deletion)
        });
        if is_changed != Some(true) {
            return;
        }
        let key = &watch.scaler;
        let scalers = self.pod_index.add(uid.clone(), &pod.name, key).clone();
        self.scalers.update_shared(&uid, &scalers);
    }

    pub(super) fn delete_pod(&mut self, watch: &WatchId, uid: &PodUid) {
        let is_watched = self.scalers.with_watched(watch, |scaler, context| {
            scaler.remove_pod(context, uid);
        });
        if is_watched.is_some() {
            self.remove_from_index(&watch.scaler, uid);
        }
    }

    pub(super) fn apply_pod_list(&mut self, watch: &WatchId, uids: &BTreeSet<PodUid>) {
        let deleted = self.scalers.with_watched(watch, |scaler, context| {
            scaler.object.pods_listed(context, uids)
        });
        for uid in deleted.unwrap_or_default() {
            self.delete_pod(watch, &uid);
        }
    }

    /// Removes a pod of this scaler from the index of all pods.
    fn remove_from_index(&mut self, key: &ScalerKey, uid: &PodUid) {
        let remaining = self.pod_index.remove(uid, key);
        self.scalers.update_shared(uid, &remaining);
    }

    pub(super) fn handle_push(&mut self, pushed: Pushed) {
        let age = pushed.reading.age + pushed.received.elapsed();
        let verdict = self.learn(&pushed.pod, age, Arc::new(pushed.reading.reading));
        // The sidecar may have disconnected.
        pushed.reply.send(verdict).ok();
    }

    fn learn(&mut self, pusher: &PodIdentity, age: Duration, reading: Arc<Reading>) -> Verdict {
        let mut context = self.scalers.context();
        let (now, uid, terminating) = (context.now, &pusher.uid, reading.terminating);
        let begun = self.pod_index.begin_reading(now, pusher, terminating);
        let (keys, after) = match begun {
            Ok(begun) => begun,
            Err(verdict) => return verdict,
        };
        // A reading from before this process started gets the earliest time there is.
        let taken = Moment::at(now.since_origin().saturating_sub(age));
        let mut verdict = Verdict::UnknownPod;
        for key in &keys {
            let learned = self.scalers.with_at(&mut context, key, |scaler, context| {
                scaler.learn(context, uid, taken, &reading)
            });
            match learned {
                Some(Ok(())) => verdict = Verdict::Accepted { after },
                // Another scaler of the pod may be younger, and not know the reading that this one compares it with.
                Some(Err(rejection)) if verdict == Verdict::UnknownPod => {
                    verdict = Verdict::Rejected(rejection);
                }
                Some(Err(_)) | None => {}
            }
        }
        let is_accepted = matches!(verdict, Verdict::Accepted { .. });
        let accepted = is_accepted.then_some((now, terminating));
        self.pod_index.end_reading(uid, keys, accepted);
        verdict
    }
}

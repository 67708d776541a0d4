//! Maps each pod to the scalers whose targets select it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use pushscale_decision::{Moment, PodUid};

use crate::auth::{Authenticator, PodIdentity};
use crate::event::Verdict;
use crate::names::ScalerKey;

/// Minimum time between a pod's readings. The fastest sidecar pushes every 100 ms; a pod that pushes twice as fast is
/// faulty and must not crowd out the others.
const MIN_READING_INTERVAL: Duration = Duration::from_millis(50);

/// All pods under any target, by uid. Tokens of other pods are not reviewed.
pub(super) struct PodIndex {
    pods: HashMap<PodUid, IndexedPod>,
    authenticator: Arc<Authenticator>,
}

/// One pod and its scalers.
#[derive(Debug)]
struct IndexedPod {
    namespace: String,
    name: String,
    scalers: BTreeSet<ScalerKey>,
    /// When its last accepted reading was received.
    last_accepted: Option<Moment>,
    /// Whether the pod was terminating in that reading.
    terminating: bool,
}

impl PodIndex {
    pub(super) fn new(authenticator: Arc<Authenticator>) -> Self {
        Self {
            pods: HashMap::new(),
            authenticator,
        }
    }

    /// Takes the scalers that learn from a reading of the pod, until [`end_reading`](Self::end_reading), and returns
    /// the time since its last accepted reading.
    ///
    /// # Errors
    /// The pod is unknown or another one, or pushes too often.
    pub(super) fn begin_reading(
        &mut self,
        now: Moment,
        pusher: &PodIdentity,
        terminating: bool,
    ) -> Result<(BTreeSet<ScalerKey>, Option<Duration>), Verdict> {
        let Some(pod) = self.pods.get_mut(&pusher.uid) else {
            return Err(Verdict::UnknownPod);
        };
        if pod.name != pusher.name || pod.namespace != pusher.namespace {
            return Err(Verdict::PodMismatch {
                pod: format!("{}/{}", pod.namespace, pod.name),
            });
        }
        let after = pod.last_accepted.map(|last| now.since(last));
        // The first reading of a terminating pod may follow its last one at once.
        let begins_to_terminate = terminating && !pod.terminating;
        if after.is_some_and(|after| after < MIN_READING_INTERVAL) && !begins_to_terminate {
            return Err(Verdict::RateLimited);
        }
        Ok((std::mem::take(&mut pod.scalers), after))
    }

    /// Returns the scalers, and records a reading that was accepted at this time, with whether the pod was terminating.
    pub(super) fn end_reading(
        &mut self,
        uid: &PodUid,
        scalers: BTreeSet<ScalerKey>,
        accepted: Option<(Moment, bool)>,
    ) {
        let Some(pod) = self.pods.get_mut(uid) else {
            return;
        };
        pod.scalers = scalers;
        if let Some((at, terminating)) = accepted {
            pod.last_accepted = Some(at);
            pod.terminating = terminating;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// Adds the pod to this scaler. Returns all scalers of the pod.
    pub(super) fn add(
        &mut self,
        uid: PodUid,
        name: &str,
        scaler: &ScalerKey,
    ) -> &BTreeSet<ScalerKey> {
        if !self.pods.contains_key(&uid) {
            self.authenticator.pod_selected(&uid);
        }
        let pod = self.pods.entry(uid).or_insert_with(|| IndexedPod {
            namespace: scaler.namespace.clone(),
            name: name.to_owned(),
            scalers: BTreeSet::new(),
            last_accepted: None,
            terminating: false,
        });
        pod.scalers.insert(scaler.clone());
        &pod.scalers
    }

    /// Removes the pod from this scaler. Returns the remaining scalers of the pod.
    pub(super) fn remove(&mut self, uid: &PodUid, scaler: &ScalerKey) -> BTreeSet<ScalerKey> {
        let mut remaining = BTreeSet::new();
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.scalers.remove(scaler);
            remaining.clone_from(&pod.scalers);
        }
        if remaining.is_empty() {
            self.pods.remove(uid);
            self.authenticator.pod_unselected(uid);
        }
        remaining
    }
}

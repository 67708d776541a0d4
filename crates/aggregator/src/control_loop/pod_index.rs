//! Maps each pod to the scalers whose targets select it.

use std::collections::{BTreeSet, HashMap};

use pushscale_decision::{Moment, PodUid};

use crate::names::ScalerKey;

/// All pods under any target, by uid.
#[derive(Debug, Default)]
pub(super) struct PodIndex(HashMap<PodUid, IndexedPod>);

/// One pod and its scalers.
#[derive(Debug)]
pub(super) struct IndexedPod {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) scalers: BTreeSet<ScalerKey>,
    /// When its last accepted reading was received.
    pub(super) last_accepted: Option<Moment>,
    /// Whether the pod was terminating in that reading.
    pub(super) terminating: bool,
}

impl PodIndex {
    pub(super) fn get_mut(&mut self, uid: &PodUid) -> Option<&mut IndexedPod> {
        self.0.get_mut(uid)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the pod to this scaler. Returns all scalers of the pod.
    pub(super) fn add(
        &mut self,
        uid: PodUid,
        name: &str,
        scaler: &ScalerKey,
    ) -> &BTreeSet<ScalerKey> {
        let pod = self.0.entry(uid).or_insert_with(|| IndexedPod {
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
        let Some(pod) = self.0.get_mut(uid) else {
            return BTreeSet::new();
        };
        pod.scalers.remove(scaler);
        let remaining = pod.scalers.clone();
        if remaining.is_empty() {
            self.0.remove(uid);
        }
        remaining
    }
}

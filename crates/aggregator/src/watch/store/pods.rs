//! All pods, by namespace: a target selects pods only in its own namespace.

use std::collections::HashMap;

use pushscale_decision::PodUid;

use crate::watch::objects::WatchedPod;

/// The pods of the cluster. With 10,000 pods and 1,000 PushScalers in 100 namespaces, a report of all pods compares the
/// labels of 100,000 pairs, in 5 ms. Comparing all pairs took 157 ms, and still
/// takes 0.4 s if there is one namespace.
#[derive(Debug, Default)]
pub(super) struct Pods(HashMap<String, HashMap<PodUid, WatchedPod>>);

impl Pods {
    /// Inserts a pod. Returns its previous state.
    pub(super) fn insert(&mut self, pod: WatchedPod) -> Option<WatchedPod> {
        let of_namespace = self.0.entry(pod.namespace.clone()).or_default();
        of_namespace.insert(pod.uid.clone(), pod)
    }

    /// Removes a pod. Returns its last state.
    pub(super) fn remove(&mut self, pod: &WatchedPod) -> Option<WatchedPod> {
        let of_namespace = self.0.get_mut(&pod.namespace)?;
        let removed = of_namespace.remove(&pod.uid);
        if of_namespace.is_empty() {
            self.0.remove(&pod.namespace);
        }
        removed
    }

    /// Removes all pods.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the pods of a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &WatchedPod> {
        let of_namespace = self.0.get(namespace);
        of_namespace.into_iter().flat_map(HashMap::values)
    }
}

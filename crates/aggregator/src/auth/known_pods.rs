//! The pods that a PushScaler's target selects, as the control loop knows them. The tokens of other pods are
//! rejected, without a review of those that are new.

use std::collections::HashSet;

use parking_lot::RwLock;
use pushscale_decision::PodUid;

#[derive(Debug, Default)]
pub(super) struct KnownPods(RwLock<HashSet<PodUid>>);

impl KnownPods {
    pub(super) fn insert(&self, uid: &PodUid) {
        self.0.write().insert(uid.clone());
    }

    pub(super) fn remove(&self, uid: &PodUid) {
        self.0.write().remove(uid);
    }

    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        self.0.read().contains(uid)
    }
}

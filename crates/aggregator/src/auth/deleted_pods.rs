//! Recently deleted pods. Their tokens stay valid for up to an hour according to their own claims.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;
use pushscale_decision::PodUid;

/// Pods kept, the most recent ones. The API server itself denies the tokens of earlier ones.
const CAPACITY: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct DeletedPods(Mutex<Uids>);

#[derive(Debug, Default)]
struct Uids {
    all: HashSet<PodUid>,
    oldest_first: VecDeque<PodUid>,
}

impl DeletedPods {
    pub(super) fn insert(&self, uid: &PodUid) {
        let mut uids = self.0.lock();
        if uids.all.insert(uid.clone()) {
            uids.oldest_first.push_back(uid.clone());
        }
        while uids.oldest_first.len() > CAPACITY {
            if let Some(oldest) = uids.oldest_first.pop_front() {
                uids.all.remove(&oldest);
            }
        }
    }

    pub(super) fn remove(&self, uid: &PodUid) {
        let mut uids = self.0.lock();
        if uids.all.remove(uid) {
            uids.oldest_first.retain(|one| one != uid);
        }
    }

    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        self.0.lock().all.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pod_is_dropped_at_capacity() {
        let deleted = DeletedPods::default();
        for pod in 0..=CAPACITY {
            deleted.insert(&PodUid::from(format!("pod-{pod}")));
        }
        assert!(!deleted.contains(&PodUid::from("pod-0")));
        assert!(deleted.contains(&PodUid::from("pod-1")));
        deleted.remove(&PodUid::from("pod-1"));
        assert!(!deleted.contains(&PodUid::from("pod-1")));
    }
}

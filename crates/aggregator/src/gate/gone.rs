//! Pods that are gone. Their tokens are good for up to an hour more by the letter.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use pushscale_decision::PodUid;

/// So many are remembered, the last ones. Those before are denied by the API server, which knows that they are gone.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Gone(Mutex<Uids>);

#[derive(Debug, Default)]
struct Uids {
    all: HashSet<PodUid>,
    in_order: VecDeque<PodUid>,
}

impl Gone {
    pub(super) fn add(&self, uid: &PodUid) {
        let mut uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.all.insert(uid.clone()) {
            uids.in_order.push_back(uid.clone());
        }
        while uids.in_order.len() > REMEMBERED {
            if let Some(oldest) = uids.in_order.pop_front() {
                uids.all.remove(&oldest);
            }
        }
    }

    pub(super) fn remove(&self, uid: &PodUid) {
        let mut uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.all.remove(uid) {
            uids.in_order.retain(|one| one != uid);
        }
    }

    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        let uids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uids.all.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let gone = Gone::default();
        for pod in 0..=REMEMBERED {
            gone.add(&PodUid::from(format!("pod-{pod}")));
        }
        assert!(!gone.contains(&PodUid::from("pod-0")));
        assert!(gone.contains(&PodUid::from("pod-1")));
        gone.remove(&PodUid::from("pod-1"));
        assert!(!gone.contains(&PodUid::from("pod-1")));
    }
}

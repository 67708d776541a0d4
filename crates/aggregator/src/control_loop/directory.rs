//! Which pod is under which scalers' targets.

use std::collections::{BTreeSet, HashMap};

use pushscale_decision::{Moment, PodUid};

use crate::names::ScalerKey;

/// All pods under any target, by uid.
#[derive(Debug, Default)]
pub(super) struct Directory(HashMap<PodUid, Listed>);

/// One pod.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) scalers: BTreeSet<ScalerKey>,
    pub(super) last_taken: Option<Moment>,
}

impl Directory {
    pub(super) fn get_mut(&mut self, uid: &PodUid) -> Option<&mut Listed> {
        self.0.get_mut(uid)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The pod is under this scaler's target. Gives all scalers it is under.
    pub(super) fn add(
        &mut self,
        uid: PodUid,
        name: &str,
        scaler: &ScalerKey,
    ) -> &BTreeSet<ScalerKey> {
        let listed = self.0.entry(uid).or_insert_with(|| Listed {
            namespace: scaler.namespace.clone(),
            name: name.to_owned(),
            scalers: BTreeSet::new(),
            last_taken: None,
        });
        listed.scalers.insert(scaler.clone());
        &listed.scalers
    }

    /// The pod is no longer under this scaler's target. Gives the scalers it is still under.
    pub(super) fn remove(&mut self, uid: &PodUid, scaler: &ScalerKey) -> BTreeSet<ScalerKey> {
        let Some(listed) = self.0.get_mut(uid) else {
            return BTreeSet::new();
        };
        listed.scalers.remove(scaler);
        let left = listed.scalers.clone();
        if left.is_empty() {
            self.0.remove(uid);
        }
        left
    }

    /// All pods under this scaler's target.
    pub(super) fn under(&self, scaler: &ScalerKey) -> Vec<PodUid> {
        self.0
            .iter()
            .filter(|(_, listed)| listed.scalers.contains(scaler))
            .map(|(uid, _)| uid.clone())
            .collect()
    }
}

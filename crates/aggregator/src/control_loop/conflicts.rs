//! Targets that two autoscalers write.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::managed_scaler::ManagedScaler;
use crate::event::CompetingHpa;
use crate::names::{ScalerKey, TargetRef};

/// The HorizontalPodAutoscalers.
#[derive(Debug, Default)]
pub(super) struct Competitors(BTreeMap<ScalerKey, Arc<CompetingHpa>>);

impl Competitors {
    /// Adds an HPA. Returns whether its target is new: HPAs rewrite their status every 15 s.
    pub(super) fn apply(&mut self, hpa: Arc<CompetingHpa>) -> bool {
        let previous = self.0.insert(hpa.key.clone(), Arc::clone(&hpa));
        previous.is_none_or(|previous| previous.target != hpa.target)
    }

    pub(super) fn remove(&mut self, key: &ScalerKey) {
        self.0.remove(key);
    }

    /// Removes all others.
    pub(super) fn retain(&mut self, all: &BTreeSet<ScalerKey>) {
        self.0.retain(|key, _| all.contains(key));
    }

    /// Returns the HPA of this target.
    pub(super) fn writer_of(&self, target: &TargetRef) -> Option<String> {
        let mut hpas = self.0.iter();
        let (hpa, _) = hpas.find(|(_, found)| found.target.is_same_object(target))?;
        Some(format!("HorizontalPodAutoscaler {hpa}"))
    }
}

/// Returns the scalers whose conflict has changed, and the other autoscaler. A scaler in mode Recommend does not
/// conflict: users migrate between an HPA and Pushscale that way. Takes time in proportion to the number of scalers and
/// HPAs.
pub(super) fn conflicts(
    scalers: &BTreeMap<ScalerKey, ManagedScaler>,
    competitors: &Competitors,
) -> Vec<(ScalerKey, Option<String>)> {
    let mut writers: HashMap<_, Vec<&ScalerKey>> = HashMap::new();
    for (key, scaler) in scalers.iter().filter(|(_, scaler)| scaler.writes()) {
        let target = scaler.id.target.object();
        writers.entry(target).or_default().push(key);
    }
    let mut hpas: HashMap<_, &ScalerKey> = HashMap::new();
    for (key, hpa) in &competitors.0 {
        hpas.entry(hpa.target.object()).or_insert(key);
    }
    let mut changed = Vec::new();
    for (key, scaler) in scalers {
        let target = scaler.id.target.object();
        let other = writers
            .get(&target)
            .and_then(|writers| writers.iter().find(|other| **other != key));
        let conflicts_with = match (other, hpas.get(&target)) {
            _ if !scaler.writes() => None,
            (Some(other), _) => Some(format!("PushScaler {other}")),
            (None, Some(hpa)) => Some(format!("HorizontalPodAutoscaler {hpa}")),
            (None, None) => None,
        };
        if scaler.object.conflicts_with() != conflicts_with.as_deref() {
            changed.push((key.clone(), conflicts_with));
        }
    }
    changed
}

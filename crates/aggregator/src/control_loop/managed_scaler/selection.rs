//! The pods that the target's selector selects: whether they are known, and whether another target shares them.

use std::collections::BTreeMap;

use pushscale_decision::{PodUid, Selector};

use crate::names::ScalerKey;
use crate::scale_target::Scale;

/// What is known about the pods as a whole.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Why the pods are unknown, although the scale has a selector.
    problem: Option<Selector>,
    /// Whether the pods were listed. Before that, only some of them may be known.
    listed: bool,
    /// Pods that another scaler's target also selects.
    shared: BTreeMap<PodUid, ScalerKey>,
}

impl Selection {
    /// Records that all pods are known.
    pub(super) fn pods_listed(&mut self) {
        self.problem = None;
        self.listed = true;
    }

    pub(super) fn pods_unknown(&mut self, why: Selector) {
        self.problem = Some(why);
        self.listed = false;
    }

    /// Records whether a pod also belongs to another object that is scaled, by which scaler.
    pub(super) fn set_shared(&mut self, uid: &PodUid, with: Option<ScalerKey>) {
        match with {
            Some(other) => self.shared.insert(uid.clone(), other),
            None => self.shared.remove(uid),
        };
    }

    /// Whether the pods could not be listed.
    pub(super) fn is_unlisted(&self) -> bool {
        matches!(self.problem, Some(Selector::Unlisted { .. }))
    }

    /// Returns the state of the selector; `None` until the pods are listed.
    pub(super) fn selector(&self, scale: &Scale) -> Option<Selector> {
        if scale.selector.is_empty() {
            return Some(Selector::Missing);
        }
        if let Some(problem) = &self.problem {
            return Some(problem.clone());
        }
        self.listed.then(|| match self.shared.values().next() {
            Some(other) => Selector::Shared {
                with: format!("PushScaler {other}"),
            },
            None => Selector::Usable,
        })
    }

    #[cfg(test)]
    pub(super) fn shared_pods(&self) -> usize {
        self.shared.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_is_known_once_the_pods_are_listed() {
        let mut scale = Scale {
            replicas: 1,
            existing: None,
            selector: "app=a".to_owned(),
            uid: None,
            version: 0,
        };
        let mut selection = Selection::default();
        assert_eq!(selection.selector(&scale), None);
        selection.pods_listed();
        assert_eq!(selection.selector(&scale), Some(Selector::Usable));
        let (pod, other) = (PodUid::from("a"), ScalerKey::new("models", "b"));
        selection.set_shared(&pod, Some(other));
        let with = "PushScaler models/b".to_owned();
        assert_eq!(selection.selector(&scale), Some(Selector::Shared { with }));
        selection.set_shared(&pod, None);
        assert_eq!(selection.selector(&scale), Some(Selector::Usable));
        selection.pods_unknown(Selector::Missing);
        assert_eq!(selection.selector(&scale), Some(Selector::Missing));
        selection.pods_listed();
        scale.selector.clear();
        assert_eq!(selection.selector(&scale), Some(Selector::Missing));
    }
}

//! Which PushScaler it is.

use std::sync::Arc;

use crate::event::{ScalerFacts, WatchId};
use crate::history::ScalerSubject;
use crate::names::{ScalerKey, TargetRef};

/// What never changes: another object, or another target, is another scaler.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: ScalerKey,
    pub(crate) uid: String,
    pub(crate) target: TargetRef,
    /// The watch that reports the target and its pods.
    pub(crate) watch: WatchId,
    /// Its name and target in the history.
    pub(crate) subject: Arc<ScalerSubject>,
}

impl Identity {
    pub(super) fn new(facts: &ScalerFacts) -> Self {
        Self {
            key: facts.key.clone(),
            uid: facts.uid.clone(),
            target: facts.target.clone(),
            watch: facts.watch.clone(),
            subject: Arc::new(ScalerSubject::new(facts.key.clone(), &facts.target)),
        }
    }

    /// Whether this is the same object with the same target. What was learned about another one does not apply.
    pub(crate) fn is_of(&self, facts: &ScalerFacts) -> bool {
        self.watch == facts.watch && self.uid == facts.uid
    }
}

//! The state of a pod in Kubernetes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::snapshot::{Snapshot, Visit};

/// `metadata.uid`: the identity of a pod. Names are reused by other pods, UIDs never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodUid {
    /// The first eight bytes of the text, in the same order. They are random, so a search among thousands of pods
    /// compares numbers and follows one pointer instead of a dozen.
    start: u64,
    /// Shared: each pod is a key in several maps, and its UID is recorded with each reading.
    text: Arc<str>,
}

impl Visit for PodUid {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut text = self.as_str().to_owned();
        text.visit(snapshot);
        *self = text.into();
    }
}

impl PodUid {
    /// Returns the text of the UID.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Hash for PodUid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl From<String> for PodUid {
    fn from(uid: String) -> Self {
        let mut start = [0; 8];
        for (to, from) in start.iter_mut().zip(uid.bytes()) {
            *to = from;
        }
        Self {
            start: u64::from_be_bytes(start),
            text: uid.into(),
        }
    }
}

impl From<&str> for PodUid {
    fn from(uid: &str) -> Self {
        Self::from(uid.to_owned())
    }
}

/// The state of a pod that determines how its reading counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`, for explanations.
    pub name: Arc<str>,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether the Ready condition is True. The HPA ignores it for a per-pod metric (`algorithm: Ratio`); the queue
    /// model counts only ready pods as capacity.
    pub ready: bool,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

impl Visit for Pod {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.name.visit(snapshot);
        snapshot.choice(&mut self.phase, &Phase::ALL);
        self.ready.visit(snapshot);
        self.terminating.visit(snapshot);
    }
}

impl Pod {
    /// Creates a running, ready pod.
    pub fn running(name: &str) -> Self {
        Self {
            name: name.into(),
            phase: Phase::Running,
            ready: true,
            terminating: false,
        }
    }
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// Bound to a node, at least one container started.
    Running,
    /// All containers succeeded.
    Succeeded,
    /// All containers terminated, at least one with a failure.
    Failed,
    /// The node does not respond.
    Unknown,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Unknown,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_ordered_like_their_texts() {
        let mut texts = [
            "",
            "a",
            "a\0",
            "ab",
            "abcdefgh",
            "abcdefghi",
            "abcdefg",
            "b",
            "é",
        ];
        let mut uids = texts.map(PodUid::from);
        texts.sort_unstable();
        uids.sort_unstable();
        assert_eq!(uids.each_ref().map(PodUid::as_str), texts);
    }
}

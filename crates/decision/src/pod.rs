//! What Kubernetes says of a pod.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::snapshot::Snapshot;

/// `metadata.uid`: a pod's identity; a name comes back with another pod, a uid never does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodUid {
    /// The text's first eight bytes, which order as the text does. They are random, so a search among thousands
    /// of pods compares numbers and follows one pointer instead of a dozen.
    start: u64,
    text: Box<str>,
}

impl PodUid {
    /// As Kubernetes writes it.
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

/// The facts about a pod that decide how its reading counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.name`, for explanations.
    pub name: Arc<str>,
    /// `status.phase`.
    pub phase: Phase,
    /// The Ready condition is True. The HPA does not look at it for a per-pod metric (`algorithm: Ratio`); the queue
    /// model counts a pod as capacity only while it is.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
}

impl Pod {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut name = self.name.to_string();
        snapshot.string(&mut name);
        self.name = name.into();
        let mut phase = Phase::ALL
            .iter()
            .position(|phase| *phase == self.phase)
            .unwrap_or(0);
        snapshot.usize(&mut phase);
        self.phase = Phase::ALL.get(phase).copied().unwrap_or(Phase::Unknown);
        snapshot.bool(&mut self.ready);
        snapshot.bool(&mut self.terminating);
    }

    /// A pod that runs and is ready.
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
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer.
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
    fn uids_order_as_their_texts_do() {
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

//! What breaks in a cluster.

use std::ops::Range;

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Serving pods are gone at once, and the requests in them with them. Others are made in their place.
    Die {
        /// The second.
        at: usize,
        /// How many.
        pods: u32,
    },
    /// Serving pods take requests and answer none; nor do they say anything. Afterwards they go on where they were.
    Freeze {
        /// The seconds.
        when: Range<usize>,
        /// How many.
        pods: u32,
    },
    /// Pods that are made from a second on never serve.
    NeverReady {
        /// The second.
        from: usize,
        /// How many of them.
        pods: u32,
    },
}

impl Fault {
    /// The second at which it begins.
    pub fn begins(&self) -> usize {
        match self {
            Self::Die { at, .. } => *at,
            Self::Freeze { when, .. } => when.start,
            Self::NeverReady { from, .. } => *from,
        }
    }
}

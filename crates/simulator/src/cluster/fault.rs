//! Faults of pods.

use std::ops::Range;

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Ready pods and their requests disappear at once. New pods replace them.
    Die {
        /// The second.
        at: usize,
        /// The number of pods.
        pods: u32,
    },
    /// Ready pods accept requests but complete none, and do not report. Afterwards they continue.
    Freeze {
        /// The seconds.
        when: Range<usize>,
        /// The number of pods.
        pods: u32,
    },
    /// Pods created from this second on never become ready.
    NeverReady {
        /// The second.
        from: usize,
        /// The number of pods.
        pods: u32,
    },
}

impl Fault {
    /// Returns the second at which the fault begins.
    pub fn begins(&self) -> usize {
        match self {
            Self::Die { at, .. } => *at,
            Self::Freeze { when, .. } => when.start,
            Self::NeverReady { from, .. } => *from,
        }
    }
}

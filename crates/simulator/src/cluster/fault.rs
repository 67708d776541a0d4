//! Faults of pods.

use std::ops::Range;

use crate::quantity::to_u32_saturating;

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Ready pods and their requests disappear at once. New pods replace them.
    Die {
        /// The second.
        at: usize,
        /// The pods.
        pods: PodCount,
    },
    /// Ready pods accept requests but complete none, and do not report. Afterwards they continue.
    Freeze {
        /// The seconds.
        when: Range<usize>,
        /// The pods.
        pods: PodCount,
    },
    /// The workers of ready pods complete no request. The pods accept requests and report.
    Hang {
        /// The seconds.
        when: Range<usize>,
        /// The pods.
        pods: PodCount,
    },
    /// Ready pods take longer for each request.
    Slow {
        /// The seconds.
        when: Range<usize>,
        /// The pods.
        pods: PodCount,
        /// The factor on the service time.
        factor: f64,
    },
    /// Ready pods fail their readiness probe. They get no new requests and complete those that they have.
    Unready {
        /// The seconds.
        when: Range<usize>,
        /// The pods.
        pods: PodCount,
    },
    /// The container of ready pods crashes with its requests, again and again.
    CrashLoop {
        /// The second of the first crash.
        from: usize,
        /// The pods.
        pods: PodCount,
        /// Seconds between a crash and the next start.
        down: usize,
        /// Seconds between a start and the next crash.
        up: usize,
    },
    /// The containers of ready pods crash with their requests at regular intervals, each time those of other pods.
    CrashWaves {
        /// The second of the first wave.
        from: usize,
        /// The pods of each wave.
        pods: PodCount,
        /// Seconds between two waves.
        every: usize,
        /// Seconds between a crash and the next start.
        down: usize,
    },
    /// The sidecars of ready pods restart, and lose what they have observed.
    RestartSidecars {
        /// The second.
        at: usize,
        /// The pods.
        pods: PodCount,
    },
    /// Pods created from this second on never become ready.
    NeverReady {
        /// The second.
        from: usize,
        /// The number of pods.
        pods: u32,
    },
}

/// The number of pods that a fault affects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PodCount {
    /// A number of pods.
    Number(u32),
    /// A share of the ready pods, rounded.
    Share(f64),
}

impl PodCount {
    /// Returns the number of affected pods, of this number of ready ones.
    pub fn affected(self, ready: usize) -> usize {
        match self {
            Self::Number(number) => ready.min(number as usize),
            Self::Share(share) => {
                ready.min(to_u32_saturating((share * ready as f64).round()) as usize)
            }
        }
    }
}

impl Fault {
    /// Returns the second at which the fault begins.
    pub fn begins(&self) -> usize {
        match self {
            Self::Die { at, .. } | Self::RestartSidecars { at, .. } => *at,
            Self::Freeze { when, .. }
            | Self::Hang { when, .. }
            | Self::Slow { when, .. }
            | Self::Unready { when, .. } => when.start,
            Self::CrashLoop { from, .. }
            | Self::CrashWaves { from, .. }
            | Self::NeverReady { from, .. } => *from,
        }
    }

    /// Returns whether the fault begins in this second, or happens again.
    pub(super) fn is_due(&self, second: usize) -> bool {
        match self {
            Self::CrashWaves { from, every, .. } => second
                .checked_sub(*from)
                .is_some_and(|passed| passed.is_multiple_of((*every).max(1))),
            _ => self.begins() == second,
        }
    }
}

//! Stabilization windows over recent proposals (the HPA's `horizontal.go`).

use std::time::Duration;

use crate::behavior::Behavior;
use crate::moment::Moment;
use crate::snapshot::{Snapshot, Visit, visit};

/// The past proposals before stabilization, each with its time.
///
/// Like the HPA, the list is never trimmed; a new entry overwrites one that is older than every window. After an edit
/// that lengthens a window, older entries count again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recommendations(Vec<Recommendation>);

impl Visit for Recommendations {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.0.visit(snapshot);
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Recommendation {
    at: Moment,
    replicas: u32,
}

visit!(Recommendation: at, replicas);

impl Recommendations {
    /// Records the replicas found at the start, which prevent a scale-down for a whole window.
    pub(crate) fn begin(&mut self, now: Moment, current: u32) {
        if self.0.is_empty() {
            self.0.push(Recommendation {
                at: now,
                replicas: current,
            });
        }
    }

    /// Without `behavior`: adds a proposal and returns the highest of the window, for both directions.
    pub(crate) fn highest(&mut self, now: Moment, window: Duration, proposed: u32) -> u32 {
        let mut highest = proposed;
        let mut outdated = None;
        for (index, entry) in self.0.iter().enumerate() {
            // An entry exactly as old as the window still counts. With a window of 0 none does, because the HPA reads
            // its clock again within the pass, so even the entry of this pass is older.
            let age = now.since(entry.at);
            if age > window || window.is_zero() {
                outdated = Some(index);
            } else {
                highest = highest.max(entry.replicas);
            }
        }
        self.store(now, proposed, outdated);
        highest
    }

    /// With `behavior`: adds a proposal and returns it, bounded by the lowest proposal of the scale-up window and the
    /// highest of the scale-down window. An entry exactly as old as a window does not count.
    pub(crate) fn between(
        &mut self,
        now: Moment,
        behavior: &Behavior,
        down_window: Duration,
        current: u32,
        proposed: u32,
    ) -> u32 {
        let up_window = behavior.scale_up.stabilization_window.unwrap_or_default();
        let (mut lowest, mut highest) = (proposed, proposed);
        let mut outdated = None;
        for (index, entry) in self.0.iter().enumerate() {
            let age = now.since(entry.at);
            if age < up_window {
                lowest = lowest.min(entry.replicas);
            }
            if age < down_window {
                highest = highest.max(entry.replicas);
            }
            if age > up_window && age > down_window {
                outdated = Some(index);
            }
        }
        self.store(now, proposed, outdated);
        current.max(lowest).min(highest)
    }

    fn store(&mut self, at: Moment, replicas: u32, outdated: Option<usize>) {
        let entry = Recommendation { at, replicas };
        match outdated.and_then(|index| self.0.get_mut(index)) {
            Some(old) => *old = entry,
            None => self.0.push(entry),
        }
    }
}

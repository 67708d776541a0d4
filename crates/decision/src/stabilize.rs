//! Recent proposals hold the size against short swings (the HPA's `horizontal.go`).

use std::time::Duration;

use crate::behavior::Behavior;
use crate::moment::Moment;
use crate::snapshot::Snapshot;

/// The raw proposals of the past, each with its time.
///
/// Kept as the HPA keeps them: never trimmed, one entry that is older than every window is overwritten when
/// a new one comes. So an edit that makes a window longer finds entries again that had become too old.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recommendations(Vec<Recommendation>);

#[derive(Clone, Copy, Debug)]
struct Recommendation {
    at: Moment,
    replicas: u32,
}

impl Recommendations {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let blank = || Recommendation {
            at: Moment::ORIGIN,
            replicas: 0,
        };
        snapshot.list(&mut self.0, blank, |snapshot, entry| {
            snapshot.moment(&mut entry.at);
            snapshot.u32(&mut entry.replicas);
        });
    }

    /// The first thing remembered after a start: the size found. It stops a scale-down for a whole window.
    pub(crate) fn begin(&mut self, now: Moment, current: u32) {
        if self.0.is_empty() {
            self.0.push(Recommendation {
                at: now,
                replicas: current,
            });
        }
    }

    /// The older path, without `behavior`: the highest proposal of the window, in both directions.
    pub(crate) fn highest(&mut self, now: Moment, window: Duration, proposed: u32) -> u32 {
        let mut highest = proposed;
        let mut outdated = None;
        for (index, entry) in self.0.iter().enumerate() {
            // An entry exactly as old as the window still counts. With a window of 0 nothing does: the HPA
            // reads its clock anew within the pass, so even the entry of this very pass is older.
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

    /// With `behavior`: a rise waits for the lowest proposal of the up window, a fall for the highest of the
    /// down window. An entry exactly as old as a window no longer counts.
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

    fn store(&mut self, at: Moment, replicas: u32, over: Option<usize>) {
        let entry = Recommendation { at, replicas };
        match over.and_then(|index| self.0.get_mut(index)) {
            Some(old) => *old = entry,
            None => self.0.push(entry),
        }
    }
}

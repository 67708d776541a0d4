//! Which changes of a replica count, as a follower sees them, are the leader's.
//!
//! The leader reports each write in the status at once (`lastScaleTime`). A follower that took another client's change
//! for the leader's would, once promoted, apply wrong rate limits and overlook a conflict.

use std::time::Duration;

use pushscale_decision::Moment;

/// Maximum time between a change and its report. They come from two watches, in any order.
const SAME_WITHIN: Duration = Duration::from_secs(10);

/// A change of the replica count from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// The half that is known of a change by the leader.
#[derive(Debug, Default)]
pub(super) struct LeaderChanges {
    /// A change that the leader has not reported.
    seen: Option<(Moment, Change)>,
    /// A report whose change has not been seen.
    reported: Option<Moment>,
}

impl LeaderChanges {
    /// Takes a change of the replica count. Returns the change if the leader has reported it.
    pub(super) fn see(&mut self, now: Moment, change: Change) -> Option<Change> {
        if self.reported.take().is_some_and(|at| is_recent(now, at)) {
            return Some(change);
        }
        let earlier = self.seen.filter(|(at, _)| is_recent(now, *at));
        let from = earlier.map_or(change.from, |(_, earlier)| earlier.from);
        self.seen = Some((now, Change { from, ..change }));
        None
    }

    /// Takes a report of the leader that it has written. Returns the change if it was seen.
    pub(super) fn report(&mut self, now: Moment) -> Option<Change> {
        let seen = self.seen.take().filter(|(at, _)| is_recent(now, *at));
        if seen.is_none() {
            self.reported = Some(now);
        }
        seen.map(|(_, change)| change)
    }
}

fn is_recent(now: Moment, at: Moment) -> bool {
    now.since(at) < SAME_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn a_change_and_its_report_meet_in_any_order() {
        let mut changes = LeaderChanges::default();
        let change = Change { from: 1, to: 4 };
        assert_eq!(changes.see(at(1), change), None);
        assert_eq!(changes.report(at(2)), Some(change));
        assert_eq!(changes.report(at(3)), None);
        assert_eq!(changes.see(at(4), change), Some(change));
        // Each is used once.
        assert_eq!(changes.see(at(5), change), None);
    }

    #[test]
    fn a_change_without_a_report_is_not_the_leaders() {
        let mut changes = LeaderChanges::default();
        assert_eq!(changes.see(at(1), Change { from: 1, to: 4 }), None);
        assert_eq!(changes.report(at(11)), None);
        assert_eq!(changes.see(at(21), Change { from: 4, to: 2 }), None);
    }

    #[test]
    fn two_changes_with_one_report_are_one() {
        let mut changes = LeaderChanges::default();
        changes.see(at(1), Change { from: 1, to: 4 });
        changes.see(at(2), Change { from: 4, to: 6 });
        assert_eq!(changes.report(at(2)), Some(Change { from: 1, to: 6 }));
    }
}

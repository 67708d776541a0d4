//! The rules of an election, without requests.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::record::LeaseRecord;

/// How long a Lease is valid after a change. Others take over 12 s after the leader's last renewal at the latest.
pub(super) const LEASE_DURATION: Duration = Duration::from_secs(10);

/// A leader that has not renewed for this long stops. The rest of the lease is the margin for a paused process and for
/// a request that is on its way.
pub(super) const RENEW_DEADLINE: Duration = Duration::from_secs(7);

/// Time between two attempts to acquire or renew.
pub(super) const RETRY_PERIOD: Duration = Duration::from_millis(1500);

/// One candidate of an election.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    /// The last state of the Lease, and when it was first seen by this process' clock.
    seen: Option<(LeaseRecord, Instant)>,
}

impl Election {
    pub(super) fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
        }
    }

    /// Records the state of the Lease that a request returned at `now`.
    pub(super) fn observe(&mut self, now: Instant, record: LeaseRecord) {
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != record) {
            self.seen = Some((record, now));
        }
    }

    /// Records that the Lease did not exist at `now`. If it was deleted, its holder may not have noticed: another
    /// candidate waits as long as for a holder that no longer renews. The first candidate of all does not wait.
    pub(super) fn observe_absence(&mut self, now: Instant) {
        let Some((seen, since)) = &mut self.seen else {
            return;
        };
        if seen.version.take().is_some() {
            *since = now;
        }
    }

    /// Whether the last state names this candidate.
    pub(super) fn is_holder(&self) -> bool {
        self.holder() == Some(&self.identity)
    }

    /// Returns the holder in the last state.
    pub(super) fn holder(&self) -> Option<&String> {
        self.seen.as_ref()?.0.holder.as_ref()
    }

    /// Returns the state to write at `now` to acquire or renew the Lease; `None` while another candidate holds it.
    /// `clock` is the time of day.
    pub(super) fn next(&self, now: Instant, clock: Timestamp) -> Option<LeaseRecord> {
        let Some((seen, since)) = &self.seen else {
            return Some(LeaseRecord {
                holder: Some(self.identity.clone()),
                version: None,
                acquired: Some(clock),
                transitions: 0,
            });
        };
        if seen.holder.as_ref() == Some(&self.identity) {
            return Some(seen.clone());
        }
        let is_free = seen.holder.is_none() || now.duration_since(*since) >= LEASE_DURATION;
        is_free.then(|| LeaseRecord {
            holder: Some(self.identity.clone()),
            version: seen.version.clone(),
            acquired: Some(clock),
            transitions: seen.transitions.saturating_add(1),
        })
    }

    /// Returns the state to write to resign; `None` if another candidate holds the Lease.
    pub(super) fn resignation(&self) -> Option<LeaseRecord> {
        let (seen, _) = self.seen.as_ref().filter(|_| self.is_holder())?;
        Some(LeaseRecord {
            holder: None,
            ..seen.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, version: u64) -> LeaseRecord {
        LeaseRecord {
            holder: Some(holder.to_owned()),
            version: Some(version.to_string()),
            acquired: None,
            transitions: 3,
        }
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_lease_that_keeps_changing_is_never_taken() {
        let start = Instant::now();
        let mut election = Election::new("b".to_owned());
        for attempt in 0..100 {
            let now = at(start, attempt * 2000);
            election.observe(now, record("a", attempt));
            assert_eq!(election.next(now, Timestamp::UNIX_EPOCH), None);
        }
    }

    #[test]
    fn a_lease_is_taken_when_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let mut election = Election::new("b".to_owned());
        // The time in the record plays no role: clocks of other machines are not trusted.
        for millis in [0, 4000, 9999] {
            election.observe(at(start, millis), record("a", 1));
            let next = election.next(at(start, millis), Timestamp::UNIX_EPOCH);
            assert_eq!(next, None, "{millis}");
        }
        let next = election.next(at(start, 10_000), Timestamp::UNIX_EPOCH);
        let next = next.unwrap();
        assert_eq!(next.holder.as_deref(), Some("b"));
        assert_eq!(next.version.as_deref(), Some("1"));
        assert_eq!(next.transitions, 4);
    }

    #[test]
    fn a_resigned_lease_is_taken_at_once() {
        let now = Instant::now();
        let mut election = Election::new("a".to_owned());
        election.observe(now, record("a", 1));
        let resigned = election.resignation().unwrap();
        assert_eq!(resigned.holder, None);
        let mut other = Election::new("b".to_owned());
        other.observe(now, resigned);
        let next = other.next(now, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(next.holder.as_deref(), Some("b"));
        assert_eq!(other.resignation(), None);
    }

    #[test]
    fn the_holder_renews_with_the_version_it_has_seen() {
        let now = Instant::now();
        let mut election = Election::new("a".to_owned());
        let created = election.next(now, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((created.version, created.transitions), (None, 0));
        election.observe(now, record("a", 7));
        let renewed = election.next(at(now, 60_000), Timestamp::UNIX_EPOCH);
        assert_eq!(renewed, Some(record("a", 7)));
    }

    #[test]
    fn a_deleted_lease_is_created_by_its_holder_at_once_and_by_others_after_its_duration() {
        let start = Instant::now();
        let mut holder = Election::new("a".to_owned());
        let mut other = Election::new("b".to_owned());
        for candidate in [&mut holder, &mut other] {
            candidate.observe(start, record("a", 1));
            candidate.observe_absence(at(start, 5000));
            candidate.observe_absence(at(start, 9000));
        }
        let next = |candidate: &Election, millis| {
            let next = candidate.next(at(start, millis), Timestamp::UNIX_EPOCH);
            next.map(|next| (next.holder, next.version))
        };
        assert_eq!(next(&holder, 5000), Some((Some("a".to_owned()), None)));
        assert_eq!(next(&other, 14_999), None);
        assert_eq!(next(&other, 15_000), Some((Some("b".to_owned()), None)));
        // If there has never been a Lease, there is no leader.
        let mut first = Election::new("c".to_owned());
        first.observe_absence(start);
        assert!(first.next(start, Timestamp::UNIX_EPOCH).is_some());
    }
}

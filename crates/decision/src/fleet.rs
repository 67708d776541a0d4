//! The pods of one target, each with its state in Kubernetes and its newest reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::latency::Latency;
use crate::model::PodHistory;
use crate::moment::Moment;
use crate::pod::{Phase, Pod, PodUid};
use crate::reading::{Reading, Rejection};
use crate::snapshot::{Snapshot, Visit, visit};

/// How much further a sidecar's clock may advance between two pushes than the local clock.
///
/// A delayed push followed by one in time looks like a jump of the length of the delay. The timeouts of the sidecar
/// and the aggregator limit a delay to seconds, so a minute rejects only broken clocks.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// A pod that was ready is lost after this time without being ready, and back after this time of being ready.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// All pods that the target's selector matches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    pods: BTreeMap<PodUid, FleetPod>,
}

/// One pod of the fleet.
#[derive(Clone, Debug)]
pub(crate) struct FleetPod {
    pub(crate) pod: Pod,
    newest: Option<ReceivedReading>,
    pub(crate) first_seen: Moment,
    /// When the pod became ready, if the transition was observed.
    pub(crate) ready_since: Option<Moment>,
    /// When the pod became or ceased to be ready.
    readiness_changed: Moment,
    /// When the pod ceased to be ready, until it has been ready for [`LOST_AFTER`] again.
    unready_since: Option<Moment>,
    /// Counter history, one entry per model of the scaler.
    pub(crate) histories: Vec<PodHistory>,
}

/// A reading, the time it was taken and the time it was received.
#[derive(Clone, Debug)]
struct ReceivedReading {
    received: Moment,
    taken: Moment,
    /// The largest readings take 130 kB. The scalers of a pod share it.
    reading: Arc<Reading>,
    /// The last moment at which the reading is fresh, and the largest queue latency in it. Each decision needs them of
    /// every pod.
    fresh_until: Moment,
    latency: Option<Latency>,
}

impl Visit for Fleet {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        let mut pods: Vec<_> = std::mem::take(&mut self.pods).into_iter().collect();
        let pod = || FleetPod::new(Moment::ORIGIN, Pod::running(""));
        snapshot.list(&mut pods, || (PodUid::from(""), pod()));
        self.pods = pods.into_iter().collect();
    }
}

visit!(FleetPod: pod, newest, first_seen, ready_since, readiness_changed, unready_since, histories);

impl Visit for ReceivedReading {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        self.received.visit(snapshot);
        self.taken.visit(snapshot);
        Arc::make_mut(&mut self.reading).visit(snapshot);
        self.update_derived();
    }
}

impl Default for ReceivedReading {
    fn default() -> Self {
        Self::new(Moment::ORIGIN, Moment::ORIGIN, Reading::blank().into())
    }
}

impl Fleet {
    /// Adds or updates a pod. Returns how long it took to become ready, if it just did.
    pub(crate) fn apply(&mut self, now: Moment, uid: PodUid, pod: Pod) -> Option<Duration> {
        let Some(known) = self.pods.get_mut(&uid) else {
            self.pods.insert(uid, FleetPod::new(now, pod));
            return None;
        };
        let became_ready = !known.pod.ready && pod.ready;
        if known.pod.ready && !pod.ready {
            let stayed_ready = now.since(known.readiness_changed) >= LOST_AFTER;
            known.unready_since = known.unready_since.filter(|_| !stayed_ready).or(Some(now));
        }
        if known.pod.ready != pod.ready {
            known.readiness_changed = now;
        }
        known.pod = pod;
        // A pod that was ready before does not start. Its uptime was once learned as a start delay of half a day.
        if !became_ready || known.ready_since.is_some() || known.unready_since.is_some() {
            return None;
        }
        known.ready_since = Some(now);
        Some(now.since(known.first_seen))
    }

    /// Removes a deleted pod.
    pub(crate) fn remove(&mut self, uid: &PodUid) {
        self.pods.remove(uid);
    }

    /// Stores a reading that was taken at `taken` and received at `now`. A rejected reading changes nothing.
    pub(crate) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        taken: Moment,
        reading: &Arc<Reading>,
    ) -> Result<(), Rejection> {
        let pod = self.pods.get_mut(uid).ok_or(Rejection::UnknownPod)?;
        match &mut pod.newest {
            Some(newest) => {
                // A new sidecar has counted no completed request, while the server still counts all that arrived.
                let mut is_restart = newest.reading.source != reading.source;
                match newest.check_successor(now, taken, reading) {
                    // The clocks keep their difference after one of them jumped, as after the suspension of a virtual
                    // machine. What was counted in between cannot be dated.
                    Err(Rejection::ClockSkew { elapsed, .. }) if elapsed > CLOCK_SLACK => {
                        is_restart = true;
                    }
                    checked => checked?,
                }
                if is_restart {
                    pod.histories.iter_mut().for_each(PodHistory::restart);
                }
                (newest.received, newest.taken) = (now, taken);
                newest.reading = Arc::clone(reading);
                newest.update_derived();
            }
            None => pod.newest = Some(ReceivedReading::new(now, taken, Arc::clone(reading))),
        }
        Ok(())
    }

    pub(crate) fn get(&self, uid: &PodUid) -> Option<&FleetPod> {
        self.pods.get(uid)
    }

    pub(crate) fn get_mut(&mut self, uid: &PodUid) -> Option<&mut FleetPod> {
        self.pods.get_mut(uid)
    }

    pub(crate) fn pods_mut(&mut self) -> impl Iterator<Item = &mut FleetPod> {
        self.pods.values_mut()
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &FleetPod> {
        self.pods.values()
    }
}

impl ReceivedReading {
    fn new(received: Moment, taken: Moment, reading: Arc<Reading>) -> Self {
        let mut new = Self {
            received,
            taken,
            reading,
            fresh_until: taken,
            latency: None,
        };
        new.update_derived();
        new
    }

    fn update_derived(&mut self) {
        self.fresh_until = self.taken.plus(self.reading.fresh_for);
        self.latency = self.reading.latency(None);
    }

    /// Checks that `reading` follows this one.
    fn check_successor(
        &self,
        now: Moment,
        taken: Moment,
        reading: &Reading,
    ) -> Result<(), Rejection> {
        let last = &self.reading;
        let out_of_order = Rejection::OutOfOrder {
            sequence: reading.sequence,
            newest: last.sequence,
        };
        if last.source != reading.source {
            // The sidecar was restarted; an older reading is a late one of its previous process.
            return if taken < self.taken {
                Err(out_of_order)
            } else {
                Ok(())
            };
        }
        if reading.sequence == last.sequence {
            return Err(Rejection::Duplicate {
                sequence: reading.sequence,
            });
        }
        if reading.sequence < last.sequence {
            return Err(out_of_order);
        }
        let advanced = reading.clock.saturating_sub(last.clock);
        let elapsed = now.since(self.received);
        if reading.clock < last.clock || advanced > elapsed.saturating_add(CLOCK_SLACK) {
            return Err(Rejection::ClockSkew { advanced, elapsed });
        }
        Ok(())
    }
}

impl FleetPod {
    fn new(first_seen: Moment, pod: Pod) -> Self {
        Self {
            pod,
            newest: None,
            first_seen,
            ready_since: None,
            readiness_changed: first_seen,
            unready_since: None,
            histories: Vec::new(),
        }
    }

    /// Whether the pod is left out of all counts: it is terminating or has failed.
    pub(crate) fn ignored(&self) -> bool {
        self.pod.terminating
            || self.pod.phase == Phase::Failed
            || self.reading().is_some_and(|reading| reading.terminating)
    }

    /// Whether the pod was ready before and is not now.
    pub(crate) fn was_ready(&self) -> bool {
        !self.pod.ready && self.unready_since.is_some()
    }

    /// Whether the pod was ready, and then was not for more than a minute. It counts until it has been ready for a
    /// minute, because a pod in a crash loop is ready for a few seconds between two crashes.
    pub(crate) fn lost(&self, now: Moment) -> bool {
        let Some(since) = self.unready_since else {
            return false;
        };
        if self.pod.ready {
            let changed = self.readiness_changed;
            return now.since(changed) < LOST_AFTER && changed.since(since) > LOST_AFTER;
        }
        now.since(since) > LOST_AFTER
    }

    /// The newest reading, however old.
    pub(crate) fn reading(&self) -> Option<&Reading> {
        self.newest.as_ref().map(|newest| &*newest.reading)
    }

    /// The newest reading, if it is fresh at `now`.
    pub(crate) fn fresh(&self, now: Moment) -> Option<&Reading> {
        self.newest_fresh(now).map(|newest| &*newest.reading)
    }

    fn newest_fresh(&self, now: Moment) -> Option<&ReceivedReading> {
        self.newest
            .as_ref()
            .filter(|newest| now <= newest.fresh_until)
    }

    /// The last moment at which the reading that is fresh at `now` still is.
    pub(crate) fn fresh_until(&self, now: Moment) -> Option<Moment> {
        self.newest_fresh(now).map(|newest| newest.fresh_until)
    }

    /// The queue latency of `model`, or the largest of all models if `None`, from a reading that is fresh at `now`.
    pub(crate) fn latency(&self, now: Moment, model: Option<&str>) -> Option<Latency> {
        let newest = self.newest_fresh(now)?;
        match model {
            Some(_) => newest.reading.latency(model),
            None => newest.latency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::ServerState;

    fn reading(source: u64, sequence: u64, clock: u64) -> Reading {
        Reading {
            source,
            sequence,
            clock: Duration::from_secs(clock),
            fresh_for: Duration::from_secs(3),
            server: ServerState::Ready,
            ..Reading::blank()
        }
    }

    fn fleet_of_one() -> (Fleet, PodUid) {
        let uid = PodUid::from("a");
        let mut fleet = Fleet::default();
        fleet.apply(Moment::ORIGIN, uid.clone(), Pod::running("a"));
        (fleet, uid)
    }

    /// Pushes a reading that was taken 100 s after the sidecar's clock and received at `received`.
    fn push(
        fleet: &mut Fleet,
        received: u64,
        uid: &PodUid,
        reading: &Reading,
    ) -> Option<Rejection> {
        let taken = Moment::from_secs(100).plus(reading.clock);
        fleet
            .learn(
                Moment::from_secs(received),
                uid,
                taken,
                &Arc::new(reading.clone()),
            )
            .err()
    }

    #[test]
    fn duplicate_and_late_readings_are_rejected() {
        let (mut fleet, uid) = fleet_of_one();
        assert_eq!(push(&mut fleet, 110, &uid, &reading(1, 5, 5)), None);
        let duplicate = push(&mut fleet, 110, &uid, &reading(1, 5, 5));
        assert_eq!(duplicate, Some(Rejection::Duplicate { sequence: 5 }));
        let late = push(&mut fleet, 110, &uid, &reading(1, 4, 4));
        let expected = Rejection::OutOfOrder {
            sequence: 4,
            newest: 5,
        };
        assert_eq!(late, Some(expected));
        let newest = fleet.pods().next().unwrap().reading().unwrap().sequence;
        assert_eq!(newest, 5);
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_rejected() {
        let (mut fleet, uid) = fleet_of_one();
        assert_eq!(push(&mut fleet, 100, &uid, &reading(1, 1, 0)), None);
        let jump = push(&mut fleet, 101, &uid, &reading(1, 2, 90));
        assert!(
            matches!(jump, Some(Rejection::ClockSkew { .. })),
            "{jump:?}"
        );
        assert_eq!(push(&mut fleet, 101, &uid, &reading(1, 2, 1)), None);
    }

    #[test]
    fn a_difference_between_the_clocks_that_lasts_is_accepted() {
        let (mut fleet, uid) = fleet_of_one();
        assert_eq!(push(&mut fleet, 100, &uid, &reading(1, 1, 0)), None);
        for second in 1..60 {
            let ahead = push(
                &mut fleet,
                100 + second,
                &uid,
                &reading(1, 1 + second, 600 + second),
            );
            assert!(
                matches!(ahead, Some(Rejection::ClockSkew { .. })),
                "{ahead:?}"
            );
        }
        for second in 61..70 {
            let ahead = push(
                &mut fleet,
                100 + second,
                &uid,
                &reading(1, 1 + second, 600 + second),
            );
            assert_eq!(ahead, None);
        }
    }

    #[test]
    fn a_restarted_sidecar_may_restart_its_sequence() {
        let (mut fleet, uid) = fleet_of_one();
        assert_eq!(push(&mut fleet, 150, &uid, &reading(1, 50, 50)), None);
        let now = Moment::from_secs(151);
        let restarted = fleet.learn(now, &uid, now, &Arc::new(reading(2, 1, 0)));
        assert!(restarted.is_ok());
        let late = push(&mut fleet, 152, &uid, &reading(1, 51, 50));
        assert!(
            matches!(late, Some(Rejection::OutOfOrder { .. })),
            "{late:?}"
        );
    }

    #[test]
    fn a_pod_that_was_ready_before_does_not_start() {
        let (mut fleet, ready) = fleet_of_one();
        let mut apply = |second, uid: &PodUid, ready| {
            let pod = Pod {
                ready,
                ..Pod::running("a")
            };
            fleet.apply(Moment::from_secs(second), uid.clone(), pod)
        };
        assert_eq!(apply(86_400, &ready, false), None);
        assert_eq!(apply(86_410, &ready, true), None);
        let new = PodUid::from("b");
        assert_eq!(apply(86_400, &new, false), None);
        assert_eq!(apply(86_430, &new, true), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_reading_of_an_unknown_pod_is_rejected() {
        let (mut fleet, _) = fleet_of_one();
        let unknown = push(&mut fleet, 0, &PodUid::from("b"), &reading(1, 1, 1));
        assert_eq!(unknown, Some(Rejection::UnknownPod));
    }
}

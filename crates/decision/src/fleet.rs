//! The pods of one target: what Kubernetes says of each, and its newest reading.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::latency::Latency;
use crate::model::Trace;
use crate::moment::Moment;
use crate::pod::{Phase, Pod, PodUid};
use crate::reading::{Reading, Refusal, ServerState};
use crate::tape::Tape;

/// How far a sidecar's clock may run ahead of ours between two of its pushes.
///
/// A push that was stalled on its way and the next one on time look like a leap as long as the stall. No
/// stall outlives the sidecar's and our own timeouts (seconds), so a minute catches broken clocks only.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// All pods under the target's selector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    members: BTreeMap<PodUid, Member>,
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) pod: Pod,
    newest: Option<Heard>,
    pub(crate) first_seen: Moment,
    /// Since when it serves, if it was seen to begin.
    pub(crate) began: Option<Moment>,
    /// What it has counted, by model.
    pub(crate) traces: Vec<Trace>,
}

#[derive(Clone, Debug)]
struct Heard {
    at: Moment,
    reading: Reading,
}

impl Fleet {
    /// Its numbers, for a tape.
    pub(crate) fn on_tape(&mut self, tape: &mut Tape) {
        let mut members: Vec<_> = std::mem::take(&mut self.members).into_iter().collect();
        tape.list(
            &mut members,
            || (PodUid::from(""), Member::blank()),
            |tape, (uid, member)| {
                let mut text = uid.as_str().to_owned();
                tape.text(&mut text);
                *uid = text.into();
                member.on_tape(tape);
            },
        );
        self.members = members.into_iter().collect();
    }

    /// A pod is new, or Kubernetes says something new of it. Gives how long it took to become ready, if it just did.
    pub(crate) fn apply(&mut self, now: Moment, uid: PodUid, pod: Pod) -> Option<Duration> {
        match self.members.get_mut(&uid) {
            Some(member) => {
                let began = !member.pod.ready && pod.ready;
                member.pod = pod;
                if !began || member.began.is_some() {
                    return None;
                }
                member.began = Some(now);
                Some(now.since(member.first_seen))
            }
            None => {
                let member = Member {
                    pod,
                    newest: None,
                    first_seen: now,
                    began: None,
                    traces: Vec::new(),
                };
                self.members.insert(uid, member);
                None
            }
        }
    }

    /// A pod is gone.
    pub(crate) fn forget(&mut self, uid: &PodUid) {
        self.members.remove(uid);
    }

    /// Takes a reading that reached us at `now`, or says why not. A refused reading changes nothing.
    pub(crate) fn learn(
        &mut self,
        now: Moment,
        uid: &PodUid,
        reading: &Reading,
    ) -> Result<&mut Member, Refusal> {
        let member = self.members.get_mut(uid).ok_or(Refusal::UnknownPod)?;
        if let Some(heard) = &member.newest {
            let last = &heard.reading;
            if last.source == reading.source {
                if reading.sequence == last.sequence {
                    return Err(Refusal::Duplicate {
                        sequence: reading.sequence,
                    });
                }
                if reading.sequence < last.sequence {
                    return Err(Refusal::OutOfOrder {
                        sequence: reading.sequence,
                        newest: last.sequence,
                    });
                }
                let theirs = reading.clock.saturating_sub(last.clock);
                let ours = now.since(heard.at);
                if reading.clock < last.clock || theirs > ours.saturating_add(CLOCK_SLACK) {
                    return Err(Refusal::ImpossibleClock {
                        advanced: theirs,
                        elapsed: ours,
                    });
                }
            } else if reading.taken < last.taken {
                // The sidecar was restarted, and this is a late word of the one before.
                return Err(Refusal::OutOfOrder {
                    sequence: reading.sequence,
                    newest: last.sequence,
                });
            }
        }
        match &mut member.newest {
            Some(heard) => {
                heard.at = now;
                heard.reading.copy_from(reading);
            }
            None => {
                let reading = reading.clone();
                member.newest = Some(Heard { at: now, reading });
            }
        }
        Ok(member)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = View<'_>> {
        self.members.values().map(|member| View {
            pod: &member.pod,
            reading: member.newest.as_ref().map(|heard| &heard.reading),
            first_seen: member.first_seen,
            traces: &member.traces,
        })
    }
}

impl Member {
    fn blank() -> Self {
        Self {
            pod: Pod::running(""),
            newest: None,
            first_seen: Moment::ORIGIN,
            began: None,
            traces: Vec::new(),
        }
    }

    fn on_tape(&mut self, tape: &mut Tape) {
        self.pod.on_tape(tape);
        tape.option(&mut self.newest, Heard::blank, |tape, heard| {
            tape.moment(&mut heard.at);
            heard.reading.on_tape(tape);
        });
        tape.moment(&mut self.first_seen);
        tape.option(&mut self.began, || Moment::ORIGIN, Tape::moment);
        tape.list(&mut self.traces, Trace::default, |tape, trace| {
            trace.on_tape(tape)
        });
    }
}

impl Heard {
    fn blank() -> Self {
        Self {
            at: Moment::ORIGIN,
            reading: Reading {
                taken: Moment::ORIGIN,
                source: 0,
                sequence: 0,
                clock: Duration::ZERO,
                fresh_for: Duration::ZERO,
                leaving: false,
                server: ServerState::Garbled,
                models: Vec::new(),
            },
        }
    }
}

/// One pod with its newest reading, if it ever sent one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) reading: Option<&'a Reading>,
    pub(crate) first_seen: Moment,
    pub(crate) traces: &'a [Trace],
}

impl<'a> View<'a> {
    /// Counts nowhere: on its way out, or failed.
    pub(crate) fn ignored(&self) -> bool {
        self.pod.deleting
            || self.pod.phase == Phase::Failed
            || self.reading.is_some_and(|reading| reading.leaving)
    }

    /// The newest reading, if it is still fresh at `now`.
    pub(crate) fn fresh(&self, now: Moment) -> Option<&'a Reading> {
        self.reading
            .filter(|reading| now.since(reading.taken) <= reading.fresh_for)
    }

    /// The queue latency of `model` (`None`: of the model that waits longest), if it is known at `now`.
    pub(crate) fn latency(&self, now: Moment, model: Option<&str>) -> Option<Latency> {
        self.fresh(now)?.latency(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(source: u64, sequence: u64, clock: u64) -> Reading {
        Reading {
            taken: Moment::from_secs(100 + clock),
            source,
            sequence,
            clock: Duration::from_secs(clock),
            fresh_for: Duration::from_secs(3),
            leaving: false,
            server: ServerState::Ready,
            models: Vec::new(),
        }
    }

    fn fleet_of_one() -> (Fleet, PodUid) {
        let uid = PodUid::from("a");
        let mut fleet = Fleet::default();
        fleet.apply(Moment::ORIGIN, uid.clone(), Pod::running("a"));
        (fleet, uid)
    }

    #[test]
    fn duplicates_and_late_readings_are_refused_and_change_nothing() {
        let (mut fleet, uid) = fleet_of_one();
        let now = Moment::from_secs(110);
        assert!(fleet.learn(now, &uid, &reading(1, 5, 5)).is_ok());
        let again = fleet.learn(now, &uid, &reading(1, 5, 5)).err();
        assert_eq!(again, Some(Refusal::Duplicate { sequence: 5 }));
        let late = fleet.learn(now, &uid, &reading(1, 4, 4)).err();
        let expected = Refusal::OutOfOrder {
            sequence: 4,
            newest: 5,
        };
        assert_eq!(late, Some(expected));
        let newest = fleet.members().next().unwrap().reading.unwrap().sequence;
        assert_eq!(newest, 5);
    }

    #[test]
    fn a_clock_that_outruns_ours_is_refused() {
        let (mut fleet, uid) = fleet_of_one();
        fleet
            .learn(Moment::from_secs(100), &uid, &reading(1, 1, 0))
            .unwrap();
        let leap = fleet
            .learn(Moment::from_secs(101), &uid, &reading(1, 2, 90))
            .err();
        assert!(
            matches!(leap, Some(Refusal::ImpossibleClock { .. })),
            "{leap:?}"
        );
        let sane = fleet.learn(Moment::from_secs(101), &uid, &reading(1, 2, 1));
        assert!(sane.is_ok());
    }

    #[test]
    fn a_restarted_sidecar_starts_its_sequence_anew() {
        let (mut fleet, uid) = fleet_of_one();
        fleet
            .learn(Moment::from_secs(150), &uid, &reading(1, 50, 50))
            .unwrap();
        let mut second = reading(2, 1, 0);
        second.taken = Moment::from_secs(151);
        assert!(fleet.learn(Moment::from_secs(151), &uid, &second).is_ok());
        let late = fleet
            .learn(Moment::from_secs(152), &uid, &reading(1, 51, 50))
            .err();
        assert!(matches!(late, Some(Refusal::OutOfOrder { .. })), "{late:?}");
    }

    #[test]
    fn a_pod_nobody_listed_is_refused() {
        let (mut fleet, _) = fleet_of_one();
        let stranger = fleet.learn(Moment::ORIGIN, &PodUid::from("b"), &reading(1, 1, 1));
        assert_eq!(stranger.err(), Some(Refusal::UnknownPod));
    }
}

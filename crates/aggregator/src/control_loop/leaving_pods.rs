//! Which pods go when the size shrinks: those that have the least to do.
//!
//! A ReplicaSet's controller first takes pods that are not ready, then those of the lowest deletion cost, then the
//! youngest. So before a smaller size is written the emptiest pods are told to go first, and whichever of them stays all
//! the same is let alone again.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use pushscale_decision::{Moment, Phase, Pod, PodUid, Reading};

use crate::event::Standing;
use crate::scale_target::{Cost, PodName};

/// A pod that was told to go first and is not going after this long was not chosen. Controllers take well under a
/// second; and a mark that stays would send this pod at some later step, whatever it has to do then.
const SOON: Duration = Duration::from_secs(10);

/// The pods of one target, as far as this needs them.
#[derive(Debug, Default)]
pub(super) struct LeavingPods(BTreeMap<PodUid, Known>);

#[derive(Debug)]
struct Known {
    pod: Pod,
    standing: Standing,
    heard: Option<Heard>,
    /// When it was told to go first …
    sent: Option<Moment>,
    /// … and when it was told that it may stay.
    spared: Option<Moment>,
}

/// What its last reading says.
#[derive(Clone, Copy, Debug)]
struct Heard {
    until: Moment,
    /// Requests waiting and in service; `None`: it does not say.
    has: Option<u64>,
}

impl LeavingPods {
    pub(super) fn apply(&mut self, uid: PodUid, pod: Pod, standing: Standing) {
        match self.0.get_mut(&uid) {
            Some(known) => {
                known.pod = pod;
                known.standing = standing;
            }
            None => {
                let known = Known {
                    pod,
                    standing,
                    heard: None,
                    sent: None,
                    spared: None,
                };
                self.0.insert(uid, known);
            }
        }
    }

    pub(super) fn forget(&mut self, uid: &PodUid) {
        self.0.remove(uid);
    }

    pub(super) fn hear(&mut self, uid: &PodUid, taken: Moment, reading: &Reading) {
        let Some(known) = self.0.get_mut(uid) else {
            return;
        };
        let queues = reading.models.iter().map(|model| model.queue);
        let has = |queue: pushscale_decision::Queue| {
            u64::from(queue.waiting) + u64::from(queue.in_service)
        };
        known.heard = Some(Heard {
            until: taken.plus(reading.fresh_for),
            has: queues.map(|queue| queue.map(has)).sum(),
        });
    }

    /// The pods that are to go first when so many fewer are wanted, the emptiest first. They count as told.
    pub(super) fn choose(&mut self, now: Moment, fewer: u32) -> Vec<PodName> {
        let stays = |known: &Known| {
            !known.pod.terminating && !matches!(known.pod.phase, Phase::Succeeded | Phase::Failed)
        };
        // These go before any that is ready, whatever anybody says.
        let unready = self
            .0
            .values()
            .filter(|known| stays(known) && !known.pod.ready)
            .count();
        let wanted = (fewer as usize).saturating_sub(unready);
        let mut candidates: Vec<(&PodUid, &mut Known)> = self
            .0
            .iter_mut()
            .filter(|(_, known)| {
                stays(known)
                    && known.pod.ready
                    && known.standing.asked_for
                    && known.standing.cost != Cost::Others
                    // Those of the step before, which are still here, are on their way.
                    && !known.is_sent(now)
            })
            .collect();
        if wanted >= candidates.len() {
            // All of them go.
            return Vec::new();
        }
        // What is not known is not empty.
        candidates.sort_by_key(|(_, known)| {
            let has = known.has(now);
            (has.is_none(), has, Reverse(known.standing.created))
        });
        candidates
            .into_iter()
            .take(wanted)
            .map(|(uid, known)| {
                known.sent = Some(now);
                known.spared = None;
                known.name(uid)
            })
            .collect()
    }

    /// The size was not written: nobody goes.
    pub(super) fn nobody_goes(&mut self) {
        for known in self.0.values_mut() {
            known.sent = None;
        }
    }

    /// Those that have our mark and should not. They count as told.
    pub(super) fn spare_marked(&mut self, now: Moment) -> Vec<PodName> {
        self.0
            .iter_mut()
            .filter(|(_, known)| known.is_marked() && !known.is_sent(now) && !known.is_spared(now))
            .map(|(uid, known)| {
                known.spared = Some(now);
                known.name(uid)
            })
            .collect()
    }

    /// When [`spare_marked`](Self::spare_marked) may next give something.
    pub(super) fn look_again(&self) -> Option<Moment> {
        let marked = self.0.values().filter(|known| known.is_marked());
        marked
            .filter_map(|known| known.sent.max(known.spared))
            .map(|told| told.plus(SOON))
            .min()
    }

    /// All that have our mark.
    pub(super) fn marked(&self) -> Vec<PodName> {
        let marked = self.0.iter().filter(|(_, known)| known.is_marked());
        marked.map(|(uid, known)| known.name(uid)).collect()
    }
}

impl Known {
    fn is_marked(&self) -> bool {
        self.standing.cost == Cost::Ours && !self.pod.terminating
    }

    fn is_sent(&self, now: Moment) -> bool {
        self.sent.is_some_and(|at| now.since(at) < SOON)
    }

    fn is_spared(&self, now: Moment) -> bool {
        self.spared.is_some_and(|at| now.since(at) < SOON)
    }

    fn has(&self, now: Moment) -> Option<u64> {
        self.heard.filter(|heard| heard.until >= now)?.has
    }

    fn name(&self, uid: &PodUid) -> PodName {
        PodName {
            name: self.pod.name.to_string(),
            uid: uid.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use pushscale_decision::{ModelReading, Queue, ServerState};

    const NOW: Moment = Moment::from_secs(100);

    fn pods(names: &[&str]) -> LeavingPods {
        let mut pods = LeavingPods::default();
        for (age, name) in names.iter().rev().enumerate() {
            let standing = Standing {
                created: Timestamp::from_second(1000 - age as i64).ok(),
                asked_for: true,
                cost: Cost::None,
            };
            pods.apply((*name).into(), Pod::running(name), standing);
        }
        pods
    }

    fn change(pods: &mut LeavingPods, name: &str, change: impl FnOnce(&mut Pod, &mut Standing)) {
        let known = pods.0.get_mut(&PodUid::from(name)).unwrap();
        change(&mut known.pod, &mut known.standing);
    }

    fn marked(pods: &mut LeavingPods, name: &str) {
        change(pods, name, |_, standing| standing.cost = Cost::Ours);
    }

    fn says(pods: &mut LeavingPods, name: &str, at: Moment, queues: &[Option<(u32, u32)>]) {
        let models = queues.iter().map(|queue| ModelReading {
            queue: queue.map(|(waiting, in_service)| Queue {
                waiting,
                in_service,
                ..Queue::default()
            }),
            ..ModelReading::default()
        });
        let reading = Reading {
            source: 1,
            sequence: 1,
            clock: Duration::ZERO,
            fresh_for: Duration::from_secs(3),
            terminating: false,
            server: ServerState::Ready,
            models: models.collect(),
        };
        pods.hear(&name.into(), at, &reading);
    }

    fn names(chosen: Vec<PodName>) -> Vec<String> {
        chosen.into_iter().map(|pod| pod.name).collect()
    }

    #[test]
    fn the_emptiest_go_and_what_is_not_known_is_not_empty() {
        let mut pods = pods(&["a", "b", "c", "d", "e"]);
        says(&mut pods, "a", NOW, &[Some((0, 1)), Some((2, 0))]);
        says(&mut pods, "b", NOW, &[Some((1, 1))]);
        // Two models, one of which does not tell.
        says(&mut pods, "c", NOW, &[Some((0, 0)), None]);
        // Too old to be believed.
        says(&mut pods, "d", Moment::from_secs(90), &[Some((0, 0))]);
        says(&mut pods, "e", NOW, &[Some((9, 1))]);
        assert_eq!(names(pods.choose(NOW, 3)), ["b", "a", "e"]);
    }

    #[test]
    fn of_equals_the_youngest_goes() {
        let mut pods = pods(&["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            says(&mut pods, name, NOW, &[Some((0, 0))]);
        }
        assert_eq!(names(pods.choose(NOW, 1)), ["c"]);
    }

    #[test]
    fn pods_that_are_not_ready_go_anyway_and_need_no_word() {
        let mut pods = pods(&["a", "b", "c", "d"]);
        change(&mut pods, "d", |pod, _| pod.ready = false);
        assert_eq!(names(pods.choose(NOW, 1)), [""; 0]);
        assert_eq!(names(pods.choose(NOW, 2)), ["c"]);
    }

    #[test]
    fn those_that_end_or_that_somebody_else_has_a_word_on_are_not_chosen() {
        let mut pods = pods(&["a", "b", "c", "d", "e"]);
        change(&mut pods, "e", |pod, _| pod.terminating = true);
        change(&mut pods, "d", |_, standing| standing.cost = Cost::Others);
        change(&mut pods, "c", |_, standing| standing.asked_for = false);
        assert_eq!(names(pods.choose(NOW, 1)), ["b"]);
    }

    #[test]
    fn who_was_sent_a_moment_ago_is_not_sent_again_for_the_next_step() {
        let mut pods = pods(&["a", "b", "c"]);
        assert_eq!(names(pods.choose(NOW, 1)), ["c"]);
        assert_eq!(names(pods.choose(NOW, 1)), ["b"]);
    }

    #[test]
    fn nobody_need_be_told_where_all_go() {
        assert_eq!(names(pods(&["a", "b"]).choose(NOW, 2)), [""; 0]);
    }

    #[test]
    fn who_stays_all_the_same_is_spared_after_a_while_and_once() {
        let mut pods = pods(&["a", "b"]);
        assert_eq!(names(pods.choose(NOW, 1)), ["b"]);
        marked(&mut pods, "b");
        assert_eq!(names(pods.spare_marked(NOW)), [""; 0]);
        let later = pods.look_again().unwrap();
        assert_eq!(later, NOW.plus(SOON));
        assert_eq!(names(pods.spare_marked(later)), ["b"]);
        assert_eq!(names(pods.spare_marked(later)), [""; 0]);
        // And again if that did not help.
        let later = pods.look_again().unwrap();
        assert_eq!(names(pods.spare_marked(later)), ["b"]);
        change(&mut pods, "b", |_, standing| standing.cost = Cost::None);
        assert_eq!(pods.look_again(), None);
    }

    #[test]
    fn a_mark_that_nobody_remembers_is_taken_back_at_once() {
        let mut pods = pods(&["a", "b"]);
        marked(&mut pods, "a");
        assert_eq!(names(pods.spare_marked(NOW)), ["a"]);
    }

    #[test]
    fn nobody_goes_where_the_size_was_not_written() {
        let mut pods = pods(&["a", "b"]);
        pods.choose(NOW, 1);
        marked(&mut pods, "b");
        pods.nobody_goes();
        assert_eq!(names(pods.spare_marked(NOW)), ["b"]);
    }

    #[test]
    fn who_goes_is_not_spared() {
        let mut pods = pods(&["a", "b"]);
        marked(&mut pods, "b");
        change(&mut pods, "b", |pod, _| pod.terminating = true);
        assert_eq!(names(pods.spare_marked(NOW)), [""; 0]);
        assert_eq!(pods.marked(), []);
    }
}

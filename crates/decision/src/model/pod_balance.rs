//! Finds pods that differ from the others: slow or hung ones, and ones that get hardly any requests.
//!
//! More pods help neither. A slow pod keeps the requests that wait in it, and connections that stay with some pods send
//! nothing to new ones. The figures of the fleet therefore leave slow pods out, and the conditions name them.

use std::sync::Arc;

use crate::snapshot::visit;

use super::rules::Rule;
use crate::numbers::{to_f32, to_u32_saturating};

/// A pod is slow if its requests take this multiple of the pods' median. At most a third of the pods are slow, or one
/// of two: otherwise the service time of the fleet has changed. A pod on a slower kind of node, at 3 or 4 times the
/// median, must count unless it is replaced: with random balancing it gets its share of the requests.
const SLOW_FACTOR: f64 = 8.0;

/// A pod at this multiple of the median is slow if it is replaced, and named in any case. It stays slow or named until
/// it falls below the lower multiple: the mean of a hundred requests varies by a tenth.
const OUTLIER_FACTOR: f64 = 3.0;
const STILL_OUTLIER_FACTOR: f64 = 2.5;

/// A pod's time per request averages this many requests, and at least these seconds of all its workers. Half of that is
/// enough: among equal pods with exponential service times, one of a million looks slow by chance.
const WORK_REQUESTS: f64 = 80.0;
const WORK_SECONDS: f64 = 3.0;

/// A pod that gets less than this share of the mean arrival rate is idle. The rate is measured over its last
/// `MAX_ARRIVAL_SECONDS`, or since it started, for at least `MIN_ARRIVAL_SECONDS`.
const IDLE_SHARE: f32 = 0.25;
const MIN_ARRIVAL_SECONDS: f32 = 60.0;
const MAX_ARRIVAL_SECONDS: f32 = 300.0;

/// A pod is idle only if at least this many requests would have arrived at the mean rate.
const MIN_ARRIVALS: f32 = 20.0;

/// A pod is overloaded by connections that stay with it if it gets more requests than it can serve, and both its
/// arrival rate and its waiting requests are at least this multiple of the mean. By chance, the busiest of 200 equal
/// pods exceeds the mean by fewer standard deviations than this.
const OVERLOADED_SHARE: f32 = 1.5;
const OVERLOADED_DEVIATIONS: f32 = 5.0;

/// The busiest pod is compared with pods that have been measured for about as long.
const SAME_AGE: [f32; 2] = [0.9, 1.1];

/// What one pod has served and received lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PodWork {
    /// The time that requests spent in workers, in request-seconds, and the requests completed meanwhile.
    busy: f32,
    completed: f32,
    /// The request-seconds that are remembered.
    memory: f32,
    /// The requests that arrived, and the seconds in which they did.
    arrivals: f32,
    seconds: f32,
}

visit!(PodWork: busy, completed, memory, arrivals, seconds);

impl PodWork {
    /// Adds `busy` request-seconds in `slots` parallel workers, and the requests completed in them. `service` is the
    /// fleet's service time in seconds.
    pub(crate) fn learn_work(&mut self, busy: f64, completed: f64, slots: u32, service: f64) {
        let memory = (WORK_SECONDS * f64::from(slots)).max(WORK_REQUESTS * service);
        let total = f64::from(self.busy) + busy;
        let kept = (memory / total).min(1.0);
        self.busy = to_f32(total * kept);
        self.completed = to_f32((f64::from(self.completed) + completed) * kept);
        self.memory = to_f32(memory);
    }

    /// Adds the requests that arrived within `seconds`.
    pub(crate) fn learn_arrivals(&mut self, arrivals: f64, seconds: f64) {
        let (arrivals, seconds) = (to_f32(arrivals), to_f32(seconds));
        let total = self.seconds + seconds;
        let kept = (MAX_ARRIVAL_SECONDS / total).min(1.0);
        self.arrivals = (self.arrivals + arrivals) * kept;
        self.seconds = total * kept;
    }

    /// Returns the time per request in seconds, once it averages enough of them; infinite if none completed.
    pub(crate) fn time_per_request(&self) -> Option<f32> {
        let is_known = self.memory > 0.0 && self.busy >= self.memory / 2.0;
        is_known.then(|| {
            if self.completed < 0.5 {
                f32::INFINITY
            } else {
                self.busy / self.completed
            }
        })
    }

    /// Returns whether requests take longer than `limit` seconds.
    pub(crate) fn is_slow(&self, limit: f64) -> bool {
        is_slow(self.time_per_request(), limit)
    }
}

/// The pod whose requests take the longest.
#[derive(Clone, Debug)]
pub(crate) struct SlowestPod {
    pub(crate) pod: Arc<str>,
    /// The time of its requests, in seconds.
    pub(crate) seconds: f32,
    /// The requests that wait in it.
    pub(crate) waiting: u32,
}

impl SlowestPod {
    /// Keeps the slower of `slowest` and this pod.
    pub(crate) fn keep_slower(
        slowest: &mut Option<Self>,
        pod: &Arc<str>,
        seconds: f32,
        waiting: u32,
    ) {
        if slowest
            .as_ref()
            .is_none_or(|slowest| seconds > slowest.seconds)
        {
            *slowest = Some(Self {
                pod: Arc::clone(pod),
                seconds,
                waiting,
            });
        }
    }

    /// Returns the pod with its time as a multiple of `reference` seconds. `counts` is whether the figures of the
    /// fleet contain it.
    fn compared_with(&self, reference: f64, counts: bool) -> SlowPod {
        SlowPod {
            pod: Arc::clone(&self.pod),
            factor: f64::from(self.seconds) / reference,
            waiting: self.waiting,
            counts,
            replacement: None,
        }
    }
}

/// Returns the pod to name as an outlier, and the service time in seconds above which a pod is one: infinite if there
/// is none. Reorders `services`, the service times of all counted pods; `mean` is the fleet's, and `has_outlier` is
/// whether there was one before.
pub(crate) fn find_outlier(
    slowest: Option<&SlowestPod>,
    services: &mut [f32],
    mean: f64,
    has_outlier: bool,
) -> (Option<SlowPod>, f64) {
    let none = (None, f64::INFINITY);
    let Some(slowest) = slowest else {
        return none;
    };
    let times = if has_outlier {
        STILL_OUTLIER_FACTOR
    } else {
        OUTLIER_FACTOR
    };
    // A cheap bound that avoids computing the median: the mean is at most this if half of the pods are slow.
    if f64::from(slowest.seconds) < mean * 2.0 * times / (1.0 + times) || !Rule::SlowPods.applies()
    {
        return none;
    }
    // Of two pods the faster one is the median.
    let middle = services.len().saturating_sub(1) / 2;
    let (_, median, _) = services.select_nth_unstable_by(middle, f32::total_cmp);
    let median = f64::from(*median);
    let slow = slowest.compared_with(median, true);
    if slow.factor <= times {
        return none;
    }
    (Some(slow), times * median)
}

/// Returns whether a time per request exceeds `limit` seconds.
pub(crate) fn is_slow(time: Option<f32>, limit: f64) -> bool {
    time.is_some_and(|time| f64::from(time) > limit)
}

/// The pods that report a model, compared with each other. Its buffers are reused by the next decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodBalance {
    /// Times per request, in seconds.
    times: Vec<f32>,
    /// Arrival rates per second, and the seconds that they were measured in.
    rates: Vec<(f32, f32)>,
    /// The sum of the rates.
    rate_sum: f32,
    /// The slow pods, and the slowest of them.
    pub(crate) slow: u32,
    slowest: Option<SlowestPod>,
    /// The pod that gets the fewest requests, and its rate.
    quietest: Option<(Arc<str>, f32)>,
    busiest: Option<BusiestPod>,
}

/// The pod that gets the most requests.
#[derive(Clone, Debug)]
struct BusiestPod {
    pod: Arc<str>,
    /// Its arrival rate per second, and the seconds that it was measured in.
    rate: f32,
    seconds: f32,
    waiting: u32,
}

/// A pod that is much slower than the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlowPod {
    pub(crate) pod: Arc<str>,
    /// The time of its requests divided by that of the other pods; infinite if it completes none.
    pub(crate) factor: f64,
    /// The requests that wait in it.
    pub(crate) waiting: u32,
    /// Whether the figures of the fleet contain it.
    pub(crate) counts: bool,
    /// `None` unless it is being replaced.
    pub(crate) replacement: Option<ReplacementPhase>,
}

/// How far the replacement of a slow pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplacementPhase {
    /// One more pod is ordered, and not ready yet.
    Ordered,
    /// That pod is ready, and the next scale-down deletes a slow one.
    Ready {
        /// The replicas with that pod.
        replicas: u32,
    },
}

/// Pods that get hardly any requests while others get more than they can serve.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnevenLoad {
    pub(crate) idle: u32,
    pub(crate) pods: u32,
    /// One of the idle pods, its arrival rate and the mean over all pods, per second.
    pub(crate) pod: Arc<str>,
    pub(crate) rate: f64,
    pub(crate) mean: f64,
}

/// A pod that gets more requests than it can serve, while the pods together could serve all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OverloadedPod {
    pub(crate) pod: Arc<str>,
    /// Its arrival rate and the mean over all pods, per second.
    pub(crate) rate: f32,
    pub(crate) mean: f32,
    /// The requests that wait in it.
    pub(crate) waiting: u32,
}

impl PodBalance {
    pub(crate) fn clear(&mut self) {
        self.times.clear();
        self.rates.clear();
        (self.rate_sum, self.slow) = (0.0, 0);
        (self.slowest, self.quietest, self.busiest) = (None, None, None);
    }

    /// Adds a ready pod that reports the model, with its time per request.
    pub(crate) fn add(
        &mut self,
        pod: &Arc<str>,
        work: &PodWork,
        time: Option<f32>,
        is_slow: bool,
        waiting: u32,
    ) {
        self.times.extend(time);
        if let Some(time) = time.filter(|_| is_slow) {
            self.slow += 1;
            SlowestPod::keep_slower(&mut self.slowest, pod, time, waiting);
            return;
        }
        if work.seconds < MIN_ARRIVAL_SECONDS {
            return;
        }
        let rate = work.arrivals / work.seconds;
        self.rates.push((rate, work.seconds));
        self.rate_sum += rate;
        if self
            .quietest
            .as_ref()
            .is_none_or(|(_, least)| rate < *least)
        {
            self.quietest = Some((Arc::clone(pod), rate));
        }
        if self
            .busiest
            .as_ref()
            .is_none_or(|busiest| rate > busiest.rate)
        {
            self.busiest = Some(BusiestPod {
                pod: Arc::clone(pod),
                rate,
                seconds: work.seconds,
                waiting,
            });
        }
    }

    /// Returns the time per request, in seconds, above which a pod is slow; `service` is that of the fleet, and
    /// `is_replaced` is whether slow pods are replaced.
    pub(crate) fn slow_above(&mut self, service: f64, is_replaced: bool) -> f64 {
        if self.times.is_empty() || !Rule::SlowPods.applies() {
            return f64::INFINITY;
        }
        let median = self.median_time();
        let limits = match (is_replaced, self.slow > 0) {
            (false, _) => [SLOW_FACTOR * median.max(service); 2],
            (true, false) => [OUTLIER_FACTOR * median; 2],
            // Pods that were not slow before may be between the two.
            (true, true) => [STILL_OUTLIER_FACTOR, OUTLIER_FACTOR].map(|factor| factor * median),
        };
        let most = (self.times.len() / 3).max(1);
        let fits = |limit: &f64| {
            let slow = self.times.iter().filter(|time| f64::from(**time) > *limit);
            slow.count() <= most
        };
        limits.into_iter().find(fits).unwrap_or(f64::INFINITY)
    }

    /// Returns the median time per request in seconds; 0 if it is unknown. Reorders the times.
    fn median_time(&mut self) -> f64 {
        let middle = self.times.len().saturating_sub(1) / 2;
        if self.times.is_empty() {
            return 0.0;
        }
        let (_, median, _) = self.times.select_nth_unstable_by(middle, f32::total_cmp);
        f64::from(*median)
    }

    /// Returns the slowest of the slow pods, if any; `service` is the service time of the fleet in seconds.
    pub(crate) fn slowest(&mut self, service: f64) -> Option<SlowPod> {
        let slowest = self.slowest.clone()?;
        Some(slowest.compared_with(self.median_time().max(service), false))
    }

    /// Returns the uneven load if idle pods leave fewer of the `ready` pods than the `need`.
    pub(crate) fn uneven(&self, ready: u32, need: f64) -> Option<UnevenLoad> {
        let mean = self.rate_sum / self.rates.len() as f32;
        let (pod, rate) = self.quietest.as_ref()?;
        if *rate >= IDLE_SHARE * mean {
            return None;
        }
        let is_idle = |(rate, seconds): &&(f32, f32)| {
            *rate < IDLE_SHARE * mean && mean * seconds >= MIN_ARRIVALS
        };
        let idle = u32::try_from(self.rates.iter().filter(is_idle).count()).unwrap_or(u32::MAX);
        let served_by = ready.saturating_sub(self.slow).saturating_sub(idle);
        if idle == 0 || served_by >= to_u32_saturating(need.ceil()) {
            return None;
        }
        Some(UnevenLoad {
            idle,
            pods: ready,
            pod: Arc::clone(pod),
            rate: f64::from(*rate),
            mean: f64::from(mean),
        })
    }

    /// Returns the pod that gets the most requests, if it can serve only `served` per second and pods like it could
    /// serve all of theirs; `waiting` is the mean of the requests that wait in a pod.
    pub(crate) fn overloaded(&self, served: f64, waiting: f64) -> Option<OverloadedPod> {
        let busiest = self.busiest.as_ref().filter(|busiest| {
            f64::from(busiest.rate) >= served
                && f64::from(busiest.waiting) >= f64::from(OVERLOADED_SHARE) * waiting.max(1.0)
        })?;
        // After a burst, the pods that ran during it work off its requests. Pods that started later received fewer.
        let ages = SAME_AGE.map(|times| times * busiest.seconds);
        let alike = self
            .rates
            .iter()
            .filter(|(_, seconds)| (ages[0]..=ages[1]).contains(seconds));
        let (sum, pods) = alike.fold((0.0, 0.0), |(sum, pods), (rate, _)| {
            (sum + rate, pods + 1.0)
        });
        let mean = sum / pods;
        let expected = mean * busiest.seconds;
        let by_chance = OVERLOADED_DEVIATIONS * expected.sqrt();
        let is_overloaded = f64::from(mean) < served
            && busiest.rate >= OVERLOADED_SHARE * mean
            && (busiest.rate - mean) * busiest.seconds >= by_chance;
        is_overloaded.then(|| OverloadedPod {
            pod: Arc::clone(&busiest.pod),
            rate: busiest.rate,
            mean,
            waiting: busiest.waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the slow ones of pods whose requests take these seconds, and whose 4 workers are busy for a minute.
    fn slow(times: &[f64], is_replaced: bool) -> usize {
        let mut balance = PodBalance::default();
        let works: Vec<PodWork> = times
            .iter()
            .map(|time| {
                let mut work = PodWork::default();
                for _ in 0..60 {
                    work.learn_work(4.0, 4.0 / time, 4, 0.1);
                }
                work
            })
            .collect();
        for work in &works {
            balance.add(&"pod".into(), work, work.time_per_request(), false, 0);
        }
        let limit = balance.slow_above(0.1, is_replaced);
        works.iter().filter(|work| work.is_slow(limit)).count()
    }

    #[test]
    fn a_third_of_the_pods_at_most_is_slow() {
        for is_replaced in [false, true] {
            let slow = |times: &[f64]| slow(times, is_replaced);
            assert_eq!(slow(&[0.1, 2.0]), 1);
            assert_eq!(slow(&[0.1, 0.1, 0.1, 2.0]), 1);
            assert_eq!(slow(&[0.1, 0.1, f64::INFINITY]), 1);
            assert_eq!(slow(&[0.1, 0.1, 0.1, 0.25]), 0);
            for all in [
                &[0.1, 2.0, 2.0][..],
                &[0.1, 0.1, 0.1, 2.0, 2.0],
                &[2.0; 2],
                &[2.0; 8],
            ] {
                assert_eq!(slow(all), 0, "{all:?}");
            }
        }
    }

    #[test]
    fn a_pod_that_can_be_replaced_is_slow_at_three_times_the_median() {
        assert_eq!(slow(&[0.1, 0.1, 0.1, 0.35], true), 1);
        assert_eq!(slow(&[0.1, 0.1, 0.1, 0.35], false), 0);
    }

    #[test]
    fn a_pod_is_known_to_be_slow_after_forty_services_of_the_others() {
        let mut work = PodWork::default();
        for second in 1..=600 {
            work.learn_work(4.0, 0.0, 4, 60.0);
            assert_eq!(work.is_slow(180.0), second >= 600, "{second}");
        }
        let mut fast = PodWork::default();
        fast.learn_work(4.0, 0.0, 4, 0.1);
        assert!(!fast.is_slow(0.3));
        fast.learn_work(4.0, 0.0, 4, 0.1);
        assert!(fast.is_slow(0.3));
    }

    #[test]
    fn a_pod_is_overloaded_if_pods_of_its_age_get_what_they_can_serve() {
        let overloaded_of = |served: f64, pods: &[(f64, f64, u32)]| {
            let mut balance = PodBalance::default();
            for (number, (rate, seconds, waiting)) in pods.iter().enumerate() {
                let mut work = PodWork::default();
                work.learn_arrivals(rate * seconds, *seconds);
                let name = format!("pod-{number}").into();
                balance.add(&name, &work, None, false, *waiting);
            }
            let sum: u32 = pods.iter().map(|(_, _, waiting)| waiting).sum();
            let found = balance.overloaded(served, f64::from(sum) / pods.len() as f64)?;
            Some(found.pod.to_string())
        };
        let overloaded = |pods: &[(f64, f64, u32)]| overloaded_of(40.0, pods);
        let found = overloaded(&[(20.0, 100.0, 0), (50.0, 100.0, 90), (20.0, 100.0, 0)]);
        assert_eq!(found.as_deref(), Some("pod-1"));
        // After a burst: the old pods got more than they could serve, those ordered for it did not.
        let after_a_burst = [
            (50.0, 300.0, 90),
            (50.0, 300.0, 90),
            (20.0, 60.0, 0),
            (20.0, 60.0, 0),
        ];
        assert_eq!(overloaded(&after_a_burst), None);
        // The busiest of many pods by chance.
        let mut by_chance = vec![(0.06, 300.0, 0); 200];
        by_chance[7] = (0.12, 300.0, 20);
        assert_eq!(overloaded_of(0.1, &by_chance), None);
        // All are overloaded; one that is not; one without waiting requests.
        assert_eq!(overloaded(&[(60.0, 100.0, 50), (90.0, 100.0, 90)]), None);
        assert_eq!(overloaded(&[(20.0, 100.0, 0), (39.0, 100.0, 90)]), None);
        assert_eq!(overloaded(&[(20.0, 100.0, 0), (50.0, 100.0, 0)]), None);
    }

    #[test]
    fn load_is_uneven_if_the_pods_that_get_it_are_fewer_than_the_need() {
        let uneven = |rates: &[f64], need| {
            let mut balance = PodBalance::default();
            for (number, rate) in rates.iter().enumerate() {
                let mut work = PodWork::default();
                work.learn_arrivals(rate * 100.0, 100.0);
                balance.add(&format!("pod-{number}").into(), &work, None, false, 0);
            }
            let pods = u32::try_from(rates.len()).unwrap();
            balance.uneven(pods, need)
        };
        let found = uneven(&[50.0, 50.0, 0.0, 1.0], 2.5).unwrap();
        assert_eq!((found.idle, &*found.pod), (2, "pod-2"));
        assert_eq!(uneven(&[50.0, 50.0, 0.0, 1.0], 2.0), None);
        assert_eq!(uneven(&[50.0, 50.0, 20.0, 20.0], 4.0), None);
        // Nine requests are too few to tell.
        assert_eq!(uneven(&[0.1, 0.1, 0.0], 3.0), None);
    }
}

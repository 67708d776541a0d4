//! The service time and its variability, computed from counters.

use crate::numbers::{to_f32, to_u32_saturating};
use crate::snapshot::visit;

use super::counts::{Delta, Window};
use super::evidence::{FEW_REQUESTS, MANY_REQUESTS, recent_seconds};
use super::pod_history::{Saturated, Timed};
use super::rules::Rule;
use super::second_buckets::SecondBuckets;

/// The service time while it does not change is the mean of the last [`MANY_REQUESTS`], and of all within this many
/// seconds.
const WINDOW: u64 = 300;

/// The completed requests that a service time needs: [`FEW_REQUESTS`] while TorchServe's own measurement is used. With
/// eight of them, twice as many new fleets were ordered more than twice the need (11 of 120 instead of five).
const MIN_COMPLETED: f64 = 8.0;

/// The windows that detect a changed service time, in seconds, and the completed requests that each needs.
const CHANGE_WINDOWS: [u64; 4] = [3, 5, 10, 20];
const CHANGE_MIN_COMPLETED: f64 = 40.0;

/// A change must exceed this many standard errors plus this share.
const CHANGE_ERRORS: f64 = 4.0;
const CHANGE_SHARE: f64 = 0.1;

/// The time constant of the variability, in seconds. Over 600 groups of completed requests, which 20 pods yield in
/// 30 s, the variability and with it the replicas varied by 30%.
const VARIATION_MEMORY: f64 = 120.0;

/// The groups of completed requests that a variability needs.
const MIN_GROUPS: f64 = 50.0;

/// The timed share of requests is averaged over waits that add up to this many service times. They do not decay: in a
/// fleet of the right size hardly any request waits for minutes, and then a single one determined the share, and four
/// times the need was ordered.
const TIMED_WAITS: f64 = 1000.0;

/// The time in workers is averaged over this many completed requests, and over this many seconds.
const TIMED_COMPLETED: f64 = 1000.0;
const TIMED_SECONDS: f64 = 300.0;

/// Below the first share requests count as untimed, until it exceeds the second one.
const UNTIMED_BELOW: f64 = 0.75;
const TIMED_ABOVE: f64 = 0.95;

/// Below this share the timed requests say nothing about the others.
const MIN_TIMED_SHARE: f64 = 0.2;

/// The service time rises to at most this multiple at once, and by the same factor in each further start delay. If one
/// of few pods becomes slow, most of the requests that count are its own until others are ready: because of one that
/// took 33 times as long, 159 pods were ordered where three are needed.
const MAX_RISE: f64 = 3.0;

/// The shortest time for such a rise, in seconds.
const MIN_RISE_SECONDS: f64 = 60.0;

/// A pod that takes this multiple of the service time at full load is stuck.
const STUCK_FACTOR: f64 = 10.0;

/// The service time and its variability.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The service time in seconds; 0 if unknown.
    seconds: f64,
    /// The base of a rise, in seconds. It follows the service time down at once, and up slowly.
    base: f32,
    /// Squared coefficient of variation of service times.
    variation: f64,
    groups: f64,
    squares: f64,
    /// Whether the server has timed any request.
    has_timed: bool,
    /// The last completed requests of saturated pods and the time of their workers. They do not decay: only another
    /// saturation can refute them.
    saturated_completed: f64,
    saturated_busy: f64,
    /// How much of the requests' time the server timed.
    timed: Timed,
    /// Whether the server times too few requests.
    untimed: bool,
}

visit!(Service: seconds, variation, groups, squares, saturated_completed, saturated_busy, base, has_timed, timed, untimed);

impl Default for Service {
    fn default() -> Self {
        Self {
            seconds: 0.0,
            base: 0.0,
            variation: 1.0,
            groups: 0.0,
            squares: 0.0,
            has_timed: false,
            saturated_completed: 0.0,
            saturated_busy: 0.0,
            timed: Timed::default(),
            untimed: false,
        }
    }
}

impl Service {
    /// Learns from the requests that one pod completed between two readings.
    ///
    /// The mean of `n` times has a variance of σ²/n, so σ² follows from the spread of the means.
    pub(crate) fn learn(&mut self, delta: &Delta) {
        if delta.completed <= 0.0 {
            return;
        }
        if delta.served > 0.0 && !self.has_timed {
            // Until now it seemed that the server times none.
            (self.has_timed, self.untimed) = (true, false);
        }
        if self.seconds > 0.0 {
            let deviation = delta.served / delta.completed / self.seconds - 1.0;
            self.groups += 1.0;
            self.squares += delta.completed * deviation * deviation;
        }
    }

    /// Learns from a pod that was saturated.
    pub(crate) fn learn_saturated(&mut self, saturated: Saturated) {
        if saturated.busy > STUCK_FACTOR * self.seconds * saturated.completed {
            return;
        }
        self.saturated_completed += saturated.completed;
        self.saturated_busy += saturated.busy;
        let kept = (MANY_REQUESTS / self.saturated_completed).min(1.0);
        self.saturated_completed *= kept;
        self.saturated_busy *= kept;
    }

    /// Forgets the throughput of saturated pods.
    pub(crate) fn forget_saturated(&mut self) {
        (self.saturated_completed, self.saturated_busy) = (0.0, 0.0);
    }

    /// Learns how much of the requests' time a pod's server timed.
    pub(crate) fn learn_timed(&mut self, timed: Timed) {
        self.timed.add(timed);
        // A queue is observed once a second, so a request that waits for less counts for a second or not at all.
        let kept = TIMED_WAITS * self.seconds.max(1.0) / self.timed.observed.max(1e-9);
        if kept < 1.0 {
            self.timed.timed *= kept;
            self.timed.observed *= kept;
        }
    }

    /// Returns whether the server times too few of the requests that it completes.
    pub(crate) fn untimed(&mut self) -> bool {
        let known = self.timed.completed >= MANY_REQUESTS && Rule::TimedShare.applies();
        if known && !self.has_timed {
            self.untimed = true;
        } else if known && self.timed.observed >= MANY_REQUESTS {
            let limit = if self.untimed {
                TIMED_ABOVE
            } else {
                UNTIMED_BELOW
            };
            self.untimed = self.timed.timed < limit * self.timed.observed;
        }
        self.untimed
    }

    /// Returns the share of requests that the server times, 0 to 1.
    pub(crate) fn timed_share(&self) -> f64 {
        if self.untimed {
            (self.timed.timed / self.timed.observed.max(1e-9)).min(1.0)
        } else {
            1.0
        }
    }

    /// Returns the service time in seconds of all requests, if the server times only a share of them; `gauge` is the
    /// server's own measurement of a batch.
    ///
    /// If it times too few, the time of busy workers counts, by Little's law. A sidecar underestimates that time while
    /// no request waits.
    pub(crate) fn of_all(&self, gauge: Option<f64>) -> Option<f64> {
        let share = self.timed_share();
        if share >= MIN_TIMED_SHARE {
            return self.known().map(|seconds| seconds / share);
        }
        let busy = self.timed.busy / self.timed.completed.max(1.0);
        self.at_full_load().or(Some(gauge.unwrap_or(0.0).max(busy)))
    }

    /// Returns the service time at full load, in seconds: the time of all workers over the requests that they
    /// completed.
    pub(crate) fn at_full_load(&self) -> Option<f64> {
        (self.saturated_completed >= FEW_REQUESTS)
            .then(|| self.saturated_busy / self.saturated_completed)
    }

    /// Decays the sums, once a second; `delay` is the start delay of a pod in seconds.
    pub(crate) fn decay(&mut self, delay: f64) {
        let rise = MAX_RISE.powf(1.0 / delay.max(MIN_RISE_SECONDS));
        self.base = to_f32((f64::from(self.base) * rise).min(self.seconds));
        self.groups *= 1.0 - 1.0 / VARIATION_MEMORY;
        self.squares *= 1.0 - 1.0 / VARIATION_MEMORY;
        if self.timed.completed > TIMED_COMPLETED {
            let kept = 1.0 - 1.0 / TIMED_SECONDS;
            self.timed.busy *= kept;
            self.timed.completed *= kept;
        }
    }

    /// Updates the variability. It is called every ten seconds only, so that single requests do not change the
    /// replicas.
    pub(crate) fn update_variation(&mut self) {
        if self.groups > MIN_GROUPS {
            self.variation = (self.squares / self.groups).clamp(0.05, 10.0);
        }
    }

    /// Measures and returns the service time in seconds, if it is known. `has_gauge`: TorchServe measures it too.
    ///
    /// `may_rise` is false while most pods warm up: their requests are left out, and those of the few other pods say
    /// little about the fleet. With two of five pods slow, the service time rose to four times when 71 fast ones had
    /// just started, and the replicas from 76 to 279.
    pub(crate) fn measure(
        &mut self,
        second_buckets: &SecondBuckets,
        has_gauge: bool,
        may_rise: bool,
    ) -> Option<f64> {
        let known = self.seconds;
        self.measure_unlimited(second_buckets, has_gauge);
        if !may_rise && known > 0.0 {
            self.seconds = self.seconds.min(known);
        }
        if self.base > 0.0 && Rule::MaxRise.applies() {
            self.seconds = self.seconds.min(MAX_RISE * f64::from(self.base));
        }
        if self.base <= 0.0 || f64::from(self.base) > self.seconds {
            self.base = to_f32(self.seconds);
        }
        (self.seconds > 0.0).then_some(self.seconds)
    }

    fn measure_unlimited(&mut self, second_buckets: &SecondBuckets, has_gauge: bool) {
        let long = second_buckets.newest_completed(MANY_REQUESTS, WINDOW);
        let least = if has_gauge && self.seconds <= 0.0 {
            FEW_REQUESTS
        } else {
            MIN_COMPLETED
        };
        if long.completed >= least && !self.is_biased(&long, second_buckets) {
            self.seconds = mean(&long);
        }
        if self.seconds <= 0.0 {
            return;
        }
        for window in CHANGE_WINDOWS.map(|seconds| second_buckets.window(seconds)) {
            // While no request waits, the sidecar counts only the timed requests among those in workers. When a queue
            // fills then, nothing seems to complete for seconds, and the service time jumped to eight times.
            if self.untimed
                || window.completed < CHANGE_MIN_COMPLETED
                || !Rule::ServiceChange.applies()
            {
                continue;
            }
            let recent = mean(&window);
            let error = self.seconds * (self.variation.max(0.1) / window.completed).sqrt();
            let least = CHANGE_ERRORS * error + CHANGE_SHARE * self.seconds;
            if (recent - self.seconds).abs() > least && !self.is_biased(&window, second_buckets) {
                self.seconds = recent;
                break;
            }
        }
    }

    /// Returns whether the mean of a window is longer only because the load has fallen, before the window or in it: the
    /// requests that are left are the long ones. More requests have then completed than arrived, which cannot last.
    ///
    /// Without this, a fall to a seventh took 36 replicas to 67, and 38 to 54 at a service time of two minutes. The
    /// opposite bias after a rise, when the short requests complete first, made no difference in any set of scenarios.
    fn is_biased(&self, window: &Window, second_buckets: &SecondBuckets) -> bool {
        if self.seconds <= 0.0 || mean(window) <= self.seconds {
            return false;
        }
        let seconds = window.seconds + recent_seconds(self.seconds);
        let around = second_buckets.window(to_u32_saturating(seconds.ceil()).into());
        around.completed - around.arrivals > CHANGE_SHARE * window.completed
    }

    /// Returns the last measured service time, in seconds.
    pub(crate) fn known(&self) -> Option<f64> {
        (self.seconds > 0.0).then_some(self.seconds)
    }

    /// Returns the squared coefficient of variation of service times; 1 while unknown.
    ///
    /// If only a share of the requests is timed, the timed part of a group varies by chance, which adds to the spread.
    pub(crate) fn variation(&self) -> f64 {
        let share = self.timed_share();
        if share < MIN_TIMED_SHARE || !Rule::Variation.applies() {
            return 1.0;
        }
        ((1.0 + self.variation) * share - 1.0).clamp(0.05, 10.0)
    }
}

fn mean(window: &Window) -> f64 {
    window.served / window.completed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::Moment;

    #[test]
    fn a_single_wait_after_hours_without_any_does_not_change_the_timed_share() {
        let mut service = Service {
            has_timed: true,
            ..Service::default()
        };
        let learn = |service: &mut Service, timed, observed| {
            service.learn_timed(Timed {
                timed,
                observed,
                busy: 0.0,
                completed: 10.0,
            });
            service.decay(60.0);
        };
        for _ in 0..1000 {
            learn(&mut service, 0.4, 1.0);
        }
        for _ in 0..7200 {
            learn(&mut service, 0.0, 0.0);
        }
        learn(&mut service, 0.0, 20.0);
        assert!(service.untimed());
        let share = service.timed_share();
        assert!((0.38..0.4).contains(&share), "{share}");
        // If requests that wait are no longer timed at all, it follows.
        for _ in 0..1000 {
            learn(&mut service, 0.0, 1.0);
        }
        assert!(service.timed_share() < 0.2);
    }

    /// The service time of a fleet that completes 80 requests per second.
    #[derive(Default)]
    struct Fleet {
        service: Service,
        second_buckets: SecondBuckets,
        bucket: u64,
        second: u64,
    }

    impl Fleet {
        /// Returns the service time after each of the next `count` seconds, in which requests take `seconds`.
        fn run(&mut self, count: usize, seconds: f64, may_rise: bool) -> Vec<f64> {
            let delta = Delta {
                arrivals: 80.0,
                completed: 80.0,
                waited: 0.0,
                served: 80.0 * seconds,
            };
            let measure = |_| {
                let from = Moment::from_secs(self.second);
                self.second += 1;
                let to = Moment::from_secs(self.second);
                self.second_buckets
                    .add(from, to, &mut self.bucket, delta, true);
                self.service.decay(100.0);
                let service = &mut self.service;
                service
                    .measure(&self.second_buckets, false, may_rise)
                    .unwrap()
            };
            (0..count).map(measure).collect()
        }
    }

    /// Five old pods, two of them slow, complete a few requests while the first ones of many new pods are left out.
    #[test]
    fn the_service_time_does_not_rise_while_most_pods_warm_up() {
        let mut fleet = Fleet::default();
        let before = fleet.run(300, 0.1, true)[299];
        assert_eq!(fleet.run(10, 3.0, false), [before; 10]);
        // It falls, and once most pods are warm, it rises.
        let risen = fleet.run(1, 3.0, true)[0];
        assert!(risen > 2.0 * before, "{risen}");
        assert!(fleet.run(19, 0.1, false)[18] < risen);
    }

    /// The requests of a fleet take fifty times as long from one second to the next.
    #[test]
    fn a_service_time_rises_by_three_times_in_a_start_delay() {
        let mut fleet = Fleet::default();
        let before = fleet.run(300, 0.1, true)[299];
        let near = |found: f64, times: f64| {
            let error = found / (times * before) - 1.0;
            assert!(error.abs() < 0.1, "{found} is not {times} times {before}");
        };
        let rising = fleet.run(300, 5.0, true);
        near(rising[3], 3.0);
        near(rising[100], 9.0);
        near(rising[200], 27.0);
        near(rising[299], 50.0);
        // It falls at once, and a lasting change by less than three times is not limited.
        near(fleet.run(20, 0.1, true)[19], 1.0);
        near(fleet.run(20, 0.2, true)[19], 2.0);
    }
}

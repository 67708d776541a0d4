//! Pacing: with many pods, the aggregator asks their sidecars for longer scrape intervals, so that pushes do not
//! saturate it. If they do nevertheless, it asks for longer ones until it keeps up.
//!
//! Every response repeats the requested interval. A sidecar uses the longest one that its aggregators request, and its
//! configured interval once none of them requests a longer one.

use std::time::Duration;

use parking_lot::Mutex;
use pushscale_protocol::MAX_REQUESTED_INTERVAL;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// The time over which pods are counted, as the time constant of an exponential average.
const AVERAGE_OVER: Duration = Duration::from_secs(30);

/// The factor by which requested intervals exceed the necessary ones, so that they do not change with each new pod.
const HEADROOM: f64 = 1.2;

/// An interval this much longer than necessary is shortened.
const SHORTEN_ABOVE: f64 = 1.6;

/// Shorter intervals are not requested: no sidecar can have a shorter one configured.
const MIN_REQUESTED: f64 = 0.1;

/// For this long after the start, no interval is shortened: too few pods have been counted, and the sidecars still use
/// the intervals that the previous aggregator requested.
const SHORTEN_AFTER: Duration = Duration::from_secs(60);

/// After a second with overload, the rate of pushes is lowered to this share. Afterwards it grows back in minutes: at
/// the limit, the aggregator is overloaded for about a second per minute.
const OVERLOAD_FACTOR: f64 = 0.9;
const LOWER_INTERVAL: Duration = Duration::from_secs(1);
const RECOVERY_TIME: Duration = Duration::from_secs(600);

/// Counts the pods that push and computes the scrape interval at which their pushes are few enough.
pub(crate) struct Pacing {
    /// In pushes per second.
    max_rate: f64,
    start: Instant,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    average: Average,
    /// The rate at which the aggregator keeps up, as far as it is known; at most `max_rate`.
    rate: f64,
    lowered: Option<Instant>,
}

/// The mean number of pods. A push two seconds after the pod's last one stands for a pod during two seconds, so the sum
/// of these times per second is the number of pods, however often each of them pushes. The times are measured: a pod
/// that claims long intervals does not slow down the others.
#[derive(Debug)]
struct Average {
    pods: f64,
    at: Instant,
}

impl Pacing {
    /// Keeps the pushes below `max_rate` per second.
    pub(crate) fn new(max_rate: usize, metrics: Metrics) -> Self {
        let start = Instant::now();
        let max_rate = u32::try_from(max_rate).map_or(f64::from(u32::MAX), f64::from);
        Self {
            max_rate,
            start,
            state: Mutex::new(State {
                average: Average {
                    pods: 0.0,
                    at: start,
                },
                rate: max_rate,
                lowered: None,
            }),
            metrics,
        }
    }

    /// Records that a push was rejected because the aggregator is overloaded.
    pub(crate) fn overloaded(&self) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let lowered = state.lowered;
        if lowered.is_none_or(|lowered| now - lowered >= LOWER_INTERVAL) {
            state.rate *= OVERLOAD_FACTOR;
            state.lowered = Some(now);
        }
    }

    /// Counts an accepted push, this long after the pod's last one. Returns the interval to ask its sidecar for, in
    /// seconds; `interval` is its present one. `None` asks for none.
    pub(crate) fn accepted(&self, interval: f64, after: Option<Duration>) -> Option<f64> {
        let now = Instant::now();
        // After an outage, all pods push for the first time in minutes.
        let after = after.unwrap_or_default().as_secs_f64().min(2.0 * interval);
        // The interval at which all pods together push at the highest rate.
        let shortest = self.state.lock().shortest(now, after, self.max_rate);
        self.metrics.paced(shortest);
        let is_kept = interval <= SHORTEN_ABOVE * shortest || now - self.start < SHORTEN_AFTER;
        let requested = if interval >= shortest && is_kept {
            interval
        } else {
            HEADROOM * shortest
        };
        let max = MAX_REQUESTED_INTERVAL.as_secs_f64();
        (requested > MIN_REQUESTED).then_some(requested.min(max))
    }
}

impl State {
    fn shortest(&mut self, now: Instant, after: f64, max_rate: f64) -> f64 {
        let passed = now.duration_since(self.average.at).as_secs_f64();
        let pods = self.average.add(now, after);
        let grown = self.rate * (passed / RECOVERY_TIME.as_secs_f64()).exp();
        // No sidecar is asked for an interval longer than the maximum, so a lower rate has no effect.
        let lowest = pods / MAX_REQUESTED_INTERVAL.as_secs_f64();
        self.rate = grown.max(lowest).min(max_rate);
        pods / self.rate
    }
}

impl Average {
    fn add(&mut self, now: Instant, seconds: f64) -> f64 {
        let over = AVERAGE_OVER.as_secs_f64();
        let passed = now.duration_since(self.at).as_secs_f64();
        self.at = now;
        self.pods = self.pods * (-passed / over).exp() + seconds / over;
        self.pods
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    /// Pods that push at their intervals, and use the longest that an aggregator asks for.
    struct Fleet {
        aggregators: Vec<Pacing>,
        /// The pushes that an aggregator can accept in a turn. It rejects others.
        capacity: usize,
        rejected: u32,
        pods: Vec<SimulatedPod>,
    }

    #[derive(Clone)]
    struct SimulatedPod {
        configured: f64,
        interval: f64,
        /// Until its next push, in seconds.
        left: f64,
        last: Option<Instant>,
        requested: Vec<Option<f64>>,
    }

    const TURN: f64 = 0.1;

    fn pacing(max_rate: usize) -> Pacing {
        Pacing::new(max_rate, Metrics::register(&mut Registry::default()))
    }

    impl Fleet {
        /// Aggregators with these maximum rates, and pods with these configured and present intervals.
        fn new(max_rates: &[usize], intervals: impl IntoIterator<Item = (f64, f64)>) -> Self {
            let intervals = intervals.into_iter().enumerate();
            let pods = intervals.map(|(number, (configured, interval))| SimulatedPod {
                configured,
                interval,
                // Spread over the interval.
                left: interval * (number as f64 * 0.618).fract(),
                last: None,
                requested: vec![None; max_rates.len()],
            });
            Self {
                pods: pods.collect(),
                capacity: usize::MAX,
                rejected: 0,
                aggregators: max_rates.iter().copied().map(pacing).collect(),
            }
        }

        /// Returns the pushes per second to each aggregator in the last ten seconds.
        async fn run(&mut self, seconds: u32) -> f64 {
            let mut pushes = 0;
            let turns = seconds * 10;
            // A burst waits in the queue.
            let queue = self.capacity.saturating_mul(10);
            let mut left = queue;
            for turn in 0..turns {
                let now = Instant::now();
                left = left.saturating_add(self.capacity).min(queue);
                for pod in &mut self.pods {
                    pod.left -= TURN;
                    if pod.left > 0.0 {
                        continue;
                    }
                    pushes += u32::from(turn + 100 >= turns);
                    if left == 0 {
                        self.rejected += 1;
                        self.aggregators.iter().for_each(Pacing::overloaded);
                        pod.left += pod.interval;
                        continue;
                    }
                    left -= 1;
                    let after = pod.last.replace(now).map(|last| now - last);
                    for (aggregator, requested) in self.aggregators.iter().zip(&mut pod.requested) {
                        *requested = aggregator.accepted(pod.interval, after);
                    }
                    let requested = pod.requested.iter().flatten().copied();
                    pod.interval = requested.fold(pod.configured, f64::max);
                    pod.left += pod.interval;
                }
                tokio::time::advance(Duration::from_secs_f64(TURN)).await;
            }
            f64::from(pushes) / 10.0
        }

        fn intervals(&self) -> (f64, f64) {
            let intervals = self.pods.iter().map(|pod| pod.interval);
            let shortest = intervals.clone().fold(f64::INFINITY, f64::min);
            (shortest, intervals.fold(0.0, f64::max))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_fits_keeps_its_intervals() {
        let intervals = (0..100).map(|pod| if pod < 50 { (1.0, 1.0) } else { (5.0, 5.0) });
        let mut fleet = Fleet::new(&[150], intervals);
        fleet.run(300).await;
        for pod in fleet.pods {
            assert!(
                (pod.interval - pod.configured).abs() < 1e-9,
                "{}",
                pod.interval
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_fleet_pushes_as_often_as_allowed() {
        let mut fleet = Fleet::new(&[100], (0..200).map(|_| (1.0, 1.0)));
        fleet.run(300).await;
        let before = fleet.intervals();
        let rate = fleet.run(300).await;
        assert!((70.0..=101.0).contains(&rate), "{rate} pushes per second");
        // Those of an early estimate may still be a little too short.
        let (shortest, longest) = fleet.intervals();
        assert!(
            longest <= 2.6 && shortest >= 1.9,
            "{shortest} to {longest}, before {before:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_overloaded_aggregator_asks_for_longer_intervals_until_it_keeps_up() {
        let mut fleet = Fleet::new(&[10_000], (0..200).map(|_| (1.0, 1.0)));
        fleet.capacity = 12;
        fleet.run(300).await;
        fleet.rejected = 0;
        let rate = fleet.run(300).await;
        assert!((100.0..=130.0).contains(&rate), "{rate} pushes per second");
        // Five turns in the first second of overload, each minute.
        assert!(fleet.rejected < 300, "{} rejected", fleet.rejected);
        // The load of the machine was the cause, and is over.
        fleet.capacity = usize::MAX;
        fleet.run(1200).await;
        assert!(fleet.intervals().1 < 1.01, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn overload_for_hours_is_forgotten_as_soon_as_a_short_one() {
        let mut fleet = Fleet::new(&[1000], (0..20).map(|_| (1.0, 1.0)));
        fleet.capacity = 1;
        fleet.run(7200).await;
        assert!(fleet.intervals().0 > 1.9, "{:?}", fleet.intervals());
        fleet.capacity = usize::MAX;
        fleet.run(1200).await;
        assert!(fleet.intervals().1 < 1.01, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn no_interval_is_longer_than_the_model_can_use() {
        let mut fleet = Fleet::new(&[10], (0..1000).map(|_| (1.0, 1.0)));
        fleet.run(300).await;
        assert!(fleet.intervals().1 <= 3.0, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_shortest_intervals_are_lengthened() {
        let intervals = (0..200).map(|pod| if pod < 100 { (0.1, 0.1) } else { (60.0, 60.0) });
        let mut fleet = Fleet::new(&[400], intervals);
        fleet.run(300).await;
        assert!(fleet.pods[..100].iter().all(|pod| pod.interval >= 0.4));
        assert!(fleet.pods[100..].iter().all(|pod| pod.interval > 59.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_aggregator_does_not_shorten_the_intervals() {
        let mut fleet = Fleet::new(&[100], (0..200).map(|_| (1.0, 2.4)));
        for _ in 0..30 {
            let rate = fleet.run(10).await;
            assert!(rate <= 101.0, "{rate} pushes per second");
        }
        assert!(fleet.intervals().0 > 1.9, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn aggregators_that_disagree_do_not_take_turns() {
        let mut fleet = Fleet::new(&[400, 100], (0..200).map(|_| (1.0, 1.0)));
        fleet.run(300).await;
        for _ in 0..30 {
            let rate = fleet.run(10).await;
            assert!(rate <= 101.0, "{rate} pushes per second");
        }
        assert!(fleet.intervals().0 > 1.9, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_claims_long_intervals_does_not_slow_down_the_others() {
        let mut fleet = Fleet::new(&[100], (0..50).map(|_| (1.0, 1.0)));
        let mut last = None;
        for _ in 0..1000 {
            let now = Instant::now();
            let after = last.replace(now).map(|last| now - last);
            fleet.aggregators[0].accepted(60.0, after);
            fleet.run(1).await;
        }
        assert!(fleet.intervals().1 < 1.01, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_minutes_does_not_lengthen_the_intervals() {
        let mut fleet = Fleet::new(&[100], (0..40).map(|_| (1.0, 1.0)));
        fleet.run(100).await;
        tokio::time::advance(Duration::from_secs(600)).await;
        fleet.run(10).await;
        assert!(fleet.intervals().1 < 1.01, "{:?}", fleet.intervals());
    }

    #[tokio::test(start_paused = true)]
    async fn the_intervals_become_short_again() {
        let mut fleet = Fleet::new(&[100], (0..200).map(|_| (1.0, 2.4)));
        fleet.run(100).await;
        fleet.pods.truncate(50);
        fleet.run(300).await;
        assert!(fleet.intervals().1 < 1.01, "{:?}", fleet.intervals());
    }
}

//! Pacing: with many pods, the aggregator asks their sidecars for longer scrape intervals, so that pushes never saturate
//! it. A reading stays fresh for three of its intervals, so longer ones make no pod unknown.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// The time over which pods are counted, as the time constant of an exponential average.
const AVERAGE_OVER: Duration = Duration::from_secs(30);

/// How much longer than necessary the intervals are that are asked for, so that they are not changed for each new pod.
const RESERVE: f64 = 1.2;

/// An interval this much longer than necessary is shortened.
const TOO_LONG: f64 = 1.6;

/// A sidecar with this interval or a shorter one is not asked for a shorter one.
const SHORTENED_TO: f64 = 1.0;

/// How long after the start no interval is shortened, or three intervals if that is longer: until then too few pods have
/// been counted, and the sidecars have the intervals that the aggregator before asked for.
const SHORTEN_AFTER: Duration = Duration::from_secs(60);
const SHORTEN_AFTER_INTERVALS: f64 = 3.0;

/// Counts the pods that push and computes the scrape interval at which their pushes are few enough.
pub(crate) struct Pacing {
    /// In pushes per second.
    max_rate: f64,
    start: Instant,
    average: Mutex<Average>,
    metrics: Metrics,
}

/// The mean number of pods. A push two seconds after the pod's last one stands for a pod during two seconds, so the sum
/// of these times per second is the number of pods, however often each of them pushes. The times are measured: a pod
/// that claims long intervals does not slow down the others.
struct Average {
    pods: f64,
    at: Instant,
}

impl Pacing {
    /// Keeps the pushes below `max_rate` per second.
    pub(crate) fn new(max_rate: usize, metrics: Metrics) -> Self {
        let start = Instant::now();
        Self {
            max_rate: u32::try_from(max_rate).map_or(f64::from(u32::MAX), f64::from),
            start,
            average: Mutex::new(Average {
                pods: 0.0,
                at: start,
            }),
            metrics,
        }
    }

    /// Counts an accepted push, this long after the pod's last one. Returns the interval to ask its sidecar for, in
    /// seconds; `None` if its own, `interval`, is about right. A sidecar never uses one shorter than its configured
    /// interval.
    pub(crate) fn accepted(&self, interval: f64, after: Option<Duration>) -> Option<f64> {
        let now = Instant::now();
        // After an outage, all pods push for the first time in minutes.
        let after = after.unwrap_or_default().as_secs_f64().min(2.0 * interval);
        let pods = self.average.lock().add(now, after);
        // The interval at which all pods together push at the maximum rate.
        let shortest = pods / self.max_rate;
        self.metrics.paced(shortest);
        let shorten_after = SHORTEN_AFTER
            .as_secs_f64()
            .max(SHORTEN_AFTER_INTERVALS * interval);
        let is_too_long = interval > (TOO_LONG * shortest).max(SHORTENED_TO)
            && now.duration_since(self.start).as_secs_f64() >= shorten_after;
        let asked = (RESERVE * shortest).max(SHORTENED_TO);
        (interval < shortest || is_too_long).then_some(asked)
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

    /// Pods that push at their intervals, and take those that the aggregator asks for.
    struct Fleet {
        pacing: Pacing,
        /// The configured and the current interval of each pod, and the time until its next push.
        pods: Vec<(f64, f64, f64)>,
        last: Vec<Option<Instant>>,
    }

    const TURN: f64 = 0.1;

    impl Fleet {
        fn new(max_rate: usize, intervals: impl IntoIterator<Item = (f64, f64)>) -> Self {
            let pods = intervals.into_iter().enumerate();
            let pod = |(number, (configured, current))| {
                // Spread over the interval.
                (
                    configured,
                    current,
                    current * (number as f64 * 0.618).fract(),
                )
            };
            let pods: Vec<_> = pods.map(pod).collect();
            Self {
                pacing: Pacing::new(max_rate, Metrics::register(&mut Registry::default())),
                last: vec![None; pods.len()],
                pods,
            }
        }

        /// Returns the pushes per second of the last ten seconds.
        async fn run(&mut self, seconds: u32) -> f64 {
            let mut pushes = 0;
            let turns = seconds * 10;
            for turn in 0..turns {
                let now = Instant::now();
                for ((configured, interval, left), last) in self.pods.iter_mut().zip(&mut self.last)
                {
                    *left -= TURN;
                    if *left > 0.0 {
                        continue;
                    }
                    pushes += u32::from(turn + 100 >= turns);
                    let after = last.replace(now).map(|last| now.duration_since(last));
                    if let Some(asked) = self.pacing.accepted(*interval, after) {
                        *interval = asked.max(*configured);
                    }
                    *left += *interval;
                }
                tokio::time::advance(Duration::from_secs_f64(TURN)).await;
            }
            f64::from(pushes) / 10.0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_fits_keeps_its_intervals() {
        let intervals = (0..100).map(|pod| if pod < 50 { (1.0, 1.0) } else { (5.0, 5.0) });
        let mut fleet = Fleet::new(150, intervals);
        fleet.run(300).await;
        for (configured, interval, _) in fleet.pods {
            assert!(
                (interval - configured).abs() < 1e-9,
                "{configured}: {interval}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_fleet_pushes_as_often_as_allowed() {
        let mut fleet = Fleet::new(100, (0..1000).map(|_| (1.0, 1.0)));
        let rate = fleet.run(300).await;
        assert!((70.0..=100.0).contains(&rate), "{rate} pushes per second");
        let before = fleet.pods.clone();
        fleet.run(300).await;
        let pods = before.iter().zip(&fleet.pods);
        let changed = pods.filter(|(before, now)| before.1 < now.1).count();
        assert!(changed <= 150, "{changed} intervals changed");
        let rate = fleet.run(300).await;
        assert!((70.0..=100.0).contains(&rate), "{rate} pushes per second");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_shortest_intervals_are_lengthened() {
        let intervals = (0..200).map(|pod| if pod < 100 { (0.1, 0.1) } else { (60.0, 60.0) });
        let mut fleet = Fleet::new(400, intervals);
        fleet.run(300).await;
        assert!(fleet.pods[..100].iter().all(|pod| pod.1 >= 0.5));
        assert!(fleet.pods[100..].iter().all(|pod| pod.1 > 59.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restarted_aggregator_does_not_shorten_the_intervals() {
        let mut fleet = Fleet::new(100, (0..1000).map(|_| (1.0, 12.0)));
        for _ in 0..30 {
            let rate = fleet.run(10).await;
            assert!(rate <= 100.0, "{rate} pushes per second");
        }
        assert!(fleet.pods.iter().all(|pod| pod.1 > 11.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_claims_long_intervals_does_not_slow_down_the_others() {
        let mut fleet = Fleet::new(100, (0..50).map(|_| (1.0, 1.0)));
        let mut last = None;
        for _ in 0..1000 {
            let now = Instant::now();
            let after = last.replace(now).map(|last| now.duration_since(last));
            fleet.pacing.accepted(3600.0, after);
            fleet.run(1).await;
        }
        assert!(fleet.pods.iter().all(|pod| pod.1 < 1.01));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_minutes_does_not_lengthen_the_intervals() {
        let mut fleet = Fleet::new(100, (0..40).map(|_| (1.0, 1.0)));
        fleet.run(100).await;
        tokio::time::advance(Duration::from_secs(600)).await;
        fleet.run(10).await;
        assert!(fleet.pods.iter().all(|pod| pod.1 < 1.01));
    }

    #[tokio::test(start_paused = true)]
    async fn the_intervals_become_short_again() {
        let mut fleet = Fleet::new(100, (0..1000).map(|_| (1.0, 12.0)));
        fleet.run(100).await;
        fleet.pods.truncate(50);
        fleet.last.truncate(50);
        fleet.run(300).await;
        assert!(
            fleet.pods.iter().all(|pod| pod.1 < 1.01),
            "{:?}",
            fleet.pods
        );
    }
}

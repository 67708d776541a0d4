//! The state of one model of a fleet.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::ModelCheckpoint;
use crate::moment::Moment;
use crate::reading::ModelReading;
use crate::snapshot::visit;

use super::backlog::BacklogProposals;
use super::batches::BatchTimes;
use super::calibration::Calibration;
use super::capacity::UtilisationCache;
use super::counts::{Delta, Window};
use super::envelope::Envelope;
use super::hold_backtest::HoldBacktest;
use super::pod_history::{PodHistory, Timed};
use super::profile::Profile;
use super::replacement::Replacement;
use super::second_buckets::SecondBuckets;
use super::service::Service;
use super::vanished::VanishedDemand;
use super::wait_percentile::WaitPercentile;

/// The largest plausible number of completed requests of a pod, as a multiple of its capacity, and of requests that
/// arrive in excess of them, because a queue takes many at once. Anything above is a broken counter
/// (docs/ALGORITHM-DETAILS.md, I6).
const PLAUSIBLE_FACTOR: f64 = 100.0;
const PLAUSIBLE_QUEUED: f64 = 10_000.0;

/// The state of one model of a fleet, about 19 kB.
#[derive(Clone, Debug)]
pub(crate) struct ModelState {
    pub(crate) name: Arc<str>,
    /// When a pod last reported the model.
    pub(crate) reported_at: Moment,
    pub(super) second_buckets: SecondBuckets,
    pub(super) service: Service,
    /// The service time in seconds that was measured before a restart; 0 if unknown. It counts until this process has
    /// measured it.
    restored_service: f64,
    pub(super) calibration: Calibration,
    /// The queues that a percentile of the wait is estimated from, if the target applies to one.
    pub(super) wait_percentile: Option<Box<WaitPercentile>>,
    pub(super) envelope: Envelope,
    pub(super) utilisations: UtilisationCache,
    pub(super) backlog: BacklogProposals,
    pub(super) profile: Profile,
    pub(super) hold_backtest: HoldBacktest,
    pub(super) vanished: VanishedDemand,
    /// The second of the last periodic update.
    pub(super) updated_at: u64,
    /// The second and the replicas of the first plan, which are held for a while (docs/ALGORITHM-DETAILS.md, I0).
    pub(super) started: Option<(u32, u32)>,
    /// The mean number of busy workers per pod when requests last waited, or the highest one since. Used if the number
    /// of workers is unknown. With batching, the highest number of in-flight requests per pod.
    pub(super) busy_workers: f64,
    /// What pods with workers reported last.
    pub(super) last_workers: Workers,
    /// With batching, the service times of batches.
    pub(super) batch_times: BatchTimes,
    /// The second in which a pod last reported a completed request, or first reported.
    pub(super) completed_at: u64,
    /// While requests arrive and none completes: the replicas to keep.
    pub(super) stuck: Option<u32>,
    /// The seconds per request above which a pod counts as slow and not towards the figures of the fleet.
    pub(crate) slow_above: f64,
    /// The service time in seconds above which a pod is an outlier, although it counts, and deleted before faster ones.
    pub(crate) outlier_above: f64,
    /// Since when there is a pod of either kind.
    pub(super) slow_since: Option<Moment>,
    /// The replacement of slow pods.
    pub(super) replacement: Replacement,
    /// Since when waits exceed the target by far with incomplete metrics.
    pub(super) late_since: Option<Moment>,
}

// The cached utilisations are computed again.
visit!(ModelState: name, reported_at, second_buckets, service, restored_service, calibration, wait_percentile, envelope,
    backlog, profile,
    hold_backtest, vanished, updated_at, started, busy_workers, last_workers, batch_times, completed_at, stuck,
    slow_above, outlier_above, slow_since, replacement, late_since; ..);

/// Means over the pods that report workers; 0 if unknown. The batch size changes only by more than a quarter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Workers {
    pub(super) workers: f32,
    pub(super) batch: f32,
}

visit!(Workers: workers, batch);

impl ModelState {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            reported_at: Moment::ORIGIN,
            second_buckets: SecondBuckets::default(),
            service: Service::default(),
            restored_service: 0.0,
            calibration: Calibration::default(),
            wait_percentile: None,
            envelope: Envelope::default(),
            utilisations: UtilisationCache::default(),
            backlog: BacklogProposals::default(),
            profile: Profile::default(),
            hold_backtest: HoldBacktest::default(),
            vanished: VanishedDemand::default(),
            updated_at: 0,
            started: None,
            busy_workers: 0.0,
            last_workers: Workers::default(),
            batch_times: BatchTimes::default(),
            completed_at: 0,
            stuck: None,
            slow_above: f64::INFINITY,
            outlier_above: f64::INFINITY,
            slow_since: None,
            replacement: Replacement::default(),
            late_since: None,
        }
    }

    /// Assumes that the fleet is outside of the envelope, as it was before a restart.
    pub(crate) fn start_outside_envelope(&mut self) {
        self.envelope = Envelope::outside();
    }

    /// Forgets whether the fleet is outside of the envelope.
    pub(crate) fn forget_envelope(&mut self) {
        self.envelope = Envelope::default();
    }

    /// Learns from one pod's reading of this model; `None` if the reading does not contain the model.
    ///
    /// `fresh_for` is how long the reading is fresh. `counts_since` is the time since which all counts of the pod are
    /// new, if known. `serves` is whether the pod is ready for requests.
    pub(crate) fn learn(
        &mut self,
        history: &mut PodHistory,
        taken: Moment,
        fresh_for: Duration,
        reading: Option<&ModelReading>,
        counts_since: Option<Moment>,
        serves: bool,
    ) {
        let service = self.service.known();
        let Some(mut increment) = history.update(taken, fresh_for, reading, counts_since, service)
        else {
            return;
        };
        if increment.has_completed || self.completed_at == 0 {
            let second = taken.since_origin().as_secs();
            self.completed_at = self.completed_at.max(second);
        }
        let elapsed = increment.to.since(increment.from).as_secs_f64();
        let delta = &mut increment.delta;
        if let Some(service) = self.service.known() {
            let slots = f64::from(history.queue().map_or(1, |queue| queue.slots()));
            // Each worker may complete a request at any time, even if requests take long. Without this, a service time
            // of more than 200 s never changed again.
            let max = slots * (1.0 + PLAUSIBLE_FACTOR / service * (elapsed + 1.0));
            if delta.arrivals > max + PLAUSIBLE_QUEUED || delta.completed > max {
                *delta = Delta::default();
                increment.saturated = None;
                increment.timed = Timed::default();
            }
        }
        if history.work.is_slow(self.slow_above) {
            // Its times say nothing about the other pods, nor about this one once it has recovered.
            history.forget_own_service();
            delta.clear_completed();
            increment.saturated = None;
            increment.timed = Timed::default();
        }
        if let Some(waits) = &mut self.wait_percentile
            && let Some(queue) = history.queue().filter(|queue| queue.workers > 0)
            && serves
            && elapsed > 0.0
            && !history.work.is_slow(self.slow_above)
        {
            waits.add(queue.waiting, delta.arrivals / elapsed);
        }
        self.service.learn(delta);
        self.service.learn_timed(increment.timed);
        if let Some(saturated) = increment.saturated {
            self.service.learn_saturated(saturated);
        }
        let bucket = &mut history.bucket;
        self.second_buckets
            .add(increment.from, increment.to, bucket, *delta, serves);
    }

    /// Returns whether requests have arrived within five minutes.
    pub(crate) fn has_arrivals(&self) -> bool {
        self.second_buckets.window(300).arrivals > 0.0
    }

    /// Returns whether the pod's requests take much longer than those of the other pods.
    pub(crate) fn is_slow(&self, history: &PodHistory) -> bool {
        let own = history.own_service();
        history.work.is_slow(self.slow_above)
            || own.is_some_and(|service| f64::from(service) > self.outlier_above)
    }

    /// Returns the service time in seconds that was measured before a restart, if any.
    pub(super) fn restored_service(&self) -> Option<f64> {
        (self.restored_service > 0.0).then_some(self.restored_service)
    }

    /// Returns what was learned, with buckets since the origin of moments.
    pub(crate) fn checkpoint(&self) -> ModelCheckpoint {
        ModelCheckpoint {
            name: Arc::clone(&self.name),
            service_seconds: self.service.known().or(self.restored_service()),
            savings: self.profile.savings(),
            rates: self.profile.series(),
        }
    }

    /// Adds what was learned before a restart, with buckets since the origin of moments.
    pub(crate) fn restore(&mut self, now: Moment, checkpoint: &ModelCheckpoint) {
        self.restored_service = checkpoint.service().unwrap_or(0.0);
        self.profile
            .restore(now.since_origin().as_secs(), checkpoint);
    }

    /// Returns the part of a checkpoint that would be restored now; `None` if it has no rate of the last week.
    pub(crate) fn still_known(
        now: Moment,
        checkpoint: &ModelCheckpoint,
    ) -> Option<ModelCheckpoint> {
        let mut model = Self::new(Arc::clone(&checkpoint.name));
        model.restore(now, checkpoint);
        let known = model.checkpoint();
        (!known.rates.is_empty()).then_some(known)
    }

    /// Returns the sums of these seconds since the origin.
    pub(crate) fn measured(&self, seconds: Range<u64>) -> Window {
        self.second_buckets.between(seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Counters, Queue};

    const FRESH: Duration = Duration::from_secs(3);

    fn at(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    fn reading_of(counters: Counters) -> ModelReading {
        ModelReading {
            name: "sleepy".to_owned(),
            counters: Some(counters),
            queue: Some(Queue {
                workers: 4,
                batch_size: 1,
                ..Queue::default()
            }),
            ..ModelReading::default()
        }
    }

    fn counted(arrivals: u64, completed: u64, each: Duration) -> Counters {
        let sum = |one: Duration| Duration::from_secs_f64(one.as_secs_f64() * completed as f64);
        Counters {
            arrivals,
            rejected: 0,
            completed: Some(completed),
            total_wait: Duration::ZERO,
            total_sojourn: sum(each),
        }
    }

    #[test]
    fn the_state_of_a_model_is_at_most_20_kb() {
        let state = ModelState::new("sleepy".into());
        let inline = size_of::<ModelState>();
        let total = inline + state.second_buckets.heap_bytes() + state.profile.heap_bytes() + 512;
        assert!(total <= 20_500, "{total} bytes, {inline} of them inline");
    }

    /// Lost, late and duplicate pushes do not change the totals, except for the end that is lost.
    #[test]
    fn lost_pushes_do_not_change_the_totals() {
        for seed in 1..=256 {
            let mut chance = Chance::new(seed);
            let rate = chance.below(400);
            let seconds = 20 + chance.below(180);
            // Beyond the end, there is no restart.
            let restart_at = 5 + chance.below(250);
            let mut model = ModelState::new("sleepy".into());
            let mut history = PodHistory::default();
            let (mut arrivals, mut expected, mut last) = (1000, 0, None);
            for second in 1..=seconds {
                arrivals += rate;
                if second == restart_at {
                    // The counters restart from zero; counts since the last reading are lost.
                    arrivals = rate;
                }
                if chance.uniform() < 0.7 {
                    let reading =
                        reading_of(counted(arrivals, arrivals, Duration::from_millis(10)));
                    model.learn(&mut history, at(second), FRESH, Some(&reading), None, true);
                    expected += match last {
                        Some(last) if arrivals >= last => arrivals - last,
                        Some(_) => arrivals,
                        None => 0,
                    };
                    last = Some(arrivals);
                }
            }
            let found = model.second_buckets.window(300).arrivals;
            assert!(
                (found - expected as f64).abs() <= 1e-3 * expected as f64 + 1.0,
                "seed {seed}: {found} is not {expected}"
            );
        }
    }

    /// 1500 requests per second of 5 ms, of which a fifth is timed, in a queue of 100 that is always full.
    #[test]
    fn a_full_queue_shows_that_few_requests_are_timed() {
        let mut model = ModelState::new("sleepy".into());
        let mut history = PodHistory::default();
        for second in 1..=60 {
            let completed = 1500 * second;
            let timed = Duration::from_millis(completed / 5);
            let mut reading = reading_of(Counters {
                arrivals: completed + 108,
                rejected: 0,
                completed: Some(completed),
                total_wait: 67 * timed,
                total_sojourn: 72 * timed,
            });
            reading.queue = Some(Queue {
                waiting: 100,
                in_flight: 8,
                workers: 8,
                batch_size: 1,
                ..Queue::default()
            });
            model.learn(&mut history, at(second), FRESH, Some(&reading), None, true);
            model.service.measure(&model.second_buckets, false, true);
        }
        assert!(model.service.untimed());
        let service = model.service.of_all(None).unwrap();
        assert!((0.004..0.006).contains(&service), "{service}");
    }

    /// Broken counters never cause a negative or a huge delta.
    #[test]
    fn broken_counters_are_ignored() {
        for seed in 1..=256 {
            let mut chance = Chance::new(seed);
            let mut model = ModelState::new("sleepy".into());
            let mut history = PodHistory::default();
            for second in 1..=60 {
                let reading = reading_of(counted(
                    10 * second,
                    10 * second,
                    Duration::from_millis(100),
                ));
                model.learn(&mut history, at(second), FRESH, Some(&reading), None, true);
            }
            model.service.measure(&model.second_buckets, false, true);
            for second in 61..=100 {
                let nanos = chance.word();
                let counters = Counters {
                    arrivals: chance.word(),
                    completed: Some(chance.word()),
                    rejected: 0,
                    total_wait: Duration::from_nanos(nanos),
                    total_sojourn: Duration::from_nanos(nanos / 2),
                };
                model.learn(
                    &mut history,
                    at(second),
                    FRESH,
                    Some(&reading_of(counters)),
                    None,
                    true,
                );
                for seconds in [2, 10, 60, 300] {
                    let window = model.second_buckets.window(seconds);
                    // 4 workers at 100 ms: 40/s; a hundred times that, plus a second of margin.
                    let completed = 4000.0 * 2.0 * (seconds as f64 + 1.0);
                    let arrivals = completed + PLAUSIBLE_QUEUED * (seconds as f64 + 1.0);
                    for found in [
                        window.arrivals,
                        window.completed,
                        window.waited,
                        window.served,
                    ] {
                        assert!(found >= 0.0 && found.is_finite(), "seed {seed}: {window:?}");
                    }
                    assert!(
                        window.arrivals <= arrivals && window.completed <= completed,
                        "seed {seed}: {window:?}"
                    );
                }
            }
        }
    }

    /// The variability computed from counters is within 15% of that of the single times, with the same decay and over
    /// many moments, because single moments of heavy-tailed times vary too much.
    #[test]
    fn the_variability_follows_from_the_spread_of_means() {
        let mut seed = 36;
        for per_second in [5.0, 20.0, 100.0, 500.0] {
            for cv in [0.5, 1.0, 2.0] {
                seed += 1;
                let (found, truth) = variability(&mut Chance::new(seed), per_second, cv);
                assert!(
                    (found / truth - 1.0).abs() < 0.15,
                    "{per_second}/s, cv {cv}: {found} for {truth}"
                );
            }
        }
    }

    /// Returns the sums of the computed and of the true variability over the lifetime of ten pods.
    fn variability(chance: &mut Chance, per_second: f64, cv: f64) -> (f64, f64) {
        let mut model = ModelState::new("sleepy".into());
        let pods = 10;
        let mut histories = vec![PodHistory::default(); pods];
        let mut counts = vec![(0_u64, 0.0_f64); pods];
        // Lognormal: ln(1 + cv²) is the variance of the logarithm.
        let spread = (1.0_f64 + cv * cv).ln();
        let (mut sum, mut squares, mut number) = (0.0, 0.0, 0.0);
        let (mut found, mut truth) = (0.0, 0.0);
        let span = if per_second < 100.0 { 20_000 } else { 2000 };
        for second in 1..=span {
            for (history, count) in histories.iter_mut().zip(&mut counts) {
                for _ in 0..chance.poisson(per_second / pods as f64) {
                    let time = 0.1 * (spread.sqrt() * chance.normal() - spread / 2.0).exp();
                    count.0 += 1;
                    count.1 += time;
                    (sum, squares, number) = (sum + time, squares + time * time, number + 1.0);
                }
                let counters = Counters {
                    total_sojourn: Duration::from_secs_f64(count.1),
                    ..counted(count.0, count.0, Duration::ZERO)
                };
                model.learn(
                    history,
                    at(second),
                    FRESH,
                    Some(&reading_of(counters)),
                    None,
                    true,
                );
            }
            model.service.measure(&model.second_buckets, false, true);
            model.service.decay(60.0);
            for known in [&mut sum, &mut squares, &mut number] {
                *known *= 1.0 - 1.0 / 120.0;
            }
            if second > 300 && second % 120 == 0 {
                model.service.update_variation();
                let mean = sum / number;
                found += model.service.variation();
                truth += (squares / number - mean * mean) / (mean * mean);
            }
        }
        (found, truth)
    }

    /// A random generator for tests (xorshift).
    struct Chance(u64);

    impl Chance {
        fn new(seed: u64) -> Self {
            let mut chance = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            // Neighbouring seeds start with similar numbers.
            for _ in 0..8 {
                chance.word();
            }
            chance
        }

        fn word(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: u64) -> u64 {
            self.word() % end
        }

        fn uniform(&mut self) -> f64 {
            ((self.word() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            let (a, b) = (self.uniform(), self.uniform());
            (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        }

        fn poisson(&mut self, mean: f64) -> u32 {
            let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0);
            while product > limit {
                product *= self.uniform();
                count += 1;
            }
            count
        }
    }
}

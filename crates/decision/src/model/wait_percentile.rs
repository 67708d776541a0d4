//! Estimates a percentile of the wait from the queues of the pods, because servers report only the sums of waits.
//!
//! A request waits for at least `k` completions if it finds all workers of its pod busy and `k − 1` or more requests
//! waiting. As many requests arrive to find that as complete and leave it behind. While `k` or more wait, all `c`
//! workers are busy and complete `c / s` requests per second. The share of the requests that wait for at least `k`
//! completions is therefore the share of the time in which `k` or more wait, divided by the utilisation. This holds for
//! any load balancing and any arrivals.
//!
//! The time that `k` completions take has a gamma distribution with the mean `k · s / c` and the squared coefficient of
//! variation `cₛ² / k`.

use crate::latency::Latency;
use crate::snapshot::visit;

use super::capacity::Capacity;
use super::queueing::{Wait, highest};

/// The shortest time in seconds, and the shortest time in service times, after which a block of queues is complete. An
/// estimate covers the current block and the one before.
const QUEUES_SECONDS: f64 = 150.0;
const QUEUES_SERVICES: f64 = 75.0;

/// The samples beyond the percentile that a block contains on average before it is complete, and that an estimate
/// needs.
const BEYOND: f64 = 10.0;

/// The highest squared coefficient of variation for which the distribution of one service time is a good approximation.
const MAX_VARIATION: f64 = 4.0;

/// Numbers of waiting requests up to this are counted one by one, and larger ones in eight steps per doubling.
const ONE_BY_ONE: u32 = 16;
const PER_DOUBLING: u32 = 8;

/// The classes of numbers of waiting requests, up to 4,095.
const CLASSES: usize = 80;

/// The queues of the last minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitPercentile {
    /// All of them.
    all: Blocks,
    /// Those of a steady load, which the calibration learns from.
    steady: Blocks,
    is_steady: bool,
    /// With `LeastRequest`, the number of pods that share a queue; 0 for all.
    sharing: f64,
}

visit!(WaitPercentile: all, steady, is_steady, sharing);

/// The properties of a pod, and the percentile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// The service time in seconds.
    pub(super) seconds: f64,
    /// Requests that a pod processes in parallel.
    pub(super) slots: u32,
    /// The squared coefficient of variation of the service time.
    pub(super) variation: f64,
    /// The share of the requests that wait longer than the percentile.
    pub(super) beyond: f64,
}

/// An estimated percentile of the wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The wait in seconds.
    pub(crate) seconds: f64,
    /// The number of queues, one per pod and reading.
    pub(crate) samples: u32,
    /// The time that they cover, in seconds.
    pub(crate) span: u32,
}

impl Estimate {
    /// Returns the wait.
    pub(crate) fn latency(&self) -> Latency {
        Latency::from_secs_f64(self.seconds).unwrap_or(Latency::ZERO)
    }

    /// Returns the seconds that it covers, as whole minutes if those are at least two.
    pub(super) fn seconds_covered(&self) -> u64 {
        let span = u64::from(self.span);
        if span < 120 { span } else { span / 60 * 60 }
    }
}

/// The blocks that an estimate covers.
#[derive(Clone, Debug, Default)]
struct Blocks {
    current: Block,
    before: Block,
}

visit!(Blocks: current, before);

/// The queues of a few minutes.
#[derive(Clone, Debug, Default)]
struct Block {
    /// The samples by the number of waiting requests; empty before the first one.
    waiting: Vec<u32>,
    samples: u32,
    /// The sum of the pods' arrival rates over the samples.
    rates: f64,
    /// The seconds that have passed, and the sum of the utilisation over them.
    seconds: u32,
    utilisations: f64,
}

visit!(Block: waiting, samples, rates, seconds, utilisations);

impl Service {
    /// Returns what a percentile is estimated with; `None` for a mean, and with batching.
    pub(super) fn of(capacity: &Capacity, variation: f64, batch: f64) -> Option<Self> {
        let Wait::Exceeded(beyond) = capacity.wait else {
            return None;
        };
        (batch <= 1.0).then(|| Self {
            seconds: capacity.service,
            slots: capacity.slots,
            variation: variation.min(MAX_VARIATION),
            beyond: beyond.into(),
        })
    }
}

impl WaitPercentile {
    /// Adds the queue of a pod: the requests that wait in it, and those that have arrived per second since its last
    /// reading.
    pub(super) fn add(&mut self, waiting: u32, rate: f64) {
        self.all.current.add(waiting, rate);
        if self.is_steady {
            self.steady.current.add(waiting, rate);
        }
    }

    /// Ends a second, with the utilisation of the pods if the load is steady.
    pub(super) fn end_second(&mut self, steady: Option<f64>, service: &Service) {
        self.all.end_second(0.0, service);
        if let Some(utilisation) = steady {
            self.steady.end_second(utilisation, service);
        }
        self.is_steady = steady.is_some();
    }

    /// Returns the number of pods that share a queue if requests avoid loaded pods; infinite for all.
    pub(super) fn sharing(&self) -> f64 {
        if self.sharing > 0.0 {
            self.sharing
        } else {
            f64::INFINITY
        }
    }

    /// Changes the number of pods that share a queue by a factor, between one and all `pods`.
    pub(super) fn change_sharing(&mut self, factor: f64, pods: f64) {
        self.sharing = (self.sharing().min(pods) * factor).clamp(1.0, pods);
    }

    /// Returns the estimate, once there are enough samples.
    pub(super) fn estimate(&self, service: &Service) -> Option<Estimate> {
        self.all.estimate(service)
    }

    /// Returns the estimate for the steady load, in seconds, and its mean utilisation, once there are enough samples.
    pub(super) fn steady(&self, service: &Service) -> Option<(f64, f64)> {
        let estimate = self.steady.estimate(service)?;
        let utilisations = self.steady.sum(|block| block.utilisations);
        Some((
            estimate.seconds,
            utilisations / f64::from(estimate.span.max(1)),
        ))
    }
}

impl Blocks {
    fn end_second(&mut self, utilisation: f64, service: &Service) {
        let block = &mut self.current;
        block.seconds += 1;
        block.utilisations += utilisation;
        let is_complete = f64::from(block.seconds)
            >= QUEUES_SECONDS.max(QUEUES_SERVICES * service.seconds)
            && f64::from(block.samples) * service.beyond >= BEYOND;
        if is_complete {
            std::mem::swap(&mut self.current, &mut self.before);
            self.current.clear();
        }
    }

    fn sum(&self, of: impl Fn(&Block) -> f64) -> f64 {
        of(&self.current) + of(&self.before)
    }

    fn estimate(&self, service: &Service) -> Option<Estimate> {
        let samples = self.sum(|block| block.samples.into());
        let rates = self.sum(|block| block.rates);
        if samples * service.beyond < BEYOND || rates <= 0.0 {
            return None;
        }
        // The mean time between two completions of a pod whose workers are all busy.
        let each = service.seconds / f64::from(service.slots);
        let busy = (rates * each).min(samples);
        // The classes with samples: the requests of each, and its samples.
        let mut found = [(0.0, 0.0); CLASSES];
        let mut classes = 0;
        for class in 1..CLASSES {
            let count = self.sum(|block| block.count(class).into());
            if count > 0.0 {
                found[classes] = (requests(class), count);
                classes += 1;
            }
        }
        let found = &found[..classes];
        let longer = |wait: f64| {
            let tails = found
                .iter()
                .map(|(number, count)| count * gamma_tail(*number, service.variation, wait / each));
            tails.sum::<f64>() / busy
        };
        let longest = found.last().map_or(0.0, |(number, _)| {
            each * (2.0 * number + 20.0 * (1.0 + service.variation))
        });
        Some(Estimate {
            seconds: highest(longest, |wait| longer(wait) > service.beyond),
            samples: self.current.samples + self.before.samples,
            span: self.current.seconds + self.before.seconds,
        })
    }
}

impl Block {
    fn add(&mut self, waiting: u32, rate: f64) {
        self.waiting.resize(CLASSES, 0);
        self.waiting[class(waiting)] += 1;
        self.samples += 1;
        self.rates += rate;
    }

    fn count(&self, class: usize) -> u32 {
        self.waiting.get(class).copied().unwrap_or(0)
    }

    /// Removes all samples, and keeps the memory.
    fn clear(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.fill(0);
        *self = Self {
            waiting,
            ..Self::default()
        };
    }
}

/// Returns the class of a number of waiting requests.
fn class(waiting: u32) -> usize {
    if waiting < ONE_BY_ONE {
        return waiting as usize;
    }
    let doublings = waiting.ilog2() - ONE_BY_ONE.ilog2();
    // The first bits of the number, from `PER_DOUBLING` to twice as much.
    let first = waiting >> (doublings + ONE_BY_ONE.ilog2() - PER_DOUBLING.ilog2());
    ((ONE_BY_ONE + doublings * PER_DOUBLING + first - PER_DOUBLING) as usize).min(CLASSES - 1)
}

/// Returns the mean number of waiting requests in a class.
fn requests(class: usize) -> f64 {
    let class = u32::try_from(class).unwrap_or(u32::MAX);
    let Some(above) = class.checked_sub(ONE_BY_ONE) else {
        return class.into();
    };
    let (doublings, step) = (above / PER_DOUBLING, above % PER_DOUBLING);
    let width = f64::from((ONE_BY_ONE / PER_DOUBLING) << doublings);
    f64::from(PER_DOUBLING + step) * width + (width - 1.0) / 2.0
}

/// Returns the probability that `number` times exceed `sum` together, whose mean is 1 and whose squared coefficient of
/// variation is `variation`.
///
/// It is the tail of a gamma distribution, by the approximation of Wilson and Hilferty.
fn gamma_tail(number: f64, variation: f64, sum: f64) -> f64 {
    let spread = variation / (9.0 * number);
    let deviations = ((sum / number).cbrt() - 1.0 + spread) / spread.sqrt();
    // The tail of the normal distribution, to 0.0002.
    1.0 / (1.0 + (1.5976 * deviations + 0.07056 * deviations.powi(3)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service {
        seconds: 0.1,
        slots: 1,
        variation: 1.0,
        beyond: 0.05,
    };

    /// The queue of one worker that is busy for half of the time: with exponential service times, the share of the
    /// time in which `k` or more wait is 0.5 to the power of `k + 1`.
    fn half_busy(samples: u32) -> WaitPercentile {
        let mut queues = WaitPercentile::default();
        for sample in 0..samples {
            // Each sample is one of 1024 equally frequent states.
            let state = (sample * 389) % 1024;
            let in_system = 9_u32.saturating_sub((state + 1).ilog2());
            queues.add(in_system.saturating_sub(1), 5.0);
        }
        queues
    }

    #[test]
    fn the_estimate_of_an_exponential_queue_is_that_of_the_formula() {
        let queues = half_busy(4096);
        for beyond in [0.25, 0.1, 0.05, 0.02] {
            let service = Service { beyond, ..SERVICE };
            let found = queues.estimate(&service).unwrap().seconds;
            // ln(ρ / beyond) / (1 − ρ) service times.
            let expected = 0.1 * f64::ln(0.5 / beyond) / 0.5;
            assert!(
                (found / expected - 1.0).abs() < 0.07,
                "{beyond}: {found} for {expected}"
            );
        }
        // Hardly any request waits.
        let median = Service {
            beyond: 0.51,
            ..SERVICE
        };
        assert!(queues.estimate(&median).unwrap().seconds < 1e-6);
    }

    #[test]
    fn too_few_samples_have_no_estimate() {
        assert_eq!(half_busy(199).estimate(&SERVICE), None);
        assert_eq!(half_busy(200).estimate(&SERVICE).unwrap().samples, 200);
        let rare = Service {
            beyond: 0.01,
            ..SERVICE
        };
        assert_eq!(half_busy(999).estimate(&rare), None);
        assert!(half_busy(1000).estimate(&rare).is_some());
    }

    /// A load that ends is forgotten after two blocks, but not before enough samples have followed.
    #[test]
    fn the_last_minutes_count() {
        let mut queues = half_busy(1024);
        for second in 1..=300_u32 {
            for _ in 0..2 {
                queues.add(0, 0.1);
            }
            queues.end_second(None, &SERVICE);
            let found = queues.estimate(&SERVICE).unwrap();
            assert_eq!(found.seconds > 0.0, second < 300, "{second}: {found:?}");
        }
        assert_eq!(queues.steady(&SERVICE), None);
    }

    #[test]
    fn long_queues_are_counted_in_classes() {
        for waiting in (0..4000).chain([1 << 20]) {
            let found = requests(class(waiting));
            let expected = f64::from(waiting.min(3967));
            assert!(
                (found - expected).abs() <= 0.065 * expected,
                "{waiting}: {found}"
            );
        }
    }
}

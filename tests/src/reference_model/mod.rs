//! The reference implementation of the queueing model, against which the benchmarks compare Pushscale.
//!
//! It implements every rule of `QM2` in the executable specification, and of its predecessor `QM`, which lacks three of
//! them. A test replays recorded decisions of the original. Do not improve this implementation: better rules belong in
//! `pushscale-decision`, and this one shows what they are worth.

mod rate;
mod recurrence;
mod service;
mod starts;
mod surge;
mod totals;

use std::collections::{BTreeMap, VecDeque};

use pushscale_simulator::cluster::{ClusterSpec, PodState, View};
use pushscale_simulator::control::formulas::{mean_wait_of, occupancy};
use pushscale_simulator::control::{Baseline, Controller};

use rate::{Arrivals, Rate};
use recurrence::{LONG_WAIT_FACTOR, Recurrence};
use service::{DetectionWindows, Service};
use starts::Starts;
use surge::FleetState;
use totals::Totals;

/// Hold of the steady proposal, in seconds.
const HOLD: usize = 300;
/// Hold of a surge's proposal, in seconds.
const SURGE_HOLD: usize = 30;

/// Maximum planned utilisation.
const MAX_UTILISATION: f64 = 0.92;

/// Fraction of a pod that is rounded down instead of up.
const SLACK: f64 = 0.02;

/// Share of the logarithmic deviation that the calibration corrects per second.
const CALIBRATION: f64 = 0.01;
/// Seconds without a surge before the calibration starts.
const CALM: usize = 90;

/// Creates the controller with this name for one run: `qm2` or `qm`, both also with `:kappa=off`, or a baseline.
///
/// # Panics
///
/// The name is unknown.
pub fn controller(name: &str, spec: &ClusterSpec) -> Box<dyn Controller> {
    let (variant, calibrated) = match name.strip_suffix(":kappa=off") {
        Some(variant) => (variant, false),
        None => (name, true),
    };
    if !["qm", "qm2"].contains(&variant) {
        let baseline = name.parse::<Baseline>();
        return baseline
            .unwrap_or_else(|error| panic!("{error}"))
            .controller(spec);
    }
    Box::new(ReferenceModel::new(ReferenceModelOptions {
        additions: variant == "qm2",
        calibrated,
        pooled: spec.balancing.pooled(),
    }))
}

/// The variant of the reference implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceModelOptions {
    /// Whether the three additions of `QM2` are on: faster detection of new service times, the queues of old pods, and
    /// recurring bursts. Without them it is `QM`.
    pub additions: bool,
    /// Whether measured waits correct the formula.
    pub calibrated: bool,
    /// Whether the load balancing makes all pods nearly one queue.
    pub pooled: bool,
}

/// The reference implementation of the queueing model.
#[derive(Debug)]
pub struct ReferenceModel {
    options: ReferenceModelOptions,
    totals: Totals,
    service: Service,
    arrivals: Arrivals,
    starts: Starts,
    recurrence: Recurrence,
    /// The ratio of the measured wait to the computed one.
    factor: f64,
    held: VecDeque<(usize, i64)>,
    surges: VecDeque<(usize, i64)>,
    calm: usize,
    last_ready: Option<u32>,
    /// The maximum utilisation of a pod, by the rounded logarithm of the ratio that it depends on, and by workers.
    occupancies: BTreeMap<(i64, u32), f64>,
}

impl ReferenceModel {
    /// Creates a controller of this variant.
    pub fn new(options: ReferenceModelOptions) -> Self {
        let detection = if options.additions {
            DetectionWindows {
                windows: &[3, 5, 10, 20],
                min_completed: 40.0,
                when_full: 8.0,
            }
        } else {
            DetectionWindows {
                windows: &[20],
                min_completed: 100.0,
                when_full: 30.0,
            }
        };
        Self {
            options,
            totals: Totals::new(),
            service: Service::new(detection),
            arrivals: Arrivals::new(),
            starts: Starts::new(),
            recurrence: Recurrence::default(),
            factor: 1.0,
            held: VecDeque::new(),
            surges: VecDeque::new(),
            calm: 0,
            last_ready: None,
            occupancies: BTreeMap::new(),
        }
    }

    /// Returns the pods that meet the target at this rate.
    fn needed(&mut self, rate: f64, service: f64, variability: f64, view: &View<'_>) -> f64 {
        let (target, workers) = (view.goal.target, view.workers);
        if self.options.pooled {
            let mut pods = (rate * service / f64::from(workers)).floor().max(0.0) + 1.0;
            while self.factor * mean_wait_of(rate, service, workers, pods, variability, true)
                > target
                && pods < f64::from(view.goal.max)
            {
                pods += 1.0;
            }
            return pods;
        }
        let ratio = (self.factor * variability * service / target).max(1e-9);
        #[expect(clippy::cast_possible_truncation, reason = "a rounded logarithm")]
        let key = (ratio.ln() * 20.0).round_ties_even() as i64;
        let busiest = *self
            .occupancies
            .entry((key, workers))
            .or_insert_with(|| occupancy(1.0, (key as f64 / 20.0).exp(), workers, MAX_UTILISATION));
        rate * service / (f64::from(workers) * busiest)
    }

    /// Adjusts the correction factor, unless something disturbs the measurement.
    fn calibrate(&mut self, rate: Rate, service: f64, variability: f64, view: &View<'_>) {
        let ready = view.count(PodState::Ready);
        let pods = f64::from(ready.max(1));
        let (minute, _) = self.totals.window(60);
        let busy = rate.now * service / (f64::from(view.workers) * pods);
        let steady = (rate.quick - rate.now).abs() < 0.15 * rate.now;
        if !self.options.calibrated
            || self.calm < CALM
            || minute.completed < 100.0
            || !(0.3 < busy && busy < 0.92)
            || !steady
            || self.last_ready != Some(ready)
        {
            return;
        }
        let pooled = self.options.pooled;
        let computed = mean_wait_of(rate.now, service, view.workers, pods, variability, pooled);
        if computed > 1e-6 {
            let measured = minute.waited / minute.completed;
            let ratio = (measured / computed).clamp(0.02, 10.0);
            let step = (CALIBRATION * (ratio / self.factor).ln()).exp();
            self.factor = (self.factor * step).clamp(0.2, 3.0);
        }
    }

    fn plan(&mut self, view: &View<'_>) -> Option<i64> {
        let now = view.second;
        self.totals.add(view.pods);
        let replicas = i64::from(view.replicas);
        if self.held.is_empty() {
            // The initial replica count is held for one window, because there are no measurements yet.
            self.held.push_back((now, replicas));
        }
        self.starts.observe(now, view.pods);
        if self.totals.seconds < 5 {
            return None;
        }
        let workers = f64::from(view.workers);
        let target = view.goal.target;
        let ready = view.count(PodState::Ready);
        let in_system = view.in_system() as f64;
        let full = in_system > workers * f64::from(ready.max(1));
        let service = self.service.measure(&self.totals, full)?;
        self.service.record(&self.totals.groups);
        self.arrivals.record(self.totals.this_second.arrivals);
        if now.is_multiple_of(10) {
            self.service.update_variation(service);
            self.arrivals.update_dispersion();
        }
        let rate = self.arrivals.rate(&self.totals, now, self.starts.delay);
        let dispersion = self.arrivals.dispersion;
        let dispersion = if self.options.pooled {
            dispersion
        } else {
            1.0 + (dispersion - 1.0).max(0.0) / f64::from(ready.max(1))
        };
        let variability = f64::midpoint(dispersion, self.service.variation);
        let (lately, _) = self.totals.window(10);
        let waited = (lately.completed >= 5.0).then(|| lately.waited / lately.completed);
        self.calibrate(rate, service, variability, view);
        let steady = size(self.needed(rate.ahead, service, variability, view));

        let expected = self.starts.expected(now, view.pods);
        let fleet = FleetState {
            rate: rate.now,
            service,
            workers,
            target,
            ready: f64::from(ready.max(1)),
            in_system,
            expected: &expected,
            delay: self.starts.delay,
        };
        let surge = fleet.surge();
        let disturbed = surge.backlog > 0.0 || surge.extra > 0.0;
        self.calm = if disturbed { 0 } else { self.calm + 1 };
        self.last_ready = Some(ready);
        let held = highest(&mut self.held, now, steady, HOLD);
        let mut floor = 0;
        if self.options.additions {
            let long_wait =
                surge.backlog > 0.0 && waited.is_some_and(|wait| wait > LONG_WAIT_FACTOR * target);
            floor =
                self.recurrence
                    .floor(now, long_wait, steady, fleet.offered(), self.starts.delay);
        }
        let base = if steady >= replicas { steady } else { held };
        let mut wanted = 0;
        if disturbed {
            let mut pods = fleet.offered() + surge.extra;
            if self.options.additions && !self.options.pooled && surge.backlog > 0.0 {
                pods = pods.max(fleet.pods_to_drain(view.pods));
            }
            wanted = steady.max(size(pods));
        }
        let wanted = base
            .max(highest(&mut self.surges, now, wanted, SURGE_HOLD))
            .max(floor);
        let waits = waited.map_or(in_system > 0.0, |wait| wait > target);
        if wanted < replicas && waits && ready >= view.replicas {
            // Never scale down while requests wait too long.
            return Some(replicas);
        }
        Some(wanted)
    }
}

impl Controller for ReferenceModel {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        if view.silent {
            self.totals.record_gap();
            return None;
        }
        let wanted = self.plan(view)?;
        let wanted = u32::try_from(wanted.max(0)).unwrap_or(u32::MAX);
        Some(view.goal.clamp(wanted))
    }
}

/// Converts to a whole number toward zero, saturating at 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a double saturates"
)]
fn whole(number: f64) -> usize {
    number as usize
}

/// Rounds up to whole pods, with [`SLACK`].
#[expect(clippy::cast_possible_truncation, reason = "a double saturates")]
fn size(pods: f64) -> i64 {
    (pods - SLACK).ceil() as i64
}

/// Adds a proposal and returns the highest one of the last `seconds`.
fn highest(sizes: &mut VecDeque<(usize, i64)>, now: usize, size: i64, seconds: usize) -> i64 {
    sizes.push_back((now, size));
    while sizes.front().is_some_and(|(at, _)| at + seconds < now) {
        sizes.pop_front();
    }
    sizes.iter().map(|(_, size)| *size).max().unwrap_or(size)
}

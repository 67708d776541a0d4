//! The arrival rate, its trend and its head-room.

use std::collections::VecDeque;

use super::totals::Totals;
use super::whole;

/// Window of the mean that follows a falling rate, in seconds.
const SLOW: usize = 60;

/// Windows that detect a rising rate, in seconds.
const QUICK: [usize; 4] = [2, 5, 10, 20];
/// A rise counts if it exceeds this number of standard errors.
const ERRORS: f64 = 2.0;

/// Seconds from which the dispersion of arrivals is computed.
const DISPERSION_WINDOW: usize = 300;
/// Minimum seconds for the dispersion.
const MIN_SECONDS: usize = 30;

/// Window of the trend, in seconds.
const TREND: usize = 60;
/// A trend counts if it exceeds this number of standard errors.
const TREND_ERRORS: f64 = 4.0;
/// Sum of the squared distances of 60 seconds from their mean.
const TREND_SQUARES: f64 = 17995.0;

/// Number of planned rates to keep, one per second, for the comparison with the actual rates.
const PLANS: usize = 512;
/// Number of comparisons to keep.
const COMPARED: usize = 360;
/// Minimum comparisons for head-room.
const MIN_COMPARED: usize = 24;
/// The quantile of the comparisons that gives the head-room.
const QUANTILE: f64 = 0.9;
/// Maximum head-room, as a factor.
const MAX_HEADROOM: f64 = 1.5;

#[derive(Debug)]
pub(super) struct Arrivals {
    seconds: VecDeque<f64>,
    /// Variance of the arrivals per second, divided by their mean.
    pub(super) dispersion: f64,
    plans: VecDeque<f64>,
    compared: VecDeque<f64>,
    headroom: f64,
}

/// Arrival rates, in requests per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// The current rate.
    pub(super) now: f64,
    /// The rate of the last ten seconds.
    pub(super) quick: f64,
    /// The rate at the time when pods created now are ready, with head-room.
    pub(super) ahead: f64,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            seconds: VecDeque::new(),
            dispersion: 1.0,
            plans: VecDeque::new(),
            compared: VecDeque::new(),
            headroom: 1.0,
        }
    }

    pub(super) fn record(&mut self, arrivals: f64) {
        keep(&mut self.seconds, arrivals, DISPERSION_WINDOW);
    }

    pub(super) fn update_dispersion(&mut self) {
        let count = self.seconds.len();
        let mean = self.seconds.iter().sum::<f64>() / count.max(1) as f64;
        if count < MIN_SECONDS || mean <= 0.2 {
            return;
        }
        let next = self.seconds.iter().skip(1);
        let squares = next.zip(&self.seconds).map(|(b, a)| (b - a) * (b - a));
        let mean_square = squares.sum::<f64>() / (count - 1) as f64;
        self.dispersion = (mean_square / 2.0 / mean).clamp(0.5, 20.0);
    }

    pub(super) fn rate(&mut self, totals: &Totals, now: usize, delay: f64) -> Rate {
        let mean = |seconds: usize| {
            let (sums, seconds) = totals.window(seconds);
            (sums.arrivals / seconds, seconds)
        };
        let (mut rate, _) = mean(SLOW);
        for (found, seconds) in QUICK.map(mean) {
            let error = (self.dispersion * found.max(1.0 / seconds) / seconds).sqrt();
            rate = rate.max(found - ERRORS * error);
        }
        let ahead = self.trend(rate, delay);
        keep(&mut self.plans, ahead, PLANS);
        self.compare(totals, now, delay);
        Rate {
            now: rate,
            quick: mean(10).0,
            ahead: ahead * self.headroom,
        }
    }

    fn trend(&self, rate: f64, delay: f64) -> f64 {
        let count = self.seconds.len();
        if count < TREND {
            return rate;
        }
        let last = || self.seconds.iter().skip(count - TREND).copied();
        let mean = last().sum::<f64>() / TREND as f64;
        let away = |index: usize| index as f64 - (TREND as f64 - 1.0) / 2.0;
        let slope: f64 = last()
            .enumerate()
            .map(|(index, arrivals)| away(index) * arrivals)
            .sum::<f64>()
            / TREND_SQUARES;
        let residues: f64 = last()
            .enumerate()
            .map(|(index, arrivals)| arrivals - mean - slope * away(index))
            .map(|residue| residue * residue)
            .sum();
        let error = ((residues / (TREND as f64 - 2.0)).max(1e-9) / TREND_SQUARES).sqrt();
        if slope <= TREND_ERRORS * error {
            return rate;
        }
        (rate + slope * (delay + 10.0).min(90.0)).min(1.5 * rate)
    }

    /// Compares the current rate with the rate that was planned one start delay ago, and updates the head-room.
    fn compare(&mut self, totals: &Totals, now: usize, delay: f64) {
        let ago = whole(delay.clamp(5.0, 500.0));
        if !now.is_multiple_of(5) || self.plans.len() <= ago {
            return;
        }
        let (sums, seconds) = totals.window(20);
        let planned = self.plans[self.plans.len() - 1 - ago];
        let beyond = sums.arrivals / seconds / planned.max(1e-6);
        keep(&mut self.compared, beyond, COMPARED);
        if self.compared.len() < MIN_COMPARED {
            return;
        }
        let mut sorted: Vec<f64> = self.compared.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let index = whole(QUANTILE * (sorted.len() - 1) as f64);
        self.headroom = sorted[index].clamp(1.0, MAX_HEADROOM);
    }
}

fn keep(queue: &mut VecDeque<f64>, value: f64, most: usize) {
    queue.push_back(value);
    if queue.len() > most {
        queue.pop_front();
    }
}

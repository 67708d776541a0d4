//! At which rate requests arrive, and where it leads.

use std::collections::VecDeque;

use super::totals::Totals;

/// A fall counts after so many seconds.
const SLOW: usize = 60;

/// A rise counts within these, in seconds, as soon as it is beyond so many standard errors.
const QUICK: [usize; 4] = [2, 5, 10, 20];
const ERRORS: f64 = 2.0;

/// The unevenness of arrivals is taken from so many seconds.
const UNEVENNESS: usize = 300;
const FEWEST_SECONDS: usize = 30;

/// A trend is taken from so many seconds, and counts beyond so many standard errors.
const TREND: usize = 60;
const TREND_ERRORS: f64 = 4.0;
/// The sum of squared distances of 60 seconds from their middle.
const TREND_SQUARES: f64 = 17995.0;

/// Plans are kept for so many seconds, to be compared with what came.
const PLANS: usize = 512;
/// Comparisons kept, the fewest that count, their quantile, and the most head-room that they give.
const COMPARED: usize = 360;
const FEWEST_COMPARED: usize = 24;
const QUANTILE: f64 = 0.9;
const MOST_HEADROOM: f64 = 1.5;

#[derive(Debug)]
pub(super) struct Arrivals {
    seconds: VecDeque<f64>,
    /// Variance over mean of the counts of seconds.
    pub(super) unevenness: f64,
    plans: VecDeque<f64>,
    compared: VecDeque<f64>,
    headroom: f64,
}

/// Requests a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Now.
    pub(super) now: f64,
    /// Of the last ten seconds.
    pub(super) quick: f64,
    /// When pods that are ordered now will serve, with head-room.
    pub(super) ahead: f64,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            seconds: VecDeque::new(),
            unevenness: 1.0,
            plans: VecDeque::new(),
            compared: VecDeque::new(),
            headroom: 1.0,
        }
    }

    pub(super) fn remember(&mut self, arrivals: f64) {
        keep(&mut self.seconds, arrivals, UNEVENNESS);
    }

    pub(super) fn settle_unevenness(&mut self) {
        let count = self.seconds.len();
        let mean = self.seconds.iter().sum::<f64>() / count.max(1) as f64;
        if count < FEWEST_SECONDS || mean <= 0.2 {
            return;
        }
        let next = self.seconds.iter().skip(1);
        let squares = next.zip(&self.seconds).map(|(b, a)| (b - a) * (b - a));
        let mean_square = squares.sum::<f64>() / (count - 1) as f64;
        self.unevenness = (mean_square / 2.0 / mean).clamp(0.5, 20.0);
    }

    pub(super) fn rate(&mut self, totals: &Totals, now: usize, delay: f64) -> Rate {
        let mean = |seconds: usize| {
            let (sums, seconds) = totals.window(seconds);
            (sums.arrivals / seconds, seconds)
        };
        let (mut rate, _) = mean(SLOW);
        for (found, seconds) in QUICK.map(mean) {
            let error = (self.unevenness * found.max(1.0 / seconds) / seconds).sqrt();
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

    /// How far the rate went beyond what was planned for one start delay ago.
    fn compare(&mut self, totals: &Totals, now: usize, delay: f64) {
        let ago = super::formulas::whole(delay.clamp(5.0, 500.0)) as usize;
        if !now.is_multiple_of(5) || self.plans.len() <= ago {
            return;
        }
        let (sums, seconds) = totals.window(20);
        let planned = self.plans[self.plans.len() - 1 - ago];
        let beyond = sums.arrivals / seconds / planned.max(1e-6);
        keep(&mut self.compared, beyond, COMPARED);
        if self.compared.len() < FEWEST_COMPARED {
            return;
        }
        let mut sorted: Vec<f64> = self.compared.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let place = super::formulas::whole(QUANTILE * (sorted.len() - 1) as f64) as usize;
        self.headroom = sorted[place].clamp(1.0, MOST_HEADROOM);
    }
}

fn keep(queue: &mut VecDeque<f64>, value: f64, most: usize) {
    queue.push_back(value);
    if queue.len() > most {
        queue.pop_front();
    }
}

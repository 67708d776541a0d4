//! How many requests arrive, how unevenly, and where that is going.

use crate::snapshot::Snapshot;

use super::second_buckets::SecondBuckets;

/// A fall of the rate counts when so many seconds show it.
const SLOW: u64 = 60;

/// A rise counts as soon as one of these windows shows it beyond doubt, in seconds.
const QUICK: [u64; 4] = [2, 5, 10, 20];

/// Doubt, in standard deviations.
const DOUBT: f64 = 2.0;

/// The trend is taken over so many seconds, and counts beyond so many standard errors.
const TREND: usize = 60;
const TREND_ERRORS: f64 = 4.0;

/// So many of the newest seconds may be incomplete.
const LATE: usize = 4;

/// A trend raises the rate by half at most.
const TREND_MOST: f64 = 1.5;

/// No trend is followed further ahead than this, in seconds.
const AHEAD_MOST: f64 = 90.0;

/// How uneven arrivals are is taken over so many seconds, and not before so many.
const UNEVEN: u64 = 300;
const UNEVEN_LEAST: usize = 30;

/// Below this rate, per second, a second's count says nothing of unevenness.
const UNEVEN_RATE: f64 = 0.2;

/// What is known of arrivals. Rates per second, over the whole fleet.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// Variance over mean of a second's arrivals; 1 for Poisson.
    unevenness: f64,
}

/// The rate now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// At least this, beyond doubt, or the mean of a minute if that is more.
    pub(crate) now: f64,
    /// The mean of the last minute.
    pub(crate) slow: f64,
    /// The seconds that `now` was seen in.
    pub(crate) seen_in: u64,
    /// The rate when pods ordered now are ready, if the trend goes on.
    pub(crate) ahead: f64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { unevenness: 1.0 }
    }
}

impl Arrivals {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.f64(&mut self.unevenness);
    }

    /// The rate now, and `delay` seconds ahead.
    pub(crate) fn rate(&self, second_buckets: &SecondBuckets, delay: f64) -> Rate {
        let slow = second_buckets.window(SLOW).rate();
        let (mut now, mut seen_in) = (slow, SLOW);
        for seconds in QUICK {
            let window = second_buckets.window(seconds);
            let rate = window.rate();
            let told = window.seconds.max(1e-9);
            let sure = rate - DOUBT * (self.unevenness * rate.max(1.0 / told) / told).sqrt();
            if window.seconds > 0.0 && sure > now {
                (now, seen_in) = (sure, seconds);
            }
        }
        let ahead = match trend(second_buckets) {
            Some(slope) => (now + slope * (delay + 10.0).min(AHEAD_MOST)).min(TREND_MOST * now),
            None => now,
        };
        Rate {
            now,
            slow,
            seen_in,
            ahead: ahead.max(now),
        }
    }

    /// Once every ten seconds: from the differences of neighbouring seconds, which a slow change of the rate leaves
    /// alone.
    pub(crate) fn settle(&mut self, second_buckets: &SecondBuckets) {
        let (mut seconds, mut sum, mut pairs, mut squares) = (0, 0.0, 0.0, 0.0);
        let mut before = None;
        for count in second_buckets.arrivals(UNEVEN) {
            if let Some(count) = count {
                seconds += 1;
                sum += count;
                if let Some(before) = before {
                    pairs += 1.0;
                    squares += (count - before) * (count - before);
                }
            }
            before = count;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 300")]
        let mean = sum / seconds.max(1) as f64;
        if seconds >= UNEVEN_LEAST && pairs > 0.0 && mean > UNEVEN_RATE {
            self.unevenness = (squares / pairs / (2.0 * mean)).clamp(0.5, 20.0);
        }
    }

    /// Variance over mean of a second's arrivals.
    pub(crate) fn unevenness(&self) -> f64 {
        self.unevenness
    }
}

/// The highest mean of the last seconds, and of how many: what is likely, where a rate is beyond doubt. The shortest of the quick
/// windows, of two seconds, shows too much by chance alone.
pub(crate) fn likely(second_buckets: &SecondBuckets) -> (f64, u64) {
    let means = QUICK[1..]
        .iter()
        .map(|seconds| (second_buckets.window(*seconds).rate(), *seconds));
    means.fold(
        (0.0, 0),
        |most, mean| if mean.0 > most.0 { mean } else { most },
    )
}

/// The slope of a straight line through the last minute, per second, if it is one beyond doubt.
fn trend(second_buckets: &SecondBuckets) -> Option<f64> {
    // The newest seconds may not be complete yet.
    let mut recent = [None; TREND + LATE];
    let mut kept = 0;
    for count in second_buckets.arrivals((TREND + LATE) as u64) {
        recent[kept] = count;
        kept += 1;
    }
    let end = recent[..kept].iter().rposition(Option::is_some)? + 1;
    let mut counts = [0.0; TREND];
    for (place, count) in counts.iter_mut().zip(&recent[end.checked_sub(TREND)?..end]) {
        *place = (*count)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "60")]
    let n = TREND as f64;
    let mean = counts.iter().sum::<f64>() / n;
    // Σ (i − 29.5)² for i from 0 to 59.
    let spread = n * (n * n - 1.0) / 12.0;
    let middle = (n - 1.0) / 2.0;
    #[expect(clippy::cast_precision_loss, reason = "60")]
    let at = |index: usize| index as f64 - middle;
    let slope = counts
        .iter()
        .enumerate()
        .map(|(index, count)| at(index) * count)
        .sum::<f64>()
        / spread;
    let rest = counts
        .iter()
        .enumerate()
        .map(|(index, count)| (count - mean - slope * at(index)).powi(2))
        .sum::<f64>();
    let error = ((rest / (n - 2.0)).max(1e-9) / spread).sqrt();
    (slope > TREND_ERRORS * error).then_some(slope)
}

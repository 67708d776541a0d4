//! The arrival rate and its trend.

use super::counts::Window;
use super::evidence::MANY_REQUESTS;
use super::rules::Rule;
use super::second_buckets::{LATE_SECONDS, SecondBuckets};
use crate::numbers::to_u32_saturating;

/// The window for the rate, in seconds. A falling rate counts only through it.
const SLOW_WINDOW: u64 = 60;

/// A window with fewer arrivals than [`MANY_REQUESTS`] is extended to this number of service times. Otherwise chance in
/// the arrivals of slow models is a demand for pods.
const SLOW_SERVICES: f64 = 30.0;

/// The number of parts of an extended window. The highest part counts with at most this many standard deviations above
/// the mean of the others: 64 requests at once are a backlog, not a rate.
const PARTS: f64 = 10.0;
const PART_DEVIATIONS: f64 = 3.0;

/// A rising rate counts once one of these windows shows it significantly, and both of its halves show it; in seconds,
/// and in service times for slow models. Arrivals within fewer service times are a backlog, not a rate.
const RISE_WINDOWS: [u64; 4] = [2, 5, 10, 20];
const RISE_SERVICES: f64 = 10.0;

/// Standard deviations that make a rise significant. With 2, the shared scenarios have 37 more violation seconds; with
/// 1, the held-out ones have 1,200 more.
const RISE_DEVIATIONS: f64 = 1.5;

/// The window for the trend in seconds, and the standard errors that make a trend significant.
const TREND_WINDOW: usize = 60;
const TREND_ERRORS: f64 = 4.0;

/// The largest factor by which a trend raises the rate.
const MAX_TREND: f64 = 1.5;

/// A trend is extrapolated to this many seconds after a pod ordered now is ready, but at most
/// `MAX_LOOKAHEAD_SECONDS` ahead.
const LOOKAHEAD_MARGIN_SECONDS: f64 = 10.0;
const MAX_LOOKAHEAD_SECONDS: f64 = 90.0;

/// An arrival rate of the whole fleet, in requests per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// The mean of the last minute or of the extended window, or the significant minimum of a shorter window if that is
    /// higher.
    pub(crate) now: f64,
    /// The mean of the last minute or of the extended window.
    pub(crate) slow: f64,
    /// The length of the window that `now` was measured in, in seconds.
    pub(crate) window: u64,
    /// The extrapolated rate in `lookahead` seconds.
    pub(crate) ahead: f64,
    pub(crate) lookahead: f64,
    /// The factor over `now` that limits `ahead`, if it does.
    pub(crate) trend_limit: Option<f64>,
}

impl Rate {
    /// Returns the rate now and when a pod is ready whose start takes `delay` seconds, for a service time in seconds.
    pub(crate) fn measure(second_buckets: &SecondBuckets, service: f64, delay: f64) -> Self {
        let mut window = SLOW_WINDOW;
        let recent = second_buckets.window(window);
        let slow = if recent.arrivals < MANY_REQUESTS && Rule::LongWindow.applies() {
            window = window.max(to_u32_saturating(SLOW_SERVICES * service).into());
            rate_without_burst(second_buckets, window)
        } else {
            recent.rate()
        };
        let mut now = slow;
        let shortest = u64::from(to_u32_saturating((RISE_SERVICES * service).ceil()));
        let longest = RISE_WINDOWS[RISE_WINDOWS.len() - 1];
        for length in RISE_WINDOWS
            .into_iter()
            .filter(|length| *length >= shortest)
            .chain((shortest > longest).then_some(shortest))
        {
            let rate = least_rate(second_buckets, length);
            if rate > now {
                (now, window) = (rate, length);
            }
        }
        let lookahead = (delay + LOOKAHEAD_MARGIN_SECONDS).min(MAX_LOOKAHEAD_SECONDS);
        let extrapolated = match trend(second_buckets).filter(|_| Rule::Trend.applies()) {
            Some(slope) => now + slope * lookahead,
            None => now,
        };
        let most = MAX_TREND * now;
        Self {
            now,
            slow,
            window,
            ahead: extrapolated.min(most).max(now),
            lookahead,
            trend_limit: (extrapolated > most).then_some(MAX_TREND),
        }
    }
}

/// Returns the rate that the last `length` seconds show beyond chance and in both of their halves.
fn least_rate(second_buckets: &SecondBuckets, length: u64) -> f64 {
    let recent = second_buckets.window(length);
    let newer = second_buckets.window(length / 2);
    if recent.seconds <= newer.seconds || !Rule::Rise.applies() {
        return 0.0;
    }
    let older = (recent.arrivals - newer.arrivals) / (recent.seconds - newer.seconds);
    let rate = recent.rate();
    let deviation = (rate.max(1.0 / recent.seconds) / recent.seconds).sqrt();
    (rate - RISE_DEVIATIONS * deviation)
        .min(older)
        .min(newer.rate())
}

/// Returns the mean rate of the last `length` seconds, in which the highest of [`PARTS`] parts counts only as far as
/// chance explains it.
fn rate_without_burst(second_buckets: &SecondBuckets, length: u64) -> f64 {
    let all = second_buckets.window(length);
    if !Rule::Burst.applies() {
        return all.rate();
    }
    let part = all.seconds / PARTS;
    let (mut highest, mut current) = (Window::default(), Window::default());
    for second in second_buckets.parts(length) {
        current.add(&second);
        if current.seconds >= part {
            if current.rate() > highest.rate() {
                highest = current;
            }
            current = Window::default();
        }
    }
    // The oldest part may be shorter. A burst in it would count as a rate again just before it leaves the window.
    if current.rate() > highest.rate() {
        highest = current;
    }
    let others = (all.arrivals - highest.arrivals) / (all.seconds - highest.seconds).max(1e-9);
    let usual = others * highest.seconds;
    let most = usual + PART_DEVIATIONS * usual.max(1.0).sqrt();
    (all.arrivals - (highest.arrivals - most).max(0.0)) / all.seconds.max(1e-9)
}

/// Returns the slope of a line fitted to the last minute, in requests per second squared, if it is significant.
fn trend(second_buckets: &SecondBuckets) -> Option<f64> {
    // The newest seconds may not be complete yet.
    let mut recent = [None; TREND_WINDOW + LATE_SECONDS];
    let mut kept = 0;
    for count in second_buckets.arrivals(recent.len() as u64) {
        recent[kept] = count;
        kept += 1;
    }
    let end = recent[..kept].iter().rposition(Option::is_some)? + 1;
    let mut counts = [0.0; TREND_WINDOW];
    for (slot, count) in counts
        .iter_mut()
        .zip(&recent[end.checked_sub(TREND_WINDOW)?..end])
    {
        *slot = (*count)?;
    }
    let n = TREND_WINDOW as f64;
    let mean = counts.iter().sum::<f64>() / n;
    // Σ (i − 29.5)² for i from 0 to 59.
    let spread = n * (n * n - 1.0) / 12.0;
    let middle = (n - 1.0) / 2.0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::counts::Delta;
    use crate::moment::Moment;

    /// Returns the seconds of a fleet of one pod, in which 64 requests arrive in second 300.
    fn burst(seconds: u64) -> SecondBuckets {
        let mut second_buckets = SecondBuckets::default();
        second_buckets.set_expected_pods(1);
        let mut bucket = 0;
        for second in 1..=seconds {
            let delta = Delta {
                arrivals: if second == 300 { 64.0 } else { 0.0 },
                ..Delta::default()
            };
            let (from, to) = (Moment::from_secs(second - 1), Moment::from_secs(second));
            second_buckets.add(from, to, &mut bucket, delta, true);
        }
        second_buckets
    }

    #[test]
    fn a_burst_within_a_few_service_times_is_not_a_rate() {
        let second_buckets = burst(300);
        let rate = |service| Rate::measure(&second_buckets, service, 75.0).now;
        assert!(rate(0.1) <= 4.0 / 59.0, "{}", rate(0.1));
        assert!(rate(5.0) <= 4.0 / 149.0, "{}", rate(5.0));
        assert!(rate(30.0) <= 4.0 / 299.0, "{}", rate(30.0));
    }

    #[test]
    fn a_burst_is_not_a_rate_until_it_has_left_the_window() {
        for second in 300..=460 {
            let rate = Rate::measure(&burst(second), 5.1, 75.0).now;
            assert!(rate <= 4.0 / 150.0, "{rate} in second {second}");
        }
    }
}

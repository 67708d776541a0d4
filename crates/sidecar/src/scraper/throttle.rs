//! How often the management port may be scraped, and how long a response may take.
//!
//! With GPUs, TorchServe runs `nvidia-smi` for each worker that it describes, one after the other, in a thread that
//! also serves requests. That takes from 30 ms to a second for each worker.

use std::time::{Duration, Instant};

/// With GPUs, descriptions take a fifth of the time: the interval of scrapes is this multiple, up to [`MAX_INTERVAL`].
const INTERVALS: u32 = 5;

/// The longest interval because of slow descriptions.
const MAX_INTERVAL: Duration = Duration::from_secs(15);

/// The timeout of a description after one has timed out. A driver that hangs does not respond at all.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);

/// Delay after a description that took longer than [`LONG_TIMEOUT`]. Each request to a server that does not respond
/// occupies one of its threads.
const PAUSE: Duration = Duration::from_secs(30);

/// Limits the rate and the duration of one server's descriptions.
#[derive(Debug)]
pub(super) struct Throttle {
    timeout: Duration,
    slow: bool,
    paused_until: Option<Instant>,
    started: Option<Instant>,
    /// The time of the descriptions of models with GPU workers, in this scrape.
    gpu_time: Duration,
    min_interval: Duration,
}

impl Throttle {
    /// Responses within `timeout` are normal.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            slow: false,
            paused_until: None,
            started: None,
            gpu_time: Duration::ZERO,
            min_interval: Duration::ZERO,
        }
    }

    /// Returns whether descriptions may be requested at `now`, and if so, begins a scrape. A drain scrapes the metrics
    /// page more often than the interval.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        // The metrics page, which is requested first, takes longer at times: a scrape may be a fifth early.
        let next = self
            .started
            .map(|started| started + self.min_interval * 4 / 5);
        if is_paused || next.is_some_and(|next| now < next) {
            return false;
        }
        self.started = Some(now);
        self.gpu_time = Duration::ZERO;
        true
    }

    /// The timeout of the next description.
    pub(super) fn timeout(&self) -> Duration {
        match self.slow {
            true => self.timeout.max(LONG_TIMEOUT),
            false => self.timeout,
        }
    }

    /// A description took `time`; `gpu`: for a model with a GPU worker.
    pub(super) fn described(&mut self, time: Duration, gpu: bool) {
        self.slow = time > self.timeout / 2;
        self.paused_until = None;
        if gpu {
            self.gpu_time += time;
        }
    }

    /// A description timed out at `now`.
    pub(super) fn timed_out(&mut self, now: Instant) {
        if std::mem::replace(&mut self.slow, true) {
            self.paused_until = Some(now + PAUSE);
        }
    }

    /// All descriptions of a scrape have succeeded. The interval rises at once, and falls only by half or more.
    pub(super) fn scraped(&mut self) {
        let min = (self.gpu_time * INTERVALS).min(MAX_INTERVAL);
        if min > self.min_interval || min < self.min_interval / 2 {
            self.min_interval = min;
        }
    }

    /// The minimum interval of scrapes: zero without GPUs.
    pub(super) fn min_interval(&self) -> Duration {
        self.min_interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after_scrape_of(throttle: &mut Throttle, descriptions: &[(u64, bool)]) -> Duration {
        let next = throttle
            .started
            .map_or_else(Instant::now, |at| at + throttle.min_interval);
        assert!(throttle.begin(next));
        for &(millis, gpu) in descriptions {
            throttle.described(Duration::from_millis(millis), gpu);
        }
        throttle.scraped();
        throttle.min_interval()
    }

    #[test]
    fn descriptions_with_gpus_take_a_fifth_of_the_time() {
        let mut throttle = Throttle::new(SECOND);
        assert_eq!(
            after_scrape_of(&mut throttle, &[(900, false)]),
            Duration::ZERO
        );
        assert_eq!(
            after_scrape_of(&mut throttle, &[(200, true), (200, true)]),
            2 * SECOND
        );
        // Small changes do not change the interval.
        assert_eq!(after_scrape_of(&mut throttle, &[(300, true)]), 2 * SECOND);
        assert_eq!(
            after_scrape_of(&mut throttle, &[(4000, true)]),
            MAX_INTERVAL
        );
        assert_eq!(after_scrape_of(&mut throttle, &[(100, true)]), SECOND / 2);
    }

    #[test]
    fn a_failed_scrape_does_not_change_the_interval() {
        let mut throttle = Throttle::new(SECOND);
        assert_eq!(after_scrape_of(&mut throttle, &[(600, true)]), 3 * SECOND);
        let started = throttle.started.unwrap();
        assert!(!throttle.begin(started + SECOND));
        assert!(throttle.begin(started + 3 * SECOND));
        throttle.timed_out(started + 4 * SECOND);
        assert_eq!(throttle.min_interval(), 3 * SECOND);
    }

    #[test]
    fn a_slow_server_gets_more_time_and_one_that_hangs_is_left_alone() {
        let mut throttle = Throttle::new(SECOND);
        let now = Instant::now();
        assert_eq!(throttle.timeout(), SECOND);
        throttle.timed_out(now);
        assert!(throttle.begin(now));
        assert_eq!(throttle.timeout(), LONG_TIMEOUT);
        throttle.described(3 * SECOND, true);
        assert_eq!(throttle.timeout(), LONG_TIMEOUT);
        throttle.timed_out(now);
        assert!(!throttle.begin(now));
        assert!(throttle.begin(now + PAUSE));
        throttle.described(SECOND / 10, true);
        assert!(throttle.begin(now + PAUSE));
        assert_eq!(throttle.timeout(), SECOND);
    }
}

//! The totals of the fleet, from the pods' counters.

use std::collections::BTreeMap;

use pushscale_simulator::cluster::{PodReading, PodState, PodView};

/// Number of seconds to keep.
const KEPT: usize = 1024;

/// The counts of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) arrivals: f64,
    pub(super) completed: f64,
    pub(super) waited: f64,
    pub(super) sojourned: f64,
}

impl Sums {
    fn with(self, other: Self, times: f64) -> Self {
        Self {
            arrivals: self.arrivals + other.arrivals * times,
            completed: self.completed + other.completed * times,
            waited: self.waited + other.waited * times,
            sojourned: self.sojourned + other.sojourned * times,
        }
    }

    fn share_of(self, parts: f64) -> Self {
        Self {
            arrivals: self.arrivals / parts,
            completed: self.completed / parts,
            waited: self.waited / parts,
            sojourned: self.sojourned / parts,
        }
    }

    /// Returns the total service time of the completed requests, in seconds.
    pub(super) fn served(&self) -> f64 {
        self.sojourned - self.waited
    }
}

/// Running totals per second. A window is the difference between two of them.
#[derive(Debug)]
pub(super) struct Totals {
    /// Number of seconds so far.
    pub(super) seconds: usize,
    ring: Vec<Sums>,
    now: Sums,
    last: Option<BTreeMap<u64, PodReading>>,
    /// Seconds since the last reading.
    missed: usize,
    /// The counts of this second.
    pub(super) this_second: Sums,
    /// The number of requests that each pod completed in this second, and their mean service time.
    pub(super) groups: Vec<(f64, f64)>,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            seconds: 0,
            ring: vec![Sums::default(); KEPT],
            now: Sums::default(),
            last: None,
            missed: 0,
            this_second: Sums::default(),
            groups: Vec::new(),
        }
    }

    /// Records a second without readings.
    pub(super) fn record_gap(&mut self) {
        self.missed += 1;
    }

    pub(super) fn add(&mut self, pods: &[PodView]) {
        let mut sum = Sums::default();
        self.groups.clear();
        if let Some(last) = &self.last {
            for pod in pods.iter().filter(|pod| pod.state != PodState::Starting) {
                let before = last.get(&pod.id).copied().unwrap_or_default();
                let reading = counter_increase(&before, &pod.reading);
                sum = sum.with(reading, 1.0);
                if reading.completed > 0.0 {
                    let mean = reading.served() / reading.completed;
                    self.groups.push((reading.completed, mean));
                }
            }
        }
        self.last = Some(pods.iter().map(|pod| (pod.id, pod.reading)).collect());
        // The counts of a gap are distributed over its seconds, so that they do not look like a burst.
        let seconds = 1 + std::mem::take(&mut self.missed);
        let before = self.now;
        self.now = self.now.with(sum, 1.0);
        self.this_second = sum.share_of(seconds as f64);
        for second in 1..=seconds {
            self.seconds += 1;
            self.ring[self.seconds % KEPT] = before.with(self.this_second, second as f64);
        }
    }

    /// Returns the counts of the last seconds, and the number of these seconds.
    pub(super) fn window(&self, seconds: usize) -> (Sums, f64) {
        let seconds = seconds.min(self.seconds).min(KEPT - 1);
        if seconds == 0 {
            return (Sums::default(), 1.0);
        }
        let before = self.ring[(self.seconds - seconds) % KEPT];
        (self.now.with(before, -1.0), seconds as f64)
    }
}

/// Returns the increase of the counters. A counter that decreased was reset to zero.
fn counter_increase(before: &PodReading, now: &PodReading) -> Sums {
    let whole = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now) as f64;
    let time = |before: f64, now: f64| {
        if now < before { now } else { now - before }
    };
    Sums {
        arrivals: whole(before.arrivals, now.arrivals),
        completed: whole(before.completed, now.completed),
        waited: time(before.waited, now.waited),
        sojourned: time(before.sojourned, now.sojourned),
    }
}

//! The fleet's totals from the pods' counters.

use std::collections::BTreeMap;

use crate::cluster::{PodReading, PodState, PodView};

/// So many seconds are remembered.
const KEPT: usize = 1024;

/// What was counted in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    pub(super) arrivals: f64,
    pub(super) answered: f64,
    pub(super) waited: f64,
    pub(super) sojourned: f64,
}

impl Sums {
    fn with(self, other: Self, times: f64) -> Self {
        Self {
            arrivals: self.arrivals + other.arrivals * times,
            answered: self.answered + other.answered * times,
            waited: self.waited + other.waited * times,
            sojourned: self.sojourned + other.sojourned * times,
        }
    }

    fn share_of(self, parts: f64) -> Self {
        Self {
            arrivals: self.arrivals / parts,
            answered: self.answered / parts,
            waited: self.waited / parts,
            sojourned: self.sojourned / parts,
        }
    }

    /// Time that answered requests were in workers' hands.
    pub(super) fn served(&self) -> f64 {
        self.sojourned - self.waited
    }
}

/// Running totals, second by second; a window is the difference of two.
#[derive(Debug)]
pub(super) struct Totals {
    /// Seconds so far.
    pub(super) seconds: usize,
    ring: Vec<Sums>,
    now: Sums,
    last: Option<BTreeMap<u64, PodReading>>,
    /// Seconds since the last one with a reading.
    missed: usize,
    /// Of this second alone.
    pub(super) this_second: Sums,
    /// Of each pod that answered in this second: how many, and how long they were served on average.
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
    pub(super) fn miss(&mut self) {
        self.missed += 1;
    }

    pub(super) fn add(&mut self, pods: &[PodView]) {
        let mut sum = Sums::default();
        self.groups.clear();
        if let Some(last) = &self.last {
            for pod in pods.iter().filter(|pod| pod.state != PodState::Starting) {
                let before = last.get(&pod.id).copied().unwrap_or_default();
                let reading = moved(&before, &pod.reading);
                sum = sum.with(reading, 1.0);
                if reading.answered > 0.0 {
                    let mean = reading.served() / reading.answered;
                    self.groups.push((reading.answered, mean));
                }
            }
        }
        self.last = Some(pods.iter().map(|pod| (pod.id, pod.reading)).collect());
        // What was counted in a gap is spread over it: a catch-up is no burst.
        let seconds = 1 + std::mem::take(&mut self.missed);
        let before = self.now;
        self.now = self.now.with(sum, 1.0);
        self.this_second = sum.share_of(seconds as f64);
        for second in 1..=seconds {
            self.seconds += 1;
            self.ring[self.seconds % KEPT] = before.with(self.this_second, second as f64);
        }
    }

    /// What was counted in the last seconds, and how many there were.
    pub(super) fn window(&self, seconds: usize) -> (Sums, f64) {
        let seconds = seconds.min(self.seconds).min(KEPT - 1);
        if seconds == 0 {
            return (Sums::default(), 1.0);
        }
        let before = self.ring[(self.seconds - seconds) % KEPT];
        (self.now.with(before, -1.0), seconds as f64)
    }
}

/// A counter that went down began anew.
fn moved(before: &PodReading, now: &PodReading) -> Sums {
    let whole = |before: u64, now: u64| now.checked_sub(before).unwrap_or(now) as f64;
    let time = |before: f64, now: f64| {
        if now < before { now } else { now - before }
    };
    Sums {
        arrivals: whole(before.arrivals, now.arrivals),
        answered: whole(before.answered, now.answered),
        waited: time(before.waited, now.waited),
        sojourned: time(before.sojourned, now.sojourned),
    }
}

//! The time a worker needs for one batch.

/// Number of observations kept. The median of five follows a changed model within three batches and ignores one request
/// of 8 s among hundreds of 100 ms. A mean overestimated the queue latency behind that request twentyfold.
const MAX_OBSERVATIONS: usize = 5;

/// The median of the newest service times, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceTime {
    newest: Vec<f64>,
    next: usize,
    last_gauge: Option<f64>,
}

impl ServiceTime {
    /// Records the server's gauge of the last batch if it changed or if requests completed: otherwise it still shows a
    /// batch that is already recorded. Returns whether it changed.
    pub(super) fn observe_gauge(&mut self, gauge: Option<f64>, completed: bool) -> bool {
        let Some(seconds) = gauge else { return false };
        let changed = self.last_gauge != Some(seconds);
        self.last_gauge = Some(seconds);
        if changed || completed {
            self.observe(seconds);
        }
        changed
    }

    /// Records a service time, in seconds.
    pub(super) fn observe(&mut self, seconds: f64) {
        if self.newest.len() < MAX_OBSERVATIONS {
            self.newest.push(seconds);
        } else {
            self.newest[self.next] = seconds;
        }
        self.next = (self.next + 1) % MAX_OBSERVATIONS;
    }

    pub(super) fn has_gauge(&self) -> bool {
        self.last_gauge.is_some()
    }

    pub(super) fn seconds(&self) -> Option<f64> {
        let mut sorted = self.newest.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }
}

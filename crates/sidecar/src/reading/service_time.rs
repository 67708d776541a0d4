//! How long a worker takes for one batch.

/// So many observations are remembered. The median of five follows a changed model within three batches, and
/// one request of eight seconds among hundreds of 100 ms leaves no trace, where a mean overrated the wait behind
/// it twenty times.
const REMEMBERED: usize = 5;

/// The median of the newest service times, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceTime {
    newest: Vec<f64>,
    next: usize,
    last_gauge: Option<f64>,
}

impl ServiceTime {
    /// Takes the server's gauge, which shows the last batch. It counts only when something was answered or it
    /// moved: a gauge that stands still is a memory and not an observation. Returns whether it moved.
    pub(super) fn observe_gauge(&mut self, gauge: Option<f64>, answered: bool) -> bool {
        let Some(seconds) = gauge else { return false };
        let moved = self.last_gauge != Some(seconds);
        self.last_gauge = Some(seconds);
        if moved || answered {
            self.observe(seconds);
        }
        moved
    }

    /// Takes a service time computed from counters.
    pub(super) fn observe(&mut self, seconds: f64) {
        if self.newest.len() < REMEMBERED {
            self.newest.push(seconds);
        } else {
            self.newest[self.next] = seconds;
        }
        self.next = (self.next + 1) % REMEMBERED;
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

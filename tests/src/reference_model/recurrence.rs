//! Recurring bursts.

/// Seconds without long waits after which one counts as a new burst.
const NEW_BURST_AFTER: usize = 90;

/// Seconds after a long wait in which the proposal still counts as the burst's demand.
const DEMAND_WINDOW: usize = 30;

/// Seconds after which a burst is forgotten.
const FORGET_AFTER: usize = 5400;

/// Number of gaps between bursts that must agree.
const GAPS: usize = 2;
/// Maximum difference between these gaps, as a share of their mean.
const MAX_GAP_DIFFERENCE: f64 = 0.1;
/// Minimum mean gap, in seconds.
const MIN_GAP: f64 = 300.0;

/// A mean wait of more than this multiple of the target is a long wait.
pub(super) const LONG_WAIT_FACTOR: f64 = 2.0;

/// An expected burst counts as arrived if the offered load exceeds this share of the prepared pods, even without a long
/// wait.
const ARRIVED_SHARE: f64 = 0.45;

#[derive(Clone, Copy, Debug)]
struct Burst {
    began: usize,
    pods: i64,
}

#[derive(Debug, Default)]
pub(super) struct Recurrence {
    bursts: Vec<Burst>,
    last_long_wait: Option<usize>,
}

impl Recurrence {
    /// Returns the pods to prepare for the next burst; 0 if none is expected. `held` is the steady proposal, and
    /// `offered` is the offered load in pods.
    pub(super) fn floor(
        &mut self,
        now: usize,
        long_wait: bool,
        held: i64,
        offered: f64,
        delay: f64,
    ) -> i64 {
        let apart = self
            .last_long_wait
            .is_none_or(|last| now - last > NEW_BURST_AFTER);
        if long_wait {
            if apart {
                self.bursts.push(Burst {
                    began: now,
                    pods: held,
                });
            }
            self.last_long_wait = Some(now);
        }
        let recent = self
            .last_long_wait
            .is_some_and(|last| now - last <= DEMAND_WINDOW);
        if let Some(burst) = self.bursts.last_mut().filter(|_| recent) {
            burst.pods = burst.pods.max(held);
        }
        self.bursts
            .retain(|burst| burst.began + FORGET_AFTER >= now);
        let floor = self.expected(now, delay);
        let apart = self
            .last_long_wait
            .is_none_or(|last| now - last > NEW_BURST_AFTER);
        if floor > 0 && offered > ARRIVED_SHARE * floor as f64 && apart {
            self.bursts.push(Burst {
                began: now,
                pods: floor,
            });
            self.last_long_wait = Some(now);
        }
        floor
    }

    fn expected(&self, now: usize, delay: f64) -> i64 {
        let Some(first) = self.bursts.len().checked_sub(GAPS + 1) else {
            return 0;
        };
        let last = &self.bursts[first..];
        let gaps = last
            .windows(2)
            .map(|two| (two[1].began - two[0].began) as f64);
        let mean = gaps.clone().sum::<f64>() / GAPS as f64;
        let most = gaps.clone().fold(f64::NEG_INFINITY, f64::max);
        let least = gaps.fold(f64::INFINITY, f64::min);
        if most - least > MAX_GAP_DIFFERENCE * mean || mean < MIN_GAP {
            return 0;
        }
        let next = last[GAPS].began as f64 + mean;
        let tolerance = (0.05 * mean).max(15.0);
        let now = now as f64;
        if next - 1.5 * delay - tolerance <= now && now <= next + tolerance {
            last.iter().map(|burst| burst.pods).min().unwrap_or(0)
        } else {
            0
        }
    }
}

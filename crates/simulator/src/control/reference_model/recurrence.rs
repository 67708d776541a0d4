//! Recurring bursts.

/// Seconds without harm after which harm counts as a new burst.
const APART: usize = 90;

/// Seconds after harm in which the proposal still counts as the burst's demand.
const AFTERMATH: usize = 30;

/// Seconds after which a burst is forgotten.
const FORGOTTEN: usize = 5400;

/// Number of gaps between bursts that must agree.
const GAPS: usize = 2;
/// Maximum difference between these gaps, as a share of their mean.
const AGREE: f64 = 0.1;
/// Minimum mean gap, in seconds.
const SHORTEST: f64 = 300.0;

/// A mean wait of more than this multiple of the target is harm.
pub(super) const HARM: f64 = 2.0;

/// An expected burst counts as arrived if the offered load exceeds this share of the prepared pods, even without harm.
const CAME: f64 = 0.45;

#[derive(Clone, Copy, Debug)]
struct Burst {
    began: usize,
    pods: i64,
}

#[derive(Debug, Default)]
pub(super) struct Recurrence {
    bursts: Vec<Burst>,
    last_harm: Option<usize>,
}

impl Recurrence {
    /// Returns the pods to prepare for the next burst; 0 if none is expected. `held` is the steady proposal, and
    /// `offered` is the offered load in pods.
    pub(super) fn floor(
        &mut self,
        now: usize,
        harm: bool,
        held: i64,
        offered: f64,
        delay: f64,
    ) -> i64 {
        let apart = self.last_harm.is_none_or(|last| now - last > APART);
        if harm {
            if apart {
                self.bursts.push(Burst {
                    began: now,
                    pods: held,
                });
            }
            self.last_harm = Some(now);
        }
        let recent = self.last_harm.is_some_and(|last| now - last <= AFTERMATH);
        if let Some(burst) = self.bursts.last_mut().filter(|_| recent) {
            burst.pods = burst.pods.max(held);
        }
        self.bursts.retain(|burst| burst.began + FORGOTTEN >= now);
        let floor = self.expected(now, delay);
        let apart = self.last_harm.is_none_or(|last| now - last > APART);
        if floor > 0 && offered > CAME * floor as f64 && apart {
            self.bursts.push(Burst {
                began: now,
                pods: floor,
            });
            self.last_harm = Some(now);
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
        if most - least > AGREE * mean || mean < SHORTEST {
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

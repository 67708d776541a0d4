//! Detects recurring bursts, so that pods are ready for the next one.

use crate::snapshot::Snapshot;

/// A burst starts after this many seconds without violations, and includes this many seconds after its last one.
const APART: u64 = 90;
const TAIL: u64 = 30;

/// The retention of bursts in seconds, and their largest number. With two hourly bursts, the third one is expected two
/// hours after the first.
const RETENTION: u64 = 10_800;
const MAX_BURSTS: usize = 16;

/// The shortest period, in seconds.
const MIN_PERIOD: f64 = 300.0;

/// Two gaps that differ by less than this share of their mean form a period.
const PERIOD_TOLERANCE: f64 = 0.1;

/// Common periods of scheduled jobs, in seconds. A single gap close to one of them is a period.
const CLOCK: [f64; 6] = [300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0];
const CLOCK_TOLERANCE: f64 = 0.02;
const CLOCK_SLACK: f64 = 5.0;

/// The utilisation of the prepared pods that shows that a burst arrived without violations.
const ARRIVED: f64 = 0.45;

/// A wait of this many times the target latency counts as a violation.
pub(crate) const VIOLATION: f64 = 2.0;

/// The bursts of the last three hours.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recurrence {
    bursts: Vec<Burst>,
    last_violation: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    began: u64,
    pods: u32,
}

/// One second of a fleet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    pub(crate) second: u64,
    /// Whether there is a backlog that waits too long.
    pub(crate) violation: bool,
    /// Pods that the arrival rate needs.
    pub(crate) needed: u32,
    /// The offered load, in fully utilised pods.
    pub(crate) offered: f64,
    /// The start delay of a pod, in seconds.
    pub(crate) delay: f64,
}

/// A burst that is expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExpectedBurst {
    /// Its period, in seconds.
    pub(crate) every: f64,
    /// Seconds until it is expected; negative if that time has passed.
    pub(crate) within: f64,
    /// Pods that the last bursts needed.
    pub(crate) pods: u32,
}

impl Recurrence {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let blank = || Burst { began: 0, pods: 0 };
        snapshot.list(&mut self.bursts, blank, |snapshot, burst| {
            snapshot.u64(&mut burst.began);
            snapshot.u32(&mut burst.pods);
        });
        snapshot.option(&mut self.last_violation, u64::default, Snapshot::u64);
    }

    /// Records a second and returns the burst that is expected, if any.
    pub(crate) fn learn(&mut self, observation: Observation) -> Option<ExpectedBurst> {
        let Observation {
            second,
            violation,
            needed,
            offered,
            delay,
        } = observation;
        if violation {
            if self.quiet(second) {
                self.record(second, needed);
            }
            self.last_violation = Some(second);
        }
        if let (Some(last), Some(burst)) = (self.last_violation, self.bursts.last_mut())
            && second - last <= TAIL
        {
            burst.pods = burst.pods.max(needed);
        }
        self.bursts
            .retain(|burst| burst.began + RETENTION >= second);
        let burst = self.expected(second, delay)?;
        if offered > ARRIVED * f64::from(burst.pods) && self.quiet(second) {
            // The burst arrived without violations and still counts.
            self.record(second, burst.pods);
            self.last_violation = Some(second);
        }
        Some(burst)
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        MAX_BURSTS * size_of::<Burst>()
    }

    fn quiet(&self, second: u64) -> bool {
        self.last_violation.is_none_or(|last| second - last > APART)
    }

    fn record(&mut self, second: u64, pods: u32) {
        if self.bursts.len() == MAX_BURSTS {
            self.bursts.remove(0);
        }
        self.bursts.push(Burst {
            began: second,
            pods,
        });
    }

    /// Returns the next burst. If it does not arrive, the preparation ends, and the longer gap ends the period.
    fn expected(&self, second: u64, delay: f64) -> Option<ExpectedBurst> {
        let (every, bursts) = self.period()?;
        let last = bursts.last()?;
        let slack = (0.05 * every).max(15.0);
        let within = seconds(last.began) + every - seconds(second);
        (-slack..=1.5 * delay + slack)
            .contains(&within)
            .then(|| ExpectedBurst {
                every,
                within,
                pods: bursts.iter().map(|burst| burst.pods).min().unwrap_or(0),
            })
    }

    /// Returns the period and the bursts that form it.
    fn period(&self) -> Option<(f64, &[Burst])> {
        let gap = |early: &Burst, late: &Burst| seconds(late.began) - seconds(early.began);
        if let [first, second] = self.bursts.as_slice() {
            let found = gap(first, second);
            let clock = CLOCK
                .into_iter()
                .find(|period| (found - period).abs() <= CLOCK_TOLERANCE * period + CLOCK_SLACK)?;
            return Some((clock, &self.bursts));
        }
        let recent = self.bursts.get(self.bursts.len().checked_sub(3)?..)?;
        let [first, second, third] = recent else {
            return None;
        };
        let (before, after) = (gap(first, second), gap(second, third));
        let mean = (before + after) / 2.0;
        ((before - after).abs() <= PERIOD_TOLERANCE * mean && mean >= MIN_PERIOD)
            .then_some((mean, recent))
    }
}

fn seconds(second: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a process's life")]
    {
        second as f64
    }
}

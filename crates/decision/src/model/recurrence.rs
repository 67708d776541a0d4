//! Bursts that come regularly are prepared for.

use crate::snapshot::Snapshot;

/// A burst begins after so many seconds without harm, and grows for so many after its last.
const APART: u64 = 90;
const GROWS: u64 = 30;

/// Bursts are remembered for this long, and so many of them.
const REMEMBERED: u64 = 5400;
const MOST: usize = 16;

/// No period is shorter.
const SHORTEST: f64 = 300.0;

/// Two gaps that differ by less than this share of their mean are one period.
const SAME: f64 = 0.1;

/// Jobs that run by the clock come at these periods, in seconds: one gap this near to one of them is a period.
const CLOCK: [f64; 6] = [300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0];
const CLOCK_SAME: f64 = 0.02;
const CLOCK_SLACK: f64 = 5.0;

/// A prepared burst that comes and does no harm is known by this share of the prepared pods being busy.
const CAME: f64 = 0.45;

/// Requests wait so many times the target: harm.
pub(crate) const HARM: f64 = 2.0;

/// The bursts of the last 90 minutes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recurrence {
    bursts: Vec<Burst>,
    last_harm: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Burst {
    began: u64,
    pods: u32,
}

/// One moment, as bursts are seen by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) second: u64,
    /// Requests have piled up, and wait.
    pub(crate) harm: bool,
    /// Pods that the rate asks for.
    pub(crate) needed: u32,
    /// Pods that would be busy throughout.
    pub(crate) offered: f64,
    /// How long a pod takes to start, in seconds.
    pub(crate) delay: f64,
}

/// A burst that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Due {
    /// How often it comes, in seconds.
    pub(crate) every: f64,
    /// In how many seconds it is due; negative: since when.
    pub(crate) within: f64,
    /// Pods that the last ones took.
    pub(crate) pods: u32,
}

impl Recurrence {
    pub(crate) fn visit(&mut self, snapshot: &mut Snapshot) {
        let blank = || Burst { began: 0, pods: 0 };
        snapshot.list(&mut self.bursts, blank, |snapshot, burst| {
            snapshot.u64(&mut burst.began);
            snapshot.u32(&mut burst.pods);
        });
        snapshot.option(&mut self.last_harm, u64::default, Snapshot::u64);
    }

    /// Takes a moment; gives the burst that is due, if one is.
    pub(crate) fn learn(&mut self, moment: Moment) -> Option<Due> {
        let Moment {
            second,
            harm,
            needed,
            offered,
            delay,
        } = moment;
        if harm {
            if self.quiet(second) {
                self.remember(second, needed);
            }
            self.last_harm = Some(second);
        }
        if let (Some(harm), Some(burst)) = (self.last_harm, self.bursts.last_mut())
            && second - harm <= GROWS
        {
            burst.pods = burst.pods.max(needed);
        }
        self.bursts
            .retain(|burst| burst.began + REMEMBERED >= second);
        let due = self.due(second, delay)?;
        if offered > CAME * f64::from(due.pods) && self.quiet(second) {
            // It came and did no harm: still an occurrence.
            self.remember(second, due.pods);
            self.last_harm = Some(second);
        }
        Some(due)
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        MOST * size_of::<Burst>()
    }

    fn quiet(&self, second: u64) -> bool {
        self.last_harm.is_none_or(|harm| second - harm > APART)
    }

    fn remember(&mut self, second: u64, pods: u32) {
        if self.bursts.len() == MOST {
            self.bursts.remove(0);
        }
        self.bursts.push(Burst {
            began: second,
            pods,
        });
    }

    /// A burst that does not come ends the preparation, and the gap that it leaves ends the period.
    fn due(&self, second: u64, delay: f64) -> Option<Due> {
        let (every, bursts) = self.period()?;
        let last = bursts.last()?;
        let slack = (0.05 * every).max(15.0);
        let within = seconds(last.began) + every - seconds(second);
        (-slack..=1.5 * delay + slack)
            .contains(&within)
            .then(|| Due {
                every,
                within,
                pods: bursts.iter().map(|burst| burst.pods).min().unwrap_or(0),
            })
    }

    /// The period, and the bursts that show it.
    fn period(&self) -> Option<(f64, &[Burst])> {
        let gap = |early: &Burst, late: &Burst| seconds(late.began) - seconds(early.began);
        if let [first, second] = self.bursts.as_slice() {
            let found = gap(first, second);
            let clock = CLOCK
                .into_iter()
                .find(|period| (found - period).abs() <= CLOCK_SAME * period + CLOCK_SLACK)?;
            return Some((clock, &self.bursts));
        }
        let recent = self.bursts.get(self.bursts.len().checked_sub(3)?..)?;
        let [first, second, third] = recent else {
            return None;
        };
        let (before, after) = (gap(first, second), gap(second, third));
        let mean = (before + after) / 2.0;
        ((before - after).abs() <= SAME * mean && mean >= SHORTEST).then_some((mean, recent))
    }
}

fn seconds(second: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a process's life")]
    {
        second as f64
    }
}

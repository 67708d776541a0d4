//! How many pods report, and why the others do not.

use std::fmt;
use std::sync::Arc;

use crate::conditions::{Condition, Reason};
use crate::fleet::View;
use crate::moment::Moment;
use crate::pod::Phase;

/// How many silent pods are named; the others are counted.
const NAMED: usize = 3;

/// The pods of a target, by what is known of their queues. Leaving and failed pods are in none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// A recent reading with a queue latency.
    pub fresh: u32,
    /// A recent reading without one: the server is refused, frozen, empty, warming up …
    pub unknown: u32,
    /// A reading once, but too long ago.
    pub stale: u32,
    /// Never a reading.
    pub absent: u32,
    /// Not started yet.
    pub pending: u32,
    /// The first few silent pods and why.
    pub silent: Vec<(Arc<str>, &'static str)>,
}

impl Freshness {
    /// Counts anew, in the memory that it has.
    pub(crate) fn count<'a>(&mut self, pods: impl Iterator<Item = View<'a>>, now: Moment) {
        let mut silent = std::mem::take(&mut self.silent);
        silent.clear();
        let mut counts = Self {
            silent,
            ..Self::default()
        };
        for view in pods {
            if view.ignored() {
                continue;
            }
            // A pod that has never been ready and never said a word is starting.
            let starting = !view.pod.ready && view.reading.is_none();
            if view.pod.phase == Phase::Pending || starting {
                counts.pending += 1;
                continue;
            }
            let why = match (view.reading, view.fresh(now)) {
                (_, Some(reading)) if reading.latency(None).is_some() => {
                    counts.fresh += 1;
                    continue;
                }
                (_, Some(reading)) => {
                    counts.unknown += 1;
                    reading.server.describe()
                }
                (Some(_), None) => {
                    counts.stale += 1;
                    "its readings stopped"
                }
                (None, None) => {
                    counts.absent += 1;
                    "no reading yet (is the sidecar in the pod?)"
                }
            };
            if counts.silent.len() < NAMED {
                counts.silent.push((Arc::clone(&view.pod.name), why));
            }
        }
        *self = counts;
    }

    /// Pods that run, whether they report or not.
    pub fn running(&self) -> u32 {
        self.fresh + self.unknown + self.stale + self.absent
    }

    pub(crate) fn tell(&self, condition: &mut Option<Condition>) {
        let reason = if self.fresh == 0 {
            Reason::NoPodReports
        } else if self.fresh < self.running() {
            Reason::SomePodsSilent
        } else {
            Reason::AllPodsReport
        };
        let all = reason == Reason::AllPodsReport;
        Condition::set(condition, all, reason, format_args!("{self}"));
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} running pods report",
            self.fresh,
            self.running()
        )?;
        for (index, (name, why)) in self.silent.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{name}: {why}")?;
        }
        let more = (self.running() - self.fresh) as usize - self.silent.len();
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

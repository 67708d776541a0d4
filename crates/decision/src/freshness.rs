//! Counts the pods that report, and explains why others do not.

use std::fmt;
use std::sync::Arc;

use crate::conditions::{Condition, Reason};
use crate::fleet::FleetPod;
use crate::moment::Moment;
use crate::pod::Phase;

/// The number of pods that are named; others are only counted.
const MAX_NAMED: usize = 3;

/// The pods of a target by the state of their readings. Terminating and failed pods are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Pods with a fresh reading and a queue latency.
    pub fresh: u32,
    /// Pods with a fresh reading without a queue latency: the server refuses, is frozen, warming up, and so on.
    pub unknown: u32,
    /// Pods whose last reading is stale.
    pub stale: u32,
    /// Pods without any reading.
    pub never_reported: u32,
    /// Pods that are starting.
    pub pending: u32,
    /// The first pods that do not report, with the reason.
    pub not_reporting: Vec<(Arc<str>, &'static str)>,
}

impl Freshness {
    /// Replaces the counts with those of `pods`, reusing the allocation. Returns the last moment at which all readings
    /// that are fresh still are, if there are any.
    pub(crate) fn count<'a>(
        &mut self,
        pods: impl Iterator<Item = &'a FleetPod>,
        now: Moment,
    ) -> Option<Moment> {
        let mut not_reporting = std::mem::take(&mut self.not_reporting);
        not_reporting.clear();
        let mut counts = Self {
            not_reporting,
            ..Self::default()
        };
        let mut fresh_until: Option<Moment> = None;
        for pod in pods {
            let until = pod.fresh_until(now);
            if let Some(until) = until {
                fresh_until = Some(fresh_until.map_or(until, |earliest| earliest.min(until)));
            }
            if pod.ignored() {
                continue;
            }
            // A pod that has never been ready or reported is starting.
            let starting = !pod.pod.ready && pod.reading().is_none();
            if pod.pod.phase == Phase::Pending || starting {
                counts.pending += 1;
                continue;
            }
            let why = match (pod.reading(), until) {
                (Some(_), Some(_)) if pod.latency(now, None).is_some() => {
                    counts.fresh += 1;
                    continue;
                }
                (Some(reading), Some(_)) => {
                    counts.unknown += 1;
                    reading.server.describe()
                }
                (Some(_), None) => {
                    counts.stale += 1;
                    "its readings stopped"
                }
                (None, _) => {
                    counts.never_reported += 1;
                    "no reading yet (is the sidecar in the pod?)"
                }
            };
            if counts.not_reporting.len() < MAX_NAMED {
                counts.not_reporting.push((Arc::clone(&pod.pod.name), why));
            }
        }
        *self = counts;
        fresh_until
    }

    /// Returns the number of running pods, reporting or not.
    pub fn running(&self) -> u32 {
        self.fresh + self.unknown + self.stale + self.never_reported
    }

    /// Returns the number of pods that are neither terminating nor failed.
    pub(crate) fn all(&self) -> u32 {
        self.running() + self.pending
    }

    pub(crate) fn set_condition(&self, condition: &mut Option<Condition>) {
        let reason = if self.fresh == 0 {
            Reason::NoPodsReporting
        } else if self.fresh < self.running() {
            Reason::SomePodsNotReporting
        } else {
            Reason::AllPodsReporting
        };
        let all = reason == Reason::AllPodsReporting;
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
        for (index, (name, why)) in self.not_reporting.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{name}: {why}")?;
        }
        let more = (self.running() - self.fresh) as usize - self.not_reporting.len();
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

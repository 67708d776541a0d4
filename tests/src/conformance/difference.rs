//! How a decision differs from the recorded one.

use std::collections::BTreeMap;
use std::fmt;

use pushscale_api::names::conditions::{ABLE_TO_SCALE, SCALING_ACTIVE, SCALING_LIMITED};
use pushscale_api::recording::status_and_reason;
use pushscale_decision::{Conditions, Decision};

use super::case::Expect;

/// The first pass of a case whose result differs from the recorded one.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The case's name.
    pub case: String,
    /// The index of the step.
    pub step: usize,
    /// Its time, in seconds since the autoscaler was created.
    pub at: f64,
    /// The recorded result.
    pub expected: Found,
    /// The result of the replay.
    pub found: Found,
    /// The decision that led to it.
    pub decision: Decision,
}

/// The part of a pass that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The target's replica count after it.
    pub desired: u32,
    /// Whether the replica count was written.
    pub patched: bool,
    /// The conditions after it, as `Status/Reason`.
    pub conditions: BTreeMap<String, String>,
}

impl Found {
    pub(super) fn recorded(expect: &Expect) -> Self {
        let mut conditions = expect.conditions.clone();
        // Only the HPA has it: Pushscale does not scale to zero.
        conditions.remove("ScaledToZero");
        Self {
            desired: expect.desired,
            patched: expect.patched,
            conditions,
        }
    }

    pub(super) fn new(desired: u32, patched: bool, conditions: &Conditions) -> Self {
        let mut conditions = status_and_reason(conditions);
        // Only Pushscale has the others.
        let common = [ABLE_TO_SCALE, SCALING_ACTIVE, SCALING_LIMITED];
        conditions.retain(|kind, _| common.contains(&kind.as_str()));
        Self {
            desired,
            patched,
            conditions,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = if self.patched { "written" } else { "kept" };
        write!(f, "{} {written}", self.desired)?;
        for (kind, value) in &self.conditions {
            write!(f, ", {kind}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {} s (steps[{}]):\n  expected {}\n  found    {}\n  {}",
            self.case, self.at, self.step, self.expected, self.found, self.decision
        )
    }
}

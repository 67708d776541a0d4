//! Limits of one change: bounds and rate limits (the HPA's `horizontal.go`).

use std::fmt;
use std::time::Duration;

use crate::behavior::{Amount, Behavior, ScalingPolicy, ScalingRules, SelectPolicy};
use crate::moment::Moment;
use crate::numbers::to_u32_saturating;
use crate::policy::{Bounds, HpaCompatibility, SYNC_PERIOD};
use crate::snapshot::visit;

/// A limit that reduced a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `minReplicas`.
    MinReplicas,
    /// `maxReplicas`.
    MaxReplicas,
    /// The rate limit for scaling up.
    ScaleUpLimit,
    /// The rate limit for scaling down.
    ScaleDownLimit,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MinReplicas => "minReplicas",
            Self::MaxReplicas => "maxReplicas",
            Self::ScaleUpLimit => "scale-up limit",
            Self::ScaleDownLimit => "scale-down limit",
        })
    }
}

/// Written changes and observed replica counts, from which the rate limits are computed.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    up: Vec<Event>,
    down: Vec<Event>,
    observed: Vec<(Moment, u32)>,
    /// The last write.
    written: Option<Moment>,
    /// Changes by other clients soon after a write.
    foreign_changes: Vec<Moment>,
}

visit!(History: up, down, observed, written, foreign_changes);

/// A change by another client this soon after a write may revert it. Tools that restore a manifest's replica count act
/// within seconds to three minutes.
const FOREIGN_CHANGE_WITHIN: Duration = Duration::from_secs(300);

/// This many of them within [`CONFLICT_WINDOW`] are a conflict, which ends after [`CONFLICT_COOLDOWN`] without one.
const CONFLICT_CHANGES: usize = 3;
const CONFLICT_WINDOW: Duration = Duration::from_secs(900);
const CONFLICT_COOLDOWN: Duration = Duration::from_secs(600);

/// The minimum time between two writes by the queueing model.
const MIN_WRITE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Default)]
struct Event {
    at: Moment,
    change: u32,
    outdated: bool,
}

visit!(Event: at, change, outdated);

impl History {
    /// Records the replicas found at `now`. In `mode: Recommend`, another client follows the decisions: with the
    /// `behavior` of a `recommendation`, its changes count towards the rate limits.
    pub(crate) fn observe(&mut self, now: Moment, current: u32, recommendation: Option<&Behavior>) {
        self.trim_observed(now);
        let last = self.observed.last().map(|(_, replicas)| *replicas);
        if last == Some(current) {
            return;
        }
        self.observed.push((now, current));
        if let (Some(behavior), Some(last)) = (recommendation, last) {
            self.push_change(now, behavior, last, current);
        }
        let is_near = |written: Moment| now.since(written) <= FOREIGN_CHANGE_WITHIN;
        if last.is_some() && self.written.is_some_and(is_near) {
            self.foreign_changes
                .retain(|at| now.since(*at) <= CONFLICT_WINDOW);
            self.foreign_changes.push(now);
        }
    }

    fn trim_observed(&mut self, now: Moment) {
        // An entry holds from its moment until that of the next entry.
        while self.observed.len() > 1 && now.since(self.observed[1].0) >= SYNC_PERIOD {
            self.observed.remove(0);
        }
    }

    /// Forgets the last write and the changes after it. A scaler that does not write cannot be contested.
    pub(crate) fn forget_writes(&mut self) {
        self.written = None;
        self.foreign_changes.clear();
    }

    /// Returns the number of changes by other clients if they are a conflict.
    pub(crate) fn conflict(&self, now: Moment) -> Option<usize> {
        let last = self.foreign_changes.last()?;
        (self.foreign_changes.len() >= CONFLICT_CHANGES && now.since(*last) < CONFLICT_COOLDOWN)
            .then_some(self.foreign_changes.len())
    }

    /// Records a written change. Like the HPA, keeps it as an event only with `behavior`. A change that was observed
    /// before it is recorded was our own.
    pub(crate) fn record_scale(
        &mut self,
        now: Moment,
        behavior: Option<&Behavior>,
        from: u32,
        to: u32,
    ) {
        match self.observed.last() {
            Some((at, replicas)) if *replicas == to => {
                self.foreign_changes.retain(|change| change != at);
            }
            _ => {
                self.trim_observed(now);
                self.observed.push((now, to));
            }
        }
        self.written = Some(now);
        if let Some(behavior) = behavior {
            self.push_change(now, behavior, from, to);
        }
    }

    fn push_change(&mut self, now: Moment, behavior: &Behavior, from: u32, to: u32) {
        if to > from {
            push_event(
                &mut self.up,
                now,
                behavior.scale_up.longest_period(),
                to - from,
            );
        } else {
            push_event(
                &mut self.down,
                now,
                behavior.scale_down.longest_period(),
                from - to,
            );
        }
    }

    /// Limits a change without `behavior`: to twice the replicas or 4, and to the bounds.
    pub(crate) fn limit_plain(
        &self,
        compatibility: HpaCompatibility,
        bounds: Bounds,
        current: u32,
        proposed: u32,
    ) -> (u32, Option<Limit>) {
        let base = match compatibility {
            HpaCompatibility::Exact => current,
            HpaCompatibility::Guarded => self
                .observed
                .iter()
                .map(|(_, replicas)| *replicas)
                .fold(current, u32::min),
        };
        let limit = base.saturating_mul(2).max(4).max(current);
        let (ceiling, cap) = if bounds.max() > limit {
            (limit, Limit::ScaleUpLimit)
        } else {
            (bounds.max(), Limit::MaxReplicas)
        };
        if proposed < bounds.min() {
            (bounds.min(), Some(Limit::MinReplicas))
        } else if proposed > ceiling {
            (ceiling, Some(cap))
        } else {
            (proposed, None)
        }
    }

    /// Limits a change by the queueing model: a scale-up to the largest of twice the replicas, four more and `up_to`; a
    /// scale-down to half within 15 s; and one write per second.
    pub(crate) fn limit_model(
        &self,
        now: Moment,
        current: u32,
        proposed: u32,
        up_to: u32,
    ) -> (u32, Option<Limit>) {
        let recent = |at: Moment| now.since(at) < MIN_WRITE_INTERVAL;
        if proposed != current && self.written.is_some_and(recent) {
            let cap = if proposed > current {
                Limit::ScaleUpLimit
            } else {
                Limit::ScaleDownLimit
            };
            return (current, Some(cap));
        }
        let highest = self
            .observed
            .iter()
            .map(|(_, replicas)| *replicas)
            .fold(current, u32::max);
        let floor = (highest - (highest / 2).max(1)).min(current);
        let ceiling = current
            .saturating_mul(2)
            .max(current.saturating_add(4))
            .max(up_to);
        if proposed < floor {
            (floor, Some(Limit::ScaleDownLimit))
        } else if proposed > ceiling {
            (ceiling, Some(Limit::ScaleUpLimit))
        } else {
            (proposed, None)
        }
    }

    /// Limits a change by the policies of `behavior` for its direction, then by the bounds.
    pub(crate) fn limit_by(
        &self,
        now: Moment,
        behavior: &Behavior,
        bounds: Bounds,
        current: u32,
        proposed: u32,
    ) -> (u32, Option<Limit>) {
        if proposed > current {
            let limit = self.up_limit(now, &behavior.scale_up, current).max(current);
            let (ceiling, cap) = if bounds.max() > limit {
                (limit, Limit::ScaleUpLimit)
            } else {
                (bounds.max(), Limit::MaxReplicas)
            };
            if proposed > ceiling {
                return (ceiling, Some(cap));
            }
        } else if proposed < current {
            let limit = self
                .down_limit(now, &behavior.scale_down, current)
                .min(current);
            let (floor, cap) = if bounds.min() < limit {
                (limit, Limit::ScaleDownLimit)
            } else {
                (bounds.min(), Limit::MinReplicas)
            };
            if proposed < floor {
                return (floor, Some(cap));
            }
        }
        (proposed, None)
    }

    fn up_limit(&self, now: Moment, rules: &ScalingRules, current: u32) -> u32 {
        let limits = rules.policies.iter().map(|policy| {
            let start = self.period_start(now, policy, current);
            match policy.amount {
                Amount::Pods(pods) => saturate(start.saturating_add(i64::from(pods))),
                // Computed in doubles and in this order like the HPA: 100 + 10% is 111.
                Amount::Percent(percent) => {
                    to_u32_saturating((start as f64 * (1.0 + f64::from(percent) / 100.0)).ceil())
                }
            }
        });
        match rules.select_policy {
            SelectPolicy::Max => limits.max().unwrap_or(current),
            SelectPolicy::Min => limits.min().unwrap_or(current),
            SelectPolicy::Disabled => current,
        }
    }

    fn down_limit(&self, now: Moment, rules: &ScalingRules, current: u32) -> u32 {
        let limits = rules.policies.iter().map(|policy| {
            let start = self.period_start(now, policy, current);
            match policy.amount {
                Amount::Pods(pods) => saturate(start.saturating_sub(i64::from(pods))),
                // Truncated toward zero: 20 − 90% is 1.
                Amount::Percent(percent) => {
                    to_u32_saturating(start as f64 * (1.0 - f64::from(percent) / 100.0))
                }
            }
        });
        match rules.select_policy {
            SelectPolicy::Max => limits.min().unwrap_or(current),
            SelectPolicy::Min => limits.max().unwrap_or(current),
            SelectPolicy::Disabled => current,
        }
    }

    /// Returns the replicas at the start of the policy's period; changes in both directions count.
    fn period_start(&self, now: Moment, policy: &ScalingPolicy, current: u32) -> i64 {
        let added = changed_within(&self.up, now, policy.period);
        let removed = changed_within(&self.down, now, policy.period);
        i64::from(current) - added + removed
    }
}

fn changed_within(events: &[Event], now: Moment, period: Duration) -> i64 {
    events
        .iter()
        .filter(|event| now.since(event.at) < period)
        .map(|event| i64::from(event.change))
        .sum()
}

/// Adds an event like the HPA: it marks outdated events and overwrites the last of them. The others stay, and count
/// again if an edit makes a period longer.
fn push_event(events: &mut Vec<Event>, at: Moment, longest_period: Duration, change: u32) {
    let mut over = None;
    for (index, event) in events.iter_mut().enumerate() {
        event.outdated |= at.since(event.at) > longest_period;
        if event.outdated {
            over = Some(index);
        }
    }
    let event = Event {
        at,
        change,
        outdated: false,
    };
    match over.and_then(|index| events.get_mut(index)) {
        Some(old) => *old = event,
        None => events.push(event),
    }
}

fn saturate(count: i64) -> u32 {
    u32::try_from(count.clamp(0, i64::from(i32::MAX))).unwrap_or(0)
}

//! What is kept of one scaler: the points of the last hour and the last decisions, within a bound in bytes.

use std::collections::VecDeque;
use std::mem::size_of;
use std::sync::Arc;

use jiff::Timestamp;
use pushscale_decision::Decision;

use super::load_history::LoadHistory;
use super::point::Point;

/// Points of an hour: one per [`POINT_SECONDS`](super::point::POINT_SECONDS).
pub(crate) const MAX_POINTS: usize = 360;

/// Decisions that are kept at most.
pub(crate) const MAX_DECISIONS: usize = 100;

/// Points are kept in blocks of this number.
const POINT_BLOCK: usize = 60;

/// A decision with an outcome that differs from the previous one's.
#[derive(Debug)]
pub(crate) struct PastDecision {
    /// Increases with each decision of the aggregator.
    pub(crate) number: u64,
    /// When it was made.
    pub(crate) at: Timestamp,
    /// The outcome.
    pub(crate) outcome: Box<str>,
    /// The steps, one per line.
    pub(crate) steps: Box<str>,
}

impl PastDecision {
    /// Renders a decision.
    pub(super) fn new(number: u64, at: Timestamp, decision: &Decision) -> Self {
        let steps: Vec<_> = decision.steps.iter().map(ToString::to_string).collect();
        Self {
            number,
            at,
            outcome: decision.outcome.to_string().into(),
            steps: steps.join("\n").into(),
        }
    }

    /// Its memory in bytes, with that of its place in the list.
    fn bytes(&self) -> usize {
        // The counters of an Arc, and the pointer in the list, whose capacity may be twice its length.
        let shared = 4 * size_of::<usize>();
        size_of::<Self>() + shared + self.outcome.len() + self.steps.len()
    }
}

/// The last decision of a scaler.
#[derive(Clone, Debug)]
pub(crate) struct Latest {
    /// When it was made.
    pub(crate) at: Timestamp,
    /// The decision, which the control loop keeps as well.
    pub(crate) decision: Arc<Decision>,
}

/// The history of a scaler. A clone shares the decisions and the load.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScalerHistory {
    /// Kind and name of the target.
    pub(crate) target: String,
    /// Problems in the spec, because of which nothing is decided.
    pub(crate) problems: Vec<String>,
    /// The last decision.
    pub(crate) latest: Option<Latest>,
    /// The load of the last day.
    pub(crate) load: Arc<LoadHistory>,
    points: VecDeque<Point>,
    decisions: VecDeque<Arc<PastDecision>>,
    decision_bytes: usize,
}

impl ScalerHistory {
    /// Creates the history of a scaler of this target, in which nothing has happened.
    pub(super) fn new(target: String) -> Self {
        Self {
            target,
            ..Self::default()
        }
    }

    /// The points, oldest first.
    pub(crate) fn points(&self) -> impl DoubleEndedIterator<Item = &Point> + Clone {
        self.points.iter()
    }

    /// The decisions with a new outcome, oldest first.
    pub(crate) fn decisions(&self) -> impl DoubleEndedIterator<Item = &PastDecision> {
        self.decisions.iter().map(AsRef::as_ref)
    }

    /// The bytes of the points and the decisions.
    pub(super) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<Point>() + self.decision_bytes
    }

    /// Adds a point, or merges it into the last one.
    pub(super) fn add_point(&mut self, point: Point, budget: usize) {
        match self.points.back_mut() {
            // A clock that was set back must not reorder the points.
            Some(last) if last.number() >= point.number() => return last.merge(point),
            _ => {}
        }
        let max = max_points(budget);
        if self.points.len() >= max {
            self.points.drain(..=self.points.len() - max);
        } else if self.points.len() == self.points.capacity() {
            let block = POINT_BLOCK.min(max - self.points.len());
            self.points.reserve_exact(block);
        }
        self.points.push_back(point);
    }

    /// Adds a decision with a new outcome.
    pub(super) fn add_decision(&mut self, decision: PastDecision) {
        self.decision_bytes += decision.bytes();
        self.decisions.push_back(Arc::new(decision));
    }

    /// Whether it has more than the budget allows.
    pub(super) fn exceeds(&self, budget: usize) -> bool {
        self.points.capacity() > max_points(budget)
            || self.decisions.len() > MAX_DECISIONS
            || self.decisions.len() > 1 && self.decision_bytes > max_decision_bytes(budget)
    }

    /// Drops the oldest points and decisions beyond the budget. The newest of both are kept.
    pub(super) fn trim(&mut self, budget: usize) {
        let max = max_points(budget);
        if self.points.capacity() > max {
            self.points.drain(..self.points.len().saturating_sub(max));
            self.points.shrink_to(max);
        }
        while self.exceeds(budget)
            && let Some(oldest) = self.decisions.pop_front()
        {
            self.decision_bytes -= oldest.bytes();
        }
    }
}

/// The points that a scaler with this budget in bytes may have: an hour, in at most five eighths of the budget.
fn max_points(budget: usize) -> usize {
    (budget / 8 * 5 / size_of::<Point>()).clamp(1, MAX_POINTS)
}

/// The bytes that the decisions of a scaler with this budget may have.
fn max_decision_bytes(budget: usize) -> usize {
    budget.saturating_sub(max_points(budget) * size_of::<Point>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::point::POINT_SECONDS;

    fn decision(number: u64, bytes: usize) -> PastDecision {
        PastDecision {
            number,
            at: Timestamp::UNIX_EPOCH,
            outcome: "hold".into(),
            steps: "s".repeat(bytes).into(),
        }
    }

    fn fill(budget: usize) -> ScalerHistory {
        let mut history = ScalerHistory::default();
        for number in 0..500 {
            history.add_point(Point::unknown(number * POINT_SECONDS), budget);
            history.add_decision(decision(u64::try_from(number).unwrap(), 700));
            history.trim(budget);
        }
        history
    }

    #[test]
    fn an_hour_and_a_hundred_decisions_are_kept() {
        let history = fill(1 << 20);
        assert_eq!(history.points().count(), MAX_POINTS);
        assert_eq!(history.points().next_back().unwrap().second(), 4990);
        let numbers: Vec<_> = history.decisions().map(|it| it.number).collect();
        assert_eq!(numbers, (400..500).collect::<Vec<_>>());
    }

    #[test]
    fn the_memory_is_bounded_for_every_budget() {
        for budget in [32 << 10, 8 << 10, 4 << 10] {
            let history = fill(budget);
            assert!(history.bytes() <= budget, "{budget}: {}", history.bytes());
            assert!(
                history.bytes() > budget / 2,
                "{budget}: {}",
                history.bytes()
            );
        }
        // An hour of points fits into the share of one of a thousand scalers.
        assert_eq!(fill(32 << 10).points().count(), MAX_POINTS);
    }

    #[test]
    fn a_smaller_budget_frees_memory() {
        let mut history = fill(128 << 10);
        let budget = 8 << 10;
        assert!(history.exceeds(budget));
        history.trim(budget);
        assert!(!history.exceeds(budget));
        assert!(history.bytes() <= budget, "{}", history.bytes());
    }

    #[test]
    fn a_huge_decision_replaces_all_others() {
        let mut history = fill(8 << 10);
        history.add_decision(decision(500, 100_000));
        history.trim(8 << 10);
        assert_eq!(history.decisions().count(), 1);
    }
}

//! What a run costs besides pod-hours.

use super::outcome::Change;

/// How long a node is kept after it was last needed, in seconds: the cluster autoscaler's default.
const NODE_KEPT: usize = 600;

/// A change is a reversal if a change in the other direction follows within this many seconds.
const REVERSED_WITHIN: usize = 10;

/// Returns node-hours, from the pods of each second. Each pod has its own node, such as one with a GPU, which is kept
/// for ten minutes after it was last needed.
pub(super) fn node_hours(pods: &[u32]) -> f64 {
    // The pods of the last ten minutes that no later second exceeds, in decreasing order.
    let mut highest: std::collections::VecDeque<(usize, u32)> = std::collections::VecDeque::new();
    let mut seconds = 0;
    for (second, count) in pods.iter().enumerate() {
        while highest.back().is_some_and(|(_, before)| before <= count) {
            highest.pop_back();
        }
        highest.push_back((second, *count));
        while highest
            .front()
            .is_some_and(|(at, _)| at + NODE_KEPT <= second)
        {
            highest.pop_front();
        }
        seconds += highest.front().map_or(0, |(_, nodes)| u64::from(*nodes));
    }
    seconds as f64 / 3600.0
}

/// Returns the number of changes that are taken back, at least in part, within ten seconds.
pub(super) fn reversals(history: &[Change]) -> u32 {
    let reversed = |pair: &&[Change]| {
        let (one, next) = (&pair[0], &pair[1]);
        next.second - one.second <= REVERSED_WITHIN && (one.to > one.from) != (next.to > next.from)
    };
    let count = history.windows(2).filter(reversed).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_kept_for_ten_minutes() {
        let mut pods = vec![1; 3600];
        pods[1000] = 5;
        // Four nodes for ten minutes, and one for an hour.
        assert!((node_hours(&pods) - (1.0 + 4.0 * 600.0 / 3600.0)).abs() < 1e-9);
        assert!((node_hours(&[2; 3600]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_change_in_the_other_direction_within_ten_seconds_is_a_reversal() {
        let change = |second, from, to| Change {
            second,
            from,
            to,
            why: String::new(),
        };
        let history = [
            change(10, 9, 12),
            change(12, 12, 9),
            change(22, 9, 12),
            change(30, 12, 15),
            change(41, 15, 9),
        ];
        assert_eq!(reversals(&history), 2);
    }
}

//! The reports to write: the newest of each scaler, in order of arrival, and one write per scaler at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::names::ScalerKey;

#[derive(Debug)]
pub(crate) struct WriteQueue<T> {
    /// The newest report of each scaler that is not being written.
    waiting: BTreeMap<ScalerKey, T>,
    /// The scalers that may be written, the first one first.
    order: VecDeque<ScalerKey>,
    in_progress: BTreeSet<ScalerKey>,
    /// Scalers whose last write failed. Their report waits for a retry.
    failed: BTreeSet<ScalerKey>,
}

impl<T> Default for WriteQueue<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            in_progress: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }
}

impl<T> WriteQueue<T> {
    /// Adds a report, which replaces an older one that was not written.
    pub(crate) fn push(&mut self, scaler: ScalerKey, report: T) {
        let is_new = self.waiting.insert(scaler.clone(), report).is_none();
        let was_failed = self.failed.remove(&scaler);
        if (is_new || was_failed) && !self.in_progress.contains(&scaler) {
            self.order.push_back(scaler);
        }
    }

    /// Takes the next report to write. [`Self::finish`] must follow.
    pub(crate) fn start(&mut self) -> Option<(ScalerKey, T)> {
        let scaler = self.order.pop_front()?;
        let report = self.waiting.remove(&scaler)?;
        self.in_progress.insert(scaler.clone());
        Some((scaler, report))
    }

    /// Ends a write. A report that is to be written again is kept for [`Self::retry`], unless there is a newer one.
    pub(crate) fn finish(&mut self, scaler: ScalerKey, again: Option<T>) {
        self.in_progress.remove(&scaler);
        if self.waiting.contains_key(&scaler) {
            self.order.push_back(scaler);
        } else if let Some(report) = again {
            self.waiting.insert(scaler.clone(), report);
            self.failed.insert(scaler);
        }
    }

    /// Makes the failed reports available again.
    pub(crate) fn retry(&mut self) {
        self.order.extend(std::mem::take(&mut self.failed));
    }

    /// Whether nothing is left but failed reports.
    pub(crate) fn is_drained(&self) -> bool {
        self.order.is_empty() && self.in_progress.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ScalerKey {
        ScalerKey::new("models", name)
    }

    #[test]
    fn the_newest_report_is_written_in_order_of_arrival() {
        let mut queue = WriteQueue::default();
        queue.push(key("z"), 1);
        queue.push(key("a"), 2);
        queue.push(key("z"), 3);
        assert_eq!(queue.start(), Some((key("z"), 3)));
        // A write of the same scaler is in progress.
        queue.push(key("z"), 4);
        assert_eq!(queue.start(), Some((key("a"), 2)));
        assert_eq!(queue.start(), None);
        queue.finish(key("z"), None);
        assert_eq!(queue.start(), Some((key("z"), 4)));
        queue.finish(key("z"), None);
        queue.finish(key("a"), None);
        assert!(queue.is_drained());
    }

    #[test]
    fn a_failed_report_is_written_again_unless_there_is_a_newer_one() {
        let mut queue = WriteQueue::default();
        queue.push(key("a"), 1);
        let (scaler, report) = queue.start().unwrap();
        queue.finish(scaler, Some(report));
        assert_eq!(queue.start(), None);
        assert!(queue.is_drained());
        queue.retry();
        assert_eq!(queue.start(), Some((key("a"), 1)));
        queue.push(key("a"), 2);
        queue.finish(key("a"), Some(1));
        assert_eq!(queue.start(), Some((key("a"), 2)));
        queue.finish(key("a"), Some(2));
        queue.push(key("a"), 3);
        assert_eq!(queue.start(), Some((key("a"), 3)));
        queue.finish(key("a"), None);
        queue.retry();
        assert_eq!(queue.start(), None);
    }
}

//! What the status page shows of the past, and the load of the last day, in a bounded number of bytes.
//!
//! The control loop sends what it decides to a queue and never waits. A task takes it from there, and readers get
//! snapshots: neither a page nor a slow reader delays a decision.

mod load_history;
mod point;
mod scaler_history;
mod sender;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::RwLock;
use pushscale_decision::Decision;
use tokio::sync::{mpsc, watch};

use crate::metrics::Metrics;
use crate::names::ScalerKey;
use load_history::max_seconds;
pub(crate) use load_history::{LOAD_SECONDS, LoadHistory, LoadSample};
pub(crate) use point::{Point, Series};
pub(crate) use scaler_history::{Latest, MAX_POINTS, PastDecision, ScalerHistory};
use sender::Record;
pub(crate) use sender::{HistorySender, ScalerSubject};

/// Bytes of the histories of all scalers together. Up to 250 scalers have a complete one, and of a thousand each has
/// the whole hour and about twenty decisions.
const MAX_BYTES: usize = 32 << 20;

/// Bytes of the history of one scaler: an hour, and a hundred decisions of a kilobyte.
const MAX_SCALER_BYTES: usize = 128 << 10;

/// Bytes of the load histories of all scalers together. Up to 388 scalers have a complete day, and of a thousand each
/// has nine hours.
const MAX_LOAD_BYTES: usize = 32 << 20;

/// Records that are taken from the queue at once.
const BATCH: usize = 256;

/// Snapshots of the histories. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Shared>);

/// The histories, and their bytes together.
#[derive(Debug, Default)]
struct Histories {
    scalers: BTreeMap<ScalerKey, Arc<ScalerHistory>>,
    bytes: usize,
    load_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    histories: RwLock<Histories>,
    /// Incremented with every change.
    version: watch::Sender<u64>,
}

impl History {
    /// Returns an empty history, its sender, and the task that records what is sent until the sender is dropped.
    pub(crate) fn start(metrics: Metrics) -> (Self, HistorySender, impl Future<Output = ()>) {
        let history = Self::default();
        let (sender, records) = HistorySender::new(metrics.clone());
        let task = history.clone().record_all(records, metrics);
        (history, sender, task)
    }

    /// Returns the history of a scaler; `None` if it does not exist.
    pub(crate) fn get(&self, key: &ScalerKey) -> Option<Arc<ScalerHistory>> {
        self.0.histories.read().scalers.get(key).cloned()
    }

    /// Returns the histories of all scalers. The copy takes microseconds, and does not change any more.
    pub(crate) fn all(&self) -> Vec<(ScalerKey, Arc<ScalerHistory>)> {
        let histories = self.0.histories.read();
        let entries = histories.scalers.iter();
        entries
            .map(|(key, it)| (key.clone(), Arc::clone(it)))
            .collect()
    }

    /// Returns a receiver that is notified of every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.version.subscribe()
    }

    /// Prepends another aggregator's load history to ours, and returns the seconds that it adds.
    pub(crate) fn take_over_load(&self, key: &ScalerKey, older: &LoadHistory) -> usize {
        self.0.histories.write().prepend_load(key, older)
    }

    /// Records a decision without the queue.
    pub(crate) fn record_decision(
        &self,
        subject: &Arc<ScalerSubject>,
        at: Timestamp,
        decision: &Arc<Decision>,
    ) {
        let last = self
            .get(&subject.key)
            .and_then(|history| history.latest.clone());
        let is_new = last.is_none_or(|last| last.decision.outcome != decision.outcome);
        let record = Record::Decided {
            subject: Arc::clone(subject),
            decision: Arc::clone(decision),
            at,
            is_new,
        };
        self.record(record, at.as_second().unsigned_abs());
    }

    async fn record_all(self, mut records: mpsc::Receiver<Record>, metrics: Metrics) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut number = 0;
        while records.recv_many(&mut batch, BATCH).await > 0 {
            for record in batch.drain(..) {
                number += 1;
                self.record(record, number);
            }
            let budget = self.0.histories.read().load_budget();
            metrics.set_load_history_seconds(max_seconds(budget));
            let next = |version: &mut u64| *version = version.wrapping_add(1);
            self.0.version.send_modify(next);
            // Lets other tasks run during a flood of records.
            tokio::task::yield_now().await;
        }
    }

    fn record(&self, record: Record, number: u64) {
        match record {
            Record::Applied(subject, problems) => {
                let change = |history: &mut ScalerHistory, _| history.problems = problems;
                self.0.histories.write().change(&subject, change);
            }
            Record::Decided {
                subject,
                decision,
                at,
                is_new,
            } => {
                // Rendered before the lock is taken.
                let point = Point::from_decision(&decision, at.as_second());
                let past = is_new.then(|| PastDecision::new(number, at, &decision));
                let latest = Latest { at, decision };
                let change = |history: &mut ScalerHistory, budget| {
                    history.problems.clear();
                    history.add_point(point, budget);
                    if let Some(past) = past {
                        history.add_decision(past);
                    }
                    history.latest = Some(latest);
                };
                self.0.histories.write().change(&subject, change);
            }
            Record::Load(subject, sample) => {
                self.0.histories.write().add_load(&subject, &sample);
            }
            Record::Removed(key) => self.0.histories.write().remove(&key),
        }
    }
}

impl Histories {
    /// The bytes that each scaler may have.
    fn budget(&self) -> usize {
        (MAX_BYTES / self.scalers.len().max(1)).min(MAX_SCALER_BYTES)
    }

    /// Changes the history of a scaler, within its share of the bytes. A reader keeps its snapshot.
    fn change(&mut self, subject: &ScalerSubject, change: impl FnOnce(&mut ScalerHistory, usize)) {
        if !self.scalers.contains_key(&subject.key) {
            let history = ScalerHistory::new(subject.target.clone());
            self.scalers.insert(subject.key.clone(), Arc::new(history));
        }
        let budget = self.budget();
        if let Some(history) = self.scalers.get_mut(&subject.key) {
            let before = history.bytes();
            let history = Arc::make_mut(history);
            change(history, budget);
            history.trim(budget);
            self.bytes = self.bytes + history.bytes() - before;
        }
        // With each further scaler, the shares of the others become smaller.
        if self.bytes > MAX_BYTES {
            self.trim(budget);
        }
    }

    fn trim(&mut self, budget: usize) {
        for history in self.scalers.values_mut() {
            if history.exceeds(budget) {
                self.bytes -= history.bytes();
                let history = Arc::make_mut(history);
                history.trim(budget);
                self.bytes += history.bytes();
            }
        }
    }

    /// The bytes that the load of each scaler may have.
    fn load_budget(&self) -> usize {
        MAX_LOAD_BYTES / self.scalers.len().max(1)
    }

    /// Records the load of ten seconds of a scaler that has decided.
    fn add_load(&mut self, subject: &ScalerSubject, sample: &LoadSample) {
        self.change_load(&subject.key, |load, decision, budget| {
            load.add(sample, decision, budget);
        });
    }

    fn prepend_load(&mut self, key: &ScalerKey, older: &LoadHistory) -> usize {
        let mut added = 0;
        self.change_load(key, |load, _, budget| added = load.prepend(older, budget));
        added
    }

    /// Changes the load of a scaler, given its last decision and its share of the bytes.
    fn change_load(
        &mut self,
        key: &ScalerKey,
        change: impl FnOnce(&mut LoadHistory, Option<&Decision>, usize),
    ) {
        let budget = self.load_budget();
        if let Some(history) = self.scalers.get_mut(key) {
            self.load_bytes -= history.load.bytes();
            let history = Arc::make_mut(history);
            let decision = history.latest.as_ref().map(|latest| &*latest.decision);
            let load = Arc::make_mut(&mut history.load);
            change(load, decision, budget);
            self.load_bytes += load.bytes();
        }
        if self.load_bytes > MAX_LOAD_BYTES {
            for history in self.scalers.values_mut() {
                if history.load.exceeds(budget) {
                    self.load_bytes -= history.load.bytes();
                    let load = Arc::make_mut(&mut Arc::make_mut(history).load);
                    load.trim(budget);
                    self.load_bytes += load.bytes();
                }
            }
        }
    }

    fn remove(&mut self, key: &ScalerKey) {
        if let Some(history) = self.scalers.remove(key) {
            self.bytes -= history.bytes();
            self.load_bytes -= history.load.bytes();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

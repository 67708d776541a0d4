//! The sending end of the history, which the control loop uses: it never waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use pushscale_decision::Decision;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::load_history::LoadSample;
use crate::metrics::Metrics;
use crate::names::{ScalerKey, TargetRef};

/// Capacity of the queue. Each record is about a kilobyte, most of it a decision.
const QUEUE: usize = 4096;

/// A scaler and its target. The control loop makes it once per scaler.
#[derive(Debug)]
pub(crate) struct ScalerSubject {
    pub(super) key: ScalerKey,
    pub(super) target: String,
}

impl ScalerSubject {
    pub(crate) fn new(key: ScalerKey, target: &TargetRef) -> Self {
        Self {
            key,
            target: target.to_string(),
        }
    }
}

/// What is recorded.
#[derive(Debug)]
pub(super) enum Record {
    /// A scaler was added, or its spec is invalid: then with the problems.
    Applied(Arc<ScalerSubject>, Vec<String>),
    /// A decision was made.
    Decided {
        subject: Arc<ScalerSubject>,
        decision: Arc<Decision>,
        at: Timestamp,
        /// Whether the outcome differs from the last one's.
        is_new: bool,
    },
    /// The load of ten seconds.
    Load(Arc<ScalerSubject>, LoadSample),
    /// A scaler was removed.
    Removed(ScalerKey),
}

/// Sends to the history.
#[derive(Debug)]
pub(crate) struct HistorySender {
    queue: mpsc::Sender<Record>,
    /// Removals that found the queue full. Anything else that is lost is repeated by the next decision.
    removed: BTreeSet<ScalerKey>,
    metrics: Metrics,
}

impl HistorySender {
    pub(super) fn new(metrics: Metrics) -> (Self, mpsc::Receiver<Record>) {
        let (queue, records) = mpsc::channel(QUEUE);
        let sender = Self {
            queue,
            removed: BTreeSet::new(),
            metrics,
        };
        (sender, records)
    }

    /// Records that a scaler was added, or has these problems in its spec.
    pub(crate) fn applied(&mut self, subject: &Arc<ScalerSubject>, problems: Vec<String>) {
        self.send(Record::Applied(Arc::clone(subject), problems));
    }

    /// Records a decision. `is_new`: its outcome differs from the last one's.
    pub(crate) fn decided(
        &mut self,
        subject: &Arc<ScalerSubject>,
        decision: &Arc<Decision>,
        is_new: bool,
    ) {
        self.send(Record::Decided {
            subject: Arc::clone(subject),
            decision: Arc::clone(decision),
            at: Timestamp::now(),
            is_new,
        });
    }

    /// Records the load of ten seconds, after a decision.
    pub(crate) fn load(&mut self, subject: &Arc<ScalerSubject>, sample: LoadSample) {
        self.send(Record::Load(Arc::clone(subject), sample));
    }

    /// Records that a scaler was removed.
    pub(crate) fn removed(&mut self, key: &ScalerKey) {
        self.removed.insert(key.clone());
        self.send_removals();
    }

    /// Sends the removals that found the queue full.
    pub(crate) fn send_removals(&mut self) {
        while let Some(key) = self.removed.pop_first() {
            if let Err(TrySendError::Full(Record::Removed(key))) =
                self.queue.try_send(Record::Removed(key))
            {
                self.removed.insert(key);
                return;
            }
        }
    }

    /// Whether everything that was sent has been taken from the queue.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.capacity() == QUEUE
    }

    /// Queues a record, or drops it if the queue is full.
    fn send(&mut self, record: Record) {
        // A removal must be sent before a new scaler of the same name is recorded.
        self.send_removals();
        let is_lost = !self.removed.is_empty()
            || matches!(self.queue.try_send(record), Err(TrySendError::Full(_)));
        if is_lost {
            self.metrics.dropped_history_records.inc();
        }
    }
}

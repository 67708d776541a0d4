//! The control loop: one task that owns the state of all scalers.
//!
//! Each turn handles the queued [`Event`]s and then decides for each scaler that is due. The state of a scaler has one
//! owner and needs no lock; what the loop shares with other tasks ([`Authenticator`], metrics) has its own.

mod audit;
mod checkpoint;
mod decide;
mod effect;
mod execute;
mod managed_scaler;
mod marks;
mod observe;
mod pod_index;
mod restore;
mod role;
mod scale_write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushscale_daemon::heartbeat::Heartbeat;
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::Moment;
use pushscale_external_metrics::Store;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::auth::Authenticator;
use crate::event::{CompetingHpa, Event, Restore};
use crate::history::HistorySender;
use crate::leadership::Leadership;
use crate::metrics::{Metrics, ScaleWriteOutcome};
use crate::names::ScalerKey;
use crate::report::Report;
use crate::scale_target::{ScaleError, ScaleTarget, Written};
pub use managed_scaler::RecordedSegments;

use checkpoint::CheckpointReads;
use effect::unix_time;
use managed_scaler::{ManagedScaler, ScaleRead};
use marks::MarkReporter;
use pod_index::PodIndex;
use role::WarmUp;

/// Maximum events per turn. Under a flood of readings, one decision covers many.
const MAX_EVENTS_PER_TURN: usize = 256;

/// Maximum time between turns. Each turn records a heartbeat.
pub(crate) const MAX_IDLE: Duration = Duration::from_secs(5);

/// The state of all scalers.
pub(crate) struct ControlLoop {
    /// When the loop was created, and the time since the Unix epoch then. Moments begin there, so that the times that
    /// decisions divide a week into are the same for all aggregators.
    start: (Instant, Duration),
    scalers: BTreeMap<ScalerKey, ManagedScaler>,
    due: BTreeSet<(Moment, ScalerKey)>,
    pod_index: PodIndex,
    competing_hpas: BTreeMap<ScalerKey, Arc<CompetingHpa>>,
    unlisted: Unlisted,
    leadership: Leadership,
    /// The term of this aggregator as the leader in this turn; `None` while it follows.
    term: Option<u64>,
    /// Makes the watches read all scales and statuses.
    reread: Arc<Notify>,
    warm_up: WarmUp,
    scale_target: Arc<dyn ScaleTarget>,
    events_tx: mpsc::Sender<Event>,
    reports: mpsc::Sender<Report>,
    authenticator: Arc<Authenticator>,
    mark_reporter: MarkReporter,
    metrics: Metrics,
    /// The store behind the external metrics; `None` if they are not served.
    external_metrics: Option<Store>,
    history: HistorySender,
    checkpoint_reads: CheckpointReads,
    heartbeat: Heartbeat,
}

/// Lists that have not arrived yet. Until both have, nothing is decided, because a competing autoscaler may exist.
#[derive(Debug)]
struct Unlisted {
    scalers: bool,
    competing_hpas: bool,
    /// Dropped when both have arrived.
    latch: Option<ReadinessLatch>,
}

/// What the control loop writes to, and the permission to do so.
pub(crate) struct Backends {
    pub(crate) scale_target: Arc<dyn ScaleTarget>,
    pub(crate) events_tx: mpsc::Sender<Event>,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) leadership: Leadership,
    pub(crate) reread: Arc<Notify>,
    pub(crate) external_metrics: Option<Store>,
    pub(crate) history: HistorySender,
    pub(crate) heartbeat: Heartbeat,
}

impl ControlLoop {
    /// Creates a control loop without scalers. `listed` is released once everything is listed, `warm` once this
    /// aggregator can take over.
    pub(crate) fn new(
        Backends {
            scale_target,
            events_tx,
            reports,
            leadership,
            reread,
            external_metrics,
            history,
            heartbeat,
        }: Backends,
        authenticator: Arc<Authenticator>,
        metrics: Metrics,
        listed: ReadinessLatch,
        warm: ReadinessLatch,
    ) -> Self {
        let term = leadership.term();
        metrics.set_leader(term.is_some());
        Self {
            leadership,
            term,
            reread,
            warm_up: WarmUp::new(warm),
            start: (Instant::now(), unix_time(Timestamp::now())),
            checkpoint_reads: CheckpointReads::default(),
            scalers: BTreeMap::new(),
            due: BTreeSet::new(),
            pod_index: PodIndex::default(),
            competing_hpas: BTreeMap::new(),
            unlisted: Unlisted {
                scalers: true,
                competing_hpas: true,
                latch: Some(listed),
            },
            scale_target,
            events_tx,
            reports,
            authenticator,
            mark_reporter: MarkReporter::new(metrics.clone()),
            metrics,
            external_metrics,
            history,
            heartbeat,
        }
    }

    /// Runs until shutdown, or until all event senders are dropped.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: Shutdown) {
        loop {
            let next = self.next_due();
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                event = events.recv() => match event {
                    Some(event) => Some(event),
                    None => break,
                },
                () = tokio::time::sleep_until(next) => None,
            };
            let start = Instant::now();
            if let Some(event) = event {
                self.handle(event);
            }
            for _ in 1..MAX_EVENTS_PER_TURN {
                match events.try_recv() {
                    Ok(event) => self.handle(event),
                    Err(_) => break,
                }
            }
            self.decide_due();
            self.history.send_removals();
            self.metrics.turn_ended(start.elapsed());
            self.heartbeat.beat();
        }
        self.report_at_exit(&mut events).await;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Pushed(pushed) => self.handle_push(*pushed),
            Event::ScalerApplied(facts) => self.apply_scaler(&facts),
            Event::ScalerDeleted(key) => self.remove_scaler(&key),
            Event::ScalersListed(all) => {
                let deleted: Vec<_> = self
                    .scalers
                    .keys()
                    .filter(|key| !all.contains(*key))
                    .cloned()
                    .collect();
                for key in deleted {
                    self.remove_scaler(&key);
                }
                self.unlisted.scalers = false;
                self.list_received("PushScalers");
            }
            Event::HpaApplied(hpa) => {
                // HPAs rewrite their status every 15 s. Only a new target matters.
                let previous = self
                    .competing_hpas
                    .insert(hpa.key.clone(), Arc::clone(&hpa));
                if previous.is_none_or(|previous| previous.target != hpa.target) {
                    self.detect_conflicts();
                }
            }
            Event::HpaDeleted(key) => {
                self.competing_hpas.remove(&key);
                self.detect_conflicts();
            }
            Event::HpasListed(all) => {
                self.competing_hpas.retain(|key, _| all.contains(key));
                self.unlisted.competing_hpas = false;
                self.list_received("HorizontalPodAutoscalers");
            }
            Event::TargetRead {
                watch,
                start,
                written_by_us,
                scale,
            } => {
                let read = ScaleRead {
                    start,
                    written_by_us,
                    scale,
                };
                self.apply_scale(&watch, read);
            }
            Event::StatusesRead { start, statuses } => self.statuses_read(start, statuses),
            Event::PodApplied {
                watch,
                uid,
                pod,
                deletion,
            } => self.apply_pod(&watch, uid, &pod, deletion),
            Event::PodDeleted { watch, uid } => self.delete_pod(&watch, &uid),
            Event::PodsListed { watch, uids } => self.apply_pod_list(&watch, &uids),
            Event::PodsUnknown { watch, why } => self.pods_unknown(&watch, why),
            Event::CheckpointRead { watch, outcome } => self.checkpoint_read(&watch, outcome),
            // The end of the turn compares the term.
            Event::Promoted => {}
            Event::WriteFinished {
                watch,
                target,
                from,
                to,
                marked,
                newest_reading,
                marks_forbidden,
                outcome,
            } => {
                if let Err(ScaleError::Cancelled { .. }) = outcome {
                    self.unmark_cancelled(&watch.scaler, &target, marked);
                }
                self.count_write(newest_reading, &outcome);
                self.with_watched_scaler(&watch, |scaler, context| {
                    scaler.write_finished(context, (from, to), marks_forbidden, outcome);
                });
            }
            Event::FinalizerChanged {
                watch,
                uid,
                restore,
                outcome,
            } => {
                if let Restore::Written(replicas) = restore {
                    self.report_restored(&watch.scaler, uid, replicas);
                }
                self.with_watched_scaler(&watch, |scaler, context| {
                    let is_restored = restore != Restore::NotDue;
                    scaler.finalizers_set(context, is_restored, outcome);
                });
            }
            // The requester of a page may have timed out.
            Event::RecordingsRequested { scaler, reply } => {
                let now = self.now();
                let scaler = self.scalers.get_mut(&scaler);
                reply.send(scaler.map(|scaler| scaler.recordings(now))).ok();
            }
            Event::ViewRequested { scaler, reply } => {
                let scaler = self.scalers.get(&scaler);
                let view = scaler.map(|scaler| scaler.view(self.now()));
                reply.send(view).ok();
            }
            Event::NamesRequested(reply) => {
                reply.send(self.keys()).ok();
            }
        }
    }

    /// Counts a write of the replica count, which this reading caused.
    fn count_write(&self, newest_reading: Option<Moment>, outcome: &Result<Written, ScaleError>) {
        self.metrics.scale_written(match outcome {
            Ok(Written::Done(_)) => ScaleWriteOutcome::Written,
            Ok(Written::Conflict(_)) => ScaleWriteOutcome::Conflict,
            Err(ScaleError::Cancelled { .. }) => return,
            Err(_) => ScaleWriteOutcome::Failed,
        });
        if let (Some(taken), Ok(Written::Done(_))) = (newest_reading, outcome) {
            self.metrics.reacted(self.now().since(taken));
        }
    }

    fn list_received(&mut self, kind: &str) {
        let complete = !self.is_unlisted();
        if complete {
            self.unlisted.latch = None;
            if let Some(store) = &self.external_metrics {
                store.set_listed();
            }
        }
        tracing::debug!(kind, complete, "list received");
        self.detect_conflicts();
        for key in self.keys() {
            self.wake(&key);
        }
    }

    /// Whether this aggregator leads in this turn.
    fn leads(&self) -> bool {
        self.term.is_some()
    }

    fn now(&self) -> Moment {
        let (start, unix) = self.start;
        Moment::at(unix + start.elapsed())
    }

    /// Whether a list has not arrived yet.
    fn is_unlisted(&self) -> bool {
        self.unlisted.scalers || self.unlisted.competing_hpas
    }

    /// Returns when the next turn begins without an event: when a scaler is due, and after [`MAX_IDLE`] at the latest.
    fn next_due(&self) -> Instant {
        let idle = Instant::now() + MAX_IDLE;
        let decision = match self.due.first() {
            Some((moment, _)) if !self.is_unlisted() => {
                let (start, unix) = self.start;
                idle.min(start + moment.since_origin().saturating_sub(unix))
            }
            _ => idle,
        };
        self.warm_up
            .deadline()
            .into_iter()
            .fold(decision, Instant::min)
    }

    /// Returns the names of all scalers.
    fn keys(&self) -> Vec<ScalerKey> {
        self.scalers.keys().cloned().collect()
    }

    /// Wakes the scaler in this turn, or as soon as it may decide again.
    fn wake(&mut self, key: &ScalerKey) {
        self.with_scaler(key, |_, context| context.wake_at(context.now));
    }
}

#[cfg(test)]
mod tests;

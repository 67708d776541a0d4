//! The control loop: one task that owns the state of all scalers.
//!
//! Each turn handles the queued [`Event`]s and then decides for each scaler that is due. The state of a scaler has one
//! owner and needs no lock; what the loop shares with other tasks ([`Authenticator`], metrics) has its own.

mod audit;
mod clock;
mod conflicts;
mod effect;
mod exit;
mod lists;
mod managed_scaler;
mod marks;
mod observe;
mod pod_index;
mod reporter;
mod requests;
mod restore;
mod scale_write;
mod scalers;
mod warm_up;

use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::heartbeat::Heartbeat;
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_external_metrics::Store;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::auth::Authenticator;
use crate::event::{Event, Restore};
use crate::history::HistorySender;
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::report::Report;
use crate::scale_target::{ScaleError, ScaleTarget};
pub use managed_scaler::RecordedSegments;

use lists::Lists;
use managed_scaler::ScaleRead;
use pod_index::PodIndex;
use reporter::Reporter;
use requests::Requests;
use scalers::Scalers;
use warm_up::WarmUp;

/// Maximum events per turn. Under a flood of readings, one decision covers many.
const MAX_EVENTS_PER_TURN: usize = 256;

/// Maximum time between turns. Each turn records a heartbeat.
pub(crate) const MAX_IDLE: Duration = Duration::from_secs(5);

/// Passes events to the scalers that they concern, and wakes those that are due.
pub(crate) struct ControlLoop {
    scalers: Scalers,
    pod_index: PodIndex,
    lists: Lists,
    warm_up: WarmUp,
    /// Makes the watches read all scales and statuses.
    reread: Arc<Notify>,
    checkpoint_failure_log: LogLimiter,
    heartbeat: Heartbeat,
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
        backends: Backends,
        authenticator: Arc<Authenticator>,
        metrics: Metrics,
        listed: ReadinessLatch,
        warm: ReadinessLatch,
    ) -> Self {
        let leadership = backends.leadership;
        let requests = Requests::new(
            backends.scale_target,
            leadership.clone(),
            backends.events_tx,
            metrics.clone(),
        );
        let reporter = Reporter {
            reports: backends.reports,
            metrics,
            external_metrics: backends.external_metrics,
            history: backends.history,
        };
        Self {
            scalers: Scalers::new(leadership, requests, reporter),
            pod_index: PodIndex::new(authenticator),
            lists: Lists::new(listed),
            warm_up: WarmUp::new(warm),
            reread: backends.reread,
            checkpoint_failure_log: LogLimiter::default(),
            heartbeat: backends.heartbeat,
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
            self.scalers.reporter.turn_ended(start.elapsed());
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
                let mut deleted = self.scalers.keys();
                deleted.retain(|key| !all.contains(key));
                for key in deleted {
                    self.remove_scaler(&key);
                }
                self.lists.scalers_listed();
                self.list_received();
            }
            Event::HpaApplied(hpa) => {
                if self.scalers.competitors.apply(hpa) {
                    self.detect_conflicts();
                }
            }
            Event::HpaDeleted(key) => {
                self.scalers.competitors.remove(&key);
                self.detect_conflicts();
            }
            Event::HpasListed(all) => {
                self.scalers.competitors.retain(&all);
                self.lists.hpas_listed();
                self.list_received();
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
                self.scalers
                    .with_watched(&watch, |scaler, context| scaler.apply_scale(context, read));
            }
            Event::StatusesRead { start, statuses } => {
                self.scalers.statuses_read(start, statuses);
            }
            Event::PodApplied {
                watch,
                uid,
                pod,
                deletion,
            } => self.apply_pod(&watch, uid, &pod, deletion),
            Event::PodDeleted { watch, uid } => self.delete_pod(&watch, &uid),
            Event::PodsListed { watch, uids } => self.apply_pod_list(&watch, &uids),
            Event::PodsUnknown { watch, why } => {
                self.scalers.with_watched(&watch, |scaler, context| {
                    scaler.object.pods_unknown(context, why)
                });
            }
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
                    self.scalers
                        .unmark_cancelled(&watch.scaler, &target, marked);
                }
                let now = self.scalers.clock.now();
                let reporter = &self.scalers.reporter;
                reporter.write_finished(now, newest_reading, &outcome);
                self.scalers.with_watched(&watch, |scaler, context| {
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
                    self.scalers.reporter.restored(&watch.scaler, uid, replicas);
                }
                self.scalers.with_watched(&watch, |scaler, context| {
                    let is_restored = restore != Restore::NotDue;
                    scaler.finalizers_set(context, is_restored, outcome);
                });
            }
            // The requester of a page may have timed out.
            Event::RecordingsRequested { scaler, reply } => {
                let recordings = self.scalers.with(&scaler, |scaler, context| {
                    scaler.decisions.recordings(context.now)
                });
                reply.send(recordings).ok();
            }
            Event::ViewRequested { scaler, reply } => {
                let scaler = self.scalers.get(&scaler);
                let view = scaler.map(|scaler| scaler.view(self.scalers.clock.now()));
                reply.send(view).ok();
            }
            Event::NamesRequested(reply) => {
                reply.send(self.scalers.keys()).ok();
            }
        }
    }

    fn list_received(&mut self) {
        if self.lists.are_complete() {
            self.scalers.reporter.listed();
        }
        self.detect_conflicts();
        self.scalers.wake_all();
    }

    /// Detects targets that two autoscalers write, once everything is listed.
    fn detect_conflicts(&mut self) {
        if self.lists.are_complete() {
            self.scalers.detect_conflicts();
        }
    }

    /// Decides for each scaler that is due.
    fn decide_due(&mut self) {
        self.update_role();
        if !self.lists.are_complete() {
            return;
        }
        // With thousands of scalers, a turn may take long without being stalled.
        let heartbeat = &self.heartbeat;
        self.scalers.wake_due(|| heartbeat.beat());
        self.warm_up
            .update(Instant::now(), || self.scalers.are_warm());
        self.scalers.count_known(self.pod_index.len());
    }

    fn update_role(&mut self) {
        if self.scalers.update_role() {
            self.reread.notify_one();
        }
    }

    /// Returns when the next turn begins without an event: when a scaler is due, and after [`MAX_IDLE`] at the latest.
    fn next_due(&self) -> Instant {
        let due = self.scalers.next_due();
        let due = due.filter(|_| self.lists.are_complete());
        let idle = Instant::now() + MAX_IDLE;
        let others = due.into_iter().chain(self.warm_up.deadline());
        others.fold(idle, Instant::min)
    }
}

#[cfg(test)]
mod tests;

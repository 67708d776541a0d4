//! The one task that owns all state.
//!
//! Each turn: take an event, tell the scaler that it concerns, then ask each scaler that is due. Everything
//! that may wake it is an [`Event`]; there is no lock and no shared map.

mod deciding;
mod directory;
mod entry;
mod learning;
mod leaving_pods;
mod recorded;
mod sending;
mod telling;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pushscale_daemon::readiness::ReadinessLatch;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_decision::Moment;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::event::Event;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::names::{ScalerKey, TargetRef};
use crate::report::Report;
use crate::scale_target::ScaleTarget;
use directory::Directory;
use entry::Entry;
use sending::Teller;

/// Events taken before the due scalers are asked: under a flood of readings one decision serves many.
const EVENTS_A_TURN: usize = 256;

/// With nothing due, the loop looks up this often all the same.
const IDLE: Duration = Duration::from_secs(60);

/// The one task that owns all state.
pub(crate) struct ControlLoop {
    origin: Instant,
    scalers: BTreeMap<ScalerKey, Entry>,
    due: BTreeSet<(Moment, ScalerKey)>,
    directory: Directory,
    rivals: BTreeMap<ScalerKey, TargetRef>,
    unlisted: Unlisted,
    scale_target: Arc<dyn ScaleTarget>,
    itself: mpsc::Sender<Event>,
    reports: mpsc::Sender<Report>,
    gate: Arc<Gate>,
    teller: Teller,
    metrics: Metrics,
}

/// Until both are known, nothing is decided: what is not known yet may be a rival.
#[derive(Debug)]
struct Unlisted {
    scalers: bool,
    rivals: Option<ReadinessLatch>,
}

impl ControlLoop {
    /// A loop that knows nothing yet. `listed` is given back once it knows all rivals.
    pub(crate) fn new(
        scale_target: Arc<dyn ScaleTarget>,
        itself: mpsc::Sender<Event>,
        reports: mpsc::Sender<Report>,
        gate: Arc<Gate>,
        metrics: Metrics,
        listed: ReadinessLatch,
    ) -> Self {
        Self {
            origin: Instant::now(),
            scalers: BTreeMap::new(),
            due: BTreeSet::new(),
            directory: Directory::default(),
            rivals: BTreeMap::new(),
            unlisted: Unlisted {
                scalers: true,
                rivals: Some(listed),
            },
            scale_target,
            itself,
            reports,
            gate,
            teller: Teller::new(metrics.clone()),
            metrics,
        }
    }

    /// Runs until `stop`, or until nobody can send an event any more.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: Shutdown) {
        loop {
            let next = self.next_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                () = tokio::time::sleep_until(next) => {}
            }
            for _ in 1..EVENTS_A_TURN {
                match events.try_recv() {
                    Ok(event) => self.take(event),
                    Err(_) => break,
                }
            }
            self.decide_due();
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Pushed(pushed) => self.learn(*pushed),
            Event::ScalerApplied(facts) => self.apply_scaler(*facts),
            Event::ScalerGone(key) => self.forget_scaler(&key),
            Event::ScalersListed(all) => {
                let gone: Vec<_> = self
                    .scalers
                    .keys()
                    .filter(|key| !all.contains(*key))
                    .cloned()
                    .collect();
                for key in gone {
                    self.forget_scaler(&key);
                }
                self.unlisted.scalers = false;
                self.all_due();
            }
            Event::RivalApplied(rival) => {
                self.rivals.insert(rival.key, rival.target);
                self.find_contests();
            }
            Event::RivalGone(key) => {
                self.rivals.remove(&key);
                self.find_contests();
            }
            Event::RivalsListed(all) => {
                self.rivals.retain(|key, _| all.contains(key));
                self.unlisted.rivals = None;
                self.find_contests();
                self.all_due();
            }
            Event::TargetRead { watch, scale } => self.read_target(&watch, scale),
            Event::PodApplied {
                watch,
                uid,
                pod,
                standing,
            } => self.apply_pod(&watch, uid, pod, standing),
            Event::PodGone { watch, uid } => self.forget_pod(&watch, &uid),
            Event::PodsListed { watch, uids } => self.list_pods(&watch, &uids),
            Event::PodsUnlistable { watch, message } => self.pods_unlistable(&watch, message),
            Event::Wrote {
                scaler,
                from,
                to,
                outcome,
            } => self.wrote(&scaler, from, to, outcome),
            Event::AskedForDecisions { scaler, answer } => {
                answer.send(self.recordings(&scaler)).ok();
            }
            Event::Asked(answer) => {
                let views = self.views();
                // Nobody may wait for it any more.
                answer.send(views).ok();
            }
        }
    }

    fn now(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    fn next_due(&self) -> Instant {
        match self.due.first() {
            Some((moment, _)) => self.origin + moment.since_origin(),
            None => Instant::now() + IDLE,
        }
    }

    /// The scaler, if it is still there, is to be asked at `at` or earlier.
    fn mark_due(&mut self, key: &ScalerKey, at: Moment) {
        if let Some(entry) = self.scalers.get_mut(key) {
            entry.mark_due(key, at, &mut self.due);
        }
    }

    fn all_due(&mut self) {
        let now = self.now();
        let keys: Vec<_> = self.scalers.keys().cloned().collect();
        for key in keys {
            self.mark_due(&key, now);
        }
    }
}

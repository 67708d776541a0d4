//! `/drain`: TorchServe's preStop hook. The kubelet sends SIGTERM only after the response, so that a terminating pod
//! completes its queued and in-flight requests first.

mod idle;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use pushscale_daemon::reply::{Reply, text};
use pushscale_daemon::shutdown::Shutdown;
use pushscale_reading::{Reading, Scrape};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{DrainOutcome, Metrics};
use idle::{IdleDetector, ServerActivity};

/// The shortest drain. New connections reach a deleted pod until the removal of its endpoint has passed from the API
/// server to kube-proxy on every node. On a one-node test cluster, requests arrived for up to 1.6 s over hundreds of
/// deletions; a real cluster has more nodes, and busier ones. Three more seconds of a pod cost less than one lost
/// request.
const MIN_DRAIN: Duration = Duration::from_secs(5);

/// The scrape interval during a drain, short so that the response is prompt.
pub(crate) const DRAIN_SCRAPE_INTERVAL: Duration = Duration::from_millis(100);

/// Responds to requests for `/drain`.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: Duration,
    /// The number of open requests.
    requests: Arc<watch::Sender<usize>>,
    observations: watch::Receiver<Option<Observation>>,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// Feeds scrapes to the requests for `/drain`.
#[derive(Debug)]
pub(crate) struct DrainWatch {
    /// The number of open requests.
    pub(crate) requests: watch::Receiver<usize>,
    observations: watch::Sender<Option<Observation>>,
    detector: IdleDetector,
}

#[derive(Clone, Debug)]
struct Observation {
    at: Instant,
    activity: ServerActivity,
    last_arrival: Option<Instant>,
}

/// Creates a drain and the half that receives scrapes.
pub(crate) fn new(deadline: Duration, metrics: Metrics, shutdown: Shutdown) -> (Drain, DrainWatch) {
    let (requests, requested) = watch::channel(0);
    let (observations_tx, observations) = watch::channel(None);
    let drain = Drain {
        deadline,
        requests: Arc::new(requests),
        observations,
        metrics,
        shutdown,
    };
    let watch = DrainWatch {
        requests: requested,
        observations: observations_tx,
        detector: IdleDetector::default(),
    };
    (drain, watch)
}

impl Drain {
    /// Responds once the server is idle or not running, at the deadline, or when this process shuts down.
    pub(crate) async fn respond(&self) -> Reply {
        let guard = DrainGuard::acquire(&self.requests);
        let mut observations = self.observations.clone();
        let outcome = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => DrainOutcome::ShuttingDown,
            outcome = settled(guard.started, &mut observations) => outcome,
            () = sleep_until(guard.started + self.deadline) => self.outcome_at_deadline(guard.started),
        };
        let ended = Ended {
            outcome,
            after: guard.started.elapsed(),
            started: guard.started,
            last: observations.borrow().clone(),
        };
        self.metrics.drained(outcome, ended.after);
        if outcome == DrainOutcome::DeadlineExceeded {
            tracing::warn!(seconds = ended.after.as_secs_f64(), "{ended}");
        } else {
            tracing::info!(seconds = ended.after.as_secs_f64(), "{ended}");
        }
        // 200 at the deadline as well: the kubelet sends SIGTERM in any case, and the log has the reason.
        text(StatusCode::OK, format!("{ended}\n"))
    }

    /// A deadline shorter than [`MIN_DRAIN`] can still find an idle server.
    fn outcome_at_deadline(&self, started: Instant) -> DrainOutcome {
        let last = self.observations.borrow();
        let since = last
            .as_ref()
            .filter(|observation| observation.at >= started);
        match since.map(|observation| &observation.activity) {
            Some(ServerActivity::Idle) => DrainOutcome::Drained,
            Some(ServerActivity::NotRunning) => DrainOutcome::NotRunning,
            _ => DrainOutcome::DeadlineExceeded,
        }
    }
}

/// Waits for a scrape since `started` that shows a server that is idle or not running.
async fn settled(
    started: Instant,
    observations: &mut watch::Receiver<Option<Observation>>,
) -> DrainOutcome {
    loop {
        if let Some(observation) = &*observations.borrow_and_update()
            && observation.at >= started
        {
            match observation.activity {
                // Its metrics port refuses connections, and requests may still arrive at the other.
                ServerActivity::NotRunning if observation.at >= started + MIN_DRAIN => {
                    return DrainOutcome::NotRunning;
                }
                ServerActivity::Idle if observation.at >= started + MIN_DRAIN => {
                    return DrainOutcome::Drained;
                }
                _ => {}
            }
        }
        if observations.changed().await.is_err() {
            // The scrape loop has ended: this process is shutting down.
            std::future::pending::<()>().await;
        }
    }
}

impl DrainWatch {
    /// Whether a request for `/drain` is open.
    pub(crate) fn is_requested(&self) -> bool {
        *self.requests.borrow() > 0
    }

    /// Processes a scrape that started at `at`.
    pub(crate) fn observe(&mut self, at: Instant, scrape: &Scrape, reading: &Reading) {
        let activity = self.detector.observe(scrape, reading);
        let ago = self
            .detector
            .last_arrival()
            .map(|arrived| scrape.at.saturating_sub(arrived));
        self.observations.send_replace(Some(Observation {
            at,
            activity,
            last_arrival: ago.and_then(|ago| at.checked_sub(ago)),
        }));
    }
}

/// An open request for `/drain`, closed when dropped: after the response, or when its client disconnects.
///
/// Each has its own start, so that another client's earlier request does not shorten the hook's drain. Without native
/// sidecars, two hooks request it within milliseconds (TorchServe's and the sidecar's own) and share the scrapes.
struct DrainGuard<'a> {
    requests: &'a watch::Sender<usize>,
    started: Instant,
}

impl<'a> DrainGuard<'a> {
    fn acquire(requests: &'a watch::Sender<usize>) -> Self {
        requests.send_modify(|open| *open += 1);
        Self {
            requests,
            started: Instant::now(),
        }
    }
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        self.requests.send_modify(|open| *open -= 1);
    }
}

/// The end of a drain; `Display` is the response and the log message.
struct Ended {
    outcome: DrainOutcome,
    started: Instant,
    after: Duration,
    last: Option<Observation>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.after.as_secs_f64();
        match self.outcome {
            DrainOutcome::Drained => write!(f, "drained after {seconds:.1} s"),
            DrainOutcome::NotRunning => {
                write!(f, "nothing to drain: the server refuses connections")
            }
            DrainOutcome::ShuttingDown => write!(f, "not drained: the sidecar is shutting down"),
            DrainOutcome::DeadlineExceeded => {
                write!(f, "not drained: deadline after {seconds:.1} s")
            }
        }?;
        let Some(last) = self
            .last
            .as_ref()
            .filter(|last| last.activity != ServerActivity::NotRunning)
        else {
            return Ok(());
        };
        if let ServerActivity::Busy { .. } | ServerActivity::Unknown(_) = last.activity {
            write!(f, ", {}", last.activity)?;
        }
        let arrived = last
            .last_arrival
            .and_then(|at| at.checked_duration_since(self.started));
        match arrived {
            Some(arrived) => write!(
                f,
                ", the last request arrived after {:.1} s",
                arrived.as_secs_f64()
            ),
            None => f.write_str(", no requests arrived"),
        }
    }
}

#[cfg(test)]
mod tests;

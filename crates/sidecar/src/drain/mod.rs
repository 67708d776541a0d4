//! `/drain`: TorchServe's preStop hook. The kubelet sends SIGTERM only after the response, so that a terminating pod
//! completes its queued and in-flight requests first.

mod idle;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use pushscale_daemon::reply::{Reply, text};
use pushscale_daemon::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{DrainOutcome, Metrics};
use idle::{IdleDetector, ServerActivity};

/// A pod's deletion and the end of new connections to it are not one moment: the endpoint's removal travels through the
/// API server to kube-proxy on every node. On a test cluster's node with one kube-proxy requests came for 1.6 s at the
/// most in hundreds of pods' ends; a cluster has many nodes, and busier ones. Three more seconds of a pod cost less
/// than one request.
const MIN_DRAIN: Duration = Duration::from_secs(5);

/// While somebody waits, the server is scraped at this often, so that the answer is prompt.
pub(crate) const DRAIN_SCRAPE_INTERVAL: Duration = Duration::from_millis(100);

/// Responds to requests for `/drain`.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: Duration,
    requests: Arc<watch::Sender<DrainRequests>>,
    observations: watch::Receiver<Option<Observation>>,
    metrics: Metrics,
    shutdown: Shutdown,
}

/// Feeds scrapes to the requests for `/drain`.
#[derive(Debug)]
pub(crate) struct DrainWatch {
    pub(crate) requests: watch::Receiver<DrainRequests>,
    observations: watch::Sender<Option<Observation>>,
    detector: IdleDetector,
}

/// Requests for `/drain` in guard. Each has a begin of its own: a stranger's call before the hook's takes nothing from
/// the hook's least time. In a pod without native sidecars two hooks ask within milliseconds, TorchServe's and the
/// sidecar's own, and are answered by the same scrapes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DrainRequests {
    count: usize,
}

#[derive(Clone, Debug)]
struct Observation {
    at: Instant,
    activity: ServerActivity,
    last_arrival: Option<Instant>,
}

/// A drain for scrapes to be told to, and the one who tells them.
pub(crate) fn new(deadline: Duration, metrics: Metrics, shutdown: Shutdown) -> (Drain, DrainWatch) {
    let (requests, requested) = watch::channel(DrainRequests::default());
    let (tell, observations) = watch::channel(None);
    let drain = Drain {
        deadline,
        requests: Arc::new(requests),
        observations,
        metrics,
        shutdown,
    };
    let watch = DrainWatch {
        requests: requested,
        observations: tell,
        detector: IdleDetector::default(),
    };
    (drain, watch)
}

impl Drain {
    /// Answers when the server is quiet or gone, at the deadline, or when this process must end itself.
    pub(crate) async fn answer(&self) -> Reply {
        let guard = DrainGuard::acquire(&self.requests);
        let mut observations = self.observations.clone();
        let outcome = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => DrainOutcome::ShuttingDown,
            outcome = settled(guard.began, &mut observations) => outcome,
            () = sleep_until(guard.began + self.deadline) => self.outcome_at_deadline(guard.began),
        };
        let ended = Ended {
            outcome,
            after: guard.began.elapsed(),
            began: guard.began,
            last: observations.borrow().clone(),
        };
        self.metrics.drained(outcome, ended.after);
        if outcome == DrainOutcome::DeadlineExceeded {
            tracing::warn!(seconds = ended.after.as_secs_f64(), "{ended}");
        } else {
            tracing::info!(seconds = ended.after.as_secs_f64(), "{ended}");
        }
        // 200 at the deadline, too: the kubelet goes on with SIGTERM either way, and the pod's log says the rest.
        text(StatusCode::OK, format!("{ended}\n"))
    }

    /// A deadline that is shorter than the least time finds a quiet server, too.
    fn outcome_at_deadline(&self, began: Instant) -> DrainOutcome {
        match &*self.observations.borrow() {
            Some(seen) if seen.at >= began && seen.activity == ServerActivity::Idle => {
                DrainOutcome::Drained
            }
            _ => DrainOutcome::DeadlineExceeded,
        }
    }
}

/// Waits for a scrape that was taken since `began` and shows a server with nothing left to do.
async fn settled(
    began: Instant,
    observations: &mut watch::Receiver<Option<Observation>>,
) -> DrainOutcome {
    loop {
        if let Some(seen) = &*observations.borrow_and_update()
            && seen.at >= began
        {
            match seen.activity {
                ServerActivity::NotRunning => return DrainOutcome::NotRunning,
                ServerActivity::Idle if seen.at >= began + MIN_DRAIN => {
                    return DrainOutcome::Drained;
                }
                _ => {}
            }
        }
        if observations.changed().await.is_err() {
            // Nobody scrapes any more: this process is about to end.
            std::future::pending::<()>().await;
        }
    }
}

impl DrainWatch {
    /// Somebody waits for the answer.
    pub(crate) fn is_requested(&self) -> bool {
        self.requests.borrow().count > 0
    }

    /// Takes a scrape that began at `at`.
    pub(crate) fn observe(
        &mut self,
        at: Instant,
        scrape: &crate::scrape::Scrape,
        reading: &crate::reading::Reading,
    ) {
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

/// One request in guard. Given back when it is answered or its client has hung up.
struct DrainGuard<'a> {
    requests: &'a watch::Sender<DrainRequests>,
    began: Instant,
}

impl<'a> DrainGuard<'a> {
    fn acquire(requests: &'a watch::Sender<DrainRequests>) -> Self {
        requests.send_modify(|requests| requests.count += 1);
        Self {
            requests,
            began: Instant::now(),
        }
    }
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        self.requests.send_modify(|requests| requests.count -= 1);
    }
}

/// How it ended, in words.
struct Ended {
    outcome: DrainOutcome,
    began: Instant,
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
        let came = last
            .last_arrival
            .and_then(|at| at.checked_duration_since(self.began));
        match came {
            Some(came) => write!(
                f,
                ", the last request arrived after {:.1} s",
                came.as_secs_f64()
            ),
            None => f.write_str(", no requests arrived"),
        }
    }
}

#[cfg(test)]
mod tests;

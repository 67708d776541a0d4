//! `/drain`: TorchServe's preStop hook. The kubelet holds SIGTERM back until this is answered, so that a pod that must
//! go answers first what it has.

mod quiet;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use pushscale_daemon::reply::{Reply, text};
use pushscale_daemon::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::{DrainOutcome, Metrics};
use quiet::{Quiet, Sight};

/// A pod's deletion and the end of new connections to it are not one moment: the endpoint's removal travels through the
/// API server to kube-proxy on every node. On a test cluster's node with one kube-proxy requests came for 1.6 s at the most in
/// hundreds of pods' ends; a cluster has many nodes, and busier ones. Three more seconds of a pod cost less than one request.
const LEAST: Duration = Duration::from_secs(5);

/// While somebody waits, the server is looked at this often, so that the answer is prompt.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The side that answers.
#[derive(Debug)]
pub(crate) struct Drain {
    deadline: Duration,
    hands: Arc<watch::Sender<Hands>>,
    sights: watch::Receiver<Option<Seen>>,
    metrics: Metrics,
    stop: Shutdown,
}

/// The side that looks.
#[derive(Debug)]
pub(crate) struct DrainWatch {
    pub(crate) hands: watch::Receiver<Hands>,
    sights: watch::Sender<Option<Seen>>,
    quiet: Quiet,
}

/// Requests for `/drain` in hand. Each has a begin of its own: a stranger's call before the hook's takes nothing from the
/// hook's least time. In a pod without native sidecars two hooks ask within milliseconds, TorchServe's and the sidecar's
/// own, and are answered by the same looks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hands {
    count: usize,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    sight: Sight,
    last_arrival: Option<Instant>,
}

/// A drain for looks to be told to, and the one who tells them.
pub(crate) fn new(deadline: Duration, metrics: Metrics, stop: Shutdown) -> (Drain, DrainWatch) {
    let (hands, asked) = watch::channel(Hands::default());
    let (tell, sights) = watch::channel(None);
    let drain = Drain {
        deadline,
        hands: Arc::new(hands),
        sights,
        metrics,
        stop,
    };
    let watch = DrainWatch {
        hands: asked,
        sights: tell,
        quiet: Quiet::default(),
    };
    (drain, watch)
}

impl Drain {
    /// Answers when the server is quiet or gone, at the deadline, or when this process must end itself.
    pub(crate) async fn answer(&self) -> Reply {
        let hand = Hand::take(&self.hands);
        let mut sights = self.sights.clone();
        let outcome = tokio::select! {
            biased;
            () = self.stop.cancelled() => DrainOutcome::Stopped,
            outcome = settled(hand.began, &mut sights) => outcome,
            () = sleep_until(hand.began + self.deadline) => self.at_the_deadline(hand.began),
        };
        let ended = Ended {
            outcome,
            after: hand.began.elapsed(),
            began: hand.began,
            last: sights.borrow().clone(),
        };
        self.metrics.drained(outcome, ended.after);
        if outcome == DrainOutcome::Deadline {
            tracing::warn!(seconds = ended.after.as_secs_f64(), "{ended}");
        } else {
            tracing::info!(seconds = ended.after.as_secs_f64(), "{ended}");
        }
        // 200 at the deadline, too: the kubelet goes on with SIGTERM either way, and the pod's log says the rest.
        text(StatusCode::OK, format!("{ended}\n"))
    }

    /// A deadline that is shorter than the least time finds a quiet server, too.
    fn at_the_deadline(&self, began: Instant) -> DrainOutcome {
        match &*self.sights.borrow() {
            Some(seen) if seen.at >= began && seen.sight == Sight::Quiet => DrainOutcome::Drained,
            _ => DrainOutcome::Deadline,
        }
    }
}

/// Waits for a look that was taken since `began` and shows a server with nothing left to do.
async fn settled(began: Instant, sights: &mut watch::Receiver<Option<Seen>>) -> DrainOutcome {
    loop {
        if let Some(seen) = &*sights.borrow_and_update()
            && seen.at >= began
        {
            match seen.sight {
                Sight::Gone => return DrainOutcome::Gone,
                Sight::Quiet if seen.at >= began + LEAST => return DrainOutcome::Drained,
                _ => {}
            }
        }
        if sights.changed().await.is_err() {
            // Nobody looks any more: this process is about to end.
            std::future::pending::<()>().await;
        }
    }
}

impl DrainWatch {
    /// Somebody waits for the answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.hands.borrow().count > 0
    }

    /// Takes a look that began at `at`.
    pub(crate) fn observe(
        &mut self,
        at: Instant,
        look: &crate::look::Look,
        reading: &crate::reading::Reading,
    ) {
        let sight = self.quiet.observe(look, reading);
        let ago = self
            .quiet
            .last_arrival()
            .map(|arrived| look.at.saturating_sub(arrived));
        self.sights.send_replace(Some(Seen {
            at,
            sight,
            last_arrival: ago.and_then(|ago| at.checked_sub(ago)),
        }));
    }
}

/// One request in hand. Given back when it is answered or its client has hung up.
struct Hand<'a> {
    hands: &'a watch::Sender<Hands>,
    began: Instant,
}

impl<'a> Hand<'a> {
    fn take(hands: &'a watch::Sender<Hands>) -> Self {
        hands.send_modify(|hands| hands.count += 1);
        Self {
            hands,
            began: Instant::now(),
        }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.hands.send_modify(|hands| hands.count -= 1);
    }
}

/// How it ended, in words.
struct Ended {
    outcome: DrainOutcome,
    began: Instant,
    after: Duration,
    last: Option<Seen>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.after.as_secs_f64();
        match self.outcome {
            DrainOutcome::Drained => write!(f, "drained after {seconds:.1} s"),
            DrainOutcome::Gone => write!(f, "nothing to drain: the server refuses connections"),
            DrainOutcome::Stopped => write!(f, "not drained: the sidecar was told to stop"),
            DrainOutcome::Deadline => {
                write!(f, "not drained: deadline after {seconds:.1} s")
            }
        }?;
        let Some(last) = self.last.as_ref().filter(|last| last.sight != Sight::Gone) else {
            return Ok(());
        };
        if let Sight::Busy { .. } | Sight::Blind(_) = last.sight {
            write!(f, ", {}", last.sight)?;
        }
        let came = last
            .last_arrival
            .and_then(|at| at.checked_duration_since(self.began));
        match came {
            Some(came) => write!(
                f,
                ", the last request came {:.1} s into it",
                came.as_secs_f64()
            ),
            None => f.write_str(", no request came"),
        }
    }
}

#[cfg(test)]
mod tests;

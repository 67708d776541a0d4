//! The tasks that write to the API server, and the order of their last writes at shutdown.
//!
//! The last statuses and checkpoints are written first, and the Lease is released afterwards, so that the next leader
//! reads them. That takes 20 ms. If the API server is slow, the Lease is released in the meantime: both must fit into
//! the time that a shutdown may take. Only checkpoints are still written then. A checkpoint holds a week and the next
//! leader may lack a part of it, whereas it writes all statuses itself.

use std::pin::pin;
use std::time::Duration;

use kube::Client;
use pushscale_daemon::heartbeat::Heartbeat;
use pushscale_daemon::readiness::Readiness;
use pushscale_daemon::shutdown::Shutdown;
use pushscale_daemon::tasks::Tasks;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::event::Event;
use crate::kube_report;
use crate::leadership::{self, Leadership, LeaseSettings};
use crate::metrics::Metrics;
use crate::report::Report;

/// Maximum time from the start of the shutdown to the release of the Lease. An API server that takes up to 1.3 s for a
/// response then answers the release before the process exits, or up to 0.9 s while the Lease is being renewed or a
/// replica count is being written.
const RELEASE_AFTER: Duration = Duration::from_millis(500);

/// What the tasks share.
#[derive(Clone)]
pub(crate) struct Writers {
    pub(crate) client: Client,
    pub(crate) leadership: Leadership,
    /// Whether this aggregator could decide if it were elected.
    pub(crate) readiness: Readiness,
    /// The heartbeat of the control loop: while it is stalled, another aggregator must lead.
    pub(crate) heartbeat: Heartbeat,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: Shutdown,
}

impl Writers {
    /// Starts the leader election, if there is a Lease, and the writes of `reports`. Both end at shutdown, once the
    /// senders of `reports` are dropped.
    pub(crate) fn start(
        self,
        tasks: &mut Tasks,
        reports: mpsc::Receiver<Report>,
        lease: Option<LeaseSettings>,
        events: mpsc::Sender<Event>,
    ) {
        let (keep_lease, release) = oneshot::channel();
        if let Some(lease) = lease {
            let election = leadership::run(self.clone(), lease, events, release);
            tasks.spawn("leader election", election);
        }
        tasks.spawn("reports", async move {
            let writes = kube_report::run(self.client, reports, self.leadership, self.metrics);
            let mut writes = pin!(writes);
            let is_late = async {
                self.shutdown.cancelled().await;
                sleep(RELEASE_AFTER).await;
            };
            let is_done = tokio::select! {
                () = &mut writes => true,
                () = is_late => false,
            };
            drop::<oneshot::Sender<()>>(keep_lease);
            if !is_done {
                writes.await;
            }
        });
    }
}

#[cfg(test)]
mod tests;

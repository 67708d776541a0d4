//! Acquires, renews and releases the Lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use pushscale_daemon::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Leadership;
use super::election::{Election, LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD};
use super::record::LeaseRecord;
use crate::event::Event;
use crate::kube_error;

/// Timeout of one request. Several fit into the deadline for renewing.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last statuses may take at shutdown, and then the last write of a replica count.
const LAST_REPORTS: Duration = Duration::from_secs(1);
const LAST_WRITE: Duration = Duration::from_millis(500);

const CONFLICT: u16 = 409;
const NOT_FOUND: u16 = 404;

/// The Lease and this candidate.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// `metadata.namespace` of the Lease.
    pub namespace: String,
    /// `metadata.name` of the Lease.
    pub name: String,
    /// What distinguishes this candidate: the name of its pod.
    pub identity: String,
}

/// Takes part in the election until shutdown, and resigns once `reports` is dropped: the last statuses are written by
/// then.
pub(crate) async fn run(
    client: Client,
    settings: LeaseSettings,
    leadership: Leadership,
    events: mpsc::Sender<Event>,
    reports: oneshot::Receiver<()>,
    shutdown: Shutdown,
) {
    let mut candidate = Candidate {
        leases: Api::namespaced(client, &settings.namespace),
        election: Election::new(settings.identity.clone()),
        settings,
        leadership,
        failing: false,
    };
    loop {
        let led = candidate.leadership.is_leader();
        let holder = candidate.election.holder().cloned();
        candidate.attempt().await;
        let leads = candidate.leadership.is_leader();
        if leads && !led {
            tracing::info!(lease = candidate.settings.name, "became the leader");
            // A full queue wakes the control loop as well.
            events.try_send(Event::Promoted).ok();
        } else if !leads && (led || candidate.election.holder() != holder.as_ref()) {
            let leader = candidate.election.holder().map_or("none", String::as_str);
            tracing::info!(lease = candidate.settings.name, leader, "following");
        }
        // Different machines should not try at the same moment.
        let pause = RETRY_PERIOD.mul_f64(1.0 + 0.2 * jitter());
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(pause) => {}
        }
    }
    timeout(LAST_REPORTS, reports).await.ok();
    candidate.resign().await;
}

struct Candidate {
    leases: Api<Lease>,
    election: Election,
    settings: LeaseSettings,
    leadership: Leadership,
    failing: bool,
}

impl Candidate {
    /// Tries once to acquire or renew the Lease.
    async fn attempt(&mut self) {
        // A holder renews without reading first: its write fails if another client wrote the Lease.
        if !self.election.is_holder() && !self.read().await {
            return;
        }
        let begun = Instant::now();
        let Some(record) = self.election.next(begun, Timestamp::now()) else {
            self.leadership.follow();
            return;
        };
        // The term counts from before the request: the others count from when they see it.
        if self.write(&record).await {
            self.leadership.lead_until(begun + RENEW_DEADLINE);
        }
    }

    /// Gives up leadership and empties the Lease, so that another candidate need not wait for its end. If a write is
    /// still in flight, the Lease stays as it is.
    async fn resign(&mut self) {
        self.leadership.follow();
        if timeout(LAST_WRITE, self.leadership.wait_for_writes())
            .await
            .is_err()
        {
            return;
        }
        if let Some(record) = self.election.resignation()
            && self.write(&record).await
        {
            tracing::info!(lease = self.settings.name, "resigned");
        }
    }

    /// Reads the Lease. Returns whether its state is known.
    async fn read(&mut self) -> bool {
        match timeout(TIMEOUT, self.leases.get_opt(&self.settings.name)).await {
            Ok(Ok(Some(lease))) => {
                self.failing = false;
                self.election
                    .observe(Instant::now(), LeaseRecord::from(&lease));
                true
            }
            Ok(Ok(None)) => {
                self.failing = false;
                self.election.forget();
                true
            }
            Ok(Err(error)) => self.failed(&kube_error::message(&error)),
            Err(_) => self.failed(kube_error::TIMED_OUT),
        }
    }

    /// Writes the Lease. Returns whether this candidate's state is stored.
    async fn write(&mut self, record: &LeaseRecord) -> bool {
        let seconds = i32::try_from(LEASE_DURATION.as_secs()).unwrap_or(i32::MAX);
        let lease = record.to_lease(&self.settings.name, seconds, Timestamp::now());
        let (name, params) = (&self.settings.name, PostParams::default());
        let request = async {
            match record.version {
                Some(_) => self.leases.replace(name, &params, &lease).await,
                None => self.leases.create(&params, &lease).await,
            }
        };
        match timeout(TIMEOUT, request).await {
            Ok(Ok(stored)) => {
                self.failing = false;
                self.election
                    .observe(Instant::now(), LeaseRecord::from(&stored));
                true
            }
            // Another candidate was faster, or deleted the Lease.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, CONFLICT | NOT_FOUND) => {
                self.election.forget();
                false
            }
            Ok(Err(error)) => self.unconfirmed(&kube_error::message(&error)),
            Err(_) => self.unconfirmed(kube_error::TIMED_OUT),
        }
    }

    /// A write without a response may have been stored under a version that is unknown here.
    fn unconfirmed(&mut self, error: &str) -> bool {
        self.election.forget();
        self.failed(error)
    }

    fn failed(&mut self, error: &str) -> bool {
        // During an outage of the API server, one line is enough.
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(lease = self.settings.name, error, "leader election failed");
        } else {
            tracing::warn!(lease = self.settings.name, error, "leader election failed");
        }
        false
    }
}

/// Returns a number from 0 to 1.
fn jitter() -> f64 {
    f64::from(Timestamp::now().subsec_nanosecond() % 1_000_003) / 1_000_003.0
}

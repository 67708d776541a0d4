//! Acquires, renews and releases the Lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use pushscale_kubernetes::{CONFLICT, NOT_FOUND, RequestError, request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::Leadership;
use super::election::{Election, LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD};
use super::record::LeaseRecord;
use crate::event::Event;
use crate::metrics::{ApiRequest, Metrics};
use crate::writers::Writers;

/// Timeout of one request. Several fit into the deadline for renewing.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long the last write of a replica count may take at shutdown.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// The Lease and this candidate.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// `metadata.namespace` of the Lease.
    pub namespace: String,
    /// `metadata.name` of the Lease.
    pub name: String,
    /// The name of this candidate's pod.
    pub pod: String,
}

impl LeaseSettings {
    /// What distinguishes this candidate. A container that restarts in the same pod has lost its state: it must not
    /// take its predecessor's Lease for its own and lead at once.
    fn identity(&self) -> String {
        format!("{}_{:x}", self.pod, Timestamp::now().as_millisecond())
    }
}

/// Takes part in the election until shutdown, and then resigns once the sender of `release` is dropped. A candidate
/// that is not ready, or whose control loop is stalled, could not decide: it only reads the Lease.
pub(crate) async fn run(
    writers: Writers,
    settings: LeaseSettings,
    events: mpsc::Sender<Event>,
    release: oneshot::Receiver<()>,
) {
    let Writers {
        client,
        leadership,
        readiness,
        heartbeat,
        metrics,
        shutdown,
    } = writers;
    let mut candidate = Candidate {
        leases: Api::namespaced(client, &settings.namespace),
        election: Election::new(settings.identity()),
        settings,
        leadership,
        metrics,
        failing: false,
    };
    let mut was_stalled = false;
    loop {
        let led = candidate.leadership.term().is_some();
        let holder = candidate.election.holder().cloned();
        let is_ready = readiness.is_ready();
        let is_stalled = heartbeat.is_stalled();
        if is_stalled && !was_stalled {
            tracing::error!("the control loop is stalled: not taking part in the leader election");
        }
        was_stalled = is_stalled;
        candidate.attempt(is_ready && !is_stalled).await;
        let leads = candidate.leadership.term().is_some();
        if leads && !led {
            tracing::info!(lease = candidate.settings.name, "became the leader");
            // A full queue wakes the control loop as well.
            events.try_send(Event::Promoted).ok();
        } else if !leads && (led || candidate.election.holder() != holder.as_ref()) {
            let leader = candidate.election.holder().map_or("none", String::as_str);
            tracing::info!(lease = candidate.settings.name, leader, "not the leader");
        }
        // Different machines should not try at the same moment.
        let pause = RETRY_PERIOD.mul_f64(1.0 + 0.2 * jitter());
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = readiness.ready(), if !is_ready => {}
            () = sleep(pause) => {}
        }
    }
    release.await.ok();
    candidate.resign().await;
}

/// Whether a candidate's state of the Lease is stored.
#[derive(Clone, Copy, Debug)]
enum Written {
    Yes,
    /// The Lease was written or deleted by another client, or by a write of our own without a response.
    Outdated,
    /// The Lease was not written, or there was no response.
    No,
}

struct Candidate {
    leases: Api<Lease>,
    election: Election,
    settings: LeaseSettings,
    leadership: Leadership,
    metrics: Metrics,
    failing: bool,
}

impl Candidate {
    /// Tries to renew or to acquire the Lease if this candidate can lead.
    async fn attempt(&mut self, can_lead: bool) {
        // A holder renews without reading first. If another client has written or deleted the Lease, it reads.
        if can_lead && self.election.is_holder() && !matches!(self.renew().await, Written::Outdated)
        {
            return;
        }
        // Reading begins before the candidate is ready, so that it need not wait for the end of a dead leader's Lease
        // afterwards.
        if self.read().await && can_lead {
            self.renew().await;
        }
    }

    /// Writes the Lease, unless another candidate holds it.
    async fn renew(&mut self) -> Written {
        let start = Instant::now();
        let Some(record) = self.election.next(start, Timestamp::now()) else {
            self.leadership.follow();
            return Written::No;
        };
        let written = self.write(&record).await;
        if matches!(written, Written::Yes) {
            // The term counts from before the request: the others count from when they see it.
            self.leadership.lead_until(start + RENEW_DEADLINE);
        }
        written
    }

    /// Gives up leadership and empties the Lease, so that another candidate need not wait for its end. If a write is
    /// still in flight, the Lease stays as it is.
    async fn resign(&mut self) {
        if !self.leadership.resign(LAST_WRITE).await {
            return;
        }
        if let Some(record) = self.election.resignation()
            && matches!(self.write(&record).await, Written::Yes)
        {
            tracing::info!(lease = self.settings.name, "resigned as the leader");
        }
    }

    /// Reads the Lease. Returns whether its state is known.
    async fn read(&mut self) -> bool {
        let start = Instant::now();
        let read = request(TIMEOUT, self.leases.get_opt(&self.settings.name)).await;
        self.request_ended(start, read.is_ok());
        match read {
            Ok(Some(lease)) => {
                self.failing = false;
                self.election
                    .observe(Instant::now(), LeaseRecord::from(&lease));
                true
            }
            Ok(None) => {
                self.failing = false;
                self.election.observe_absence(Instant::now());
                true
            }
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }

    async fn write(&mut self, record: &LeaseRecord) -> Written {
        let seconds = i32::try_from(LEASE_DURATION.as_secs()).unwrap_or(i32::MAX);
        let lease = record.to_lease(&self.settings.name, seconds, Timestamp::now());
        let (name, params) = (&self.settings.name, PostParams::default());
        let write = async {
            match record.version {
                Some(_) => self.leases.replace(name, &params, &lease).await,
                None => self.leases.create(&params, &lease).await,
            }
        };
        let start = Instant::now();
        let written = request(TIMEOUT, write).await;
        let code = written.as_ref().err().and_then(RequestError::code);
        let is_outdated = matches!(code, Some(CONFLICT | NOT_FOUND));
        self.request_ended(start, is_outdated || written.is_ok());
        match written {
            Ok(stored) => {
                self.failing = false;
                self.election
                    .observe(Instant::now(), LeaseRecord::from(&stored));
                Written::Yes
            }
            _ if is_outdated => Written::Outdated,
            // The write may have been stored. The next one is then outdated, and a read follows.
            Err(error) => {
                self.failed(&error);
                Written::No
            }
        }
    }

    fn request_ended(&self, start: Instant, succeeded: bool) {
        self.metrics
            .api_request_ended(ApiRequest::Lease, start, succeeded);
    }

    fn failed(&mut self, error: &RequestError) {
        // During an outage of the API server, one line is enough.
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(lease = self.settings.name, %error, "leader election failed");
        } else {
            tracing::warn!(lease = self.settings.name, %error, "leader election failed");
        }
    }
}

/// Returns a number from 0 to 1.
fn jitter() -> f64 {
    f64::from(Timestamp::now().subsec_nanosecond() % 1_000_003) / 1_000_003.0
}

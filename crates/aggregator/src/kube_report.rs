//! Writes statuses, events and checkpoints to the API server: only the newest status and checkpoint of each scaler, and
//! few requests at a time.

use std::sync::Once;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use pushscale_api::names::FIELD_MANAGER;
use pushscale_api::{PushScaler, PushScalerCheckpoint};
use pushscale_daemon::log_limiter::LogLimiter;
use pushscale_kubernetes::{
    CONFLICT, NOT_FOUND, RequestError, UNPROCESSABLE, request, truncate_note,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::checkpoint;
use crate::leadership::Leadership;
use crate::metrics::{ApiRequest, Metrics, WriteOutcome};
use crate::names::ScalerKey;
use crate::report::{CheckpointReport, EventReport, Report, StatusReport};
use crate::write_queue::WriteQueue;

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events that wait for the API server. A decision has one at most.
const EVENT_QUEUE: usize = 1024;

/// Reports that wait for the task that writes them, which only queues them.
const WRITE_QUEUE: usize = 16;

/// Time until a failed write is repeated.
const RETRY: Duration = Duration::from_secs(5);

/// Writes reports until the channel is closed and drained.
///
/// Nothing is written while another aggregator leads, except the last checkpoints, which do not replace its own.
pub(crate) async fn run(
    client: Client,
    mut reports: mpsc::Receiver<Report>,
    leadership: Leadership,
    metrics: Metrics,
) {
    let (statuses_tx, statuses) = mpsc::channel(WRITE_QUEUE);
    let (checkpoints_tx, checkpoints) = mpsc::channel(WRITE_QUEUE);
    let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
    let writer = || Writer {
        client: client.clone(),
        metrics: metrics.clone(),
        failure_log: LogLimiter::default(),
    };
    let route = async {
        // Ends the other tasks with this one.
        let (statuses_tx, checkpoints_tx, events_tx) = (statuses_tx, checkpoints_tx, events_tx);
        while let Some(report) = reports.recv().await {
            match report {
                Report::Status(report) => drop(statuses_tx.send(report).await),
                Report::Checkpoint(report) => drop(checkpoints_tx.send(report).await),
                // A slow API server must not hold up the statuses.
                Report::Event(event) => {
                    if events_tx.try_send(event).is_err() {
                        metrics.report_dropped();
                    }
                }
            }
        }
    };
    tokio::join!(
        route,
        write_newest(statuses, writer(), &leadership),
        write_newest(checkpoints, writer(), &leadership),
        write_events(&client, events, &leadership, &metrics)
    );
}

/// What the writes of one kind of report share.
struct Writer {
    client: Client,
    metrics: Metrics,
    failure_log: LogLimiter,
}

/// A report of which only the newest one of a scaler is written.
trait NewestReport: Sized + Send {
    const MAX_CONCURRENT: usize;

    fn scaler(&self) -> &ScalerKey;

    /// Whether it is written even if this aggregator no longer leads.
    fn is_last(&self) -> bool {
        false
    }

    /// Writes the report. Returns it if it should be written again.
    fn write(self, writer: &Writer) -> impl Future<Output = Option<Self>> + Send;
}

/// Writes the newest report of each scaler until the channel is closed and drained.
async fn write_newest<T: NewestReport>(
    mut reports: mpsc::Receiver<T>,
    writer: Writer,
    leadership: &Leadership,
) {
    let writer = &writer;
    let mut queue = WriteQueue::<T>::default();
    let mut writes = FuturesUnordered::new();
    let mut retry = tokio::time::interval(RETRY);
    let mut open = true;
    loop {
        while writes.len() < T::MAX_CONCURRENT
            && let Some((scaler, report)) = queue.start()
        {
            writes.push(async {
                let is_last = report.is_last();
                let write = report.write(writer);
                let again = if is_last {
                    write.await
                } else {
                    leadership.write(write).await.flatten()
                };
                (scaler, again)
            });
        }
        if !open && queue.is_drained() {
            return;
        }
        tokio::select! {
            report = reports.recv(), if open => match report {
                Some(report) => queue.push(report.scaler().clone(), report),
                None => open = false,
            },
            Some((scaler, again)) = writes.next() => queue.finish(scaler, again),
            _ = retry.tick() => queue.retry(),
        }
    }
}

impl NewestReport for StatusReport {
    const MAX_CONCURRENT: usize = 8;

    fn scaler(&self) -> &ScalerKey {
        &self.scaler
    }

    async fn write(self, writer: &Writer) -> Option<Self> {
        let scaler = &self.scaler;
        let api: Api<PushScaler> = Api::namespaced(writer.client.clone(), &scaler.namespace);
        // A merge patch would keep fields that are absent now, such as the figures of a metric that failed. A JSON
        // patch replaces the whole status. The test keeps it away from a later PushScaler of the same name.
        let patch = json!([
            { "op": "test", "path": "/metadata/uid", "value": self.uid },
            { "op": "add", "path": "/status", "value": *self.status },
        ]);
        let patch = match serde_json::from_value(patch) {
            Ok(patch) => Patch::<()>::Json(patch),
            Err(error) => {
                tracing::error!(autoscaler = %scaler, %error, "failed to serialize the status");
                return None;
            }
        };
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let metrics = &writer.metrics;
        let start = Instant::now();
        let ended =
            |succeeded| metrics.api_request_ended(ApiRequest::StatusWrite, start, succeeded);
        let written = request(TIMEOUT, api.patch_status(&scaler.name, &params, &patch)).await;
        let error = match written {
            Ok(_) => {
                ended(true);
                metrics.status_writes.increment(WriteOutcome::Written);
                return None;
            }
            // The PushScaler was deleted in the meantime.
            Err(error) if error.code() == Some(NOT_FOUND) => {
                ended(true);
                return None;
            }
            Err(error) => error,
        };
        ended(false);
        metrics.status_writes.increment(WriteOutcome::Failed);
        if let Some(left_out) = writer.failure_log.allow(Instant::now().into_std()) {
            tracing::warn!(autoscaler = %scaler, %error, left_out, "failed to write the status");
        }
        // The API server would reject the same status again.
        (error.code() != Some(UNPROCESSABLE)).then_some(self)
    }
}

impl NewestReport for CheckpointReport {
    const MAX_CONCURRENT: usize = 2;

    fn scaler(&self) -> &ScalerKey {
        &self.scaler
    }

    /// A leader reports it at shutdown, and the next leader knows the same or less until it writes its own.
    fn is_last(&self) -> bool {
        self.is_last
    }

    /// A failed write is not repeated: the leader writes a newer checkpoint within ten minutes, unless the PushScaler
    /// is deleted.
    async fn write(self, writer: &Writer) -> Option<Self> {
        let scaler = &self.scaler;
        let client = writer.client.clone();
        let api: Api<PushScalerCheckpoint> = Api::namespaced(client, &scaler.namespace);
        if !self.is_last {
            self.stored.attempt(self.at);
        }
        let start = Instant::now();
        let mut written = self.store(&api).await;
        if self.is_conflict(&written) && self.read_own(&api).await {
            written = self.store(&api).await;
        }
        if self.is_conflict(&written) {
            tracing::info!(autoscaler = %scaler, "last checkpoint not written: the stored one has changed");
            return None;
        }
        if let Ok(written) = &written {
            self.stored.record(Some(&written.metadata));
        }
        let error = written.err();
        let is_missing = error.as_ref().and_then(RequestError::code) == Some(NOT_FOUND);
        let succeeded = is_missing || error.is_none();
        let request = ApiRequest::CheckpointWrite;
        writer.metrics.api_request_ended(request, start, succeeded);
        let error = error?;
        if is_missing {
            static LOGGED: Once = Once::new();
            LOGGED.call_once(|| {
                tracing::warn!(autoscaler = %scaler, %error, "checkpoints are not stored: is their CRD installed?");
            });
        } else if let Some(left_out) = writer.failure_log.allow(Instant::now().into_std()) {
            tracing::warn!(autoscaler = %scaler, %error, left_out, "failed to write the checkpoint");
        }
        None
    }
}

impl CheckpointReport {
    /// Stores the checkpoint; the last one only if the stored one is the one that this aggregator knows.
    async fn store(
        &self,
        api: &Api<PushScalerCheckpoint>,
    ) -> Result<PushScalerCheckpoint, RequestError> {
        let mut object = checkpoint::object(self);
        if self.is_last && !self.stored.require_unchanged(&mut object.metadata) {
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            return request(TIMEOUT, api.create(&params, &object)).await;
        }
        // What other clients have written is replaced.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&object);
        request(TIMEOUT, api.patch(&self.scaler.name, &params, &patch)).await
    }

    /// Whether the last checkpoint was rejected because the stored one has changed.
    fn is_conflict(&self, written: &Result<PushScalerCheckpoint, RequestError>) -> bool {
        let code = written.as_ref().err().and_then(RequestError::code);
        self.is_last && code == Some(CONFLICT)
    }

    /// Reads the stored checkpoint, and records it if this aggregator has written it, because the response may have
    /// been lost, or if there is none any more. Returns whether no other aggregator has written one.
    async fn read_own(&self, api: &Api<PushScalerCheckpoint>) -> bool {
        let Ok(found) = request(TIMEOUT, api.get_opt(&self.scaler.name)).await else {
            return false;
        };
        let is_own = found
            .as_ref()
            .is_none_or(|found| self.stored.covers(found.spec.written_at.0));
        if is_own {
            self.stored
                .record(found.as_ref().map(|found| &found.metadata));
        }
        is_own
    }
}

async fn write_events(
    client: &Client,
    mut events: mpsc::Receiver<EventReport>,
    leadership: &Leadership,
    metrics: &Metrics,
) {
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: None,
        },
    );
    let failure_log = LogLimiter::default();
    while let Some(event) = events.recv().await {
        leadership
            .write(write_event(&recorder, event, metrics, &failure_log))
            .await;
    }
}

async fn write_event(
    recorder: &Recorder,
    report: EventReport,
    metrics: &Metrics,
    failure_log: &LogLimiter,
) {
    let EventReport {
        scaler,
        uid,
        warning,
        reason,
        action,
        note,
    } = report;
    let regarding = ObjectReference {
        api_version: Some(PushScaler::api_version(&()).into_owned()),
        kind: Some(PushScaler::kind(&()).into_owned()),
        namespace: Some(scaler.namespace.clone()),
        name: Some(scaler.name.clone()),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: if warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: reason.to_owned(),
        note: Some(truncate_note(note)),
        action,
        secondary: None,
    };
    let start = Instant::now();
    let published = request(TIMEOUT, recorder.publish(&event, &regarding)).await;
    metrics.api_request_ended(ApiRequest::EventWrite, start, published.is_ok());
    let Err(error) = published else {
        return metrics.event_writes.increment(WriteOutcome::Written);
    };
    metrics.event_writes.increment(WriteOutcome::Failed);
    if let Some(left_out) = failure_log.allow(Instant::now().into_std()) {
        tracing::warn!(autoscaler = %scaler, %error, left_out, "failed to write the event");
    }
}

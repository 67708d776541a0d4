//! Writes statuses and events to the API server: only the newest status of each scaler, and few requests at a time.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use pushscale_api::PushScaler;
use pushscale_api::names::FIELD_MANAGER;
use pushscale_daemon::log_limiter::LogLimiter;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::kube_error;
use crate::leadership::Leadership;
use crate::metrics::{ApiRequest, Metrics, WriteOutcome};
use crate::names::ScalerKey;
use crate::report::{EventReport, Report, StatusReport};
use crate::status_queue::StatusQueue;

/// Maximum concurrent status writes, to limit the load on the API server.
const MAX_CONCURRENT_WRITES: usize = 8;

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes of an event's note; the API server accepts 1024.
const MAX_NOTE_BYTES: usize = 1000;

/// Events that wait for the API server. A decision has one at most.
const EVENT_QUEUE: usize = 1024;

/// Time until a failed status write is repeated.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Writes reports until the channel closes and what waits is written.
///
/// Nothing is written while another aggregator leads: its reports are newer.
pub(crate) async fn run(
    client: Client,
    mut reports: mpsc::Receiver<Report>,
    leadership: Leadership,
    metrics: Metrics,
) {
    let leadership = &leadership;
    let (events_tx, events) = mpsc::channel(EVENT_QUEUE);
    let statuses = async {
        // The event task ends when this one drops the sender.
        let events_tx = events_tx;
        write_statuses(&client, &mut reports, &events_tx, leadership, &metrics).await;
    };
    tokio::join!(
        statuses,
        write_events(&client, events, leadership, &metrics)
    );
}

async fn write_statuses(
    client: &Client,
    reports: &mut mpsc::Receiver<Report>,
    events: &mpsc::Sender<EventReport>,
    leadership: &Leadership,
    metrics: &Metrics,
) {
    let failure_log = LogLimiter::default();
    let mut queue = StatusQueue::default();
    let mut writes = FuturesUnordered::new();
    let mut retry = tokio::time::interval(RETRY_INTERVAL);
    let mut open = true;
    loop {
        while writes.len() < MAX_CONCURRENT_WRITES
            && let Some((scaler, report)) = queue.start()
        {
            writes.push(async {
                let write = write_status(client, &scaler, report, metrics, &failure_log);
                let again = leadership.write(write).await.flatten();
                (scaler, again)
            });
        }
        if !open && queue.is_drained() {
            return;
        }
        tokio::select! {
            report = reports.recv(), if open => match report {
                Some(Report::Status(report)) => queue.push(report.scaler.clone(), report),
                // A slow API server must not hold up the statuses.
                Some(Report::Event(event)) => if events.try_send(event).is_err() {
                    metrics.report_dropped();
                },
                None => open = false,
            },
            Some((scaler, again)) = writes.next() => queue.finish(scaler, again),
            _ = retry.tick() => queue.retry(),
        }
    }
}

/// Writes one status. Returns it if it should be written again.
async fn write_status(
    client: &Client,
    scaler: &ScalerKey,
    report: StatusReport,
    metrics: &Metrics,
    failure_log: &LogLimiter,
) -> Option<StatusReport> {
    let api: Api<PushScaler> = Api::namespaced(client.clone(), &scaler.namespace);
    // A merge patch would keep fields that are absent now, such as the figures of a metric that failed. A JSON patch
    // replaces the whole status. The test keeps it away from a later PushScaler of the same name.
    let patch = json!([
        { "op": "test", "path": "/metadata/uid", "value": report.uid },
        { "op": "add", "path": "/status", "value": *report.status },
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
    let begun = Instant::now();
    let ended = |succeeded| metrics.api_request_ended(ApiRequest::StatusWrite, begun, succeeded);
    let (error, again) =
        match timeout(TIMEOUT, api.patch_status(&scaler.name, &params, &patch)).await {
            Ok(Ok(_)) => {
                ended(true);
                metrics.status_written(WriteOutcome::Written);
                return None;
            }
            // The PushScaler was deleted in the meantime.
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                ended(true);
                return None;
            }
            Ok(Err(error)) => {
                // The API server would reject the same status again.
                let is_final = matches!(&error, kube::Error::Api(status) if status.code == 422);
                (kube_error::message(&error), !is_final)
            }
            Err(_) => (kube_error::TIMED_OUT.to_owned(), true),
        };
    ended(false);
    metrics.status_written(WriteOutcome::Failed);
    if let Some(left_out) = failure_log.allow(Instant::now().into_std()) {
        tracing::warn!(autoscaler = %scaler, error, left_out, "failed to write the status");
    }
    again.then_some(report)
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
        note: Some(truncate(note)),
        action,
        secondary: None,
    };
    let begun = Instant::now();
    let published = timeout(TIMEOUT, recorder.publish(&event, &regarding)).await;
    let succeeded = matches!(published, Ok(Ok(())));
    metrics.api_request_ended(ApiRequest::EventWrite, begun, succeeded);
    let error = match published {
        Ok(Ok(())) => return metrics.event_written(WriteOutcome::Written),
        Ok(Err(error)) => kube_error::message(&error),
        Err(_) => kube_error::TIMED_OUT.to_owned(),
    };
    metrics.event_written(WriteOutcome::Failed);
    if let Some(left_out) = failure_log.allow(Instant::now().into_std()) {
        tracing::warn!(autoscaler = %scaler, error, left_out, "failed to write the event");
    }
}

fn truncate(mut note: String) -> String {
    if note.len() > MAX_NOTE_BYTES {
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        note.push('…');
    }
    note
}

//! Writes statuses and events to the API server: only the newest status of each scaler, and few requests at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use pushscale_api::names::FIELD_MANAGER;
use pushscale_api::{PushScaler, PushScalerStatus};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::kube_error;
use crate::metrics::{Metrics, WriteOutcome};
use crate::names::ScalerKey;
use crate::report::Report;

/// Maximum concurrent status writes, to limit the load on the API server.
const MAX_CONCURRENT_WRITES: usize = 8;

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum bytes of an event's note; the API server accepts 1024.
const MAX_NOTE_BYTES: usize = 1000;

/// Writes reports until the channel closes.
pub(crate) async fn run(client: Client, mut reports: mpsc::Receiver<Report>, metrics: Metrics) {
    let recorder = Recorder::new(
        client.clone(),
        Reporter {
            controller: FIELD_MANAGER.to_owned(),
            instance: None,
        },
    );
    let mut waiting: BTreeMap<ScalerKey, Box<PushScalerStatus>> = BTreeMap::new();
    let mut writing = FuturesUnordered::new();
    loop {
        while writing.len() < MAX_CONCURRENT_WRITES {
            let Some((scaler, status)) = waiting.pop_first() else {
                break;
            };
            writing.push(write_status(&client, scaler, status, &metrics));
        }
        tokio::select! {
            report = reports.recv() => match report {
                Some(Report::Status { scaler, status }) => {
                    waiting.insert(scaler, status);
                }
                Some(event) => write_event(&recorder, event, &metrics).await,
                None => return,
            },
            Some(()) = writing.next() => {}
        }
    }
}

async fn write_status(
    client: &Client,
    scaler: ScalerKey,
    status: Box<PushScalerStatus>,
    metrics: &Metrics,
) {
    let api: Api<PushScaler> = Api::namespaced(client.clone(), &scaler.namespace);
    // A merge patch would keep fields that are absent now, such as the figures of a metric that failed. A JSON patch
    // replaces the whole status.
    let patch = json!([{ "op": "add", "path": "/status", "value": *status }]);
    let patch = match serde_json::from_value(patch) {
        Ok(patch) => Patch::<()>::Json(patch),
        Err(error) => {
            tracing::error!(autoscaler = %scaler, %error, "failed to serialize the status");
            return;
        }
    };
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let error = match timeout(TIMEOUT, api.patch_status(&scaler.name, &params, &patch)).await {
        Ok(Ok(_)) => return metrics.status_written(WriteOutcome::Written),
        // The PushScaler was deleted in the meantime.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => return,
        Ok(Err(error)) => kube_error::message(&error),
        Err(_) => kube_error::TIMED_OUT.to_owned(),
    };
    metrics.status_written(WriteOutcome::Failed);
    tracing::warn!(autoscaler = %scaler, error, "failed to write the status");
}

async fn write_event(recorder: &Recorder, report: Report, metrics: &Metrics) {
    let Report::Event {
        scaler,
        uid,
        warning,
        reason,
        action,
        note,
    } = report
    else {
        return;
    };
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
    let error = match timeout(TIMEOUT, recorder.publish(&event, &regarding)).await {
        Ok(Ok(())) => return metrics.event_written(WriteOutcome::Written),
        Ok(Err(error)) => kube_error::message(&error),
        Err(_) => kube_error::TIMED_OUT.to_owned(),
    };
    metrics.event_written(WriteOutcome::Failed);
    tracing::warn!(autoscaler = %scaler, error, "failed to write the event");
}

fn truncate(mut note: String) -> String {
    if note.len() > MAX_NOTE_BYTES {
        note.truncate(note.floor_char_boundary(MAX_NOTE_BYTES));
        note.push('…');
    }
    note
}

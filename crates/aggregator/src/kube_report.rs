//! Tells Kubernetes: status and events, newest status only, a few requests at a time.

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

use crate::kube_scale::said;
use crate::metrics::Metrics;
use crate::names::ScalerKey;
use crate::report::Report;

/// Status writes under way at a time: the API server has better things to do.
const AT_A_TIME: usize = 8;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Tells until the channel closes.
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
        while writing.len() < AT_A_TIME {
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
                Some(happened) => publish(&recorder, happened, &metrics).await,
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
    // A merge patch would keep what is absent now, such as the figures of a metric that failed: so the whole
    // status is replaced, by a JSON patch that puts it there.
    let patch = json!([{ "op": "add", "path": "/status", "value": *status }]);
    let written = match serde_json::from_value(patch) {
        Ok(patch) => {
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patch = Patch::<()>::Json(patch);
            timeout(TIMEOUT, api.patch_status(&scaler.name, &params, &patch)).await
        }
        Err(error) => {
            tracing::error!(autoscaler = %scaler, %error, "a status cannot be written as JSON");
            return;
        }
    };
    match written {
        Ok(Ok(_)) => metrics.status_written(true),
        // Deleted in the meantime.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {}
        Ok(Err(error)) => {
            metrics.status_written(false);
            tracing::warn!(autoscaler = %scaler, error = said(&error), "the status was not written");
        }
        Err(_) => {
            metrics.status_written(false);
            tracing::warn!(autoscaler = %scaler, "the status was not written: no answer");
        }
    }
}

async fn publish(recorder: &Recorder, report: Report, metrics: &Metrics) {
    let Report::Happened {
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
        note: Some(cut(note)),
        action,
        secondary: None,
    };
    let published = timeout(TIMEOUT, recorder.publish(&event, &regarding)).await;
    let good = matches!(published, Ok(Ok(())));
    metrics.event_written(good);
    if let Ok(Err(error)) = published {
        tracing::warn!(autoscaler = %scaler, error = said(&error), "an event was not written");
    }
}

/// The API server takes notes of up to 1024 bytes.
fn cut(mut note: String) -> String {
    if note.len() > 1000 {
        let end = (0..=1000).rev().find(|at| note.is_char_boundary(*at));
        note.truncate(end.unwrap_or_default());
        note.push('…');
    }
    note
}

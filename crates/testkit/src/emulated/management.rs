//! The management port: models, workers and queue depth.

use std::sync::Arc;

use serde::Serialize;

use super::http::{Request, Response};
use super::model::{Model, WorkerState};
use super::process::Process;

pub(super) fn respond(process: &Process, request: &Request) -> Response {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] => Response::method_not_allowed(),
        ["models"] => list(process, request),
        ["models", name] => describe(process, name, None),
        ["models", name, "all"] => describe_all(process, name),
        ["models", name, version] => describe(process, name, Some(version)),
        _ => Response::not_found(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
    models: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    model_name: String,
    model_url: String,
}

fn list(process: &Process, request: &Request) -> Response {
    let number = |name, otherwise| {
        let mut values = request.parameters(name);
        values
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    };
    // TorchServe limits a page to 100 models, whatever the request.
    let limit = number("limit", 100).min(100);
    let from: usize = number("next_page_token", 0);
    let mut names: Vec<&str> = Vec::new();
    let mut entries = Vec::new();
    let is_registered = |model: &&Arc<Model>| process.switches.is_registered(&model.options.name);
    for model in process.models.iter().filter(is_registered) {
        if !names.contains(&model.options.name.as_str()) {
            names.push(&model.options.name);
            entries.push(Entry {
                model_name: model.options.name.clone(),
                model_url: url(model),
            });
        }
    }
    let to = from.saturating_add(limit);
    // Like TorchServe, this returns a token even after a last page that is exactly full.
    let next_page_token = (to <= entries.len()).then(|| to.to_string());
    Response::json(&List {
        next_page_token,
        models: entries.into_iter().skip(from).take(limit).collect(),
    })
}

fn describe(process: &Process, name: &str, version: Option<&str>) -> Response {
    match process.find(name, version) {
        Ok(model) => Response::json(&[Description::of(model)]),
        Err(missing) => Response::error(404, missing.kind, &missing.message),
    }
}

fn describe_all(process: &Process, name: &str) -> Response {
    let models = process.models.iter();
    let versions: Vec<_> = models
        .filter(|m| m.options.name == name && process.switches.is_registered(name))
        .map(|m| Description::of(m))
        .collect();
    if versions.is_empty() {
        return describe(process, name, None);
    }
    Response::json(&versions)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    model_name: String,
    model_version: String,
    model_url: String,
    runtime: &'static str,
    min_workers: usize,
    max_workers: usize,
    batch_size: usize,
    max_batch_delay: u128,
    response_timeout: u32,
    startup_timeout: u32,
    max_retry_timeout_in_sec: u32,
    client_timeout_in_mills: u32,
    parallel_type: &'static str,
    parallel_level: u32,
    device_type: &'static str,
    continuous_batching: bool,
    use_job_ticket: bool,
    use_venv: bool,
    stateful: bool,
    #[serde(rename = "sequenceMaxIdleMSec")]
    sequence_max_idle: u32,
    #[serde(rename = "sequenceTimeoutMSec")]
    sequence_timeout: u32,
    max_num_sequence: u32,
    max_sequence_job_queue_size: u32,
    loaded_at_startup: bool,
    workers: Vec<WorkerDescription>,
    job_queue_status: JobQueueStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkerDescription {
    id: String,
    start_time: String,
    status: &'static str,
    memory_usage: u64,
    pid: u32,
    gpu: bool,
    gpu_usage: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JobQueueStatus {
    remaining_capacity: usize,
    pending_requests: usize,
}

impl Description {
    fn of(model: &Model) -> Self {
        let options = &model.options;
        Self {
            model_name: options.name.clone(),
            model_version: options.version.clone(),
            model_url: url(model),
            runtime: "python",
            min_workers: options.workers,
            max_workers: options.workers,
            batch_size: options.batch_size,
            max_batch_delay: options.max_batch_delay.as_millis(),
            response_timeout: 120,
            startup_timeout: 120,
            max_retry_timeout_in_sec: 300,
            client_timeout_in_mills: 0,
            parallel_type: "",
            parallel_level: 0,
            device_type: "cpu",
            continuous_batching: false,
            use_job_ticket: false,
            use_venv: false,
            stateful: false,
            sequence_max_idle: 0,
            sequence_timeout: 0,
            max_num_sequence: 0,
            max_sequence_job_queue_size: 0,
            loaded_at_startup: true,
            workers: model.workers().map(WorkerDescription::of).collect(),
            job_queue_status: JobQueueStatus {
                remaining_capacity: model.queue.remaining(),
                pending_requests: model.queue.waiting(),
            },
        }
    }
}

impl WorkerDescription {
    fn of(worker: WorkerState) -> Self {
        Self {
            id: worker.id.to_string(),
            start_time: worker.start_time,
            // TorchServe uses this word both for a loading worker and for a restarting one.
            status: if worker.ready { "READY" } else { "UNLOADING" },
            memory_usage: if worker.ready { 25_825_280 } else { 0 },
            pid: worker.pid,
            gpu: false,
            gpu_usage: "N/A",
        }
    }
}

fn url(model: &Model) -> String {
    format!("{}-{}.mar", model.options.name, model.options.version)
}

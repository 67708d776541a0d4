//! The inference port.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::http::{Request, Response};
use super::job::{HandlerOptions, Job, Origin, Outcome};
use super::model::Model;
use super::process::Process;

/// The value of the label `model_version` if the URL has no version. It does not depend on the actual version.
const NO_VERSION: &str = "default";

pub(super) async fn respond(process: &Process, request: Request) -> Response {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] => Response::method_not_allowed(),
        ["ping"] => ping(),
        ["predictions", model] => predict(process, model, None, &request.body).await,
        ["predictions", model, version] => {
            predict(process, model, Some(version), &request.body).await
        }
        _ => Response::not_found(),
    }
}

/// Returns Healthy, even while models load, with stuck workers, and without workers.
fn ping() -> Response {
    #[derive(Serialize)]
    struct Ping {
        status: &'static str,
    }
    Response::json(&Ping { status: "Healthy" })
}

async fn predict(process: &Process, name: &str, version: Option<&str>, body: &[u8]) -> Response {
    let model = match process.find(name, version) {
        Ok(model) => model,
        Err(missing) => return Response::error(404, missing.kind, &missing.message),
    };
    let (reply, outcome) = oneshot::channel();
    let version_label = version.unwrap_or(NO_VERSION).to_owned();
    let origin = Origin::Rest {
        version_label,
        reply,
    };
    if arrive(process, model, HandlerOptions::from_body(body), origin).is_err() {
        return refused(name);
    }
    match outcome.await {
        Ok(Outcome::Done { slept, batch }) => Response::prediction(&Prediction {
            model: name,
            version: &model.options.version,
            slept_ms: slept.as_secs_f64() * 1000.0,
            batch,
        }),
        Ok(Outcome::HandlerFailed) => {
            Response::error(503, "InternalServerException", "Prediction failed")
        }
        Ok(Outcome::WorkerDied) | Err(_) => {
            Response::error(500, "InternalServerException", "Worker died.")
        }
    }
}

/// Accepts a request like one over gRPC, which the latency counters do not include.
pub(super) fn arrive_over_grpc(process: &Process, model: &Arc<Model>) -> Result<(), Job> {
    arrive(process, model, HandlerOptions::default(), Origin::Grpc)
}

/// Counts the request, and then offers it to the queue.
fn arrive(
    process: &Process,
    model: &Arc<Model>,
    options: HandlerOptions,
    origin: Origin,
) -> Result<(), Job> {
    let label = match &origin {
        Origin::Rest { version_label, .. } => version_label,
        Origin::Grpc => NO_VERSION,
    };
    process.counters.lock().arrived(model.series(label));
    let job = Job {
        arrived: Instant::now(),
        options,
        origin,
    };
    if model.options.workers == 0 {
        return Err(job);
    }
    model.queue.offer(job)
}

fn refused(model: &str) -> Response {
    Response::error(
        503,
        "ServiceUnavailableException",
        &format!(
            "Model \"{model}\" has no worker to serve inference request. Please use scale \
             workers API to add workers. If this is a sequence inference, please check if it \
             is closed, or expired; or exceeds maxSequenceJobQueueSize"
        ),
    )
}

/// The response of the sleepy handler.
#[derive(Serialize)]
struct Prediction<'a> {
    model: &'a str,
    version: &'a str,
    slept_ms: f64,
    batch: usize,
}

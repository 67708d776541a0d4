//! The management API: the list of models, and their queues.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pushscale_protocol::{MAX_MODELS, MAX_NAME_BYTES};
use pushscale_reading::Queue;
use serde::Deserialize;

/// All but the characters that RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Limit of a batch size, so that sums of products with it are finite.
const MAX_BATCH: f64 = 1e9;

/// Path of a page of the list of models, the first one without a token. TorchServe returns at most 100 per page,
/// whatever the limit.
pub fn list_path(page_token: Option<&str>) -> String {
    let limit = format!("/models?limit={MAX_MODELS}");
    match page_token {
        Some(token) => format!("{limit}&next_page_token={}", escaped(token)),
        None => limit,
    }
}

/// Path of a request for a new management key, with the API key. TorchServe replaces the one in its key file.
pub const RENEW_KEY_PATH: &str = "/token?type=management";

fn escaped(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, RESERVED)
}

/// Path of all versions of one model. `customized=true` would send a request through the model's own queue.
pub fn describe_path(model: &str) -> String {
    format!("/models/{}/all", escaped(model))
}

/// The response of [`list_path`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelList<'a> {
    #[serde(borrow, default)]
    next_page_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    models: Vec<Listed<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    #[serde(borrow)]
    model_name: Cow<'a, str>,
}

impl ModelList<'_> {
    /// The token of the next page, also after a last page that is exactly full.
    pub fn next_page_token(&self) -> Option<String> {
        self.next_page_token.as_deref().map(str::to_owned)
    }

    /// The names of the models, without names that are too long for a push and at most [`MAX_MODELS`].
    pub fn names(self) -> impl Iterator<Item = String> {
        self.models
            .into_iter()
            .map(|listed| listed.model_name.into_owned())
            .filter(|name| (1..=MAX_NAME_BYTES).contains(&name.len()))
            .take(MAX_MODELS)
    }
}

/// The response of [`describe_path`]: one entry per version.
#[derive(Debug, Deserialize)]
pub struct Queues<'a>(#[serde(borrow)] Vec<Version<'a>>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    #[serde(default)]
    batch_size: Option<f64>,
    #[serde(default)]
    max_batch_delay: Option<f64>,
    #[serde(default)]
    continuous_batching: bool,
    #[serde(borrow)]
    workers: Vec<Worker<'a>>,
    job_queue_status: JobQueueStatus,
}

#[derive(Debug, Deserialize)]
struct Worker<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default)]
    gpu: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobQueueStatus {
    remaining_capacity: f64,
    pending_requests: f64,
}

impl Queues<'_> {
    /// Whether a worker of any version uses a GPU.
    pub fn has_gpu(&self) -> bool {
        let mut workers = self.0.iter().flat_map(|version| &version.workers);
        workers.any(|worker| worker.gpu)
    }

    /// The sum over all versions; `None` if there is no version.
    pub fn sum(&self) -> Option<Queue> {
        let mut versions = self.0.iter().map(Version::queue);
        let first = versions.next()?;
        Some(versions.fold(first, |sum, version| Queue {
            waiting: (sum.waiting + version.waiting).min(f64::MAX),
            // Requests are rejected as soon as the queue of one version is full.
            capacity_left: sum.capacity_left.min(version.capacity_left),
            workers_ready: sum.workers_ready + version.workers_ready,
            batch_size: mean_batch_size(&sum, &version),
            batch_delay_seconds: sum.batch_delay_seconds.max(version.batch_delay_seconds),
            continuous_batching: sum.continuous_batching || version.continuous_batching,
        }))
    }
}

/// The mean over the workers. A version without workers has no batches: a new one, registered with the default of one
/// request, made the pods look as if they processed an eighth of their batches.
fn mean_batch_size(a: &Queue, b: &Queue) -> f64 {
    let workers = a.workers_ready + b.workers_ready;
    if workers > 0.0 {
        (a.slots() + b.slots()) / workers
    } else {
        a.batch_size.min(b.batch_size)
    }
}

impl Version<'_> {
    fn queue(&self) -> Queue {
        // The status of a worker that loads or restarts is UNLOADING.
        let ready = self
            .workers
            .iter()
            .filter(|worker| worker.status == "READY");
        let workers_ready = ready.count() as f64;
        Queue {
            waiting: self.job_queue_status.pending_requests.max(0.0),
            capacity_left: self.job_queue_status.remaining_capacity.max(0.0),
            workers_ready,
            batch_size: self.batch_size.unwrap_or(1.0).clamp(1.0, MAX_BATCH),
            batch_delay_seconds: self.max_batch_delay.unwrap_or(0.0).max(0.0) / 1e3,
            continuous_batching: self.continuous_batching,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(describe_path("a b/ü"), "/models/a%20b%2F%C3%BC/all");
    }

    #[test]
    fn queues_are_summed_over_versions() {
        let body = include_str!(
            "../../testdata/torchserve/two-models-two-versions/describe-alpha-all.json"
        );
        let queue = serde_json::from_str::<Queues<'_>>(body)
            .unwrap()
            .sum()
            .unwrap();
        assert_eq!(queue.workers_ready, 2.0);
        assert_eq!(queue.waiting, 0.0);
        assert_eq!(queue.batch_delay_seconds, 0.1);
    }

    #[test]
    fn the_batch_size_is_the_mean_over_the_workers() {
        let version = |workers: usize, batch_size: u32| {
            let workers = vec![r#"{"status":"READY"}"#; workers].join(",");
            format!(
                r#"{{"batchSize":{batch_size},"workers":[{workers}],
                    "jobQueueStatus":{{"remainingCapacity":100,"pendingRequests":0}}}}"#
            )
        };
        let batch_size = |versions: &[String]| {
            let body = format!("[{}]", versions.join(","));
            let queues: Queues<'_> = serde_json::from_str(&body).unwrap();
            queues.sum().unwrap().batch_size
        };
        assert_eq!(batch_size(&[version(4, 8), version(0, 1)]), 8.0);
        assert_eq!(batch_size(&[version(3, 8), version(1, 4)]), 7.0);
        assert_eq!(batch_size(&[version(0, 8), version(0, 4)]), 4.0);
    }

    #[test]
    fn a_sum_of_queues_is_finite() {
        let version =
            r#"{"workers":[],"jobQueueStatus":{"remainingCapacity":0,"pendingRequests":1e308}}"#;
        let body = format!("[{version},{version}]");
        let queues: Queues<'_> = serde_json::from_str(&body).unwrap();
        assert_eq!(queues.sum().unwrap().waiting, f64::MAX);
    }

    #[test]
    fn the_list_is_parsed_to_names() {
        let body =
            include_str!("../../testdata/torchserve/two-models-two-versions/list-models.json");
        let list: ModelList<'_> = serde_json::from_str(body).unwrap();
        assert_eq!(list.names().collect::<Vec<_>>(), ["alpha", "beta"]);
    }

    #[test]
    fn other_json_is_an_error() {
        for body in [
            "",
            "{}",
            "[{}]",
            r#"{"code":400,"type":"InvalidKeyException"}"#,
        ] {
            assert!(serde_json::from_str::<Queues<'_>>(body).is_err(), "{body}");
        }
    }
}

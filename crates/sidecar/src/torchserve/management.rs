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

/// Path of the list of models. Without a limit, TorchServe returns pages of 100.
pub fn list_path() -> String {
    format!("/models?limit={MAX_MODELS}")
}

/// Path of all versions of one model. `customized=true` would send a request through the model's own queue.
pub fn describe_path(model: &str) -> String {
    format!("/models/{}/all", utf8_percent_encode(model, RESERVED))
}

/// The response of [`list_path`].
#[derive(Debug, Deserialize)]
pub struct ModelList<'a> {
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
            pending: (sum.pending + version.pending).min(f64::MAX),
            // Requests are rejected as soon as the queue of one version is full.
            capacity_left: sum.capacity_left.min(version.capacity_left),
            workers_ready: sum.workers_ready + version.workers_ready,
            batch_size: sum.batch_size.min(version.batch_size),
            batch_delay_seconds: sum.batch_delay_seconds.max(version.batch_delay_seconds),
            continuous_batching: sum.continuous_batching || version.continuous_batching,
        }))
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
            pending: self.job_queue_status.pending_requests.max(0.0),
            capacity_left: self.job_queue_status.remaining_capacity.max(0.0),
            workers_ready,
            batch_size: self.batch_size.unwrap_or(1.0).max(1.0),
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
        assert_eq!(queue.pending, 0.0);
        assert_eq!(queue.batch_delay_seconds, 0.1);
    }

    #[test]
    fn a_sum_of_queues_is_finite() {
        let version =
            r#"{"workers":[],"jobQueueStatus":{"remainingCapacity":0,"pendingRequests":1e308}}"#;
        let body = format!("[{version},{version}]");
        let queues: Queues<'_> = serde_json::from_str(&body).unwrap();
        assert_eq!(queues.sum().unwrap().pending, f64::MAX);
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

//! Recorded readings.

use std::time::Duration;

use pushscale_decision::{Counters, Latency, ModelReading, Moment, Queue, Reading, ServerState};
use serde::{Deserialize, Serialize};

use super::time::{duration_nanos, nanos};

/// A reading of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedReading {
    /// The pod's uid.
    pub uid: String,
    /// The time of the scrape, in nanoseconds since the recording's origin.
    pub at_nanos: u64,
    /// The number of the sidecar's process.
    pub source: u64,
    /// The reading's sequence number within the process.
    pub sequence: u64,
    /// The sidecar's monotonic clock.
    pub clock_nanos: u64,
    /// How long the reading stays fresh.
    pub fresh_for_nanos: u64,
    /// Whether the pod is terminating.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub terminating: bool,
    /// The server's state.
    #[serde(with = "server_state")]
    pub server: ServerState,
    /// The models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<RecordedModel>,
}

/// A [`ServerState`] is recorded by its name in the push protocol.
mod server_state {
    use pushscale_decision::ServerState;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(
        state: &ServerState,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ServerState, D::Error> {
        let name = String::deserialize(deserializer)?;
        ServerState::parse(&name)
            .ok_or_else(|| D::Error::custom(format!("unknown server state {name:?}")))
    }
}

/// The measurements of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedModel {
    /// The model's name.
    pub name: String,
    /// The queue latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_latency_nanos: Option<i64>,
    /// The counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<RecordedCounters>,
    /// The state of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<RecordedQueue>,
    /// The service time of a batch as measured by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_time_nanos: Option<u64>,
}

/// The counters of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedCounters {
    /// Requests that arrived.
    pub arrivals: u64,
    /// Requests that the server rejected.
    #[serde(default)]
    pub rejected: u64,
    /// Completed requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<u64>,
    /// The sum of all waits.
    pub total_wait_nanos: u64,
    /// The sum of all times from arrival to response.
    pub total_sojourn_nanos: u64,
}

/// The state of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordedQueue {
    /// Waiting requests.
    pub waiting: u32,
    /// In-flight requests.
    pub in_flight: u32,
    /// The mean of the in-flight requests in thousandths; absent if it is not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_milli: Option<u32>,
    /// The number of workers.
    pub workers: u32,
    /// The maximum number of requests of a batch.
    pub batch_size: u32,
    /// How long a worker waits for a batch to fill.
    pub batch_delay_nanos: u64,
    /// The requests that may wait; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

impl RecordedReading {
    /// Records a reading of the pod `uid`.
    pub fn new(uid: &str, at: Moment, reading: &Reading) -> Self {
        Self {
            uid: uid.to_owned(),
            at_nanos: nanos(at),
            source: reading.source,
            sequence: reading.sequence,
            clock_nanos: duration_nanos(reading.clock),
            fresh_for_nanos: duration_nanos(reading.fresh_for),
            terminating: reading.terminating,
            server: reading.server,
            models: reading.models.iter().map(RecordedModel::new).collect(),
        }
    }

    /// Returns the time of the scrape.
    pub fn at(&self) -> Moment {
        Moment::at(Duration::from_nanos(self.at_nanos))
    }

    /// Returns the recorded reading.
    pub fn reading(&self) -> Reading {
        Reading {
            source: self.source,
            sequence: self.sequence,
            clock: Duration::from_nanos(self.clock_nanos),
            fresh_for: Duration::from_nanos(self.fresh_for_nanos),
            terminating: self.terminating,
            server: self.server,
            models: self.models.iter().map(RecordedModel::model).collect(),
        }
    }
}

impl RecordedModel {
    fn new(model: &ModelReading) -> Self {
        Self {
            name: model.name.clone(),
            queue_latency_nanos: model.queue_latency.map(Latency::as_nanos),
            counters: model.counters.map(|counters| RecordedCounters {
                arrivals: counters.arrivals,
                rejected: counters.rejected,
                completed: counters.completed,
                total_wait_nanos: duration_nanos(counters.total_wait),
                total_sojourn_nanos: duration_nanos(counters.total_sojourn),
            }),
            queue: model.queue.map(|queue| RecordedQueue {
                waiting: queue.waiting,
                in_flight: queue.in_flight,
                in_flight_milli: queue.in_flight_milli,
                workers: queue.workers,
                batch_size: queue.batch_size,
                batch_delay_nanos: duration_nanos(queue.batch_delay),
                limit: queue.limit,
            }),
            service_time_nanos: model.service_time.map(duration_nanos),
        }
    }

    fn model(&self) -> ModelReading {
        ModelReading {
            name: self.name.clone(),
            queue_latency: self.queue_latency_nanos.map(Latency::from_nanos),
            counters: self.counters.as_ref().map(|counters| Counters {
                arrivals: counters.arrivals,
                rejected: counters.rejected,
                completed: counters.completed,
                total_wait: Duration::from_nanos(counters.total_wait_nanos),
                total_sojourn: Duration::from_nanos(counters.total_sojourn_nanos),
            }),
            queue: self.queue.as_ref().map(|queue| Queue {
                waiting: queue.waiting,
                in_flight: queue.in_flight,
                in_flight_milli: queue.in_flight_milli,
                workers: queue.workers,
                batch_size: queue.batch_size,
                batch_delay: Duration::from_nanos(queue.batch_delay_nanos),
                limit: queue.limit,
            }),
            service_time: self.service_time_nanos.map(Duration::from_nanos),
        }
    }
}

//! One pod's measurements at one time, independent of the wire format.

use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::snapshot::{Snapshot, Visit, visit};

/// What one sidecar measured in one scrape.
///
/// The time of the scrape on the aggregator's clock is an argument of [`Scaler::learn`](crate::Scaler::learn).
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The sidecar process. A restarted sidecar is a new source.
    pub source: u64,
    /// Increases by one with each reading of one source.
    pub sequence: u64,
    /// The sidecar's monotonic clock at the scrape, counted from the sidecar's start.
    pub clock: Duration,
    /// How long after the scrape the reading counts as fresh.
    pub fresh_for: Duration,
    /// The pod is terminating; this is its last reading.
    pub terminating: bool,
    /// The server's state at the scrape.
    pub server: ServerState,
    /// One entry per model.
    pub models: Vec<ModelReading>,
}

visit!(Reading: source, sequence, clock, fresh_for, terminating, server, models);

/// The measurements of one model in one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelReading {
    /// The model's name.
    pub name: String,
    /// How long a request that arrives now will wait; `None` if unknown, which is not zero.
    pub queue_latency: Option<Latency>,
    /// Totals since the start of the server or the sidecar; `None` if nothing is counted.
    pub counters: Option<Counters>,
    /// The current queue; `None` if the sidecar cannot read it.
    pub queue: Option<Queue>,
    /// The server's own measurement of the time that a worker takes for one batch.
    pub service_time: Option<Duration>,
}

visit!(ModelReading: name, queue_latency, counters, queue, service_time);

/// Totals that a server has counted for one model since its own or the sidecar's start.
///
/// Only the difference between two readings of the same pod is meaningful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that arrived, including rejected ones.
    pub arrivals: u64,
    /// Requests that were rejected.
    pub rejected: u64,
    /// Requests that were served; `None` if they are not counted.
    pub completed: Option<u64>,
    /// Sum of the waits of all completed requests.
    pub total_wait: Duration,
    /// Sum of the times from arrival to response of all completed requests, waits included.
    pub total_sojourn: Duration,
}

visit!(Counters: arrivals, rejected, completed, total_wait, total_sojourn);

/// The queue of one model in one pod at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Requests that wait for a worker.
    pub waiting: u32,
    /// Requests that workers are processing.
    pub in_flight: u32,
    /// Their mean in thousandths, where it is measured over time and `in_flight` is rounded: a worker that is busy for
    /// a fifth of the time would otherwise never be.
    pub in_flight_milli: Option<u32>,
    /// Workers that are ready.
    pub workers: u32,
    /// The largest batch that a worker processes.
    pub batch_size: u32,
    /// How long the server waits for a batch to fill.
    pub batch_delay: Duration,
    /// The requests that may wait: the server rejects further ones. `None` if unknown.
    pub limit: Option<u32>,
}

visit!(Queue: waiting, in_flight, in_flight_milli, workers, batch_size, batch_delay, limit);

impl Queue {
    /// Returns the requests that the pod processes in parallel.
    pub(crate) fn slots(&self) -> u32 {
        self.workers.max(1).saturating_mul(self.batch_size.max(1))
    }

    /// Returns the requests that workers are processing, as a mean if that is known. If requests wait and there is no
    /// worker, the pod is as busy as it can be.
    pub(crate) fn busy(&self) -> f64 {
        if self.workers == 0 && self.waiting > 0 {
            return self.slots().into();
        }
        self.in_flight_milli
            .map_or(self.in_flight.into(), |milli| f64::from(milli) / 1e3)
    }
}

/// The state of a model server, as a scrape found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// The metrics are valid.
    Ready,
    /// The metrics are valid, but no request has arrived yet: the queue is empty.
    NoSamplesYet,
    /// The models are loading or have just been loaded.
    WarmingUp,
    /// The server refuses connections: it is starting, stopping or has crashed.
    Refused,
    /// The server accepts connections but does not respond.
    Frozen,
    /// The metrics page is empty: TorchServe runs with `metrics_mode=log`.
    Empty,
    /// The server requires a token that the sidecar does not have.
    Forbidden,
    /// The response lacks TorchServe's counters.
    Garbled,
}

impl Visit for ServerState {
    fn visit(&mut self, snapshot: &mut Snapshot) {
        snapshot.choice(self, &Self::ALL);
    }
}

impl ServerState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::NoSamplesYet,
        Self::WarmingUp,
        Self::Refused,
        Self::Frozen,
        Self::Empty,
        Self::Forbidden,
        Self::Garbled,
    ];

    /// Returns the state's name in recordings, which is also its name in the push protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoSamplesYet => "noSamplesYet",
            Self::WarmingUp => "warmingUp",
            Self::Refused => "refused",
            Self::Frozen => "frozen",
            Self::Empty => "empty",
            Self::Forbidden => "forbidden",
            Self::Garbled => "garbled",
        }
    }

    /// Parses a name that [`as_str`](Self::as_str) returned.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the server responded with metrics that can be used.
    pub(crate) fn has_metrics(self) -> bool {
        matches!(self, Self::Ready | Self::NoSamplesYet | Self::WarmingUp)
    }

    /// Describes the state to an operator, with a remedy where there is one.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoSamplesYet => "no request yet",
            Self::WarmingUp => "warming up",
            Self::Refused => "server refuses connections (starting, stopping or crashed)",
            Self::Frozen => "server accepts connections but does not respond",
            Self::Empty => {
                "server exposes no metrics (set metrics_mode=prometheus in config.properties)"
            }
            Self::Forbidden => "server requires a token",
            Self::Garbled => "server response has no TorchServe counters",
        }
    }
}

impl Reading {
    pub(crate) fn blank() -> Self {
        Self {
            source: 0,
            sequence: 0,
            clock: Duration::ZERO,
            fresh_for: Duration::ZERO,
            terminating: false,
            server: ServerState::Garbled,
            models: Vec::new(),
        }
    }

    /// Returns the measurements of `model`.
    pub(crate) fn of_model(&self, model: &str) -> Option<&ModelReading> {
        self.models.iter().find(|found| found.name == model)
    }

    /// Returns the queue latency of `model`, or the largest of all models if `model` is `None`.
    ///
    /// Returns `None` if it is unknown. A server that has not received a request has a latency of zero.
    pub fn latency(&self, model: Option<&str>) -> Option<Latency> {
        match self.server {
            ServerState::Ready => {}
            ServerState::NoSamplesYet if self.models.is_empty() => return Some(Latency::ZERO),
            ServerState::NoSamplesYet => {}
            _ => return None,
        }
        match model {
            Some(name) => self.of_model(name)?.queue_latency,
            None => self
                .models
                .iter()
                .filter_map(|found| found.queue_latency)
                .max(),
        }
    }
}

/// The reason for ignoring a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The target's selector matches no pod with this UID.
    UnknownPod,
    /// The reading was received before.
    Duplicate {
        /// Its sequence number.
        sequence: u64,
    },
    /// A newer reading of the pod was received before.
    OutOfOrder {
        /// Sequence number of the rejected reading.
        sequence: u64,
        /// Sequence number of the newest reading.
        newest: u64,
    },
    /// The sidecar's clock went backwards, or advanced further than the local clock.
    ClockSkew {
        /// How far the sidecar's clock advanced since its last reading; zero if it went backwards.
        advanced: Duration,
        /// How far the local clock advanced.
        elapsed: Duration,
    },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPod => f.write_str("no PushScaler selects a pod with this UID"),
            Self::Duplicate { sequence } => {
                write!(f, "reading {sequence} was received before")
            }
            Self::OutOfOrder { sequence, newest } => {
                write!(f, "reading {sequence} is older than reading {newest}")
            }
            Self::ClockSkew { advanced, elapsed } => write!(
                f,
                "the sidecar's clock advanced by {:.1} s in {:.1} s",
                advanced.as_secs_f64(),
                elapsed.as_secs_f64()
            ),
        }
    }
}

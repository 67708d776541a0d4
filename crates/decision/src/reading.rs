//! What one sidecar saw at one moment, in neutral words.

use std::fmt;
use std::time::Duration;

use crate::latency::Latency;
use crate::moment::Moment;
use crate::tape::Tape;

/// One reading, on the aggregator's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When the sidecar looked.
    pub taken: Moment,
    /// Which process of the sidecar: a restarted one counts anew.
    pub source: u64,
    /// Counts up by one with each reading of one source.
    pub sequence: u64,
    /// The sidecar's own monotonic clock at `taken`, since it started.
    pub clock: Duration,
    /// How long after `taken` this may still be believed.
    pub fresh_for: Duration,
    /// The pod is about to end; this is its last word.
    pub leaving: bool,
    /// What the server was found to be doing.
    pub server: ServerState,
    /// One entry a model.
    pub models: Vec<ModelReading>,
}

/// The queue of one model in one pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelReading {
    /// The model's name.
    pub name: String,
    /// How long a request that arrives now will wait; `None`: not known, which is never zero.
    pub queue_latency: Option<Latency>,
    /// What has been counted so far; `None`: nothing is counted.
    pub counters: Option<Counters>,
    /// The queue at this moment; `None`: nobody tells.
    pub queue: Option<Queue>,
    /// How long a worker takes for one batch, as the server itself measures it.
    pub service: Option<Duration>,
}

/// What a server has counted for one model. Only differences between two readings of one pod mean anything:
/// what they count from is the server's or the sidecar's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that arrived, refused ones too.
    pub arrivals: u64,
    /// Requests that were turned away.
    pub refused: u64,
    /// Requests that left after service; `None`: nobody counts them.
    pub answered: Option<u64>,
    /// The waits of answered requests, summed.
    pub waited: Duration,
    /// The times from arrival to answer of answered requests, summed. They contain the waits.
    pub sojourned: Duration,
}

/// The queue of one model in one pod at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Requests that wait.
    pub pending: u32,
    /// Requests that workers have in hand.
    pub in_service: u32,
    /// Workers that are ready.
    pub workers: u32,
    /// The most requests that one worker takes at a time.
    pub batch_size: u32,
    /// How long the server waits for a batch to fill.
    pub batch_delay: Duration,
}

impl Counters {
    pub(crate) fn on_tape(&mut self, tape: &mut Tape) {
        tape.word(&mut self.arrivals);
        tape.word(&mut self.refused);
        tape.option(&mut self.answered, u64::default, Tape::word);
        tape.span(&mut self.waited);
        tape.span(&mut self.sojourned);
    }
}

impl Queue {
    pub(crate) fn on_tape(&mut self, tape: &mut Tape) {
        tape.number(&mut self.pending);
        tape.number(&mut self.in_service);
        tape.number(&mut self.workers);
        tape.number(&mut self.batch_size);
        tape.span(&mut self.batch_delay);
    }
}

/// What the server was found to be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// It answers, and its numbers say something.
    Ready,
    /// It answers, and no request has come yet: nobody waits.
    NoSamplesYet,
    /// It answers, but its models are still loading or have only just been loaded.
    WarmingUp,
    /// Nobody listens on its port: starting, stopping or crashed.
    Refused,
    /// It accepts connections and says nothing.
    Frozen,
    /// It answers with an empty page: TorchServe's `metrics_mode=log`.
    Empty,
    /// It wants a token that the sidecar does not have.
    Forbidden,
    /// It answers with something that is not what we read.
    Garbled,
}

impl ServerState {
    /// Every state there is.
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

    fn on_tape(&mut self, tape: &mut Tape) {
        let mut place = Self::ALL
            .iter()
            .position(|state| state == self)
            .unwrap_or(0);
        tape.count(&mut place);
        *self = Self::ALL.get(place).copied().unwrap_or(Self::Garbled);
    }

    /// A few words for an operator, with what to do where there is something to do.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NoSamplesYet => "no request yet",
            Self::WarmingUp => "warming up",
            Self::Refused => "server refuses connections (starting, stopping or crashed)",
            Self::Frozen => "server accepts connections and does not answer",
            Self::Empty => {
                "server reports no metrics (set metrics_mode=prometheus in config.properties)"
            }
            Self::Forbidden => "server wants a token",
            Self::Garbled => "server answers with something that is no metrics page",
        }
    }
}

impl Reading {
    /// Its numbers, for a tape.
    pub(crate) fn on_tape(&mut self, tape: &mut Tape) {
        tape.moment(&mut self.taken);
        tape.word(&mut self.source);
        tape.word(&mut self.sequence);
        tape.span(&mut self.clock);
        tape.span(&mut self.fresh_for);
        tape.flag(&mut self.leaving);
        self.server.on_tape(tape);
        tape.list(&mut self.models, ModelReading::default, |tape, model| {
            tape.text(&mut model.name);
            tape.option(
                &mut model.queue_latency,
                || Latency::ZERO,
                |tape, latency| {
                    latency.on_tape(tape);
                },
            );
            tape.option(&mut model.counters, Counters::default, |tape, counters| {
                counters.on_tape(tape);
            });
            tape.option(&mut model.queue, Queue::default, |tape, queue| {
                queue.on_tape(tape)
            });
            tape.option(&mut model.service, Duration::default, Tape::span);
        });
    }

    /// Becomes equal to `other`, keeping the memory it has: a reading a second and pod leaves nothing to free.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        let models = std::mem::take(&mut self.models);
        *self = Self {
            models,
            taken: other.taken,
            source: other.source,
            sequence: other.sequence,
            clock: other.clock,
            fresh_for: other.fresh_for,
            leaving: other.leaving,
            server: other.server,
        };
        self.models.truncate(other.models.len());
        for (index, model) in other.models.iter().enumerate() {
            match self.models.get_mut(index) {
                Some(own) => own.copy_from(model),
                None => self.models.push(model.clone()),
            }
        }
    }

    /// What is told of `model`.
    pub(crate) fn of_model(&self, model: &str) -> Option<&ModelReading> {
        self.models.iter().find(|found| found.name == model)
    }

    /// The queue latency of `model`, or of the model that waits longest if `None`.
    ///
    /// `None` if it is not known. A server that has had no request has a latency of zero.
    pub fn latency(&self, model: Option<&str>) -> Option<Latency> {
        match self.server {
            ServerState::Ready => {}
            ServerState::NoSamplesYet if self.models.is_empty() => return Some(Latency::ZERO),
            ServerState::NoSamplesYet => {}
            _ => return None,
        }
        let mut wanted = self
            .models
            .iter()
            .filter(|found| model.is_none_or(|name| found.name == name));
        match model {
            Some(_) => wanted.next()?.queue_latency,
            None => wanted.filter_map(|found| found.queue_latency).max(),
        }
    }
}

impl ModelReading {
    fn copy_from(&mut self, other: &Self) {
        self.name.clone_from(&other.name);
        self.queue_latency = other.queue_latency;
        self.counters = other.counters;
        self.queue = other.queue;
        self.service = other.service;
    }
}

/// Why a reading was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No pod of this uid is under the target's selector.
    UnknownPod,
    /// This very reading is known already.
    Duplicate {
        /// Its sequence number.
        sequence: u64,
    },
    /// A newer reading of the pod is known already.
    OutOfOrder {
        /// Of the refused reading.
        sequence: u64,
        /// Of the newest known one.
        newest: u64,
    },
    /// The sidecar's clock went back, or advanced more than ours did: a reading from the future.
    ImpossibleClock {
        /// By how much the sidecar's clock advanced since its last reading; zero if it went back.
        advanced: Duration,
        /// By how much ours did.
        elapsed: Duration,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPod => f.write_str("no PushScaler's target selects a pod of this uid"),
            Self::Duplicate { sequence } => {
                write!(f, "reading {sequence} was received before")
            }
            Self::OutOfOrder { sequence, newest } => {
                write!(f, "reading {sequence} is older than reading {newest}")
            }
            Self::ImpossibleClock { advanced, elapsed } => write!(
                f,
                "the sidecar's clock advanced by {:.1} s while {:.1} s passed here",
                advanced.as_secs_f64(),
                elapsed.as_secs_f64()
            ),
        }
    }
}

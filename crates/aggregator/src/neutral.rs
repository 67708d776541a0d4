//! From the message to the decision's own words.

use std::time::Duration;

use pushscale_decision::{Latency, ModelReading, Moment, Reading, ServerState};
use pushscale_protocol::{Push, State};

use crate::event::Untimed;

/// A reading is believed for three of its intervals, and for three seconds at least (decision.md I1).
const INTERVALS_FRESH: f64 = 3.0;
const LEAST_FRESH_SECONDS: f64 = 3.0;

/// The reading in a push, its moment left open: only the loop knows its own clock.
pub(crate) fn untimed(push: &Push<'_>) -> Untimed {
    let fresh_for = (INTERVALS_FRESH * push.interval_seconds).max(LEAST_FRESH_SECONDS);
    let models = push.models.iter().map(|model| ModelReading {
        name: model.name.to_string(),
        queue_latency: model.queue_latency_seconds.and_then(Latency::from_secs_f64),
    });
    Untimed {
        age: seconds(push.age_seconds),
        reading: Reading {
            taken: Moment::ORIGIN,
            source: push.sidecar.instance,
            sequence: push.sequence,
            clock: seconds(push.clock_seconds),
            fresh_for: seconds(fresh_for),
            leaving: push.leaving,
            server: state(push.server.state),
            models: models.collect(),
        },
    }
}

/// The message's numbers were checked when it was parsed; what is out of range nevertheless is zero or for ever.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn state(state: State) -> ServerState {
    match state {
        State::Ready => ServerState::Ready,
        State::NoSamplesYet => ServerState::NoSamplesYet,
        State::WarmingUp => ServerState::WarmingUp,
        State::Refused => ServerState::Refused,
        State::Frozen => ServerState::Frozen,
        State::Empty => ServerState::Empty,
        State::Forbidden => ServerState::Forbidden,
        State::Garbled | State::Unknown => ServerState::Garbled,
    }
}

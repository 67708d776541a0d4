//! Converts push messages to the decision crate's readings.

use std::time::Duration;

use pushscale_api::push::{fresh_for, model_reading};
use pushscale_decision::{Reading, ServerState};
use pushscale_protocol::{Push, State};

use crate::event::ReceivedReading;

/// Converts the reading of a push.
pub(crate) fn received_reading(push: &Push<'_>) -> ReceivedReading {
    ReceivedReading {
        age: seconds(push.age_seconds),
        reading: Reading {
            source: push.sidecar.instance,
            sequence: push.sequence,
            clock: seconds(push.clock_seconds),
            fresh_for: fresh_for(push.interval_seconds),
            terminating: push.terminating,
            server: state(push.server.state),
            models: push.models.iter().map(model_reading).collect(),
        },
    }
}

/// Converts seconds of the message; parsing ensured that they are in range.
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

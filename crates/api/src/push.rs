//! Converts the measurements of push messages for the decision crate. The aggregator and the simulator use the same
//! conversion.

use std::time::Duration;

use pushscale_decision::{Counters, Latency, ModelReading, Queue};
use pushscale_protocol::Model;

/// A reading stays fresh for three of its intervals, and for at least three seconds (docs/ALGORITHM-DETAILS.md, I1).
const FRESH_INTERVALS: f64 = 3.0;
const MIN_FRESH_SECONDS: f64 = 3.0;

/// Returns how long a reading is fresh if its sidecar scrapes at this interval, in seconds.
pub fn fresh_for(interval_seconds: f64) -> Duration {
    seconds((FRESH_INTERVALS * interval_seconds).max(MIN_FRESH_SECONDS))
}

/// Converts the measurements of one model.
pub fn model_reading(model: &Model<'_>) -> ModelReading {
    ModelReading {
        name: model.name.to_string(),
        queue_latency: model.queue_latency_seconds.and_then(Latency::from_secs_f64),
        // A model without counters on a valid metrics page has had no requests. Only here does absent mean zero.
        counters: Some(Counters {
            arrivals: count(model.arrivals_total),
            rejected: count(model.rejected_total),
            completed: model.completed_total.map(|total| count(Some(total))),
            total_wait: seconds(model.wait_seconds_total.unwrap_or_default()),
            total_sojourn: seconds(model.sojourn_seconds_total.unwrap_or_default()),
        }),
        queue: model.waiting.map(|waiting| Queue {
            waiting: small(Some(waiting)),
            in_flight: small(model.in_flight),
            in_flight_milli: model
                .in_flight
                .map(|in_flight| small(Some(in_flight * 1e3))),
            workers: small(model.workers_ready),
            batch_size: small(model.batch_size).max(1),
            batch_delay: seconds(model.batch_delay_seconds.unwrap_or_default()),
            limit: model.capacity_left.map(|left| small(Some(waiting + left))),
        }),
        service_time: model
            .service_seconds
            .filter(|_| !model.continuous_batching)
            .map(seconds),
    }
}

/// Rounds a number of the message; parsing ensured that it is between 0 and 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a double saturates"
)]
fn count(total: Option<f64>) -> u64 {
    total.unwrap_or_default().round() as u64
}

fn small(number: Option<f64>) -> u32 {
    u32::try_from(count(number)).unwrap_or(u32::MAX)
}

/// Converts seconds of the message; parsing ensured that they are in range.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_the_in_flight_requests_keeps_its_fraction() {
        let text = r#"{"name":"sleepy","completedTotal":314.8,"waiting":0.0,"inFlight":0.19943865853466752}"#;
        let sleepy: Model<'_> = serde_json::from_str(text).unwrap();
        let queue = model_reading(&sleepy).queue.unwrap();
        assert_eq!((queue.in_flight, queue.in_flight_milli), (0, Some(199)));
    }
}

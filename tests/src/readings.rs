//! Readings of pods with a steady load.

use std::time::Duration;

use pushscale_decision::{Counters, Latency, ModelReading, Queue, Reading, ServerState};

/// The service time of a request.
const SERVICE: Duration = Duration::from_millis(100);

/// Returns the reading of a pod with four workers at this second of its life, which has answered `rate` requests per
/// second after this wait.
pub fn steady_reading(second: u64, rate: u32, wait: Duration) -> Reading {
    let answered = second * u64::from(rate);
    let sum = |time: Duration| Duration::from_nanos(nanos(time) * answered);
    Reading {
        source: 1,
        sequence: second,
        clock: Duration::from_secs(second),
        fresh_for: Duration::from_secs(3),
        terminating: false,
        server: ServerState::Ready,
        models: vec![ModelReading {
            name: "sleepy".to_owned(),
            queue_latency: Latency::from_secs_f64(wait.as_secs_f64()),
            counters: Some(Counters {
                arrivals: answered,
                rejected: 0,
                completed: Some(answered),
                total_wait: sum(wait),
                total_sojourn: sum(wait + SERVICE),
            }),
            queue: Some(Queue {
                waiting: 1,
                in_flight: (rate + 5) / 10,
                workers: 4,
                batch_size: 1,
                in_flight_milli: None,
                batch_delay: Duration::ZERO,
                limit: None,
            }),
            service_time: Some(SERVICE),
        }],
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a short time")
}

//! gRPC requests, which TorchServe's latency counters omit.

use pushscale_simulator::cluster::{PodReading, View, simulate};
use pushscale_simulator::control::Controller;

use super::{assert_conserved, spec};

/// Keeps the replica count and remembers the last reading of the only pod.
struct LastReading(PodReading);

impl Controller for LastReading {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        self.0 = view.pods[0].reading;
        None
    }
}

fn last_reading(share: &str) -> PodReading {
    let spec = spec(&format!(
        "load: flat:20\nseconds: 1000\nservice: 100ms\ncv: 0\nworkers: 4\npods: 1\ntarget: 50ms\ngrpc-share: {share}"
    ));
    let mut controller = LastReading(PodReading::default());
    let outcome = simulate(&spec, &mut controller, 1);
    assert_conserved(&outcome);
    controller.0
}

#[test]
fn only_rest_requests_have_latencies() {
    let reading = last_reading("30%");
    let timed = (reading.sojourned - reading.waited) / 0.1;
    let share = timed / reading.completed as f64;
    assert!((share - 0.7).abs() < 0.02, "{share} of the requests");
    // All of them count as arrivals and as completed.
    assert!(reading.arrivals >= reading.completed && reading.completed > 19_000);
}

#[test]
fn the_share_of_grpc_requests_can_change() {
    let reading = last_reading("0%@200, 100%@800");
    // None for 200 s, half on average for 600 s, and all for 200 s.
    let share = reading.responses as f64 / reading.completed as f64;
    assert!((share - 0.5).abs() < 0.02, "{share} of the requests");
}

#[test]
fn without_rest_no_latency_counter_moves() {
    let reading = last_reading("100%");
    assert_eq!((reading.waited, reading.sojourned), (0.0, 0.0));
    assert_eq!(reading.responses, 0);
    assert!(reading.completed > 19_000);
}

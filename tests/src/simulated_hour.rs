//! The decisions of a simulated hour, for a status page with a past.

use std::sync::Arc;

use pushscale_decision::Decision;
use pushscale_simulator::cluster::{ClusterSpec, Goal, View, simulate};
use pushscale_simulator::control::{Controller, PushScaling};
use pushscale_simulator::traffic::Traffic;

/// The seconds of an hour.
pub const SECONDS: u32 = 3600;

/// Simulates an hour with an arrival rate for each second, in requests per second. Returns the decision of each second.
///
/// # Panics
/// The rates are not those of an hour.
pub fn decisions(rate: impl Fn(f64) -> f64, seed: u64) -> Vec<Arc<Decision>> {
    let rates = (0..SECONDS).map(|second| rate(f64::from(second)));
    let spec = ClusterSpec {
        traffic: Traffic::Rates(rates.collect()),
        pods: 3,
        goal: Goal {
            target: 0.05,
            min: 1,
            max: 40,
        },
        ..ClusterSpec::default()
    };
    let mut recorder = Recorder {
        ours: PushScaling::of_cluster(&spec).expect("a PushScaler can have the goal"),
        decisions: Vec::new(),
    };
    simulate(&spec, &mut recorder, seed);
    assert_eq!(recorder.decisions.len(), SECONDS as usize);
    recorder.decisions
}

/// Keeps what Pushscale decides.
struct Recorder {
    ours: PushScaling,
    decisions: Vec<Arc<Decision>>,
}

impl Controller for Recorder {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let decided = self.ours.decide(view);
        self.decisions
            .push(Arc::new(self.ours.last_decision().clone()));
        decided
    }
}

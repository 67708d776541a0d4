//! Sidecars that restart.

use pushscale_simulator::cluster::{Outcome, PodView, View, simulate};
use pushscale_simulator::control::{Controller, PushScaling};

use super::{assert_conserved, spec};

const LOAD: &str = "load: flat:100\nseconds: 1200\npods: 5\nmax: 20\ntarget: 50ms\n";

/// Counts the pods whose sidecars have restarted.
struct Restarts(usize);

impl Controller for Restarts {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let restarted = |pod: &&PodView| pod.sidecar_restarts > 0;
        self.0 = view.pods.iter().filter(restarted).count();
        None
    }
}

fn scaled(text: &str) -> Outcome {
    let spec = spec(text);
    let outcome = simulate(&spec, &mut PushScaling::of_cluster(&spec).unwrap(), 1);
    assert_conserved(&outcome);
    outcome
}

#[test]
fn the_sidecars_of_a_share_of_the_pods_restart_once() {
    let spec = spec(&format!("{LOAD}fail: restart-sidecars 60%@600"));
    let mut controller = Restarts(0);
    simulate(&spec, &mut controller, 1);
    assert_eq!(controller.0, 3);
}

#[test]
fn a_restart_of_all_sidecars_is_no_load() {
    let sizes = |outcome: &Outcome| {
        let seconds = outcome.seconds[600..720].iter();
        let sizes: Vec<u32> = seconds.map(|second| second.desired).collect();
        (sizes.iter().copied().min(), sizes.iter().copied().max())
    };
    let restarted = scaled(&format!("{LOAD}fail: restart-sidecars 100%@600"));
    let (least, most) = sizes(&restarted);
    assert!(least >= Some(3) && most <= Some(7), "{least:?} to {most:?}");
}

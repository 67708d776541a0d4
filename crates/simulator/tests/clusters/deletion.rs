//! The pods that a scale-down deletes first.

use pushscale_simulator::cluster::{PodView, View, simulate};
use pushscale_simulator::control::Controller;

use super::spec;

/// Scales from four pods to three after a minute, and prefers to delete the oldest one.
#[derive(Default)]
struct ScaleDown {
    /// The ids of the last pods.
    pods: Vec<u64>,
}

impl Controller for ScaleDown {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        self.pods = view.pods.iter().map(|pod| pod.id).collect();
        (view.second == 60).then_some(3)
    }

    fn deletion_cost(&self, pod: &PodView) -> u32 {
        u32::try_from(pod.id).unwrap()
    }
}

#[test]
fn a_scale_down_deletes_the_pod_of_the_lowest_cost_or_the_youngest() {
    for (key, left) in [
        ("", [2, 3, 4]),
        ("deletion: cost\n", [2, 3, 4]),
        ("deletion: youngest\n", [1, 2, 3]),
    ] {
        let text = format!("load: flat:10\nseconds: 120\npods: 4\ntarget: 50ms\n{key}");
        let mut controller = ScaleDown::default();
        simulate(&spec(&text), &mut controller, 1);
        assert_eq!(controller.pods, left, "{key}");
    }
}

//! The order in which metrics, pods and conditions arrive does not matter.

use pushscale_tests::conformance::{SAFER_THAN_THE_HPA, replay};

use super::{SAMPLE, SEVERAL, cases};

#[test]
fn the_order_of_metrics_and_pods_does_not_matter() {
    for file in [SAMPLE, SEVERAL] {
        for mut case in cases(file) {
            if SAFER_THAN_THE_HPA.contains(&case.name.as_str()) {
                continue;
            }
            case.policy.metrics.reverse();
            for step in &mut case.steps {
                step.pods.reverse();
                if let Some(policy) = &mut step.policy {
                    policy.metrics.reverse();
                }
            }
            if let Some(difference) = replay(&case).unwrap() {
                panic!("in the opposite order: {difference}");
            }
        }
    }
}

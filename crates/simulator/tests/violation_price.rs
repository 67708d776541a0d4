//! A higher price of violations keeps more pods and violates fewer seconds.

#![cfg(test)]

use pushscale_simulator::cluster::simulate;
use pushscale_simulator::control::PushScaling;
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::random_scenario;

const PRICES: [u32; 3] = [37, 366, 3660];
const SCENARIOS: usize = 8;

#[test]
fn the_price_moves_pods_and_violations_in_opposite_directions() {
    let outcomes = in_parallel(
        PRICES.len() * SCENARIOS,
        &|job| {
            let mut spec = random_scenario((job / PRICES.len()) as u64).cluster;
            spec.violation_price = Some(PRICES[job % PRICES.len()]);
            let outcome = simulate(&spec, &mut PushScaling::of_cluster(&spec).unwrap(), 1);
            (outcome.pod_hours, outcome.violation_seconds)
        },
        &mut || {},
    );
    let sum = |price: usize| {
        let chosen = outcomes.iter().skip(price).step_by(PRICES.len());
        chosen.fold((0.0, 0.0), |sum, outcome| {
            (sum.0 + outcome.0, sum.1 + f64::from(outcome.1))
        })
    };
    for price in 1..PRICES.len() {
        let ((less, more_violated), (more, less_violated)) = (sum(price - 1), sum(price));
        let names = format!("{} and {}", PRICES[price - 1], PRICES[price]);
        assert!(less < more, "{names}: {less:.1} and {more:.1} pod-hours");
        assert!(
            less_violated < more_violated,
            "{names}: {more_violated} and {less_violated} violation seconds"
        );
    }
}

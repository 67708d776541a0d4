//! The scrape interval of the sidecars.

use pushscale_simulator::cluster::simulate;
use pushscale_simulator::control::PushScaling;

use super::spec;

/// Returns how long after a step the first pod is ordered, in seconds.
fn reaction(interval: &str) -> usize {
    let spec = spec(&format!(
        "load: step:40->200@600\nseconds: 900\npods: 2\ntarget: 50ms\nscrape-interval: {interval}\n"
    ));
    let outcome = simulate(&spec, &mut PushScaling::of_cluster(&spec).unwrap(), 1);
    let mut ups = outcome
        .history
        .iter()
        .filter(|change| change.second > 600 && change.to > change.from);
    ups.next().unwrap().second - 600
}

#[test]
fn a_step_is_found_by_the_scrapes_after_it() {
    let (each_second, each_minute) = (reaction("1s"), reaction("60s"));
    assert!(each_second <= 3, "{each_second} s");
    assert!((10..=120).contains(&each_minute), "{each_minute} s");
}

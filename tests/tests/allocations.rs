//! Readings and decisions of a known fleet allocate no memory: the aggregator holds thousands of fleets for months.

#![cfg(test)]

use std::time::Duration;

use pushscale_decision::{
    Algorithm, Bounds, Conditions, Latency, MeasuredLoad, Moment, Pod, PodUid, Policy, Scaler,
    Selector, TargetLatency, TargetState,
};
use pushscale_tests::readings::steady_reading;

const PODS: u32 = 12;

fn allocations(algorithm: Algorithm) -> u64 {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let policy = Policy {
        algorithm,
        ..Policy::new(Bounds::new(1, 100).unwrap(), target)
    };
    let mut scaler = Scaler::new(policy, Conditions::default());
    let uids: Vec<PodUid> = (0..PODS).map(|pod| format!("pod-{pod}").into()).collect();
    for uid in &uids {
        scaler.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running(uid.as_str()));
    }
    let facts = TargetState::Known {
        replicas: PODS,
        existing: None,
        selector: Selector::Usable,
    };
    let mut measured = MeasuredLoad::default();
    let mut turn = |second: u64| {
        let now = Moment::from_secs(second);
        let reading = steady_reading(second, 20, Duration::from_millis(30));
        let counted = allocation_counter::measure(|| {
            for uid in &uids {
                scaler.learn(now, uid, now, &reading).unwrap();
            }
            scaler.decide(now, &facts);
            measured = scaler.measured_load(second.saturating_sub(13)..second.saturating_sub(3));
        });
        counted.count_total
    };
    // The windows and the recent proposals are full after ten minutes.
    let first: u64 = (1..=600).map(&mut turn).sum();
    assert!(first > 0, "allocations are counted");
    let allocated = (601..=1200).map(turn).sum();
    let is_model = algorithm == Algorithm::Model;
    let rate = is_model.then_some(f64::from(PODS) * 20.0);
    assert_eq!(measured.rate.map(f64::round), rate);
    let service = measured.service.map(|service| (service * 1000.0).round());
    assert_eq!(service, is_model.then_some(100.0));
    allocated
}

#[test]
fn the_queue_model_allocates_nothing_in_the_steady_state() {
    assert_eq!(allocations(Algorithm::Model), 0);
}

#[test]
fn the_ratio_rule_allocates_nothing_in_the_steady_state() {
    assert_eq!(allocations(Algorithm::Ratio), 0);
}

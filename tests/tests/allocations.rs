//! Readings and decisions of a known fleet allocate no memory: the aggregator holds thousands of fleets for months.

#![cfg(test)]

use std::time::Duration;

use pushscale_decision::{
    Algorithm, Bounds, Conditions, Counters, Latency, MeasuredLoad, ModelReading, Moment, Pod,
    PodUid, Policy, Queue, Reading, Scaler, Selector, ServerState, TargetLatency, TargetState,
};

const PODS: u32 = 12;

fn reading(second: u64) -> Reading {
    let answered = second * 20;
    Reading {
        source: 1,
        sequence: second,
        clock: Duration::from_secs(second),
        fresh_for: Duration::from_secs(3),
        terminating: false,
        server: ServerState::Ready,
        models: vec![ModelReading {
            name: "sleepy".to_owned(),
            queue_latency: Some(Latency::from_nanos(30_000_000)),
            counters: Some(Counters {
                arrivals: answered,
                rejected: 0,
                completed: Some(answered),
                total_wait: Duration::from_millis(30) * u32::try_from(answered).unwrap(),
                total_sojourn: Duration::from_millis(130) * u32::try_from(answered).unwrap(),
            }),
            queue: Some(Queue {
                waiting: 1,
                in_service: 2,
                workers: 4,
                batch_size: 1,
                batch_delay: Duration::ZERO,
            }),
            service_time: Some(Duration::from_millis(100)),
        }],
    }
}

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
        let reading = reading(second);
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

//! Measures the cost of a reading and of a decision.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushscale_decision::{
    Aggregate, Algorithm, Bounds, Conditions, Latency, Moment, Percentile, Pod, PodUid, Policy,
    Reading, Scaler, Selector, TargetLatency, TargetState,
};
use pushscale_tests::readings::steady_reading;

use crate::spread::Spread;

/// Prints microseconds, after five minutes of one reading per second: the median of a reading, and the minimum, median,
/// mean and maximum of a decision.
pub(crate) fn run() {
    let percentile = Aggregate::Percentile(Percentile::P95);
    for (algorithm, aggregate) in [
        (Algorithm::Model, Aggregate::Mean),
        (Algorithm::Model, percentile),
        (Algorithm::Ratio, Aggregate::Mean),
    ] {
        for pods in [1, 5, 100, 1000, 5000] {
            one(algorithm, aggregate, pods);
        }
    }
}

fn one(algorithm: Algorithm, aggregate: Aggregate, pods: u32) {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let mut policy = Policy {
        algorithm,
        ..Policy::new(Bounds::new(1, 10_000).unwrap(), target)
    };
    policy.metrics[0].aggregate = aggregate;
    let mut scaler = Scaler::new(policy, Conditions::default());
    let uids: Vec<PodUid> = (0..pods).map(|pod| format!("pod-{pod}").into()).collect();
    for uid in &uids {
        scaler.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running(uid.as_str()));
    }
    let facts = TargetState::Known {
        replicas: pods,
        existing: None,
        selector: Selector::Usable,
        deletes_slow_first: true,
    };
    let (mut learning, mut deciding) = (Vec::new(), Vec::new());
    for second in 1..=900_u64 {
        let now = Moment::from_secs(second);
        let reading = Arc::new(reading(second));
        let start = Instant::now();
        for uid in &uids {
            scaler.learn_shared(now, uid, now, &reading).unwrap();
        }
        let learned = Instant::now();
        black_box(scaler.decide(now, &facts));
        // The windows are full from here on.
        if second > 300 {
            let micros = |took: Duration| took.as_secs_f64() * 1e6;
            deciding.push(micros(learned.elapsed()));
            learning.push(micros(learned - start) / uids.len() as f64);
        }
    }
    println!(
        "  {algorithm:?}, {aggregate}, {pods:>4} pods: {:.2} µs a reading; a decision with its explanation: {:.1}",
        Spread::of(learning).median(),
        Spread::of(deciding),
    );
}

fn reading(second: u64) -> Reading {
    steady_reading(second, 29, Duration::from_millis(45))
}

//! What a reading and a decision cost.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pushscale_decision::{
    Bounds, Conditions, Latency, ModelReading, Moment, Pod, PodUid, Policy, Reading, Scaler,
    Selector, ServerState, Target, TargetFacts,
};

/// Prints microseconds, after five minutes of readings a second.
pub(crate) fn run() {
    for pods in [1, 5, 100, 1000] {
        let target = Target::new(Latency::from_nanos(7_000_000)).unwrap();
        let policy = Policy::new(Bounds::new(1, 10_000).unwrap(), target);
        let mut scaler = Scaler::new(policy, Conditions::default());
        let uids: Vec<PodUid> = (0..pods).map(|pod| format!("pod-{pod}").into()).collect();
        for uid in &uids {
            scaler.apply_pod(Moment::ORIGIN, uid.clone(), Pod::running(uid.as_str()));
        }
        let facts = TargetFacts::Known {
            replicas: pods,
            selector: Selector::Usable,
        };
        let (mut learning, mut deciding) = (Duration::ZERO, Duration::ZERO);
        let (mut learnt, mut decided) = (0, 0);
        for second in 1..=600_u64 {
            let now = Moment::from_secs(second);
            let began = Instant::now();
            for uid in &uids {
                scaler.learn(now, uid, &reading(now, second)).unwrap();
            }
            let learned = Instant::now();
            black_box(scaler.decide(now, &facts));
            // The windows are full from here on.
            if second > 300 {
                learning += learned - began;
                deciding += learned.elapsed();
                learnt += uids.len();
                decided += 1;
            }
        }
        println!(
            "  {pods:>4} pods: {:.2} µs a reading, {:.1} µs a decision with its explanation",
            learning.as_secs_f64() * 1e6 / learnt as f64,
            deciding.as_secs_f64() * 1e6 / f64::from(decided)
        );
    }
}

fn reading(now: Moment, second: u64) -> Reading {
    Reading {
        taken: now,
        source: 1,
        sequence: second,
        clock: Duration::from_secs(second),
        fresh_for: Duration::from_secs(3),
        leaving: false,
        server: ServerState::Ready,
        models: vec![ModelReading {
            name: "sleepy".to_owned(),
            queue_latency: Some(Latency::from_nanos(6_900_000)),
            ..ModelReading::default()
        }],
    }
}

//! The spec of a PushScalerCheckpoint, which a user may have edited. Whatever it contains, what is restored can be
//! stored and restored again, decisions stay within the bounds, and memory is bounded.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use pushscale_api::PushScalerCheckpointSpec;
use pushscale_decision::{
    Algorithm, Bounds, Checkpoint, Clock, Conditions, Counters, Latency, ModelReading, Moment, Pod,
    PodUid, Policy, Queue, Reading, Scaler, Selector, ServerState, TargetLatency, TargetState,
};
use pushscale_fuzz::{is_readable, within_memory};

/// The time of the inputs in the corpus: 2026-12-01T00:00:00Z.
const NOW: u64 = 1_796_083_200;

const MAX_REPLICAS: u32 = 9;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    pushscale_fuzz::mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let parse = || serde_json::from_slice::<PushScalerCheckpointSpec>(data);
    let Ok(spec) = within_memory(data, 128, parse) else {
        return;
    };
    let checkpoint = match within_memory(data, 128, || spec.decode()) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return is_readable(&error),
    };
    let mut scaler = Scaler::new(policy(), Conditions::default());
    scaler.restore_checkpoint(clock(NOW), &checkpoint);
    let stored = scaler.checkpoint(clock(NOW));
    assert!(stored.models.len() <= Checkpoint::MAX_MODELS);

    for second in NOW..NOW + 12 {
        let desired = decide(&mut scaler, second);
        assert!((1..=MAX_REPLICAS).contains(&desired), "{desired} replicas");
    }
    let stored = scaler.checkpoint(clock(NOW + 12));
    let encode = |checkpoint: &Checkpoint| {
        PushScalerCheckpointSpec::encode(
            Timestamp::UNIX_EPOCH,
            spec.scale_target_ref.clone(),
            checkpoint,
        )
    };
    let text = serde_json::to_string(&encode(&stored)).expect("a checkpoint serializes");
    assert!(text.len() < 200_000, "{} bytes", text.len());
    let again = serde_json::from_str::<PushScalerCheckpointSpec>(&text).expect("it parses");
    let again = again.decode().expect("what was stored can be read");
    // Rates are rounded once.
    let third = encode(&again)
        .decode()
        .expect("what was stored can be read");
    assert_eq!(third, again);
});

fn policy() -> Policy {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).expect("it is positive");
    let bounds = Bounds::new(1, MAX_REPLICAS).expect("they are in order");
    let mut policy = Policy::new(bounds, target);
    policy.algorithm = Algorithm::Model;
    policy
}

fn clock(second: u64) -> Clock {
    Clock {
        now: Moment::from_secs(second),
        unix: Duration::from_secs(second),
    }
}

/// Reports two models of one pod, and returns the replicas that are decided.
fn decide(scaler: &mut Scaler, second: u64) -> u32 {
    let now = Moment::from_secs(second);
    let passed = second - NOW + 1;
    let uid = PodUid::from("pod");
    scaler.apply_pod(now, uid.clone(), Pod::running("pod"));
    let model = |name: &str| ModelReading {
        name: name.to_owned(),
        counters: Some(Counters {
            arrivals: 20 * passed,
            completed: Some(20 * passed),
            rejected: 0,
            total_wait: Duration::ZERO,
            total_sojourn: Duration::from_secs(2 * passed),
        }),
        queue: Some(Queue {
            workers: 4,
            batch_size: 1,
            ..Queue::default()
        }),
        ..ModelReading::default()
    };
    let reading = Reading {
        source: 1,
        sequence: passed,
        clock: Duration::from_secs(passed),
        fresh_for: Duration::from_secs(3),
        terminating: false,
        server: ServerState::Ready,
        models: vec![model("resnet"), model("bert")],
    };
    scaler
        .learn(now, &uid, now, &reading)
        .expect("the readings are in order");
    let target = TargetState::Known {
        replicas: 1,
        existing: None,
        selector: Selector::Usable,
        deletes_slow_first: true,
    };
    let decision = scaler.decide(now, &target);
    decision.desired().unwrap_or(1)
}

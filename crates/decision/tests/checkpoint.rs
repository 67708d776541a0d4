//! A checkpoint restores what a restart would cost, and never does harm.

#![cfg(test)]

#[path = "support/fake_fleet.rs"]
mod fake_fleet;

use std::time::Duration;

use fake_fleet::{Environment, FakeFleet};
use pushscale_decision::{
    Algorithm, Bounds, Checkpoint, Clock, Latency, ModelCheckpoint, Moment, ObservedStarts,
    PeriodSaving, Policy, RateSeries, Scaler, Step, TargetLatency,
};

/// Moments of the tests begin at this time since the Unix epoch, a multiple of every bucket.
const ORIGIN: u64 = 1_800_000_000;

const PERIOD: u64 = 3600;

fn policy() -> Policy {
    let target = TargetLatency::new(Latency::from_nanos(50_000_000)).unwrap();
    let mut policy = Policy::new(Bounds::new(1, 60).unwrap(), target);
    policy.algorithm = Algorithm::Model;
    policy
}

fn environment(load: f64) -> Environment {
    Environment {
        load,
        ..Environment::default()
    }
}

/// A burst of two minutes in every hour.
fn bursts(second: u64) -> f64 {
    if second % PERIOD < 120 { 600.0 } else { 60.0 }
}

fn pass_until(fleet: &mut FakeFleet, second: u64) {
    while fleet.second < second {
        let load = bursts(fleet.second + 1);
        fleet.pass(&environment(load));
    }
}

fn clock(second: u64) -> Clock {
    Clock {
        now: Moment::from_secs(second),
        unix: Duration::from_secs(ORIGIN + second),
    }
}

fn checkpoint_of(fleet: &FakeFleet) -> Checkpoint {
    fleet.scaler.checkpoint(clock(fleet.second))
}

/// Returns a fleet that has seen bursts for hours, ten minutes before the next one.
fn experienced_fleet() -> FakeFleet {
    let mut fleet = FakeFleet::new(policy(), 4, 90);
    pass_until(&mut fleet, 8 * PERIOD - 600);
    fleet
}

/// Returns the rate and the replicas of the step about the expected rise.
fn expected_rise(fleet: &FakeFleet) -> Option<(Duration, f64, u32)> {
    fleet.last().steps.iter().find_map(|step| match step {
        Step::RiseExpected {
            period,
            rate,
            replicas,
        } => Some((*period, *rate, *replicas)),
        _ => None,
    })
}

fn model(name: &str, rates: RateSeries) -> ModelCheckpoint {
    ModelCheckpoint {
        name: name.into(),
        service_seconds: Some(0.1),
        savings: vec![PeriodSaving {
            period: PERIOD,
            saving: 1e5,
        }],
        rates: vec![rates],
    }
}

fn minutes(first_second: u64, rates: Vec<Option<f32>>) -> RateSeries {
    RateSeries {
        bucket_seconds: 30,
        first_bucket: first_second / 30,
        rates,
    }
}

#[test]
fn a_restart_with_a_checkpoint_expects_the_same_rise() {
    let continued = experienced_fleet();
    let checkpoint = checkpoint_of(&continued);
    let mut without = continued.clone();
    without.restart();
    let mut restarted = without.clone();
    restarted
        .scaler
        .restore_checkpoint(clock(restarted.second), &checkpoint);
    let mut continued = continued;
    let rise = 8 * PERIOD - 30;
    for fleet in [&mut continued, &mut without, &mut restarted] {
        pass_until(fleet, rise);
    }
    let expected = expected_rise(&continued).unwrap();
    assert_eq!(expected.0, Duration::from_secs(PERIOD));
    assert!(expected.1 > 500.0, "{expected:?}");
    assert_eq!(expected_rise(&restarted), Some(expected));
    assert_eq!(restarted.replicas, continued.replicas);
    assert_eq!(expected_rise(&without), None);
    assert!(without.replicas < continued.replicas);
}

#[test]
fn a_checkpoint_survives_a_second_restart_before_any_pod_has_reported() {
    let fleet = experienced_fleet();
    let checkpoint = checkpoint_of(&fleet);
    let mut scaler = Scaler::new(policy(), fleet.scaler.conditions().clone());
    let later = fleet.second + 600;
    scaler.restore_checkpoint(clock(later), &checkpoint);
    let again = scaler.checkpoint(clock(later));
    assert_eq!(again.start_delay, checkpoint.start_delay);
    let (again, before) = (&again.models[0], &checkpoint.models[0]);
    assert_eq!(again.name, before.name);
    assert_eq!(again.service_seconds, before.service_seconds);
    assert_eq!(again.savings, before.savings);
    assert_eq!(again.rates[1], before.rates[1]);
    // The hour has moved on.
    let first = before.rates[0]
        .first_bucket
        .max((ORIGIN + later) / 30 - 121);
    assert_eq!(again.rates[0].first_bucket, first);
    // After more than a week there is nothing worth keeping.
    let much_later = fleet.second + 8 * 86_400;
    assert!(scaler.checkpoint(clock(much_later)).models.is_empty());
}

#[test]
fn what_was_learned_since_the_restart_stays() {
    let experienced = experienced_fleet();
    let checkpoint = checkpoint_of(&experienced);
    let mut fleet = experienced.clone();
    fleet.restart();
    pass_until(&mut fleet, experienced.second + 60);
    // The checkpoint arrives late, and is read once more later.
    for _ in 0..2 {
        fleet
            .scaler
            .restore_checkpoint(clock(fleet.second), &checkpoint);
    }
    let restored = checkpoint_of(&fleet);
    let rates = |checkpoint: &Checkpoint| {
        let hour = &checkpoint.models[0].rates[0];
        (
            hour.first_bucket + hour.rates.len() as u64,
            hour.rates.len(),
        )
    };
    // The hour has moved on by a minute, and knows as much as before.
    assert_eq!(rates(&restored).0, rates(&checkpoint).0 + 2);
    assert!(rates(&restored).1 >= 120);
    let saving = |checkpoint: &Checkpoint| checkpoint.models[0].savings[0].saving;
    assert!((saving(&restored) / saving(&checkpoint) - 1.0).abs() < 0.1);
}

#[test]
fn a_snapshot_contains_what_was_restored() {
    let experienced = experienced_fleet();
    let mut fleet = experienced.clone();
    fleet.restart();
    fleet
        .scaler
        .restore_checkpoint(clock(fleet.second), &checkpoint_of(&experienced));
    let snapshot = fleet.scaler.snapshot();
    let mut replayed = fleet.clone();
    replayed.scaler = Scaler::restore(policy(), snapshot).unwrap();
    for fleet in [&mut fleet, &mut replayed] {
        pass_until(fleet, 8 * PERIOD - 30);
    }
    assert!(expected_rise(&fleet).is_some());
    assert_eq!(expected_rise(&replayed), expected_rise(&fleet));
    assert_eq!(replayed.last().steps, fleet.last().steps);
}

#[test]
fn another_origin_of_moments_and_a_clock_that_was_set_keep_the_time_of_day() {
    let origin = |now: u64, unix: u64| Clock {
        now: Moment::from_secs(now),
        unix: Duration::from_secs(unix),
    };
    let series = minutes(ORIGIN - 60, vec![Some(1.0), None, Some(3.0)]);
    let checkpoint = Checkpoint {
        start_delay: None,
        models: vec![model("m", series.clone())],
    };
    // Seven seconds of drift do not move a bucket.
    for (now, unix) in [(5000, ORIGIN + 20), (ORIGIN, ORIGIN + 7)] {
        let mut scaler = Scaler::new(policy(), Default::default());
        scaler.restore_checkpoint(origin(now, unix), &checkpoint);
        let found = scaler.checkpoint(origin(now + 60, unix + 60)).models;
        assert_eq!(found[0].rates, vec![series.clone()], "{now} {unix}");
    }
}

#[test]
fn implausible_values_are_ignored() {
    let fleet = experienced_fleet();
    let second = fleet.second;
    let now = ORIGIN + second;
    let mut wrong = Vec::new();
    for service_seconds in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e9] {
        wrong.push(ModelCheckpoint {
            service_seconds: Some(service_seconds),
            ..model("sleepy", RateSeries::default())
        });
    }
    for saving in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        wrong.push(ModelCheckpoint {
            savings: vec![PeriodSaving {
                period: PERIOD,
                saving,
            }],
            ..model("sleepy", RateSeries::default())
        });
    }
    let bad = [f32::NAN, f32::INFINITY, -1.0, -0.5];
    let rates: Vec<Option<f32>> = bad.iter().map(|rate| Some(*rate)).collect();
    for first_second in [now - 60, now + 7200, 0, u64::MAX] {
        wrong.push(model("sleepy", minutes(first_second, rates.clone())));
    }
    for first_second in [now + 30, now + 86_400, now - 30 * 86_400, 0, u64::MAX] {
        let rates = vec![Some(1e6); 10];
        wrong.push(ModelCheckpoint {
            savings: Vec::new(),
            ..model("sleepy", minutes(first_second, rates))
        });
    }
    for bucket_seconds in [0, 1, 31, u64::MAX] {
        wrong.push(model(
            "sleepy",
            RateSeries {
                bucket_seconds,
                ..minutes(now - 60, vec![Some(1e6); 3])
            },
        ));
    }
    for (index, wrong) in wrong.into_iter().enumerate() {
        let mut without = fleet.clone();
        without.restart();
        let mut restarted = without.clone();
        let checkpoint = Checkpoint {
            start_delay: Some(ObservedStarts {
                seconds: f64::NAN,
                count: 3,
            }),
            models: vec![wrong],
        };
        restarted
            .scaler
            .restore_checkpoint(clock(second), &checkpoint);
        for fleet in [&mut without, &mut restarted] {
            pass_until(fleet, second + 30);
        }
        assert_eq!(restarted.last().steps, without.last().steps, "{index}");
        assert_eq!(restarted.replicas, without.replicas, "{index}");
    }
}

#[test]
fn what_would_not_be_restored_is_not_stored_again() {
    let rates = vec![Some(f32::NAN), Some(-1.0), Some(2.0), Some(9.0)];
    let mut checkpoint = Checkpoint {
        start_delay: None,
        models: vec![model("m", minutes(ORIGIN - 60, rates))],
    };
    checkpoint.models[0].savings[0].saving = f64::INFINITY;
    let mut scaler = Scaler::new(policy(), Default::default());
    let now = Clock {
        now: Moment::from_secs(ORIGIN),
        unix: Duration::from_secs(ORIGIN),
    };
    scaler.restore_checkpoint(now, &checkpoint);
    let stored = scaler.checkpoint(now).models;
    assert_eq!(stored[0].rates, [minutes(ORIGIN, vec![Some(2.0)])]);
    assert!(stored[0].savings.is_empty());
}

/// A client that may write checkpoints can keep pods, within the bounds. It can neither remove pods nor stop decisions.
#[test]
fn a_forged_checkpoint_orders_pods_within_the_bounds_and_is_refuted() {
    let mut fleet = FakeFleet::new(policy(), 4, 90);
    let mut without = fleet.clone();
    let rates = vec![Some(f32::MAX); 10_000];
    let second = fleet.second;
    let forged = (0..1000).map(|number| ModelCheckpoint {
        service_seconds: Some(86_400.0),
        savings: (0..1000)
            .map(|_| PeriodSaving {
                period: PERIOD,
                saving: f64::MAX,
            })
            .collect(),
        ..model(
            if number == 0 { "sleepy" } else { "other" },
            minutes(ORIGIN + second - 3600, rates.clone()),
        )
    });
    let checkpoint = Checkpoint {
        start_delay: Some(ObservedStarts {
            seconds: 3600.0,
            count: u32::MAX,
        }),
        models: forged.collect(),
    };
    fleet.scaler.restore_checkpoint(clock(second), &checkpoint);
    let stored = checkpoint_of(&fleet).models;
    assert!(stored.len() <= Checkpoint::MAX_MODELS);
    // What would not be restored is not stored again.
    for model in stored {
        assert!(model.savings.len() <= 5 && model.rates.len() <= 2);
        for series in model.rates {
            assert!(series.rates.len() <= Checkpoint::MAX_RATES);
        }
    }
    for fleet in [&mut fleet, &mut without] {
        fleet.reset_counts();
        pass_until(fleet, second + 3 * PERIOD);
    }
    assert!(fleet.lowest >= without.lowest && fleet.highest <= 60);
    // The forged hour is over, and the pods are gone again.
    assert_eq!(fleet.replicas, without.replicas);
}

//! The invariants of the queueing model, checked on random histories of a fleet.
//!
//! Here and not in the crate, so that `cargo tree -p pushscale-decision` shows no dependencies, not even test
//! libraries.

#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are small"
)]

#[path = "../../crates/decision/tests/support/fake_fleet.rs"]
mod fake_fleet;

use fake_fleet::{Environment, FakeFleet};
use proptest::prelude::*;
use pushscale_decision::{
    Algorithm, Balancing, Bounds, Latency, Policy, Scaler, ServerState, Snapshot, TargetLatency,
};

fn policy(target: f64, min: u32, max: u32, balancing: Balancing) -> Policy {
    let target = TargetLatency::new(Latency::from_secs_f64(target).unwrap()).unwrap();
    Policy {
        algorithm: Algorithm::Model,
        balancing,
        ..Policy::new(Bounds::new(min, max).unwrap(), target)
    }
}

fn environment(load: f64, service: f64, workers: f64) -> Environment {
    Environment {
        load,
        service,
        workers,
        ..Environment::default()
    }
}

fn balancings() -> impl Strategy<Value = Balancing> {
    prop::sample::select(vec![Balancing::Random, Balancing::LeastRequest])
}

/// A few minutes of a history: seconds, arrival rate, and the share of pods that do not report.
fn load_phases() -> impl Strategy<Value = Vec<(u64, f64, f64)>> {
    let silence = prop_oneof![3 => Just(0.0), 1 => 0.0..1.0];
    prop::collection::vec((1_u64..120, 0.0..600.0, silence), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// I3: the replicas stay within min and max; at most one write per second; at most half of the fleet is removed in
    /// 15 s.
    #[test]
    fn replicas_stay_within_min_max_and_the_scaling_policies(
        phases in load_phases(),
        balancing in balancings(),
        (min, size, max) in (1_u32..4, 4_u32..12, 12_u32..60),
        start in 1_u64..120,
    ) {
        let mut fleet = FakeFleet::new(policy(0.05, min, max, balancing), size, start);
        let mut sizes = vec![size];
        for (seconds, load, silence) in phases {
            for _ in 0..seconds {
                let writes = fleet.writes;
                let not_reporting = (silence * f64::from(fleet.replicas)).round() as usize;
                fleet.pass(&Environment { not_reporting, ..environment(load, 0.1, 4.0) });
                prop_assert!((min..=max).contains(&fleet.replicas), "{}", fleet.replicas);
                prop_assert!(fleet.writes - writes <= 1);
                let lately = sizes.iter().rev().take(15).max().copied().unwrap();
                let floor = lately - (lately / 2).max(1);
                prop_assert!(fleet.replicas >= floor, "{} → {}: {}", lately, fleet.replicas, fleet.last());
                sizes.push(fleet.replicas);
            }
        }
    }

    /// I1: no scale-down while fewer than 80% of the pods report, and no scaling while none reports.
    #[test]
    fn a_gap_in_the_readings_never_scales_down(
        before in 10_u64..400,
        load in 1.0..400.0,
        after in 0.0..400.0,
        gap in 4_u64..400,
        silence in 0.25_f64..1.0,
        balancing in balancings(),
    ) {
        let mut fleet = FakeFleet::new(policy(0.05, 1, 60, balancing), 10, 30);
        for _ in 0..before {
            fleet.pass(&environment(load, 0.1, 4.0));
        }
        // The last readings are stale after three seconds.
        let not_reporting = |fleet: &FakeFleet| (silence * f64::from(fleet.replicas)).ceil() as usize;
        for _ in 0..4 {
            let not_reporting = not_reporting(&fleet);
            fleet.pass(&Environment { not_reporting, ..environment(load, 0.1, 4.0) });
        }
        fleet.reset_counts();
        let size = fleet.replicas;
        for _ in 0..gap {
            let not_reporting = not_reporting(&fleet);
            fleet.pass(&Environment { not_reporting, ..environment(after, 0.1, 4.0) });
        }
        prop_assert!(fleet.lowest >= size, "{size} → {}: {}", fleet.lowest, fleet.last());
        for _ in 0..gap.min(60) {
            fleet.pass(&Environment { not_reporting: usize::MAX, ..environment(after, 0.1, 4.0) });
        }
        let size = fleet.replicas;
        fleet.reset_counts();
        for state in [ServerState::Frozen, ServerState::Empty, ServerState::Refused] {
            for _ in 0..20 {
                let state = Some((usize::MAX, state));
                fleet.pass(&Environment { state, ..environment(after, 0.1, 4.0) });
            }
        }
        prop_assert_eq!((fleet.replicas, fleet.writes), (size, 0));
    }

    /// I0: no scale-down during the hold after a start.
    #[test]
    fn a_restart_never_scales_down(
        size in 2_u32..30,
        load in 0.0..100.0,
        until in 1_u64..299,
        balancing in balancings(),
    ) {
        let mut fleet = FakeFleet::new(policy(0.05, 1, 60, balancing), size, 30);
        for _ in 0..100 {
            fleet.pass(&environment(load, 0.1, 4.0));
        }
        fleet.restart();
        fleet.reset_counts();
        let size = fleet.replicas;
        for _ in 0..until {
            fleet.pass(&environment(load, 0.1, 4.0));
        }
        prop_assert!(fleet.lowest >= size, "{size} → {}: {}", fleet.lowest, fleet.last());
    }

    /// I4: of two fleets that differ only in the last second, the one with more arrivals, a longer service time, fewer
    /// workers or a lower target never gets fewer pods.
    #[test]
    fn more_load_never_needs_fewer_replicas(
        seconds in 70_u64..200,
        load in 5.0..300.0,
        more in 1.0..400.0,
        what in 0..3,
        balancing in balancings(),
    ) {
        let size = (load / 40.0 * 1.4) as u32 + 1;
        let mut fleet = FakeFleet::new(policy(0.05, 1, 200, balancing), size, 30);
        // Not when the variability is estimated again, every ten seconds: another history gives another estimate.
        for _ in 0..seconds / 10 * 10 + 3 {
            fleet.pass(&environment(load, 0.1, 4.0));
        }
        let asked = |mut fleet: FakeFleet, environment: &Environment| {
            fleet.pass(environment);
            fleet.last().desired().unwrap()
        };
        let same = environment(load, 0.1, 4.0);
        let (base, harder) = match what {
            0 => (
                asked(fleet.clone(), &same),
                asked(fleet, &environment(load + more, 0.1, 4.0)),
            ),
            1 => (
                asked(fleet.clone(), &same),
                asked(fleet, &environment(load, 0.1 * (1.0 + more / 100.0), 4.0)),
            ),
            _ => {
                let mut tighter = fleet.clone();
                let target = 0.05 / (1.0 + more / 100.0);
                tighter.scaler.set_policy(policy(target, 1, 200, balancing));
                (asked(fleet, &same), asked(tighter, &same))
            }
        };
        prop_assert!(harder >= base, "{base} → {harder}");
    }

    /// I5: there is always a pod while requests arrive, and the same inputs give the same decision.
    #[test]
    fn the_same_inputs_give_the_same_decision(
        phases in load_phases(),
        balancing in balancings(),
    ) {
        let decisions_of = |phases: &[(u64, f64, f64)]| {
            let mut fleet = FakeFleet::new(policy(0.05, 1, 60, balancing), 5, 30);
            let mut decisions = Vec::new();
            for (seconds, load, silence) in phases {
                for _ in 0..*seconds {
                    let not_reporting = (silence * f64::from(fleet.replicas)).round() as usize;
                    fleet.pass(&Environment { not_reporting, ..environment(*load, 0.1, 4.0) });
                    assert!(fleet.replicas >= 1);
                    decisions.push(fleet.last().to_string());
                }
            }
            decisions
        };
        prop_assert_eq!(decisions_of(&phases), decisions_of(&phases));
    }

    /// A restored snapshot decides like the original.
    #[test]
    fn a_restored_snapshot_decides_like_the_original(
        phases in load_phases(),
        after in load_phases(),
        balancing in balancings(),
        ratio in any::<bool>(),
    ) {
        let mut policy = policy(0.05, 1, 60, balancing);
        if ratio {
            policy.algorithm = Algorithm::Ratio;
        }
        let mut fleet = FakeFleet::new(policy.clone(), 5, 30);
        let pass = |fleet: &mut FakeFleet, phases: &[(u64, f64, f64)]| {
            for (seconds, load, silence) in phases {
                for _ in 0..*seconds {
                    let not_reporting = (silence * f64::from(fleet.replicas)).round() as usize;
                    fleet.pass(&Environment { not_reporting, ..environment(*load, 0.1, 4.0) });
                }
            }
        };
        pass(&mut fleet, &phases);
        let snapshot = fleet.scaler.snapshot().to_string();
        let mut restored = fleet.clone();
        restored.scaler = Scaler::restore(policy, Snapshot::parse(&snapshot).unwrap()).unwrap();
        prop_assert_eq!(restored.scaler.snapshot().to_string(), snapshot);
        for stretch in after {
            pass(&mut fleet, &[stretch]);
            pass(&mut restored, &[stretch]);
            prop_assert_eq!(fleet.last(), restored.last());
        }
    }
}

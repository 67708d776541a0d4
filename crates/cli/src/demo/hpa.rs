//! Simulates a HorizontalPodAutoscaler under the same arrivals.

use pushscale_simulator::cluster::{ClusterSpec, Goal, simulate};
use pushscale_simulator::control::{Hpa, HpaOptions};
use pushscale_simulator::traffic::Traffic;

/// The seconds of low load before the step, so that the HPA has settled. Up to one decision interval more is added,
/// since the step may come at any time within an interval.
const BEFORE: usize = 180;

/// The parameters besides the arrivals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// Requests per second before the step.
    pub(crate) low: u32,
    /// The maximum number of servers.
    pub(crate) max: u32,
    /// The target for the queue latency, in seconds.
    pub(crate) target: f64,
    /// The service time of a request, in seconds.
    pub(crate) service: f64,
    /// The start delay of a server, in seconds.
    pub(crate) start: f64,
}

/// The results, averaged over all times within an interval at which the HPA may decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Simulated {
    /// The time from the step to the first scale-up, in seconds; `None` if one of the runs had none.
    pub(crate) reaction: Option<f64>,
    /// The seconds whose requests waited more than four times the target on average, or of which one failed.
    pub(crate) violated: f64,
    /// The share of requests that waited more than four times the target, or failed.
    pub(crate) bad_share: f64,
}

/// Simulates an HPA behind Prometheus (scrapes and decisions every 15 s, rates over one minute) that scales `fleet`
/// under `arrivals` per second. The higher load begins at the index `step`.
pub(crate) fn simulate_hpa(fleet: Fleet, arrivals: &[u32], step: usize) -> Simulated {
    let options = HpaOptions::default();
    let (mut reactions, mut violated, mut bad) = (Some(0.0), 0.0, 0.0);
    for phase in 0..options.sync {
        let before = BEFORE + phase;
        let mut counts = vec![fleet.low; before];
        counts.extend(arrivals);
        let requests: u32 = counts.iter().sum();
        let spec = ClusterSpec {
            traffic: Traffic::Counts(counts),
            service: fleet.service,
            cv: 0.0,
            workers: 1,
            queue: 100,
            start_delay: (fleet.start, fleet.start),
            goal: Goal {
                target: fleet.target,
                min: 1,
                max: fleet.max,
            },
            ..ClusterSpec::default()
        };
        let outcome = simulate(&spec, &mut Hpa::new(options, &spec), 1 + phase as u64);
        let first = outcome
            .history
            .iter()
            .find(|change| change.second > before + step && change.to > change.from);
        let reaction = first.map(|change| (change.second - before - step) as f64);
        reactions = reactions.zip(reaction).map(|(sum, one)| sum + one);
        let late = outcome.seconds.iter().skip(before);
        violated += late.filter(|second| second.violated).count() as f64;
        bad += outcome.bad_percent / 100.0 * f64::from(requests);
    }
    let runs = options.sync as f64;
    let requests: u32 = arrivals.iter().sum();
    Simulated {
        reaction: reactions.map(|sum| sum / runs),
        violated: violated / runs,
        bad_share: bad / runs / f64::from(requests.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hpa_reacts_to_a_step_after_its_next_decision_at_the_earliest() {
        let fleet = Fleet {
            low: 2,
            max: 5,
            target: 0.1,
            service: 0.1,
            start: 2.0,
        };
        let mut arrivals = vec![2; 8];
        arrivals.extend([25; 90]);
        let found = simulate_hpa(fleet, &arrivals, 8);
        let reaction = found.reaction.unwrap();
        assert!((5.0..60.0).contains(&reaction), "{found:?}");
        assert!(found.violated >= reaction - 5.0, "{found:?}");
        assert!((0.05..1.0).contains(&found.bad_share), "{found:?}");
        let short = simulate_hpa(fleet, &arrivals[..10], 8);
        assert_eq!(short.reaction, None);
    }
}

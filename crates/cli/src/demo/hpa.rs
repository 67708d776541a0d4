//! What the HorizontalPodAutoscaler would have made of the same arrivals.

use pushscale_simulator::cluster::{Goal, World, simulate};
use pushscale_simulator::control::{Hpa, HpaOptions};
use pushscale_simulator::traffic::Traffic;

/// An HPA that is there already knows the load before the step: so many seconds of it come first, and up to a decision's
/// interval more, since the step comes at any moment of that.
const BEFORE: usize = 180;

/// What it depends on, besides the arrivals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// Requests a second before the step.
    pub(crate) low: u32,
    /// The most servers.
    pub(crate) max: u32,
    /// How long requests should wait, in seconds.
    pub(crate) target: f64,
    /// How long a server takes for a request, in seconds.
    pub(crate) service: f64,
    /// How long a server takes until it is ready, in seconds.
    pub(crate) start: f64,
}

/// What came of it, on average over the moments at which it may decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Simulated {
    /// From the step to a larger size, in seconds; `None`: at one of those moments there was none to the end.
    pub(crate) reaction: Option<f64>,
    /// Seconds whose requests waited more than four times the target on average, or of which one failed.
    pub(crate) violated: f64,
    /// Of all requests, those that waited more than four times the target, or failed.
    pub(crate) harmed: f64,
}

/// Lets an HPA behind Prometheus (scrape 15 s, rate over a minute, decisions every 15 s) scale `fleet` under these
/// `arrivals` a second, of which the first at `step` belong to a higher load.
pub(crate) fn on_the_same_arrivals(fleet: Fleet, arrivals: &[u32], step: usize) -> Simulated {
    let options = HpaOptions::default();
    let (mut reactions, mut violated, mut harmed) = (Some(0.0), 0.0, 0.0);
    for phase in 0..options.sync {
        let before = BEFORE + phase;
        let mut counts = vec![fleet.low; before];
        counts.extend(arrivals);
        let requests: u32 = counts.iter().sum();
        let world = World {
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
            ..World::default()
        };
        let outcome = simulate(&world, &mut Hpa::new(options), 1 + phase as u64);
        let first = outcome
            .history
            .iter()
            .find(|change| change.second > before + step && change.to > change.from);
        let reaction = first.map(|change| as_float(change.second - before - step));
        reactions = reactions.zip(reaction).map(|(sum, one)| sum + one);
        let late = outcome.seconds.iter().skip(before);
        violated += as_float(late.filter(|second| second.violated).count());
        harmed += outcome.bad_percent / 100.0 * f64::from(requests);
    }
    let runs = as_float(options.sync);
    let requests: u32 = arrivals.iter().sum();
    Simulated {
        reaction: reactions.map(|sum| sum / runs),
        violated: violated / runs,
        harmed: harmed / runs / f64::from(requests.max(1)),
    }
}

fn as_float(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "requests and seconds of a demo")]
    {
        count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hpa_sees_a_step_late_and_after_the_next_decision_at_the_earliest() {
        let fleet = Fleet {
            low: 2,
            max: 5,
            target: 0.1,
            service: 0.1,
            start: 2.0,
        };
        let mut arrivals = vec![2; 8];
        arrivals.extend([25; 90]);
        let found = on_the_same_arrivals(fleet, &arrivals, 8);
        let reaction = found.reaction.unwrap();
        assert!((5.0..60.0).contains(&reaction), "{found:?}");
        assert!(found.violated >= reaction - 5.0, "{found:?}");
        assert!((0.05..1.0).contains(&found.harmed), "{found:?}");
        let short = on_the_same_arrivals(fleet, &arrivals[..10], 8);
        assert_eq!(short.reaction, None);
    }
}

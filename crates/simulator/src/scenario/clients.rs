//! The keys that describe the clients.

use super::draft::Draft;
use super::values;
use crate::cluster::{Clients, ClusterSpec, Fault};

impl Draft {
    pub(super) fn clients(&mut self) -> Clients {
        let default = Clients::default();
        Clients {
            grpc_share: self.take("grpc-share", default.grpc_share, values::grpc_share),
            connections: self.take(
                "connections",
                default.connections,
                values::whole(0..=100_000),
            ),
            balancers: self.take("balancers", default.balancers, values::whole(1..=1000)),
            timeout: self.optional("timeout", values::time),
            think_time: self.think_time(),
            retries: self.take("retries", default.retries, values::whole(0..=10)),
        }
    }

    fn think_time(&mut self) -> Option<f64> {
        let think_time = self.optional("think-time", values::think_time);
        if think_time.is_some() && self.get("load").is_none() {
            let problem =
                "think-time requires a load, which is the number of users: a trace has arrivals";
            self.reject("think-time", problem.to_owned());
        }
        think_time
    }

    /// Reports events that begin after the end of the run.
    pub(super) fn check_times(&mut self, spec: &ClusterSpec) {
        let end = spec.traffic.seconds();
        let slow = values::within(spec.slow.iter().map(|slow| slow.when.start), end);
        let gaps = values::within(spec.gaps.iter().map(|gap| gap.when.start), end);
        let bursts = values::within(spec.bursts.iter().map(|burst| burst.at), end);
        let outages = spec.outages.iter().map(|outage| outage.when.start);
        let outages = values::within(outages, end);
        let shares = spec.clients.grpc_share.points().iter();
        let shares = values::within(shares.map(|(at, _)| *at), end);
        let rollouts = values::within(spec.rollouts.iter().map(|rollout| rollout.at), end);
        let faults = values::within(spec.faults.iter().map(Fault::begins), end);
        for (key, checked) in [
            ("grpc-share", shares),
            ("slow", slow),
            ("drop", gaps),
            ("burst", bursts),
            ("outage", outages),
            ("rollout", rollouts),
            ("fail", faults),
        ] {
            if let Err(problem) = checked {
                self.reject(key, format!("{key}: {problem}"));
            }
        }
    }
}

//! Writes a scenario as text.

use std::fmt;
use std::path::{Path, PathBuf};

use super::values::write_span;
use super::{Scenario, Source};
use crate::cluster::{Balancing, Burst, Deletion, GrpcShare, LongRequests, Pareto, WarmUp};
use crate::quantity::{duration, write_duration};

impl Scenario {
    /// Returns all keys with their values, including defaults. Traces below `directory`, where the text will be stored,
    /// have a relative path; other traces have an absolute path.
    pub fn entries(&self, directory: Option<&Path>) -> Vec<(&'static str, String)> {
        let spec = &self.cluster;
        let clients = &spec.clients;
        let mut entries = vec![("name", self.name.clone())];
        match &self.source {
            Source::Load(load) => entries.push(("load", load.to_string())),
            Source::Trace { file, skip } => {
                entries.push(("trace", relative_to(file, directory).display().to_string()));
                entries.push(("skip", skip.to_string()));
            }
            Source::Record { name, skip } => {
                entries.push(("trace", name.clone()));
                entries.push(("skip", skip.to_string()));
            }
        }
        let (least, most) = spec.start_delay;
        entries.extend([
            ("seconds", spec.traffic.seconds().to_string()),
            ("service", time(spec.service)),
        ]);
        match spec.pareto {
            Some(Pareto { exponent, max }) => {
                entries.push(("pareto", format!("{exponent} x{max}")))
            }
            None => entries.push(("cv", spec.cv.to_string())),
        }
        if let Some(LongRequests { share, factor }) = spec.long_requests {
            entries.push(("long-requests", format!("{}% x{factor}", share * 100.0)));
        }
        entries.extend([
            ("workers", spec.workers.to_string()),
            ("batch", spec.batching.size.to_string()),
        ]);
        if spec.batching.size > 1 {
            let growth = spec.batching.growth * spec.service;
            entries.push(("batch-delay", time(spec.batching.delay)));
            entries.push(("batch-growth", time(growth)));
        }
        entries.extend([
            ("queue", spec.queue.to_string()),
            ("balancing", spec.balancing.to_string()),
            ("balancers", clients.balancers.to_string()),
            ("connections", clients.connections.to_string()),
            ("grpc-share", clients.grpc_share.to_string()),
            ("retries", clients.retries.to_string()),
        ]);
        let times = [
            ("timeout", clients.timeout),
            ("think-time", clients.think_time),
        ];
        for (key, seconds) in times {
            entries.extend(seconds.map(|seconds| (key, time(seconds))));
        }
        entries.extend([
            ("contention", spec.contention.to_string()),
            ("start-delay", format!("{}..{}", time(least), time(most))),
            ("start-round", time(spec.start_round)),
            ("warm-up", spec.warm_up.to_string()),
            ("speeds", spec.speeds.to_string()),
            ("deletion", spec.deletion.to_string()),
            ("scrape-interval", time(spec.scrape_interval.into())),
            ("pods", spec.pods.to_string()),
            ("target", time(spec.goal.target)),
            ("min", spec.goal.min.to_string()),
            ("max", spec.goal.max.to_string()),
        ]);
        if let Some(objective) = spec.objective {
            entries.push(("objective", time(objective)));
        }
        if let Some(price) = spec.violation_price {
            entries.push(("pod-seconds-per-violation", price.to_string()));
        }
        let slow = spec.slow.iter();
        let slow = slow.map(|slow| format!("{}x{}", write_span(&slow.when), slow.factor));
        let gaps = spec.gaps.iter();
        let gaps = gaps.map(|gap| format!("{} {}%", write_span(&gap.when), gap.share * 100.0));
        let outages = spec.outages.iter();
        let outages =
            outages.map(|outage| format!("{} {}%", write_span(&outage.when), outage.share * 100.0));
        let bursts = spec.bursts.iter().map(ToString::to_string);
        let rollouts = spec.rollouts.iter();
        let rollouts = rollouts.map(|rollout| format!("{}x{}", rollout.at, rollout.factor));
        let faults = spec.faults.iter().map(ToString::to_string);
        for (key, values) in [
            ("slow", slow.collect::<Vec<_>>()),
            ("drop", gaps.collect()),
            ("burst", bursts.collect()),
            ("outage", outages.collect()),
            ("rollout", rollouts.collect()),
            ("fail", faults.collect()),
        ] {
            if !values.is_empty() {
                entries.push((key, values.join(", ")));
            }
        }
        if let Some(start) = self.start {
            entries.push(("start", start.to_string()));
        }
        entries
    }

    /// Returns the text of a scenario file in this directory.
    pub fn write(&self, directory: Option<&Path>) -> String {
        let entries = self.entries(directory).into_iter();
        entries
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect()
    }
}

impl fmt::Display for Balancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::LeastOutstanding => "least-outstanding",
            Self::TwoChoices => "two-choices",
        })
    }
}

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cost => "cost",
            Self::Youngest => "youngest",
        })
    }
}

impl fmt::Display for GrpcShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(_, share)] = self.points() {
            return write!(f, "{}%", share * 100.0);
        }
        let points = self.points().iter();
        let points: Vec<String> = points
            .map(|(at, share)| format!("{}%@{at}", share * 100.0))
            .collect();
        f.write_str(&points.join(", "))
    }
}

impl fmt::Display for WarmUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x{}", time(self.seconds), self.factor)
    }
}

impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.requests, self.at)?;
        self.every.map_or(Ok(()), |every| write!(f, "/{every}"))
    }
}

/// Formats a time with a unit, or as plain seconds if rounding would change the value.
fn time(seconds: f64) -> String {
    let text = write_duration(seconds);
    if duration(&text) == Some(seconds) {
        text
    } else {
        seconds.to_string()
    }
}

fn relative_to(file: &Path, directory: Option<&Path>) -> PathBuf {
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = directory.and_then(|directory| std::path::absolute(directory).ok());
    let below =
        directory.and_then(|directory| whole.strip_prefix(directory).ok().map(Path::to_owned));
    below.unwrap_or(whole)
}

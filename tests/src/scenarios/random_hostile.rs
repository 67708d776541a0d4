//! Random scenarios of clusters that are hard to scale.

use pushscale_simulator::scenario::random::{Random, log_uniform, pick, to_u32_saturating};
use rand::{RngExt as _, SeedableRng as _};

/// About how many requests a run has at most: a shorter service time has a smaller fleet.
const REQUESTS: f64 = 3e6;

/// A name, and what adds it to a scenario.
type Feature = (&'static str, fn(&mut ScenarioBuilder));

/// What makes a cluster hard to scale.
const FEATURES: [Feature; 7] = [
    ("batching", ScenarioBuilder::batching),
    ("gRPC", ScenarioBuilder::grpc),
    ("connections that stay", ScenarioBuilder::connections),
    ("slow and hung pods", ScenarioBuilder::slow_pods),
    ("pods that fail", ScenarioBuilder::failing_pods),
    ("batch clients", ScenarioBuilder::batch_clients),
    ("retries and outages", ScenarioBuilder::retries),
];

/// Returns the text of a random scenario with one of the features, or with several. Consecutive seeds have different
/// features, and every second turn of them has shared start delays.
///
/// Service times are 5 ms to 60 s and start delays 10 s to 10 min, log-uniform, pods have 1 to 8 workers, targets are
/// 0.2 to 2 service times, and the average load needs one to twenty pods. The same seed always gives the same text.
pub fn random_hostile_scenario(seed: u64) -> String {
    let mut builder = ScenarioBuilder::new(seed);
    let turn = usize::try_from(seed).unwrap_or_default();
    let feature = FEATURES.get(turn % (FEATURES.len() + 1));
    builder.cluster(turn / (FEATURES.len() + 1) % 2 == 1);
    if let Some((_, add)) = feature {
        add(&mut builder);
    } else {
        for (_, add) in FEATURES {
            if builder.random.random_bool(0.35) {
                add(&mut builder);
            }
        }
    }
    builder.load();
    let name = feature.map_or("several", |(name, _)| name);
    let lines = builder
        .keys
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"));
    std::iter::once(format!("name: {name} ({seed})\n"))
        .chain(lines)
        .collect()
}

/// A random scenario in construction. Times are in seconds.
struct ScenarioBuilder {
    random: Random,
    keys: Vec<(&'static str, String)>,
    /// The duration.
    seconds: f64,
    service: f64,
    /// The requests per second that a fully utilised pod completes.
    capacity: f64,
}

impl ScenarioBuilder {
    fn new(seed: u64) -> Self {
        let seed = seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 5381;
        Self {
            random: Random::seed_from_u64(seed),
            keys: Vec::new(),
            seconds: 0.0,
            service: 0.0,
            capacity: 0.0,
        }
    }

    fn set(&mut self, key: &'static str, value: impl ToString) {
        self.keys.push((key, value.to_string()));
    }

    fn cluster(&mut self, starts_are_shared: bool) {
        let random = &mut self.random;
        let service = log_uniform(random, 5e-3, 60.0);
        let target = log_uniform(random, 0.2, 2.0) * service;
        let least = log_uniform(random, 10.0, 300.0);
        let most = least * random.random_range(1.0..2.0);
        let workers = pick(random, &[1_u32, 1, 2, 4, 4, 8]);
        let cv = pick(random, &[0.3, 0.5, 1.0, 1.5]);
        let queue = pick(random, &[100, 100, 1000]);
        let balancing = ["random", "random", "least-outstanding", "two-choices"];
        let balancing = pick(random, &balancing);
        self.service = service;
        self.capacity = f64::from(workers) / service;
        self.seconds = (30.0 * least).max(60.0 * service).max(3600.0).ceil();
        self.set("seconds", self.seconds);
        self.set("service", milliseconds(service));
        self.set("cv", cv);
        self.set("workers", workers);
        self.set("target", milliseconds(target));
        self.set(
            "start-delay",
            format!("{}..{}", milliseconds(least), milliseconds(most)),
        );
        if starts_are_shared {
            self.set("start-round", milliseconds(least));
        }
        self.set("queue", queue);
        self.set("balancing", balancing);
        self.set("max", 1000);
    }

    fn batching(&mut self) {
        let size = pick(&mut self.random, &[2_u32, 4, 8, 16, 32]);
        let growth = log_uniform(&mut self.random, 0.02, 0.8);
        let delay = log_uniform(&mut self.random, 0.01, 0.3) * self.service;
        self.capacity *= f64::from(size) / (1.0 + growth * f64::from(size - 1));
        self.set("batch", size);
        self.set("batch-growth", milliseconds(growth * self.service));
        self.set("batch-delay", milliseconds(delay));
    }

    fn grpc(&mut self) {
        let share = pick(&mut self.random, &[20, 50, 80, 100]);
        self.set("grpc-share", format!("{share}%"));
    }

    fn connections(&mut self) {
        let connections = to_u32_saturating(log_uniform(&mut self.random, 10.0, 1000.0));
        self.set("connections", connections);
    }

    fn slow_pods(&mut self) {
        let (from, to) = self.period();
        let pods = self.some_pods();
        let fault = if self.random.random_bool(0.3) {
            format!("hang {pods}@{from}..{to}")
        } else {
            let factor = log_uniform(&mut self.random, 1.5, 50.0);
            format!("slow {pods}@{from}..{to}x{factor:.1}")
        };
        self.fail(fault);
    }

    fn failing_pods(&mut self) {
        let (from, to) = self.period();
        let pods = self.some_pods();
        let up = to_u32_saturating(log_uniform(&mut self.random, 20.0, 600.0));
        let down = to_u32_saturating(log_uniform(&mut self.random, 10.0, 300.0));
        let fault = match self.random.random_range(0..5) {
            0 => format!("die {pods}@{from}"),
            1 => format!("freeze {pods}@{from}..{to}"),
            2 => format!("unready {pods}@{from}..{to}"),
            3 => format!("crash-loop {pods}@{from}/{up}+{down}"),
            _ => format!("never-ready 4@{from}"),
        };
        self.fail(fault);
    }

    fn batch_clients(&mut self) {
        let requests = to_u32_saturating(log_uniform(&mut self.random, 16.0, 256.0));
        let from = to_u32_saturating(self.seconds * self.random.random_range(0.1..0.3));
        let every = to_u32_saturating(self.seconds / self.random.random_range(2.0..12.0));
        self.set("burst", format!("{requests}@{from}/{every}"));
    }

    fn retries(&mut self) {
        let retries = self.random.random_range(1..=5);
        self.set("retries", retries);
        if self.random.random_bool(0.5) {
            let (from, to) = self.period();
            let share = pick(&mut self.random, &[50, 90, 100]);
            self.set("outage", format!("{from}..{to} {share}%"));
        }
    }

    /// Adds a load that needs one to twenty pods on average.
    fn load(&mut self) {
        let pods = log_uniform(&mut self.random, 1.0, 20.0);
        let base = (pods * self.capacity).min(REQUESTS / self.seconds);
        let high = base * self.random.random_range(1.5..4.0);
        let low = base * self.random.random_range(0.2..0.9);
        let (from, to) = self.period();
        let length = to_u32_saturating(log_uniform(&mut self.random, 30.0, self.seconds / 10.0));
        let every =
            2 * length + to_u32_saturating(self.seconds / self.random.random_range(4.0..15.0));
        let load = match self.random.random_range(0..5) {
            0 => format!("flat:{base:.4}"),
            1 => format!("step:{base:.4}->{high:.4}@{from},{high:.4}->{base:.4}@{to}"),
            2 => format!("ramp:{low:.4}->{high:.4}@{from}+{length}"),
            3 => format!("sine:{low:.4}..{high:.4}/{every}"),
            _ => format!("spikes:{base:.4}^{high:.4}x{length}/{every}"),
        };
        self.set("load", load);
    }

    /// Returns a period within the run, in whole seconds.
    fn period(&mut self) -> (u32, u32) {
        let from = self.seconds * self.random.random_range(0.1..0.6);
        let lasts = self.seconds * self.random.random_range(0.02..0.35);
        (to_u32_saturating(from), to_u32_saturating(from + lasts) + 1)
    }

    fn some_pods(&mut self) -> &'static str {
        pick(&mut self.random, &["1", "1", "2", "20%", "50%"])
    }

    /// Adds a fault to those that there are.
    fn fail(&mut self, fault: String) {
        if let Some((_, faults)) = self.keys.iter_mut().find(|(key, _)| *key == "fail") {
            *faults = format!("{faults}, {fault}");
        } else {
            self.set("fail", fault);
        }
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3}ms", 1e3 * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushscale_simulator::scenario::Draft;

    #[test]
    fn scenarios_are_reproducible_and_have_all_features() {
        let mut names = Vec::new();
        for seed in 0..64 {
            let text = random_hostile_scenario(seed);
            assert_eq!(text, random_hostile_scenario(seed));
            let mut draft = Draft::default();
            draft.add_text("random", &text, None);
            let scenario = draft
                .finish(&[])
                .unwrap_or_else(|errors| panic!("{errors}\n{text}"));
            let spec = scenario.cluster;
            assert!(spec.traffic.requests() < 5.0 * REQUESTS, "{text}");
            assert!(spec.need() < spec.goal.max / 3, "{text}");
            names.push(scenario.name);
        }
        for (feature, _) in FEATURES {
            let count = names.iter().filter(|name| name.starts_with(feature));
            assert_eq!(count.count(), 8, "{feature}");
        }
    }
}

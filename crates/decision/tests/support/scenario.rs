//! Parses and runs scenarios; `tests/model.rs` documents their language.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are small"
)]

use std::time::Duration;

use pushscale_decision::{
    Aggregate, Algorithm, Amount, Balancing, Behavior, Bounds, Condition, Direction, Fallback,
    Latency, Metric, Mode, Percentile, Policy, ScalingPolicy, ScalingRules, SelectPolicy,
    ServerState, TargetLatency,
};

use crate::fake_fleet::{Environment, FakeFleet};

/// A fleet and what happens to it.
#[derive(Default)]
pub(crate) struct Scenario {
    policy: Option<(Policy, u64, Option<u32>)>,
    pub(crate) fleet: Option<FakeFleet>,
    load: f64,
    service: f64,
    workers: f64,
    queue_limit: u32,
    batch: (u32, f64),
    batch_item: f64,
    grpc: f64,
    slow: (usize, f64),
    second_model: Option<(f64, f64)>,
    interval: u64,
    delay: f64,
}

impl Scenario {
    pub(crate) fn line(&mut self, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb, &mut self.fleet) {
            ("policy", None) => self.policy = Some(policy(rest).ok_or("invalid policy")?),
            ("policy", Some(fleet)) => {
                let (policy, _, scheduled) = policy(rest).ok_or("invalid policy")?;
                fleet.scaler.set_policy(policy);
                fleet.scaler.set_scheduled_floor(scheduled);
            }
            ("pods", None) => {
                let (policy, start, scheduled) = self.policy.clone().ok_or("no policy yet")?;
                let replicas = rest.parse().map_err(|_| "expected a number")?;
                let mut fleet = FakeFleet::new(policy, replicas, start);
                fleet.scaler.set_scheduled_floor(scheduled);
                self.fleet = Some(fleet);
                (self.service, self.workers, self.batch) = (0.1, 4.0, (1, 0.0));
                self.interval = 1;
            }
            ("run", Some(_)) => self.run(rest)?,
            ("restart", Some(fleet)) => fleet.restart(),
            ("restart-sidecars", Some(fleet)) => {
                fleet.restart_sidecars(rest.parse().map_err(|_| "expected a number")?);
            }
            ("deletes-slow-first", Some(fleet)) => {
                fleet.deletes_slow_first = rest.parse().map_err(|_| "expected true or false")?;
            }
            ("scale", Some(fleet)) => fleet.scale(rest.parse().map_err(|_| "expected a number")?),
            ("expect", Some(fleet)) => expect(fleet, rest)?,
            _ => return Err("unknown line".to_owned()),
        }
        Ok(())
    }

    fn run(&mut self, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        let span = words
            .next()
            .and_then(seconds)
            .ok_or("expected a duration")?;
        let mut environment = Environment::default();
        for word in words {
            self.word(word, &mut environment)
                .ok_or_else(|| format!("unknown word {word}"))?;
        }
        (environment.load, environment.service, environment.workers) =
            (self.load, self.service, self.workers);
        (environment.batch, environment.batch_item) = (self.batch, self.batch_item);
        environment.grpc = self.grpc;
        environment.queue_limit = self.queue_limit;
        environment.delay = self.delay;
        (environment.slow, environment.second_model) = (self.slow, self.second_model);
        environment.interval = self.interval;
        let fleet = self.fleet.as_mut().ok_or("no pods yet")?;
        for _ in 0..span as u64 {
            fleet.pass(&environment);
        }
        Ok(())
    }

    fn word(&mut self, word: &str, environment: &mut Environment) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let count = || match value {
            "all" => Some(usize::MAX),
            number => number.parse().ok(),
        };
        match key {
            "load" => self.load = value.strip_suffix("/s")?.parse().ok()?,
            "service" => self.service = seconds(value)?,
            "workers" => self.workers = value.parse().ok()?,
            "interval" => self.interval = seconds(value)? as u64,
            "not-reporting" => environment.not_reporting = count()?,
            "frozen" => environment.state = Some((count()?, ServerState::Frozen)),
            "empty" => environment.state = Some((count()?, ServerState::Empty)),
            "refused" => environment.state = Some((count()?, ServerState::Refused)),
            "warming" => environment.state = Some((count()?, ServerState::WarmingUp)),
            "deleting" => environment.deleting = count()?,
            "stuck" => environment.stuck = true,
            "broken" => environment.broken = true,
            "crashed" => environment.crashed = count()?,
            "surge" => environment.surge = count()?,
            "uncounted" => environment.uncounted = true,
            "averaged" => environment.averaged = true,
            "batch" => {
                let (size, delay) = value.split_once('/')?;
                self.batch = (size.parse().ok()?, seconds(delay)?);
            }
            "grpc" => self.grpc = value.strip_suffix('%')?.parse::<f64>().ok()? / 100.0,
            "delayed" => self.delay = seconds(value)?,
            "queue-limit" => self.queue_limit = value.parse().ok()?,
            "batch-item" => self.batch_item = seconds(value)?,
            "favoured" => {
                environment.favoured = Some(value.strip_suffix('%')?.parse::<f64>().ok()? / 100.0);
            }
            "connected" => environment.connected = count()?,
            "loading" => environment.loading = seconds(value)? as u64,
            "without-workers" => environment.without_workers = count()?,
            "second-model" if value == "none" => self.second_model = None,
            "slow" => {
                let (pods, times) = value.split_once('/')?;
                self.slow = (pods.parse().ok()?, times.parse().ok()?);
            }
            "second-model" => {
                let (load, service) = value.split_once("/s/")?;
                self.second_model = Some((load.parse().ok()?, seconds(service)?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn expect(fleet: &mut FakeFleet, rest: &str) -> Result<(), String> {
    let (words, quoted) = rest.split_once('"').unwrap_or((rest, ""));
    let explanation = format!(
        "{} replicas: {}; {}",
        fleet.replicas,
        fleet.last(),
        fleet.last().freshness
    );
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or("expected key=value")?;
        let good = match key {
            "replicas" => within(value, fleet.replicas)?,
            "never-below" => fleet.lowest >= value.parse().map_err(|_| "expected a number")?,
            "never-above" => fleet.highest <= value.parse().map_err(|_| "expected a number")?,
            "writes" => within(value, fleet.writes)?,
            "desired" => within(value, fleet.last().desired().unwrap_or(0))?,
            "external" => within(value, fleet.last().desired_for_others().unwrap_or(0))?,
            "condition" => condition(fleet, value)?,
            "deleted-first" => fleet.slow_pods() == [value],
            "lacks" => !explanation.contains(value),
            _ => return Err(format!("unknown word {word}")),
        };
        if !good {
            return Err(format!(
                "{word} is wrong: {} to {} in {} writes; {explanation}",
                fleet.lowest, fleet.highest, fleet.writes
            ));
        }
    }
    let quoted = quoted.trim_end_matches('"');
    if !explanation.contains(quoted) {
        return Err(format!("not in the explanation: {explanation}"));
    }
    fleet.reset_counts();
    Ok(())
}

fn within(value: &str, found: u32) -> Result<bool, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("not a number: {text}"))
    };
    Ok(match value.split_once("..") {
        Some((low, high)) => (number(low)?..=number(high)?).contains(&found),
        None => number(value)? == found,
    })
}

fn condition(fleet: &FakeFleet, value: &str) -> Result<bool, String> {
    let (name, expected) = value.split_once('=').ok_or("expected a condition")?;
    let conditions = fleet.scaler.conditions();
    let found = match name {
        "AbleToScale" => &conditions.able_to_scale,
        "ScalingActive" => &conditions.scaling_active,
        "ScalingLimited" => &conditions.scaling_limited,
        "Fresh" => &conditions.fresh,
        "MetricsIncomplete" => &conditions.metrics_incomplete,
        "Stuck" => &conditions.stuck,
        "TargetReachable" => &conditions.target_reachable,
        "PodOutlier" => &conditions.pod_outlier,
        "LoadUneven" => &conditions.load_uneven,
        "DemandVanished" => &conditions.demand_vanished,
        "OutsideEnvelope" => &conditions.outside_envelope,
        _ => return Err(format!("unknown condition {name}")),
    };
    let describe = |condition: &Condition| {
        let status = if condition.status { "True" } else { "False" };
        format!("{status}/{}", condition.reason.as_str())
    };
    let found = found.as_ref().map_or("absent".to_owned(), describe);
    if found == expected {
        return Ok(true);
    }
    Err(format!("{name} is {found}"))
}

fn policy(words: &str) -> Option<(Policy, u64, Option<u32>)> {
    let (mut min, mut max, mut start) = (1, 20, 60);
    let mut target = None;
    let mut scheduled = None;
    let any = TargetLatency::new(Latency::from_nanos(1))?;
    let mut policy = Policy::new(Bounds::new(1, 1)?, any);
    policy.algorithm = Algorithm::Model;
    let mut metric = Metric::for_all_models(any);
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "algorithm" => policy.algorithm = (value == "ratio").then_some(Algorithm::Ratio)?,
            "target" => target = TargetLatency::new(Latency::from_secs_f64(seconds(value)?)?),
            "min" => min = value.parse().ok()?,
            "max" => max = value.parse().ok()?,
            "start" => start = seconds(value)? as u64,
            "hold" => {
                behavior(&mut policy).scale_down.stabilization_window =
                    Some(Duration::from_secs_f64(seconds(value)?));
            }
            "down" => {
                let (pods, period) = value.split_once('/')?;
                behavior(&mut policy).scale_down.policies = vec![ScalingPolicy {
                    amount: Amount::Pods(pods.parse().ok()?),
                    period: Duration::from_secs_f64(seconds(period)?),
                }];
            }
            "disabled" => {
                let behavior = behavior(&mut policy);
                let rules = match value {
                    "up" => &mut behavior.scale_up,
                    "down" => &mut behavior.scale_down,
                    _ => return None,
                };
                rules.select_policy = SelectPolicy::Disabled;
            }
            "fallback" => {
                let (after, replicas) = value.split_once('/')?;
                policy.fallback = Some(Fallback {
                    after: Duration::from_secs_f64(seconds(after)?),
                    replicas: replicas.parse().ok()?,
                });
            }
            "mode" => {
                policy.mode = match value {
                    "recommend" => Mode::Recommend,
                    "off" => Mode::Off,
                    _ => return None,
                }
            }
            "pause" => {
                policy.paused = Some(match value {
                    "up" => Direction::Up,
                    "down" => Direction::Down,
                    _ => return None,
                })
            }
            "balancing" => {
                policy.balancing = (value == "least-request").then_some(Balancing::LeastRequest)?
            }
            "aggregate" => {
                let percentile = Percentile::new(value.strip_prefix('p')?.parse().ok()?);
                metric.aggregate = Aggregate::Percentile(percentile?);
            }
            "service" => metric.service_time = Some(Duration::from_secs_f64(seconds(value)?)),
            "workers" => metric.workers = Some(value.parse().ok()?),
            "scheduled" => scheduled = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    metric.target = target?;
    policy.metrics = vec![metric];
    policy.bounds = Bounds::new(min, max)?;
    Some((policy, start, scheduled))
}

fn behavior(policy: &mut Policy) -> &mut Behavior {
    policy.behavior.get_or_insert_with(|| Behavior {
        scale_up: ScalingRules::unlimited(),
        scale_down: ScalingRules::unlimited(),
    })
}

fn seconds(text: &str) -> Option<f64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Some(millis.parse::<f64>().ok()? / 1e3);
    }
    text.strip_suffix('s')?.parse().ok()
}

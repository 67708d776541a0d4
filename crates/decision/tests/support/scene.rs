//! The language of the scenarios: see `tests/model.rs`.

use std::time::Duration;

use pushscale_decision::{
    Aggregate, Algorithm, Balancing, Behavior, Bounds, Condition, Direction, Fallback, Latency,
    Metric, Mode, Policy, Rules, ServerState, Target,
};

use crate::world::{Weather, World};

/// A fleet and what happens to it.
#[derive(Default)]
pub struct Scene {
    policy: Option<(Policy, u64, Option<u32>)>,
    pub world: Option<World>,
    load: f64,
    service: f64,
    workers: f64,
    batch: (u32, f64),
    slow: (usize, f64),
    beside: Option<(f64, f64)>,
}

impl Scene {
    pub fn line(&mut self, line: &str) -> Result<(), String> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (verb, &mut self.world) {
            ("policy", None) => self.policy = Some(policy(rest).ok_or("unclear policy")?),
            ("policy", Some(world)) => {
                let (policy, _, scheduled) = policy(rest).ok_or("unclear policy")?;
                world.scaler.set_policy(policy);
                world.scaler.set_scheduled(scheduled);
            }
            ("pods", None) => {
                let (policy, start, scheduled) = self.policy.clone().ok_or("no policy yet")?;
                let size = rest.parse().map_err(|_| "how many?")?;
                let mut world = World::new(policy, size, start);
                world.scaler.set_scheduled(scheduled);
                self.world = Some(world);
                (self.service, self.workers, self.batch) = (0.1, 4.0, (1, 0.0));
            }
            ("run", Some(_)) => self.run(rest)?,
            ("restart", Some(world)) => world.restart(),
            ("set", Some(world)) => world.set(rest.parse().map_err(|_| "to what?")?),
            ("expect", Some(world)) => expect(world, rest)?,
            _ => return Err("unclear line".to_owned()),
        }
        Ok(())
    }

    fn run(&mut self, rest: &str) -> Result<(), String> {
        let mut words = rest.split_whitespace();
        let span = words.next().and_then(seconds).ok_or("for how long?")?;
        let mut weather = Weather {
            load: 0.0,
            service: 0.0,
            workers: 0.0,
            silent: 0,
            state: None,
            deleting: 0,
            stuck: false,
            broken: false,
            surge: 0,
            uncounted: false,
            batch: self.batch,
            slow: self.slow,
            beside: self.beside,
        };
        for word in words {
            self.word(word, &mut weather)
                .ok_or_else(|| format!("unclear word {word}"))?;
        }
        (weather.load, weather.service, weather.workers) = (self.load, self.service, self.workers);
        (weather.batch, weather.slow, weather.beside) = (self.batch, self.slow, self.beside);
        let world = self.world.as_mut().ok_or("no pods yet")?;
        for _ in 0..span as u64 {
            world.pass(&weather);
        }
        Ok(())
    }

    fn word(&mut self, word: &str, weather: &mut Weather) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let count = || match value {
            "all" => Some(usize::MAX),
            number => number.parse().ok(),
        };
        match key {
            "load" => self.load = value.strip_suffix("/s")?.parse().ok()?,
            "service" => self.service = seconds(value)?,
            "workers" => self.workers = value.parse().ok()?,
            "silent" => weather.silent = count()?,
            "frozen" => weather.state = Some((count()?, ServerState::Frozen)),
            "empty" => weather.state = Some((count()?, ServerState::Empty)),
            "refused" => weather.state = Some((count()?, ServerState::Refused)),
            "warming" => weather.state = Some((count()?, ServerState::WarmingUp)),
            "deleting" => weather.deleting = count()?,
            "stuck" => weather.stuck = true,
            "broken" => weather.broken = true,
            "surge" => weather.surge = count()?,
            "uncounted" => weather.uncounted = true,
            "batch" => {
                let (size, delay) = value.split_once('/')?;
                self.batch = (size.parse().ok()?, seconds(delay)?);
            }
            "slow" => {
                let (pods, times) = value.split_once('/')?;
                self.slow = (pods.parse().ok()?, times.parse().ok()?);
            }
            "beside" => {
                let (load, service) = value.split_once("/s/")?;
                self.beside = Some((load.parse().ok()?, seconds(service)?));
            }
            _ => return None,
        }
        Some(())
    }
}

fn expect(world: &mut World, rest: &str) -> Result<(), String> {
    let (words, quoted) = rest.split_once('"').unwrap_or((rest, ""));
    let told = format!(
        "size {}: {}; {}",
        world.size,
        world.last(),
        world.last().freshness
    );
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or("unclear word")?;
        let good = match key {
            "size" => within(value, world.size)?,
            "never-below" => world.smallest >= value.parse().map_err(|_| "below what?")?,
            "never-above" => world.largest <= value.parse().map_err(|_| "above what?")?,
            "writes" => within(value, world.writes)?,
            "desired" => within(value, world.last().desired().unwrap_or(0))?,
            "condition" => condition(world, value)?,
            _ => return Err(format!("unclear word {word}")),
        };
        if !good {
            return Err(format!(
                "{word} is not so: {} to {} in {} writes; {told}",
                world.smallest, world.largest, world.writes
            ));
        }
    }
    let quoted = quoted.trim_end_matches('"');
    if !told.contains(quoted) {
        return Err(format!("it is not said: {told}"));
    }
    world.forget();
    Ok(())
}

fn within(value: &str, found: u32) -> Result<bool, String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("unclear number {text}"))
    };
    Ok(match value.split_once("..") {
        Some((low, high)) => (number(low)?..=number(high)?).contains(&found),
        None => number(value)? == found,
    })
}

fn condition(world: &World, value: &str) -> Result<bool, String> {
    let (name, expected) = value.split_once('=').ok_or("which condition?")?;
    let conditions = world.scaler.conditions();
    let found = match name {
        "AbleToScale" => &conditions.able_to_scale,
        "ScalingActive" => &conditions.scaling_active,
        "ScalingLimited" => &conditions.scaling_limited,
        "Fresh" => &conditions.fresh,
        "MetricsIncomplete" => &conditions.metrics_incomplete,
        "Stuck" => &conditions.stuck,
        "TargetReachable" => &conditions.target_reachable,
        _ => return Err(format!("there is no condition {name}")),
    };
    let told = |condition: &Condition| {
        let status = if condition.status { "True" } else { "False" };
        format!("{status}/{}", condition.reason.as_str())
    };
    let found = found.as_ref().map_or("absent".to_owned(), told);
    if found == expected {
        return Ok(true);
    }
    Err(format!("{name} is {found}"))
}

fn policy(words: &str) -> Option<(Policy, u64, Option<u32>)> {
    let (mut min, mut max, mut start) = (1, 20, 60);
    let mut target = None;
    let mut scheduled = None;
    let any = Target::new(Latency::from_nanos(1))?;
    let mut policy = Policy::new(Bounds::new(1, 1)?, any);
    policy.algorithm = Algorithm::Model;
    let mut metric = Metric::of_all_models(any);
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "algorithm" => policy.algorithm = (value == "ratio").then_some(Algorithm::Ratio)?,
            "target" => target = Target::new(Latency::from_secs_f64(seconds(value)?)?),
            "min" => min = value.parse().ok()?,
            "max" => max = value.parse().ok()?,
            "start" => start = seconds(value)? as u64,
            "hold" => {
                let behavior = policy.behavior.get_or_insert_with(|| Behavior {
                    up: Rules::unlimited(),
                    down: Rules::unlimited(),
                });
                behavior.down.window = Some(Duration::from_secs_f64(seconds(value)?));
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
            "aggregate" => metric.aggregate = (value == "p95").then_some(Aggregate::P95)?,
            "service" => metric.service = Some(Duration::from_secs_f64(seconds(value)?)),
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

fn seconds(text: &str) -> Option<f64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Some(millis.parse::<f64>().ok()? / 1e3);
    }
    text.strip_suffix('s')?.parse().ok()
}

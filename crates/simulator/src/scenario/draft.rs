//! Combines scenario files and options into a scenario, or reports all errors at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pushscale_decision::ViolationPrice;

use super::faults;
use super::source::find_trace;
use super::values::{self, Value};
use super::{KEYS, Scenario, Source};
use crate::cluster::{ClusterSpec, Goal};
use crate::input_errors::InputErrors;
use crate::quantity::{MAX_SECONDS, to_u32_saturating};
use crate::traffic::{Load, Trace, Traffic, read_trace};

/// Maximum size of a scenario file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Maximum requests of a run. More requests take minutes and add no information.
const MAX_REQUESTS: f64 = 5e8;

/// The longest scrape interval, in seconds.
const MAX_SCRAPE_INTERVAL: u32 = 3600;

/// Utilisation in the first minute from which the default of `pods` is computed.
const INITIAL_UTILISATION: f64 = 0.7;

/// The values from files and options. A later value overrides an earlier one.
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    entries: BTreeMap<&'static str, Entry>,
    /// A file could not be read. Missing keys are then not reported, because they may be in that file.
    unread: bool,
    /// A recorded load that is not in a file, with its name.
    recorded: Option<(String, Trace)>,
    errors: InputErrors,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The location to name in error messages.
    location: String,
    value: String,
    /// The directory that a relative file name refers to.
    directory: Option<PathBuf>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            name: String::new(),
            entries: BTreeMap::new(),
            unread: false,
            recorded: None,
            errors: InputErrors(Vec::new()),
        }
    }
}

impl Draft {
    /// Adds a scenario file.
    pub fn add_file(&mut self, file: &Path) {
        let name = file.display().to_string();
        let size = fs::metadata(file).map(|metadata| metadata.len());
        let text = match size {
            Ok(size) if size > MAX_FILE_BYTES => {
                self.unread = true;
                let problem = format!("the file has {size} bytes, the limit is 1 MiB");
                return self.errors.add(name, problem);
            }
            Ok(_) => fs::read_to_string(file),
            Err(error) => Err(error),
        };
        match text {
            Ok(text) => self.add_text(&name, &text, file.parent()),
            Err(error) => {
                self.unread = true;
                self.errors.add(name, error.to_string());
            }
        }
        let stem = file.file_stem().unwrap_or_default();
        self.name = stem.to_string_lossy().into_owned();
    }

    /// Adds a scenario's text. Error messages use `name`; names of traces are relative to `directory`.
    pub fn add_text(&mut self, name: &str, text: &str, directory: Option<&Path>) {
        let mut here: BTreeMap<&'static str, usize> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let location = format!("{name}:{number}");
            let Some((key, value)) = line.split_once(':') else {
                let problem = format!("{line:?} must be KEY: VALUE, such as workers: 4");
                self.errors.add(location, problem);
                continue;
            };
            // A comment requires a space before `#`, so that a value may contain `#`.
            let value = value.split(" #").next().unwrap_or_default();
            let Some(key) = self.known(&location, key.trim()) else {
                continue;
            };
            let conflicting_line = match key {
                "load" => here.get("trace"),
                "trace" => here.get("load"),
                _ => None,
            };
            if let Some(before) = here.get(key) {
                let problem = format!("{key} is already set in line {before}");
                self.errors.add(location, problem);
                continue;
            }
            if let Some(before) = conflicting_line {
                let problem = format!("set load or trace, not both: line {before} sets the other");
                self.errors.add(location, problem);
                continue;
            }
            here.insert(key, number);
            self.put(location, key, value, directory);
        }
    }

    /// Adds one value. Error messages use `location`, such as the name of an option.
    pub fn set(&mut self, location: &str, key: &str, value: &str) {
        if value.contains('\n') || value.contains(" #") {
            let problem = "it must be one line without \" #\", as in a scenario file";
            return self.errors.add(location, problem);
        }
        if let Some(key) = self.known(location, key) {
            self.put(location.to_owned(), key, value, None);
        }
    }

    /// Sets a recorded load that is not in a file. The keys `load` and `trace` override it.
    pub fn set_recorded(&mut self, name: &str, trace: Trace) {
        self.recorded = Some((name.to_owned(), trace));
    }

    fn known(&mut self, location: &str, key: &str) -> Option<&'static str> {
        let found = KEYS.iter().find(|known| known.name == key);
        if found.is_none() {
            let all: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            let problem = format!("unknown key {key:?}: the keys are {}", all.join(", "));
            self.errors.add(location, problem);
        }
        found.map(|key| key.name)
    }

    fn put(&mut self, location: String, key: &'static str, value: &str, directory: Option<&Path>) {
        match key {
            "load" => {
                self.entries.remove("trace");
                self.entries.remove("skip");
            }
            "trace" => {
                self.entries.remove("load");
            }
            _ => {}
        }
        let entry = Entry {
            location,
            value: value.trim().to_owned(),
            directory: directory.map(Path::to_owned),
        };
        self.entries.insert(key, entry);
    }

    /// Returns a key's value if it is set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.value.as_str())
    }

    /// Returns the scenario. Traces that do not exist under their names are searched for in these directories.
    ///
    /// # Errors
    /// The error contains all problems of the input.
    pub fn finish(mut self, directories: &[PathBuf]) -> Result<Scenario, InputErrors> {
        if self.unread {
            return Err(self.errors);
        }
        let default = ClusterSpec::default();
        let goal = Goal {
            target: self.take("target", default.goal.target, values::time),
            min: self.take("min", default.goal.min, values::whole(1..=10_000)),
            max: self.take("max", default.goal.max, values::whole(1..=10_000)),
        };
        if self.get("target").is_none() {
            self.missing("no target: set the mean wait to keep, such as target: 50ms");
        }
        if goal.min > goal.max {
            let problem = format!(
                "min is {} and max {}: min must not be greater",
                goal.min, goal.max
            );
            self.errors.add(self.location("min", "max"), problem);
        }
        let found = self.traffic(directories);
        let (trace, source) = match found {
            Some((trace, source)) => (trace, Some(source)),
            None => (Trace::of_rates(Vec::new()), None),
        };
        let service = self.take("service", default.service, values::time);
        let mut spec = ClusterSpec {
            traffic: trace.traffic,
            goal,
            service,
            objective: self.optional("objective", values::time),
            violation_price: self.optional(
                "pod-seconds-per-violation",
                values::whole(1..=ViolationPrice::MAX),
            ),
            batching: self.batching(service),
            cv: self.take("cv", default.cv, values::number(20.0)),
            pareto: self.pareto(),
            long_requests: self.optional("long-requests", values::long_requests),
            workers: self.take("workers", default.workers, values::whole(1..=256)),
            queue: self.take("queue", default.queue, values::whole(0..=100_000)),
            balancing: self.take("balancing", default.balancing, values::balancing),
            clients: self.clients(),
            contention: self.take("contention", default.contention, values::number(100.0)),
            start_round: self.take("start-round", default.start_round, values::time_or_zero),
            start_delay: self.take("start-delay", default.start_delay, values::start_delay),
            warm_up: self.take("warm-up", default.warm_up, values::warm_up),
            speeds: self.take("speeds", default.speeds, values::number(2.0)),
            deletion: self.take("deletion", default.deletion, values::deletion),
            slow: self.take("slow", default.slow, values::slow),
            scrape_interval: self.take(
                "scrape-interval",
                default.scrape_interval,
                values::whole_seconds(1..=MAX_SCRAPE_INTERVAL),
            ),
            gaps: self.take("drop", default.gaps, values::gaps),
            rollouts: self.take("rollout", default.rollouts, values::rollouts),
            faults: self.take("fail", default.faults, faults::faults),
            bursts: self.take("burst", default.bursts, values::bursts),
            outages: self.take("outage", default.outages, values::outages),
            pods: 1,
        };
        let default_pods = pods_at_first(&spec);
        spec.pods = self.take("pods", default_pods, values::whole(1..=10_000));
        let start = self.take("start", trace.start, |text| {
            let time = text.parse().map(Some);
            time.map_err(|_| "it must be a time, such as 2026-01-05T08:00:00Z".to_owned())
        });
        if source.is_some() {
            self.check_times(&spec);
        }
        let name = self.get("name").unwrap_or(&self.name).to_owned();
        let assumed = [
            "service",
            "cv",
            "workers",
            "queue",
            "balancing",
            "start-delay",
            "pods",
            "max",
        ];
        let assumed = assumed.into_iter().filter(|key| self.get(key).is_none());
        let assumed = assumed.filter(|key| *key != "cv" || spec.pareto.is_none());
        let assumed = assumed.collect();
        match source {
            Some(source) if self.errors.0.is_empty() => Ok(Scenario {
                name: if name.is_empty() {
                    source.to_string()
                } else {
                    name
                },
                cluster: spec,
                source,
                start,
                unknown: trace.unknown,
                assumed,
            }),
            _ => {
                self.errors.sort();
                Err(self.errors)
            }
        }
    }

    fn traffic(&mut self, directories: &[PathBuf]) -> Option<(Trace, Source)> {
        let seconds = self.optional("seconds", values::seconds(1));
        let skip = self.take("skip", 0, values::seconds(0));
        let found = if let Some(entry) = self.entries.get("load").cloned() {
            if self.get("skip").is_some() {
                let problem = "skip requires a trace: a load starts at its beginning";
                self.errors.add(self.location("skip", "skip"), problem);
            }
            match (entry.value.parse::<Load>(), seconds) {
                (Ok(load), Some(seconds)) => match load.rates(seconds) {
                    Ok(rates) => Some((Trace::of_rates(rates), Source::Load(load))),
                    Err(error) => {
                        self.errors.add(entry.location, error.to_string());
                        None
                    }
                },
                (Ok(_), None) => {
                    if self.get("seconds").is_none() {
                        let problem =
                            "the load has no end: set its duration, such as seconds: 3600";
                        self.errors.add(entry.location, problem);
                    }
                    None
                }
                (Err(error), _) => {
                    self.errors.add(entry.location, error.to_string());
                    None
                }
            }
        } else if let Some(entry) = self.entries.get("trace").cloned() {
            self.trace(&entry, skip, seconds, directories)
        } else if let Some((name, trace)) = self.recorded.take() {
            let part = self.part(&name, &trace, skip, seconds);
            part.map(|part| (part, Source::Record { name, skip }))
        } else {
            self.missing(
                "no load: set load: step:100->400@600 and seconds: 3600, or trace: FILE.csv",
            );
            None
        };
        let requests = found
            .as_ref()
            .map_or(0.0, |(trace, _)| trace.traffic.requests());
        if requests > MAX_REQUESTS {
            let problem =
                format!("{requests:.0} requests: at most {MAX_REQUESTS} can be simulated");
            self.errors.add(self.location("load", "trace"), problem);
        }
        found
    }

    fn trace(
        &mut self,
        entry: &Entry,
        skip: usize,
        seconds: Option<usize>,
        directories: &[PathBuf],
    ) -> Option<(Trace, Source)> {
        let file = match find_trace(&entry.value, entry.directory.as_deref(), directories) {
            Ok(file) => file,
            Err(problem) => {
                self.errors.add(entry.location.as_str(), problem);
                return None;
            }
        };
        let trace = match read_trace(&file) {
            Ok(trace) => trace,
            Err(errors) => {
                self.errors.0.extend(errors.0);
                return None;
            }
        };
        let part = self.part(&entry.location, &trace, skip, seconds)?;
        Some((part, Source::Trace { file, skip }))
    }

    /// Returns the part of a trace that the scenario asks for.
    fn part(
        &mut self,
        location: &str,
        trace: &Trace,
        skip: usize,
        seconds: Option<usize>,
    ) -> Option<Trace> {
        let length = trace.traffic.seconds();
        let until = seconds.map_or(length.min(skip + MAX_SECONDS), |seconds| skip + seconds);
        if until > length || skip >= until {
            let problem =
                format!("seconds {skip} to {until} are requested, but the trace has {length}");
            self.errors.add(location, problem);
            return None;
        }
        Some(trace.part(skip..until))
    }

    /// Returns a key's parsed value, or the default if the key is not set.
    pub(super) fn take<T>(&mut self, key: &str, default: T, parse: impl Fn(&str) -> Value<T>) -> T {
        let Some(entry) = self.entries.get(key) else {
            return default;
        };
        match parse(&entry.value) {
            Ok(value) => value,
            Err(expected) => {
                let problem = format!("{key} is {:?}: {expected}", entry.value);
                self.errors.add(entry.location.as_str(), problem);
                default
            }
        }
    }

    /// Returns a key's parsed value if the key is set.
    pub(super) fn optional<T>(&mut self, key: &str, parse: impl Fn(&str) -> Value<T>) -> Option<T> {
        self.take(key, None, |text| parse(text).map(Some))
    }

    /// Returns the location where the first of two keys is set, otherwise that of the second.
    fn location(&self, one: &str, other: &str) -> String {
        let entry = self.entries.get(one).or_else(|| self.entries.get(other));
        entry.map_or_else(|| "scenario".to_owned(), |entry| entry.location.clone())
    }

    /// Reports a problem of a key's value.
    pub(super) fn reject(&mut self, key: &str, problem: String) {
        self.errors.add(self.location(key, key), problem);
    }

    fn missing(&mut self, problem: &str) {
        let location = if self.name.is_empty() {
            "scenario"
        } else {
            &self.name
        };
        self.errors.add(location, problem);
    }
}

/// Returns the number of pods for the load of the first minute.
fn pods_at_first(spec: &ClusterSpec) -> u32 {
    let minute = spec.traffic.seconds().min(60);
    let requests: f64 = match &spec.traffic {
        Traffic::Rates(rates) => rates[..minute].iter().sum(),
        Traffic::Counts(counts) => counts[..minute].iter().copied().map(f64::from).sum(),
    };
    let rate = spec.arrival_rate(requests / minute.max(1) as f64);
    let busy = rate * spec.service / f64::from(spec.workers);
    spec.goal
        .clamp(to_u32_saturating((busy / INITIAL_UTILISATION).ceil()))
}

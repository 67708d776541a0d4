//! Formats all figures as JSON.

use std::collections::BTreeMap;
use std::io;

use pushscale_simulator::cluster::{Change, Outcome, Second};
use serde::{Serialize, Serializer};

use super::figures::{FIGURES, Figure, Spread};
use super::request::Request;
use super::run::Results;

/// The version of the format. New fields do not change it.
const VERSION: u32 = 1;

pub(super) fn write(
    request: &Request,
    results: &[Results<'_>],
    per_second: bool,
) -> io::Result<String> {
    let report = Report {
        version: VERSION,
        scenarios: results
            .iter()
            .map(|results| scenario_result(request, results, per_second))
            .collect(),
    };
    let mut text = serde_json::to_string(&report)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    scenarios: Vec<ScenarioResult<'a>>,
}

#[derive(Serialize)]
struct ScenarioResult<'a> {
    name: &'a str,
    /// All keys of the scenario, as in a scenario file.
    scenario: BTreeMap<&'static str, String>,
    /// Seconds of the trace whose arrivals are estimated.
    unknown_seconds: usize,
    controllers: Vec<ControllerResult<'a>>,
}

#[derive(Serialize)]
struct ControllerResult<'a> {
    name: &'a str,
    mean: Figures,
    min: Figures,
    max: Figures,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    seed: u64,
    #[serde(flatten)]
    figures: Figures,
    history: Vec<ChangeResult<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<PerSecond>,
}

#[derive(Serialize)]
struct ChangeResult<'a> {
    second: usize,
    from: u32,
    to: u32,
    why: &'a str,
}

/// Lists with one element per second of the run.
#[derive(Serialize)]
struct PerSecond {
    arrivals: Vec<u32>,
    mean_wait_seconds: Vec<Option<f64>>,
    violated: Vec<bool>,
    desired: Vec<u32>,
    ready: Vec<u32>,
}

/// Values in the order of [`FIGURES`].
struct Figures(Vec<f64>);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = FIGURES.iter().map(|figure| figure.key);
        serializer.collect_map(keys.zip(self.0.iter().map(|number| Number(*number))))
    }
}

struct Number(f64);

impl Serialize for Number {
    /// Serializes whole numbers without a fraction.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "checked below")]
        let whole = self.0 as i64;
        let same = (whole as f64 - self.0).abs() == 0.0;
        if same {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

fn scenario_result<'a>(
    request: &'a Request,
    results: &'a Results<'_>,
    per_second: bool,
) -> ScenarioResult<'a> {
    let controllers = request.candidates.iter().zip(&results.outcomes);
    ScenarioResult {
        name: &results.scenario.name,
        scenario: results.scenario.entries(None).into_iter().collect(),
        unknown_seconds: results
            .scenario
            .unknown
            .iter()
            .map(ExactSizeIterator::len)
            .sum(),
        controllers: controllers
            .map(|(candidate, outcomes)| {
                let spread = |pick: fn(Spread) -> f64| {
                    let all = FIGURES.iter();
                    Figures(
                        all.map(|figure| pick(Spread::of(figure, outcomes)))
                            .collect(),
                    )
                };
                ControllerResult {
                    name: &candidate.name,
                    mean: spread(|spread| spread.mean),
                    min: spread(|spread| spread.min),
                    max: spread(|spread| spread.max),
                    runs: request
                        .seeds
                        .iter()
                        .zip(outcomes)
                        .map(|(seed, outcome)| run_result(*seed, outcome, per_second))
                        .collect(),
                }
            })
            .collect(),
    }
}

fn run_result(seed: u64, outcome: &Outcome, per_second: bool) -> Run<'_> {
    let of = |figure: &Figure| (figure.of)(outcome);
    Run {
        seed,
        figures: Figures(FIGURES.iter().map(of).collect()),
        history: outcome.history.iter().map(change_result).collect(),
        per_second: per_second.then(|| per_second_result(&outcome.seconds)),
    }
}

fn change_result(change: &Change) -> ChangeResult<'_> {
    ChangeResult {
        second: change.second,
        from: change.from,
        to: change.to,
        why: &change.why,
    }
}

fn per_second_result(seconds: &[Second]) -> PerSecond {
    fn list<T>(seconds: &[Second], of: impl Fn(&Second) -> T) -> Vec<T> {
        seconds.iter().map(of).collect()
    }
    PerSecond {
        arrivals: list(seconds, |second| second.arrivals),
        mean_wait_seconds: list(seconds, |second| second.mean_wait),
        violated: list(seconds, |second| second.violated),
        desired: list(seconds, |second| second.desired),
        ready: list(seconds, |second| second.ready),
    }
}

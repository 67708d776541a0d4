//! All figures as JSON.

use std::collections::BTreeMap;
use std::io;

use pushscale_simulator::cluster::{Change, Outcome, Second};
use serde::{Serialize, Serializer};

use super::figures::{FIGURES, Figure, Spread};
use super::request::Request;
use super::run::Played;

/// The format's version: fields may be added to it.
const VERSION: u32 = 1;

pub(super) fn write(
    request: &Request,
    played: &[Played<'_>],
    per_second: bool,
) -> io::Result<String> {
    let report = Report {
        version: VERSION,
        scenarios: played
            .iter()
            .map(|played| of_scenario(request, played, per_second))
            .collect(),
    };
    let mut text = serde_json::to_string(&report)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    scenarios: Vec<OfScenario<'a>>,
}

#[derive(Serialize)]
struct OfScenario<'a> {
    name: &'a str,
    /// As a scenario file has it, all keys.
    scenario: BTreeMap<&'static str, String>,
    controllers: Vec<OfController<'a>>,
}

#[derive(Serialize)]
struct OfController<'a> {
    name: &'a str,
    mean: Figures,
    least: Figures,
    most: Figures,
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    seed: u64,
    #[serde(flatten)]
    figures: Figures,
    history: Vec<OfChange<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<PerSecond>,
}

#[derive(Serialize)]
struct OfChange<'a> {
    second: usize,
    from: u32,
    to: u32,
    why: &'a str,
}

/// A list for each thing, as long as the run.
#[derive(Serialize)]
struct PerSecond {
    arrivals: Vec<u32>,
    mean_wait_seconds: Vec<Option<f64>>,
    violated: Vec<bool>,
    wanted: Vec<u32>,
    ready: Vec<u32>,
}

/// In the order of [`FIGURES`].
struct Figures(Vec<f64>);

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = FIGURES.iter().map(|figure| figure.key);
        serializer.collect_map(keys.zip(self.0.iter().map(|number| Number(*number))))
    }
}

struct Number(f64);

impl Serialize for Number {
    /// Whole numbers without a point.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "checked: it is the same")]
        let whole = self.0 as i64;
        #[expect(clippy::cast_precision_loss, reason = "this is the check")]
        let same = (whole as f64 - self.0).abs() == 0.0;
        if same {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

fn of_scenario<'a>(
    request: &'a Request,
    played: &'a Played<'_>,
    per_second: bool,
) -> OfScenario<'a> {
    let controllers = request.contenders.iter().zip(&played.outcomes);
    OfScenario {
        name: &played.scenario.name,
        scenario: played.scenario.entries(None).into_iter().collect(),
        controllers: controllers
            .map(|(contender, outcomes)| {
                let spread = |pick: fn(Spread) -> f64| {
                    let all = FIGURES.iter();
                    Figures(
                        all.map(|figure| pick(Spread::of(figure, outcomes)))
                            .collect(),
                    )
                };
                OfController {
                    name: &contender.name,
                    mean: spread(|spread| spread.mean),
                    least: spread(|spread| spread.least),
                    most: spread(|spread| spread.most),
                    runs: request
                        .seeds
                        .iter()
                        .zip(outcomes)
                        .map(|(seed, outcome)| of_run(*seed, outcome, per_second))
                        .collect(),
                }
            })
            .collect(),
    }
}

fn of_run(seed: u64, outcome: &Outcome, per_second: bool) -> Run<'_> {
    let of = |figure: &Figure| (figure.of)(outcome);
    Run {
        seed,
        figures: Figures(FIGURES.iter().map(of).collect()),
        history: outcome.history.iter().map(of_change).collect(),
        per_second: per_second.then(|| of_seconds(&outcome.seconds)),
    }
}

fn of_change(change: &Change) -> OfChange<'_> {
    OfChange {
        second: change.second,
        from: change.from,
        to: change.to,
        why: &change.why,
    }
}

fn of_seconds(seconds: &[Second]) -> PerSecond {
    fn list<T>(seconds: &[Second], of: impl Fn(&Second) -> T) -> Vec<T> {
        seconds.iter().map(of).collect()
    }
    PerSecond {
        arrivals: list(seconds, |second| second.arrivals),
        mean_wait_seconds: list(seconds, |second| second.mean_wait),
        violated: list(seconds, |second| second.violated),
        wanted: list(seconds, |second| second.wanted),
        ready: list(seconds, |second| second.ready),
    }
}

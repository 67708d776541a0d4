//! Compares the decisions of Pushscale and of other autoscalers in simulated clusters.

use pushscale_simulator::cluster::{Outcome, simulate};
use pushscale_simulator::control::{Baseline, Controller, PushScaling};
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Scenario;

use crate::environment::number;
use crate::scenarios::{Named, first_random, hostile, random, shared};
use crate::spread::Spread;

/// Pushscale first. The reference models calibrate themselves, like Pushscale.
const CONTROLLERS: [(&str, &str); 6] = [
    ("ours", "pushscale"),
    ("QM2", "qm2"),
    ("QM", "qm"),
    ("KPA", "kpa"),
    ("HPA 15 s", "hpa"),
    ("oracle", "oracle"),
];

/// The figures of each run. The first two are in the table of scenarios, all are in the table of sums.
const FIGURES: [Figure; 9] = [
    Figure::sum("violation seconds", 0, |of| f64::from(of.violation_seconds)),
    Figure::sum("pod-hours", 1, |of| of.pod_hours),
    Figure::sum("node-hours", 1, |of| of.node_hours),
    Figure::mean("bad %", |of| of.bad_percent),
    Figure::mean("p95 / target", |of| of.p95_over_target),
    Figure::sum("503s", 0, |of| of.refused as f64),
    Figure::sum("pod starts", 0, |of| of.starts as f64),
    Figure::mean("largest size / need", |of| of.largest_over_need),
    Figure::mean("reversed changes, %", |of| {
        100.0 * f64::from(of.reversals) / f64::from(of.changes.max(1))
    }),
];

struct Figure {
    name: &'static str,
    of: fn(&Outcome) -> f64,
    /// Whether several scenarios are averaged instead of added up.
    averaged: bool,
    digits: usize,
}

impl Figure {
    const fn sum(name: &'static str, digits: usize, of: fn(&Outcome) -> f64) -> Self {
        Self {
            name,
            of,
            averaged: false,
            digits,
        }
    }

    const fn mean(name: &'static str, of: fn(&Outcome) -> f64) -> Self {
        Self {
            name,
            of,
            averaged: true,
            digits: 1,
        }
    }
}

/// The figures in the order of [`FIGURES`], per seed.
type Runs = Vec<[f64; FIGURES.len()]>;

/// Prints a table of the scenarios and tables of sums. `SEEDS` is the number of seeds per scenario, `RANDOM` the number
/// of random scenarios. Their numbers start at `FROM`, which is different in each run unless it is given. `HOSTILE=1`
/// adds the scenarios of clusters that are hard to scale.
pub(crate) fn run() {
    let seeds = number("SEEDS").unwrap_or(2).max(1);
    let count = number("RANDOM").unwrap_or(12);
    let from = first_random();
    let shared = shared();
    let hostile: Vec<Named> = if number("HOSTILE").unwrap_or(0_u32) > 0 {
        hostile()
    } else {
        Vec::new()
    };
    let random = random(from, count);
    let all: Vec<&Scenario> = [&shared, &random, &hostile]
        .into_iter()
        .flatten()
        .map(|(_, scenario)| scenario)
        .collect();
    let runs_each = CONTROLLERS.len() * seeds as usize;
    let outcomes = in_parallel(
        all.len() * runs_each,
        &|job| {
            let scenario = all[job / runs_each];
            let (_, word) = CONTROLLERS[job % runs_each / seeds as usize];
            let seed = 1 + job as u64 % seeds;
            let outcome = simulate(&scenario.world, controller(word, scenario).as_mut(), seed);
            FIGURES.map(|figure| (figure.of)(&outcome))
        },
        &mut || {},
    );
    let by_controller: Vec<Runs> = outcomes.chunks(seeds as usize).map(<[_]>::to_vec).collect();
    let by_scenario: Vec<&[Runs]> = by_controller.chunks(CONTROLLERS.len()).collect();
    println!(
        "  violation seconds / pod-hours, the mean of {seeds} seeds (min…max); random scenarios from FROM={from}\n"
    );
    let heads = CONTROLLERS.map(|(name, _)| name).join(" | ");
    println!("| scenario | {heads} |");
    println!("| ---{} |", " | ---".repeat(CONTROLLERS.len()));
    let (of_shared, others) = by_scenario.split_at(shared.len());
    let (of_random, of_hostile) = others.split_at(random.len());
    for (named, rows) in [
        (&shared, of_shared),
        (&random, of_random),
        (&hostile, of_hostile),
    ] {
        for ((name, _), row) in named.iter().zip(rows) {
            print_row(name, row);
        }
    }
    let mut totals = vec![(format!("{} shared", shared.len()), total(of_shared))];
    if !random.is_empty() {
        totals.push((format!("{count} random"), total(of_random)));
        let both = &by_scenario[..shared.len() + random.len()];
        totals.push(("all".to_owned(), total(both)));
    }
    if !hostile.is_empty() {
        totals.push((format!("{} hostile", hostile.len()), total(of_hostile)));
    }
    for (name, row) in &totals {
        print_row(&format!("**{name}**"), row);
    }
    for (name, row) in &totals {
        print_figures(name, row);
    }
    println!();
    for (name, row) in &totals {
        for baseline in [1, 2] {
            print_ratio(name, row, baseline);
        }
    }
}

fn controller(word: &str, scenario: &Scenario) -> Box<dyn Controller> {
    if word == "pushscale" {
        return Box::new(PushScaling::of_world(&scenario.world).unwrap());
    }
    word.parse::<Baseline>()
        .unwrap()
        .controller(&scenario.world)
}

/// The sums or means over all scenarios per seed, for each autoscaler.
fn total(rows: &[&[Runs]]) -> Vec<Runs> {
    let mut sums: Vec<Runs> = rows[0].to_vec();
    for row in &rows[1..] {
        for (sum, runs) in sums.iter_mut().zip(*row) {
            for (sum, run) in sum.iter_mut().zip(runs) {
                for (sum, figure) in sum.iter_mut().zip(run) {
                    *sum += figure;
                }
            }
        }
    }
    for run in sums.iter_mut().flatten() {
        for (sum, figure) in run.iter_mut().zip(&FIGURES) {
            if figure.averaged {
                *sum /= rows.len() as f64;
            }
        }
    }
    sums
}

fn print_row(name: &str, row: &[Runs]) {
    let cells = row.iter().map(|runs| {
        let [seconds, hours] = [0, 1].map(|index| summary(runs, index));
        format!("{seconds} / {hours}")
    });
    println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// Prints all figures of a set of scenarios, with a line for each figure.
fn print_figures(name: &str, row: &[Runs]) {
    let heads = CONTROLLERS.map(|(name, _)| name).join(" | ");
    println!("\n| {name} | {heads} |");
    println!("| ---{} |", " | ---".repeat(CONTROLLERS.len()));
    for (index, figure) in FIGURES.iter().enumerate() {
        let cells = row.iter().map(|runs| summary(runs, index));
        println!(
            "| {} | {} |",
            figure.name,
            cells.collect::<Vec<_>>().join(" | ")
        );
    }
}

fn summary(runs: &Runs, index: usize) -> String {
    let digits = FIGURES[index].digits;
    let spread = spread(runs, index);
    let mean = spread.mean();
    if runs.len() == 1 {
        return format!("{mean:.digits$}");
    }
    let (least, most) = (spread.min(), spread.max());
    format!("{mean:.digits$} ({least:.digits$}…{most:.digits$})")
}

fn spread(runs: &Runs, index: usize) -> Spread {
    Spread::of(runs.iter().map(|run| run[index]).collect())
}

fn print_ratio(name: &str, row: &[Runs], baseline: usize) {
    let ratio = |index: usize| spread(&row[0], index).mean() / spread(&row[baseline], index).mean();
    println!(
        "  {name}: ours compared with {}: {:.2} times the violation seconds at {:.2} times the pod-hours",
        CONTROLLERS[baseline].0,
        ratio(0),
        ratio(1)
    );
}

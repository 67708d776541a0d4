//! Compares the decisions of Pushscale and of other autoscalers in simulated clusters.

use std::env;
use std::path::Path;

use pushscale_simulator::cluster::{ClusterSpec, Outcome, simulate};
use pushscale_simulator::control::{Controller, PushScaling};
use pushscale_simulator::in_parallel;
use pushscale_tests::reference_model;

use crate::environment::number;
use crate::scenarios::{
    NamedScenario, first_random, held_out, hostile, random, random_hostile, recurring, shared,
};
use crate::spread::Spread;

/// Pushscale, and the baselines as an expert would set them: at the utilisation that the queueing formula gives for the
/// scenario's true service time.
const AUTOSCALERS: &str = "pushscale qm2 kpa:utilisation=computed kpa:delay=180,utilisation=computed \
    hpa:metric=requests hpa:metric=utilisation oracle";

/// Shared scenarios that alone decide the sums: the pods of the one, the violation seconds of the other.
const DOMINANT: [&str; 2] = ["tight-w1", "spike60"];

/// The figures of each run. The first two are in the table of scenarios, all are in the table of sums.
const FIGURES: [Figure; 9] = [
    Figure::sum("violation seconds", 0, |of| f64::from(of.violation_seconds)),
    Figure::sum("pod-hours", 1, |of| of.pod_hours),
    Figure::sum("node-hours", 1, |of| of.node_hours),
    Figure::mean("bad %", |of| of.bad_percent),
    Figure::mean("p95 / target", |of| of.p95_over_target),
    Figure::sum("503s", 0, |of| of.rejected as f64),
    Figure::sum("pod starts", 0, |of| of.starts as f64),
    Figure::mean("largest size / need", |of| of.largest_over_need),
    Figure::mean("reversed changes, %", |of| {
        100.0 * f64::from(of.reversals) / f64::from(of.changes.max(1))
    }),
];

/// The figures, by index, of which the worst scenarios are printed, and how many of them.
const WORST: [usize; 2] = [3, 7];
const WORST_COUNT: usize = 10;

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

/// A set of scenarios, with the runs of each autoscaler.
struct Set {
    name: String,
    /// The names of the scenarios, and their runs by autoscaler.
    rows: Vec<(String, Vec<Runs>)>,
}

/// Prints a table of the scenarios and tables of sums. `SEEDS` is the number of seeds per scenario, `RANDOM` the number
/// of random scenarios, and `HELD_OUT` that of the held-out families. Their numbers start at `FROM`, which is different
/// in each run unless it is given. `RECURRING=1` adds the scenarios of loads that recur, `HOSTILE=1` those of clusters
/// that are hard to scale, `RANDOM_HOSTILE` is the number of random ones, and `SAVE` a directory for the files of one
/// random set. `SHARED=0` leaves out the shared scenarios. `STARTS=shared` makes the pods of a surge start together.
/// `AUTOSCALERS` has other words of `--compare`, `qm` or `qm2`; `pushscale:37` is Pushscale with this
/// `podSecondsPerViolation`.
pub(crate) fn run() {
    let seeds = number("SEEDS").unwrap_or(2).max(1);
    let from = first_random();
    let wants = |variable: &str, default: u64| number(variable).unwrap_or(default);
    let mut sets = Vec::new();
    if wants("SHARED", 1) > 0 {
        sets.push(("shared", shared()));
    }
    let save = env::var("SAVE").ok();
    let save = save.as_deref().map(Path::new);
    sets.push(("random", random(from, wants("RANDOM", 12), save)));
    sets.push(("held out", held_out(from, wants("HELD_OUT", 0), save)));
    if wants("HOSTILE", 0) > 0 {
        sets.push(("hostile", hostile()));
    }
    if wants("RECURRING", 0) > 0 {
        sets.push(("recurring", recurring()));
    }
    let count = wants("RANDOM_HOSTILE", 0);
    sets.push(("random hostile", random_hostile(from, count, save)));
    if env::var("STARTS").is_ok_and(|starts| starts == "shared") {
        for (_, scenario) in sets.iter_mut().flat_map(|(_, set)| set) {
            // A longer round would contain pods that become ready before they are created.
            scenario.cluster.start_round = scenario.cluster.start_delay.0;
        }
    }
    let words = env::var("AUTOSCALERS").unwrap_or_else(|_| AUTOSCALERS.to_owned());
    let words: Vec<&str> = words.split_whitespace().collect();
    println!(
        "  violation seconds / pod-hours, the mean of {seeds} seeds (min…max); random scenarios from FROM={from}\n"
    );
    print_head("scenario", &words);
    let mut done: Vec<Set> = Vec::new();
    for (name, scenarios) in sets.iter().filter(|(_, set)| !set.is_empty()) {
        let set = run_set(name, scenarios, &words, seeds);
        for (name, row) in &set.rows {
            print_row(name, row);
        }
        done.push(set);
        if *name == "shared" {
            let rows = done[0].rows.iter();
            let rows = rows.filter(|(name, _)| !DOMINANT.contains(&name.as_str()));
            let name = format!("shared, without {}", DOMINANT.join(" and "));
            let rows = rows.cloned().collect();
            done.push(Set { name, rows });
        }
    }
    for set in &done {
        for family in set.families() {
            print_row(&format!("*{}*", family.title()), &family.total());
        }
        print_row(&format!("**{}**", set.title()), &set.total());
    }
    for set in &done {
        print_figures(&set.title(), &words, &set.total());
    }
    for set in done.iter().filter(|set| set.name == "random hostile") {
        for figure in WORST {
            set.print_worst(figure, &words);
        }
    }
    println!();
    for set in &done {
        for (baseline, word) in words.iter().enumerate().skip(1) {
            set.print_comparison(baseline, word);
        }
    }
}

fn run_set(name: &str, scenarios: &[NamedScenario], words: &[&str], seeds: u64) -> Set {
    let seeds = seeds as usize;
    let runs_each = words.len() * seeds;
    let outcomes = in_parallel(
        scenarios.len() * runs_each,
        &|job| {
            let spec = &scenarios[job / runs_each].1.cluster;
            let word = words[job % runs_each / seeds];
            let seed = 1 + (job % seeds) as u64;
            let outcome = simulate(spec, controller(word, spec).as_mut(), seed);
            FIGURES.map(|figure| (figure.of)(&outcome))
        },
        &mut || {},
    );
    let rows = scenarios.iter().zip(outcomes.chunks(runs_each));
    Set {
        name: name.to_owned(),
        rows: rows
            .map(|((name, _), outcomes)| {
                let runs = outcomes.chunks(seeds).map(<[_]>::to_vec);
                (name.clone(), runs.collect())
            })
            .collect(),
    }
}

fn controller(word: &str, spec: &ClusterSpec) -> Box<dyn Controller> {
    if let Some(price) = word.strip_prefix("pushscale") {
        let price = price.strip_prefix(':');
        let price = price.map(|price| price.parse().expect("a price follows pushscale:"));
        let spec = ClusterSpec {
            violation_price: price.or(spec.violation_price),
            ..spec.clone()
        };
        return Box::new(PushScaling::of_cluster(&spec).unwrap());
    }
    reference_model::controller(word, spec)
}

impl Set {
    fn title(&self) -> String {
        format!("{} {}", self.rows.len(), self.name)
    }

    /// Returns the scenarios of each family, whose names begin with `FAMILY (`.
    fn families(&self) -> Vec<Self> {
        let mut families: Vec<Self> = Vec::new();
        for row in &self.rows {
            let Some((family, _)) = row.0.split_once(" (") else {
                continue;
            };
            match families.iter_mut().find(|known| known.name == family) {
                Some(known) => known.rows.push(row.clone()),
                None => families.push(Self {
                    name: family.to_owned(),
                    rows: vec![row.clone()],
                }),
            }
        }
        families
    }

    /// Returns the sums or means over all scenarios per seed, for each autoscaler.
    fn total(&self) -> Vec<Runs> {
        let mut sums: Vec<Runs> = self.rows[0].1.clone();
        for (_, row) in &self.rows[1..] {
            for (sum, runs) in sums.iter_mut().zip(row) {
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
                    *sum /= self.rows.len() as f64;
                }
            }
        }
        sums
    }

    /// Prints the scenarios in which a figure of the first autoscaler is the worst.
    fn print_worst(&self, figure: usize, words: &[&str]) {
        let mean = |runs: &Runs| spread(runs, figure).mean();
        let mut rows: Vec<&(String, Vec<Runs>)> = self.rows.iter().collect();
        rows.sort_by(|(_, one), (_, other)| mean(&other[0]).total_cmp(&mean(&one[0])));
        println!();
        print_head(&format!("highest {}", FIGURES[figure].name), words);
        for (name, row) in rows.iter().take(WORST_COUNT) {
            let cells = row.iter().map(|runs| summary(runs, figure));
            println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
    }

    /// Compares the first autoscaler with another one: the sums, and the scenarios in which it is better or worse in
    /// both violation seconds and pod-hours.
    fn print_comparison(&self, baseline: usize, word: &str) {
        let of = |runs: &Runs| [0, 1].map(|index| spread(runs, index).mean());
        let total = self.total();
        let [(seconds, hours), (their_seconds, their_hours)] =
            [0, baseline].map(|index| of(&total[index]).into());
        let sides = |row: &[Runs]| of(&row[0]).into_iter().zip(of(&row[baseline]));
        let count = |better: fn(f64, f64) -> bool| {
            let rows = self.rows.iter();
            rows.filter(|(_, row)| sides(row).all(|(ours, theirs)| better(ours, theirs)))
                .count()
        };
        println!(
            "  {}, compared with {word}: {:.2} times the violation seconds at {:.2} times the pod-hours; better in both in {} scenarios, worse in both in {}",
            self.title(),
            seconds / their_seconds,
            hours / their_hours,
            count(|ours, theirs| ours < theirs),
            count(|ours, theirs| ours > theirs),
        );
    }
}

fn print_head(first: &str, words: &[&str]) {
    println!("| {first} | {} |", words.join(" | "));
    println!("| ---{} |", " | ---".repeat(words.len()));
}

fn print_row(name: &str, row: &[Runs]) {
    let cells = row.iter().map(|runs| {
        let [seconds, hours] = [0, 1].map(|index| summary(runs, index));
        format!("{seconds} / {hours}")
    });
    println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// Prints all figures of a set of scenarios, with a line for each figure.
fn print_figures(name: &str, words: &[&str], row: &[Runs]) {
    println!();
    print_head(name, words);
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

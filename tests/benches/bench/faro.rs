//! Runs the jobs of FARO, whose published results docs/BENCHMARKS.md compares with.

use std::env;
use std::path::PathBuf;

use pushscale_simulator::cluster::simulate;
use pushscale_simulator::control::{Baseline, Controller, PushScaling};
use pushscale_simulator::in_parallel;

use crate::environment::number;
use crate::scenarios::{NamedScenario, with_keys};
use crate::spread::Spread;

/// The target by which requests are judged: waits of four times this or a failure are bad.
const OBJECTIVE: &str = "141ms";

/// The targets of Pushscale, and the prices of a violation second in pod-seconds.
const OURS: [(&str, &str); 6] = [
    ("141ms", "366"),
    ("564ms", "366"),
    ("1500ms", "366"),
    ("4000ms", "366"),
    ("564ms", "92"),
    ("564ms", "37"),
];

const BASELINES: [&str; 4] = ["fixed:4", "kpa", "kpa:delay=180", "hpa"];

/// What one job had with one seed.
#[derive(Clone, Copy, Debug)]
struct Run {
    bad_percent: f64,
    finished: f64,
    mean_pods: f64,
}

/// Prints the bad requests and the pods of all jobs in `DIR`, a directory with a scenario per job; `SEEDS` is the
/// number of seeds.
pub(crate) fn run() {
    let Some(directory) = env::var_os("DIR").map(PathBuf::from) else {
        println!("  not run: DIR must be a directory with a scenario per job");
        return;
    };
    let seeds = number("SEEDS").unwrap_or(2).max(1);
    println!("| autoscaler | bad % of requests | bad %, mean of the jobs | mean replicas |");
    println!("| --- | --- | --- | --- |");
    for (target, price) in OURS {
        let jobs = with_keys(
            &directory,
            &[
                ("objective", OBJECTIVE),
                ("target", target),
                ("pod-seconds-per-violation", price),
            ],
        );
        let name = format!("Pushscale, target {target}, price {price}");
        let controller = |job: &NamedScenario| {
            Box::new(PushScaling::of_cluster(&job.1.cluster).unwrap()) as Box<_>
        };
        print(&name, &jobs, seeds, &controller);
    }
    let jobs = with_keys(&directory, &[("target", OBJECTIVE)]);
    for word in BASELINES {
        let baseline: Baseline = word.parse().unwrap();
        print(word, &jobs, seeds, &|job| {
            baseline.controller(&job.1.cluster)
        });
    }
}

fn print(
    name: &str,
    jobs: &[NamedScenario],
    seeds: u64,
    controller: &(dyn Fn(&NamedScenario) -> Box<dyn Controller> + Sync),
) {
    let runs = in_parallel(
        jobs.len() * seeds as usize,
        &|number| {
            let (job, seed) = (&jobs[number % jobs.len()], 1 + number / jobs.len());
            let outcome = simulate(&job.1.cluster, controller(job).as_mut(), seed as u64);
            Run {
                bad_percent: outcome.bad_percent,
                finished: (outcome.completed + outcome.rejected + outcome.lost) as f64,
                mean_pods: outcome.pod_hours / (outcome.seconds.len() as f64 / 3600.0),
            }
        },
        &mut || {},
    );
    let per_seed = |figure: fn(&[Run]) -> f64| {
        let figures = runs.chunks(jobs.len()).map(figure);
        Spread::of(figures.collect())
    };
    let of_requests = per_seed(|runs| {
        let bad = |run: &Run| run.bad_percent * run.finished;
        runs.iter().map(bad).sum::<f64>() / runs.iter().map(|run| run.finished).sum::<f64>()
    });
    let of_jobs =
        per_seed(|runs| runs.iter().map(|run| run.bad_percent).sum::<f64>() / runs.len() as f64);
    let pods = per_seed(|runs| runs.iter().map(|run| run.mean_pods).sum());
    println!(
        "| {name} | {} | {} | {} |",
        summary(&of_requests, 2),
        summary(&of_jobs, 2),
        summary(&pods, 1)
    );
}

fn summary(spread: &Spread, digits: usize) -> String {
    format!(
        "{:.digits$} ({:.digits$}…{:.digits$})",
        spread.mean(),
        spread.min(),
        spread.max()
    )
}

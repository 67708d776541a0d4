//! Fleets whose target applies to a percentile of the wait (`testdata/percentile-targets.txt`): the true percentile is
//! near the target, and near the one that the decision estimates from the queues.

#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use pushscale_simulator::cluster::{ClusterSpec, PodView, View, simulate};
use pushscale_simulator::control::{Controller, PushScaling};
use pushscale_simulator::in_parallel;
use pushscale_simulator::scenario::Draft;

/// Two hours, of which the second one is compared: the learned factors need up to half an hour.
const SECONDS: usize = 7200;

/// An estimate differs from the true percentile by at most this share, on average over an hour. With one seed, most
/// differ by less than a tenth; the largest differences are at a utilisation of 15%, and at waits of one service time.
const MAX_ERROR: f64 = 0.3;

/// Pushscale, and the percentiles that it estimates.
struct Estimating {
    ours: PushScaling,
    estimates: Vec<f64>,
}

impl Controller for Estimating {
    fn decide(&mut self, view: &View<'_>) -> Option<u32> {
        let desired = self.ours.decide(view);
        let value = self.ours.last_decision().metrics.first();
        let estimate = value.and_then(|value| value.percentile);
        if let Some(estimate) = estimate.filter(|_| view.second > SECONDS / 2) {
            self.estimates.push(estimate.as_secs_f64());
        }
        desired
    }

    fn deletion_cost(&self, pod: &PodView) -> u32 {
        self.ours.deletion_cost(pod)
    }

    fn explain(&self) -> String {
        self.ours.explain()
    }
}

struct Case {
    line: String,
    spec: ClusterSpec,
    percent: i32,
    least: f64,
    most: f64,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/percentile-targets.txt");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(case).collect()
}

fn case(line: &str) -> Case {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [balancing, workers, cv, percent, target, least, most] = words[..] else {
        panic!("{line:?} must be BALANCING WORKERS CV PERCENTILE TARGET LEAST MOST");
    };
    let rate = 150.0 * workers.parse::<f64>().unwrap();
    let text = format!(
        "name: {line}\nload: flat:{rate}\nseconds: {SECONDS}\nservice: 100ms\nworkers: {workers}\ncv: {cv}\n\
         balancing: {balancing}\npods: 25\ntarget: {target}ms\nmax: 400\n"
    );
    let mut draft = Draft::default();
    draft.add_text("percentile.txt", &text, None);
    Case {
        line: line.to_owned(),
        spec: draft.finish(&[]).unwrap().cluster,
        percent: percent.parse().unwrap(),
        least: least.parse().unwrap(),
        most: most.parse().unwrap(),
    }
}

#[test]
fn the_percentile_is_near_its_target_and_near_its_estimate() {
    let cases = cases();
    let results = in_parallel(
        cases.len(),
        &|job| {
            let case = &cases[job];
            let mut controller = Estimating {
                ours: PushScaling::of_percentile(&case.spec, case.percent).unwrap(),
                estimates: Vec::new(),
            };
            let outcome = simulate(&case.spec, &mut controller, 1);
            let truth = match case.percent {
                95 => outcome.settled_p95_wait,
                _ => outcome.settled_p99_wait,
            };
            let estimates = &controller.estimates;
            let estimate = estimates.iter().sum::<f64>() / estimates.len() as f64;
            let steady = outcome.seconds[SECONDS / 2..].iter();
            let pods = steady.map(|second| f64::from(second.desired)).sum::<f64>();
            (
                truth,
                estimate,
                pods / (SECONDS / 2) as f64,
                outcome.changes,
            )
        },
        &mut || {},
    );
    let mut wrong = String::new();
    for (case, (truth, estimate, pods, changes)) in cases.iter().zip(results) {
        let target = case.spec.goal.target;
        let line = format!(
            "{}: true {:.2}, estimated {:.2} targets, {pods:.1} pods, {changes} changes",
            case.line,
            truth / target,
            estimate / target
        );
        println!("{line}");
        // The queues do not show which part of a single service time a request waits for.
        let error = (estimate - truth).abs() / truth.max(0.5 * case.spec.service);
        if !(case.least..=case.most).contains(&(truth / target)) || error > MAX_ERROR {
            writeln!(wrong, "{line}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

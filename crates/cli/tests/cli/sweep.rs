//! Runs `pushscale simulate --sweep`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::commands::{CommandOutput, directory, pushscale, tags};

const LOAD: &str = "simulate --load step:20->120@120 --seconds 600 --target 50ms";

/// The SLO of docs/SIMULATING.md, in percent of the requests.
const SLO: f64 = 1.0;

fn simulate(more: &str) -> CommandOutput {
    simulate_in(&directory("sweep"), more)
}

fn simulate_in(directory: &Path, more: &str) -> CommandOutput {
    pushscale(&format!("{LOAD} {more}"), directory)
}

/// Runs a sweep of two values or more, and returns its chart and, by candidate, the mean of a figure for each value.
fn chart_of(name: &str, sweep: &str) -> (String, impl Fn(usize, &str) -> Vec<f64>) {
    let directory = directory(name);
    let arguments = format!("{sweep} --svg chart.svg --json sweep.json");
    simulate_in(&directory, &arguments).succeeded();
    let json = fs::read_to_string(directory.join("sweep.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let figures = move |candidate: usize, figure: &str| {
        let scenarios = json["scenarios"].as_array().unwrap().iter();
        let mean = |of: &Value| of["controllers"][candidate]["mean"][figure].as_f64();
        scenarios.map(|scenario| mean(scenario).unwrap()).collect()
    };
    let chart = fs::read_to_string(directory.join("chart.svg")).unwrap();
    tags(&chart);
    (chart, figures)
}

/// Returns the texts of a chart.
fn texts(chart: &str) -> Vec<&str> {
    let texts = chart.split("<text ").skip(1);
    texts
        .map(|text| text.split(['<', '>']).nth(1).unwrap().trim())
        .collect()
}

/// Returns the centers and radii of a chart's circles.
fn circles(chart: &str) -> Vec<[i64; 3]> {
    let circles = chart.split("<circle ").skip(1);
    circles
        .map(|circle| {
            ["cx=\"", "cy=\"", "r=\""].map(|name| {
                let value = circle.split(name).nth(1).unwrap();
                value.split('"').next().unwrap().parse().unwrap()
            })
        })
        .collect()
}

#[test]
fn a_sweep_has_a_line_for_each_value_and_controller() {
    let output = simulate("--sweep target=10ms..1s/3 --compare fixed:8").succeeded();
    let lines: Vec<&str> = output.lines().collect();
    let head = lines
        .iter()
        .position(|line| line.starts_with("target "))
        .unwrap();
    let names: Vec<Vec<&str>> = lines[head + 1..]
        .iter()
        .map(|line| line.split_whitespace().take(2).collect())
        .collect();
    let controllers = ["pushscale", "fixed:8"];
    let expected = ["10ms", "100ms", "1s"]
        .iter()
        .flat_map(|value| controllers.map(|controller| vec![*value, controller]));
    assert_eq!(names, expected.collect::<Vec<_>>());
    assert!(output.contains("requests are judged by the objective 50ms"));
    // A constant number of pods does not depend on the target, nor do its bad requests.
    let fixed: Vec<&str> = lines[head + 1..]
        .iter()
        .filter_map(|line| line.split_once("fixed:8"))
        .map(|(_, figures)| figures)
        .collect();
    assert!(fixed.windows(2).all(|pair| pair[0] == pair[1]), "{output}");
}

#[test]
fn a_wrong_sweep_is_explained() {
    let errors = simulate("--sweep target=1s..10ms").rejected();
    assert_eq!(
        errors,
        "--sweep: \"target=1s..10ms\" must go from a lower to a higher value\n"
    );
    let errors = simulate("--sweep wrokers=1..4/2").rejected();
    assert!(
        errors.starts_with("--sweep: unknown key \"wrokers\""),
        "{errors}"
    );
    let errors = simulate("--sweep cv=0..50/2").rejected();
    assert_eq!(
        errors,
        "--sweep: cv is \"50\": it must be a number from 0 to 20\n"
    );
}

#[test]
fn the_chart_has_the_key_as_its_axis_and_shows_where_the_slo_breaks() {
    let sweep = "--sweep start-delay=0s..300s/4 --compare fixed:8,fixed:1";
    let (chart, figures) = chart_of("slo", sweep);
    let texts = texts(&chart);
    let has = |words: &str| texts.iter().any(|text| text.contains(words));
    for words in [
        "bad requests (%)",
        "pod-hours",
        "start-delay: the time from ",
    ] {
        assert!(has(words), "{words}: {texts:?}");
    }
    let values = ["0s", "100s", "200s", "300s"];
    for value in values {
        // Below each of the two panels.
        let labels = texts.iter().filter(|text| **text == value).count();
        assert_eq!(labels, 2, "{value}: {texts:?}");
    }
    assert!(
        has("SLO: at most 1% of the requests are bad, which wait more than 4 × 50ms or fail"),
        "{texts:?}"
    );
    // The figures decide what the legend and the rings must show.
    let names = ["pushscale", "fixed:8", "fixed:1"];
    let mut all_broken = 0;
    for (candidate, name) in names.iter().enumerate() {
        let bad = figures(candidate, "bad_percent");
        let broken: Vec<&str> = values
            .iter()
            .zip(&bad)
            .filter(|(_, bad)| **bad > SLO)
            .map(|(value, _)| *value)
            .collect();
        let expected = match broken.as_slice() {
            [] => format!("{name}: meets the SLO at every value"),
            all if all.len() == values.len() => format!("{name}: breaks the SLO at every value"),
            [one] => format!("{name}: breaks the SLO at {one}"),
            [first, .., last] => format!("{name}: breaks the SLO at {first}..{last}"),
        };
        assert!(has(&expected), "{bad:?}: {expected}\n  {texts:?}");
        all_broken += broken.len();
    }
    // Eight pods are enough once they are ready, one pod is not.
    assert!(has("fixed:8: breaks the SLO at "), "{texts:?}");
    assert!(!has("fixed:8: breaks the SLO at every value"), "{texts:?}");
    assert!(has("fixed:1: breaks the SLO at every value"), "{texts:?}");
    let circles = circles(&chart);
    let dots: Vec<_> = circles.iter().filter(|[.., radius]| *radius == 4).collect();
    let rings: Vec<_> = circles.iter().filter(|[.., radius]| *radius == 7).collect();
    assert_eq!(dots.len(), 2 * names.len() * values.len());
    assert_eq!(rings.len(), 2 * all_broken);
    // The values of the key are at equal distances from left to right, in each panel.
    for line in dots.chunks(values.len()) {
        let steps: Vec<i64> = line
            .windows(2)
            .map(|pair| pair[1][0] - pair[0][0])
            .collect();
        assert!(steps[0] > 100, "{steps:?}");
        assert!(
            steps.iter().all(|step| (step - steps[0]).abs() <= 1),
            "{steps:?}"
        );
    }
}

#[test]
fn the_dots_of_the_chart_are_the_figures() {
    let (chart, figures) = chart_of("dots", "--sweep max=1..20/5");
    let circles = circles(&chart);
    let dots: Vec<_> = circles.iter().filter(|[.., radius]| *radius == 4).collect();
    for (dots, figure) in dots.chunks(5).zip(["bad_percent", "pod_hours"]) {
        let figures = figures(0, figure);
        let highest = figures.iter().copied().fold(0.0, f64::max);
        let lowest = dots.iter().map(|[_, y, _]| *y).min().unwrap();
        // The axis begins at 0, so heights above it are proportional to the figures.
        let base = dots
            .iter()
            .zip(&figures)
            .find(|(_, figure)| **figure < highest / 2.0)
            .map(|([_, y, _], figure)| {
                let share = figure / highest;
                (*y as f64 - share * lowest as f64) / (1.0 - share)
            })
            .unwrap();
        for ([_, y, _], value) in dots.iter().zip(&figures) {
            let expected = base - (base - lowest as f64) * value / highest;
            assert!(
                (*y as f64 - expected).abs() <= 4.0,
                "{figure}: {figures:?}: {dots:?}"
            );
        }
    }
}

#[test]
fn a_swept_target_is_judged_by_the_objective() {
    let (chart, _) = chart_of("target", "--sweep target=10ms..1s/3");
    let texts = texts(&chart);
    let expected = [
        "target: the target for the mean wait",
        "10ms",
        "100ms",
        "1s",
    ];
    for words in expected {
        assert!(texts.contains(&words), "{words}: {texts:?}");
    }
    assert!(
        texts
            .iter()
            .any(|text| text.contains("wait more than 4 × 50ms or fail"))
    );
    let (chart, _) = chart_of("objective", "--sweep objective=10ms..1s/3");
    let changing = "wait more than 4 times the objective or fail";
    assert!(chart.contains(changing), "{chart}");
}

#[test]
fn a_sweep_of_the_price_draws_the_trade_off() {
    let (chart, _) = chart_of("front", "--sweep pod-seconds-per-violation=37..3660/3");
    assert!(!circles(&chart).is_empty());
    let caption =
        "bad requests in percent, by pod-hours; each point is a pod-seconds-per-violation";
    assert!(chart.contains(caption), "{chart}");
    assert!(!chart.contains("SLO"), "{chart}");
}

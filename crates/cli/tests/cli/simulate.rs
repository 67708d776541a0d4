//! Runs `pushscale simulate`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::commands::{CommandOutput, directory, pushscale, tags};

const LOAD: &str = "simulate --load step:20->120@120 --seconds 600 --target 50ms";

fn simulate(more: &str) -> CommandOutput {
    simulate_in(&directory("here"), more)
}

fn simulate_in(directory: &Path, more: &str) -> CommandOutput {
    pushscale(&format!("{LOAD} {more}"), directory)
}

fn scenario(name: &str) -> PathBuf {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulator/scenarios");
    scenarios.join(name)
}

#[test]
fn the_table_has_a_line_for_each_autoscaler() {
    let output = simulate("--compare hpa,fixed:5").succeeded();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "step:20->120@120");
    assert_eq!(lines[1], "step:20->120@120, 600 s, seed 1");
    assert!(lines[2].starts_with("defaults: service 100ms, cv 1, workers 4"));
    let names: Vec<&str> = lines[4..]
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["controller", "pushscale", "hpa", "fixed:5"]);
}

#[test]
fn json_agrees_with_the_table() {
    let json = simulate("--compare kpa --seeds 3 --json -").succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let table = simulate("--compare kpa --seeds 3").succeeded();
    let controllers = json["scenarios"][0]["controllers"].as_array().unwrap();
    assert_eq!(controllers.len(), 2);
    for controller in controllers {
        let name = controller["name"].as_str().unwrap();
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        let number = |of: &str, figure: &str| controller[of][figure].as_f64().unwrap();
        let spread = |figure: &str, digits: usize| {
            let (mean, min) = (number("mean", figure), number("min", figure));
            let max = number("max", figure);
            format!("{mean:.digits$} ({min:.digits$}…{max:.digits$})")
        };
        for shown in [
            spread("violation_seconds", 0),
            spread("pod_hours", 1),
            spread("changes", 0),
            format!("{:.2}", number("mean", "bad_percent")),
        ] {
            assert!(line.contains(&shown), "{line}\n  has no {shown}");
        }
        let runs = controller["runs"].as_array().unwrap();
        let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64()).collect();
        assert_eq!(seeds, [Some(1), Some(2), Some(3)]);
        for run in runs {
            let changes = run["history"].as_array().unwrap().len();
            assert_eq!(run["changes"].as_u64(), Some(changes as u64));
            assert!(run.get("per_second").is_none());
        }
    }
}

#[test]
fn per_second_adds_every_second_to_the_json() {
    let json = simulate("--per-second --json -").succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let run = &json["scenarios"][0]["controllers"][0]["runs"][0];
    let list = |name: &str| run["per_second"][name].as_array().unwrap();
    for name in [
        "arrivals",
        "mean_wait_seconds",
        "violated",
        "desired",
        "ready",
    ] {
        assert_eq!(list(name).len(), 600, "{name}");
    }
    let sum: u64 = list("arrivals").iter().filter_map(Value::as_u64).sum();
    assert_eq!(run["arrivals"].as_u64(), Some(sum));
    let violated = list("violated")
        .iter()
        .filter(|violated| **violated == true);
    assert_eq!(
        run["violation_seconds"].as_u64(),
        Some(violated.count() as u64)
    );
}

#[test]
fn a_seed_determines_a_run() {
    let run = |seed: &str| simulate(&format!("--seed {seed} --json - --per-second")).succeeded();
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5"), run("6"));
}

#[test]
fn a_saved_scenario_gives_the_same_results() {
    let directory = directory("saved");
    let trace = "t_seconds,requests\n".to_owned()
        + &(0..400)
            .map(|second| format!("{second},{}\n", 20 + second / 8))
            .collect::<String>();
    fs::write(directory.join("rising.csv"), trace).unwrap();
    let first = "simulate --trace rising.csv --skip 30 --target 20ms --workers 2 \
                 --slow 100..200x1.5 --drop '250..260 30%' --fail 'die 1@150' \
                 --start 2026-01-05T08:00:00Z --name 'a rise, and what breaks' \
                 --seeds 2 --json first.json --save saved.txt";
    pushscale(first, &directory).succeeded();
    let again = "simulate saved.txt --seeds 1,2 --json again.json";
    let output = pushscale(again, &directory).succeeded();
    assert!(!output.contains("defaults:"), "{output}");
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    assert!(read("saved.txt").contains("\ntrace: rising.csv\n"));
    assert_eq!(read("first.json"), read("again.json"));
}

#[test]
fn a_manifest_determines_target_and_bounds() {
    let directory = directory("manifest");
    let manifest = "apiVersion: pushscale.dev/v1alpha1\nkind: PushScaler\nmetadata: { name: small }\nspec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  minReplicas: 2\n  maxReplicas: 3\n  metrics:\n    - type: QueueLatency\n      queueLatency: { target: 40ms }\n";
    fs::write(directory.join("small.yaml"), manifest).unwrap();
    let large = manifest.replace("maxReplicas: 3", "maxReplicas: 30");
    fs::write(directory.join("large.yaml"), large).unwrap();
    let arguments = "simulate -f small.yaml --compare large.yaml --load step:20->120@120 \
                     --seconds 600 --json -";
    let json = pushscale(arguments, &directory).succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let scenario = &json["scenarios"][0];
    assert_eq!(scenario["scenario"]["target"], "40ms");
    assert_eq!(scenario["scenario"]["max"], "3");
    let max_replicas = |index: usize| {
        scenario["controllers"][index]["mean"]["max_replicas"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(max_replicas(0), 3);
    assert!(max_replicas(1) > 3);
    let other = "simulate -f small.yaml --load flat:20 --seconds 60 --target 1s";
    let output = pushscale(other, &directory).succeeded();
    assert!(
        output.contains(
            "small.yaml has the target 40ms; violations are counted against the scenario's target, 1s"
        ),
        "{output}"
    );
}

#[test]
fn a_manifest_is_rejected_with_the_message_of_kubectl() {
    let refused = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tests/cluster/rejected");
    let mut files = 0;
    for file in fs::read_dir(refused).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let expected = text
            .lines()
            .find_map(|line| line.strip_prefix("# "))
            .unwrap();
        let file = file.display().to_string();
        let errors = simulate(&format!("-f '{file}'")).rejected();
        assert!(errors.starts_with(&format!("{file}: ")), "{errors}");
        assert!(errors.contains(expected), "{errors}\n  expected {expected}");
        files += 1;
    }
    assert!(files > 10);
}

#[test]
fn all_errors_are_reported_at_once() {
    let wrong = "no/such.txt --seeds 0 --compare hpb,no.yaml,fixed:0,kpa,kpa -f none.yaml \
                 --svg no/such/directory.svg --json a --save a --trace none.csv";
    let errors = simulate(wrong).rejected();
    for expected in [
        "no/such.txt: No such file",
        "--seeds: \"0\": expected a number of seeds (8) or a list",
        "--compare: \"hpb\" is neither one of hpa, kpa, oracle, fixed nor a file",
        "no.yaml: No such file",
        "--compare: \"fixed:0\": give the number of pods",
        "--compare: kpa occurs twice",
        "none.yaml: No such file",
        "--svg: no/such/directory.svg: the directory does not exist",
        "--save: a is written twice",
        "--load, --trace: mutually exclusive",
    ] {
        assert!(
            errors.lines().any(|line| line.starts_with(expected)),
            "{expected}\n  is missing:\n{errors}"
        );
    }
    let errors = simulate("--workers 0 --service soon --name 'a\nb'").rejected();
    assert_eq!(errors.lines().count(), 3, "{errors}");
}

#[test]
fn a_cluster_without_a_pushscaler_is_rejected() {
    for option in ["--context", "--namespace", "--aggregator"] {
        let errors = simulate(&format!("{option} prod")).rejected();
        assert_eq!(
            errors,
            "--from: required to read a load from a cluster, and not given\n"
        );
    }
}

#[test]
fn inputs_are_not_overwritten() {
    let directory = directory("over");
    let text = "load: flat:5\nseconds: 60\ntarget: 50ms\n";
    fs::write(directory.join("mine.txt"), text).unwrap();
    let errors = pushscale("simulate mine.txt --save ./mine.txt", &directory).rejected();
    assert_eq!(
        errors,
        "--save: ./mine.txt is an input and would be overwritten\n"
    );
    assert_eq!(
        fs::read_to_string(directory.join("mine.txt")).unwrap(),
        text
    );
}

#[test]
fn each_scenario_has_a_table() {
    let (step, drop) = (scenario("step.txt"), scenario("drop.txt"));
    let files = format!("'{}' '{}'", step.display(), drop.display());
    let output = pushscale(
        &format!("simulate {files} --load flat:40 --seconds 1600"),
        &directory("several"),
    )
    .succeeded();
    let tables = output.lines().filter(|line| line.starts_with("controller"));
    assert_eq!(tables.count(), 2);
    let errors = pushscale(
        &format!("simulate {files} --svg a.svg"),
        &directory("several"),
    )
    .rejected();
    assert!(
        errors.contains("--svg: requires a single scenario"),
        "{errors}"
    );
}

#[test]
fn each_change_of_the_replica_count_is_explained() {
    let output = simulate("--explain --compare fixed:5").succeeded();
    let json = simulate("--compare fixed:5 --json -").succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let controllers = &json["scenarios"][0]["controllers"];
    let history = controllers[0]["runs"][0]["history"].as_array().unwrap();
    assert!(!history.is_empty());
    for change in history {
        let (second, why) = (&change["second"], change["why"].as_str().unwrap());
        let line = format!("{second:>5} s: {why}");
        assert!(output.contains(line.trim_start()), "{line}");
        assert!(why.contains(" (min 1, max 80)"), "{why}");
    }
    assert!(
        output.contains("\nfixed:5, seed 1:\n      1 s: scale 1 → 5\n"),
        "{output}"
    );
}

#[test]
fn the_chart_is_xml_with_a_panel_for_each_quantity() {
    let directory = directory("chart");
    let arguments = "--name '<5 & more>' --compare hpa,oracle --svg a.svg";
    simulate_in(&directory, arguments).succeeded();
    let chart = fs::read_to_string(directory.join("a.svg")).unwrap();
    let tags = tags(&chart);
    assert_eq!(tags.first().map(String::as_str), Some("svg"));
    assert!(tags.iter().any(|tag| tag == "polyline"));
    let has = |words: &str| {
        chart
            .lines()
            .filter(|line| line.trim() == words || line.contains(words))
            .count()
    };
    assert_eq!(has("&lt;5 &amp; more&gt;"), 1);
    assert_eq!(has("requests per second; seconds"), 1);
    for name in ["pushscale", "hpa", "oracle"] {
        assert_eq!(
            has(&format!("{name}: pods desired (grey), ready (blue)")),
            1
        );
        assert_eq!(has(&format!("{name}: mean wait of each second")), 1);
    }
    assert!(chart.contains("target 50ms (grey)"));
}

#[test]
fn shared_scenarios_run_by_name() {
    let step = scenario("tight-w1.txt");
    let output = pushscale(
        &format!("simulate '{}' --seconds 300", step.display()),
        &directory("shared"),
    );
    assert!(output.succeeded().contains("\npushscale "));
    let twitter = scenario("twitter03.txt");
    let errors = pushscale(
        &format!("simulate '{}'", twitter.display()),
        &directory("shared"),
    )
    .rejected();
    assert!(
        errors.contains("set its directory with --traces or PUSHSCALE_TRACES"),
        "{errors}"
    );
}

//! `pushscale simulate` as somebody calls it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Said, folder, pushscale, tags};

const LOAD: [&str; 7] = [
    "simulate",
    "--load",
    "step:20->120@120",
    "--seconds",
    "600",
    "--target",
    "50ms",
];

fn simulate(more: &[&str]) -> Said {
    simulate_in(&folder("here"), more)
}

fn simulate_in(folder: &Path, more: &[&str]) -> Said {
    let arguments: Vec<&str> = LOAD.iter().chain(more).copied().collect();
    pushscale(&arguments, folder)
}

fn scenario(name: &str) -> PathBuf {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulator/scenarios");
    scenarios.join(name)
}

#[test]
fn the_table_has_a_line_for_each_controller() {
    let said = simulate(&["--compare", "hpa,fixed:5"]).succeeded();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "step:20->120@120");
    assert_eq!(lines[1], "step:20->120@120, 600 s, seed 1");
    assert!(lines[2].starts_with("not given, so assumed: service 100ms, cv 1, workers 4"));
    let names: Vec<&str> = lines[4..]
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["controller", "pushscale", "hpa", "fixed:5"]);
}

#[test]
fn json_agrees_with_the_table() {
    let json = simulate(&["--compare", "kpa", "--seeds", "3", "--json", "-"]).succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let table = simulate(&["--compare", "kpa", "--seeds", "3"]).succeeded();
    let controllers = json["scenarios"][0]["controllers"].as_array().unwrap();
    assert_eq!(controllers.len(), 2);
    for controller in controllers {
        let name = controller["name"].as_str().unwrap();
        let line = table.lines().find(|line| line.starts_with(name)).unwrap();
        let number = |of: &str, figure: &str| controller[of][figure].as_f64().unwrap();
        let spread = |figure: &str, digits: usize| {
            let (mean, least) = (number("mean", figure), number("least", figure));
            let most = number("most", figure);
            format!("{mean:.digits$} ({least:.digits$}…{most:.digits$})")
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
fn every_second_is_in_the_json_if_asked_for() {
    let json = simulate(&["--per-second", "--json", "-"]).succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let run = &json["scenarios"][0]["controllers"][0]["runs"][0];
    let list = |name: &str| run["per_second"][name].as_array().unwrap();
    for name in [
        "arrivals",
        "mean_wait_seconds",
        "violated",
        "wanted",
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
fn a_seed_is_a_run_and_another_seed_another() {
    let run = |seed: &str| simulate(&["--seed", seed, "--json", "-", "--per-second"]).succeeded();
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5"), run("6"));
}

#[test]
fn a_saved_scenario_runs_the_same() {
    let folder = folder("saved");
    let trace = "t_seconds,requests\n".to_owned()
        + &(0..400)
            .map(|second| format!("{second},{}\n", 20 + second / 8))
            .collect::<String>();
    fs::write(folder.join("rising.csv"), trace).unwrap();
    let first = [
        "simulate",
        "--trace",
        "rising.csv",
        "--from",
        "30",
        "--target",
        "20ms",
        "--workers",
        "2",
        "--slow",
        "100..200x1.5",
        "--drop",
        "250..260 30%",
        "--fail",
        "die 1@150",
        "--start",
        "2026-01-05T08:00:00Z",
        "--name",
        "a rise, and what breaks",
        "--seeds",
        "2",
        "--json",
        "first.json",
        "--save",
        "saved.txt",
    ];
    pushscale(&first, &folder).succeeded();
    let again = [
        "simulate",
        "saved.txt",
        "--seeds",
        "1,2",
        "--json",
        "again.json",
    ];
    let said = pushscale(&again, &folder).succeeded();
    assert!(!said.contains("assumed"), "{said}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    assert!(read("saved.txt").contains("\ntrace: rising.csv\n"));
    assert_eq!(read("first.json"), read("again.json"));
}

#[test]
fn a_manifest_is_what_decides_and_what_is_asked_for() {
    let folder = folder("manifest");
    let manifest = "apiVersion: pushscale.dev/v1alpha1\nkind: PushScaler\nmetadata: { name: small }\nspec:
  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: torchserve }
  minReplicas: 2\n  maxReplicas: 3\n  metrics:\n    - type: QueueLatency\n      queueLatency: { target: 40ms }\n";
    fs::write(folder.join("small.yaml"), manifest).unwrap();
    let large = manifest.replace("maxReplicas: 3", "maxReplicas: 30");
    fs::write(folder.join("large.yaml"), large).unwrap();
    let arguments = [
        "simulate",
        "-f",
        "small.yaml",
        "--compare",
        "large.yaml",
        "--load",
        "step:20->120@120",
        "--seconds",
        "600",
        "--json",
        "-",
    ];
    let json = pushscale(&arguments, &folder).succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let scenario = &json["scenarios"][0];
    assert_eq!(scenario["scenario"]["target"], "40ms");
    assert_eq!(scenario["scenario"]["max"], "3");
    let largest = |index: usize| {
        scenario["controllers"][index]["mean"]["largest"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(largest(0), 3);
    assert!(largest(1) > 3);
    let other = [
        "simulate",
        "-f",
        "small.yaml",
        "--load",
        "flat:20",
        "--seconds",
        "60",
        "--target",
        "1s",
    ];
    let said = pushscale(&other, &folder).succeeded();
    assert!(
        said.contains(
            "small.yaml asks for 40ms; violations are counted against the scenario's target, 1s"
        ),
        "{said}"
    );
}

#[test]
fn a_manifest_is_refused_in_the_words_of_kubectl() {
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
        let told = simulate(&["-f", &file]).refused();
        assert!(told.starts_with(&format!("{file}: ")), "{told}");
        assert!(told.contains(expected), "{told}\n  does not say {expected}");
        files += 1;
    }
    assert!(files > 10);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = simulate(&[
        "no/such.txt",
        "--seeds",
        "0",
        "--compare",
        "hpb,no.yaml,fixed:0,kpa,kpa",
        "-f",
        "none.yaml",
        "--svg",
        "no/such/folder.svg",
        "--json",
        "a",
        "--save",
        "a",
        "--trace",
        "none.csv",
    ])
    .refused();
    for expected in [
        "no/such.txt: No such file",
        "--seeds: \"0\": it must be how many (8), or which",
        "--compare: \"hpb\" is neither one of hpa, kpa, oracle, qm2, qm, fixed nor a file",
        "no.yaml: No such file",
        "--compare: \"fixed:0\": give the number of pods",
        "--compare: kpa is given twice",
        "none.yaml: No such file",
        "--svg: no/such/folder.svg: there is no such folder",
        "--save: a is written twice",
        "--load, --trace: a load or a trace, not both",
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(expected)),
            "{expected}\n  is not told:\n{told}"
        );
    }
    let told = simulate(&["--workers", "0", "--service", "soon", "--name", "a\nb"]).refused();
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = folder("over");
    let text = "load: flat:5\nseconds: 60\ntarget: 50ms\n";
    fs::write(folder.join("mine.txt"), text).unwrap();
    let told = pushscale(&["simulate", "mine.txt", "--save", "./mine.txt"], &folder).refused();
    assert_eq!(told, "--save: ./mine.txt is read here: it would be lost\n");
    assert_eq!(fs::read_to_string(folder.join("mine.txt")).unwrap(), text);
}

#[test]
fn several_scenarios_have_a_table_each() {
    let (step, drop) = (scenario("step.txt"), scenario("drop.txt"));
    let files = [step.to_str().unwrap(), drop.to_str().unwrap()];
    let said = pushscale(
        &[
            "simulate",
            files[0],
            files[1],
            "--load",
            "flat:40",
            "--seconds",
            "1600",
        ],
        &folder("several"),
    )
    .succeeded();
    let tables = said.lines().filter(|line| line.starts_with("controller"));
    assert_eq!(tables.count(), 2);
    let told = pushscale(
        &["simulate", files[0], files[1], "--svg", "a.svg"],
        &folder("several"),
    )
    .refused();
    assert!(
        told.contains("--svg: it is of one scenario, and several are given"),
        "{told}"
    );
}

#[test]
fn each_change_of_size_is_explained() {
    let said = simulate(&["--explain", "--compare", "fixed:5"]).succeeded();
    let json = simulate(&["--compare", "fixed:5", "--json", "-"]).succeeded();
    let json: Value = serde_json::from_str(&json).unwrap();
    let controllers = &json["scenarios"][0]["controllers"];
    let history = controllers[0]["runs"][0]["history"].as_array().unwrap();
    assert!(!history.is_empty());
    for change in history {
        let (second, why) = (&change["second"], change["why"].as_str().unwrap());
        let line = format!("{second:>5} s: {why}");
        assert!(said.contains(line.trim_start()), "{line}");
        assert!(why.contains(" now, 1 to 80 allowed"), "{why}");
    }
    assert!(
        said.contains("\nfixed:5, seed 1:\n      1 s: scale 1 → 5\n"),
        "{said}"
    );
}

#[test]
fn the_picture_is_xml_with_a_panel_for_each_thing() {
    let folder = folder("picture");
    let arguments = [
        "--name",
        "<5 & more>",
        "--compare",
        "hpa,oracle",
        "--svg",
        "a.svg",
    ];
    simulate_in(&folder, &arguments).succeeded();
    let picture = fs::read_to_string(folder.join("a.svg")).unwrap();
    let tags = tags(&picture);
    assert_eq!(tags.first().map(String::as_str), Some("svg"));
    assert!(tags.iter().any(|tag| tag == "polyline"));
    let has = |words: &str| {
        picture
            .lines()
            .filter(|line| line.trim() == words || line.contains(words))
            .count()
    };
    assert_eq!(has("&lt;5 &amp; more&gt;"), 1);
    assert_eq!(has("requests a second; seconds"), 1);
    for name in ["pushscale", "hpa", "oracle"] {
        assert_eq!(has(&format!("{name}: pods wanted (grey), ready (blue)")), 1);
        assert_eq!(has(&format!("{name}: mean wait of a second")), 1);
    }
    assert!(picture.contains("target 50ms (grey)"));
}

#[test]
fn the_shared_scenarios_are_run_by_name() {
    let step = scenario("tight-w1.txt");
    let said = pushscale(
        &["simulate", step.to_str().unwrap(), "--seconds", "300"],
        &folder("shared"),
    );
    assert!(said.succeeded().contains("\npushscale "));
    let twitter = scenario("twitter03.txt");
    let told = pushscale(&["simulate", twitter.to_str().unwrap()], &folder("shared")).refused();
    assert!(
        told.contains("give its folder by --traces or PUSHSCALE_TRACES"),
        "{told}"
    );
}

//! Every capture of a real TorchServe parses, and each captured series has the readings in `testdata/readings`.
//! `make generate` rewrites those files; review the diff.

#![cfg(test)]

#[path = "../../daemon/tests/support/golden.rs"]
mod golden;
mod series;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pushscale_protocol::PortState;
use pushscale_reading::{Reader, Reading, Scrape};
use pushscale_sidecar::exposition;
use pushscale_sidecar::torchserve::{Queues, read_page};

use series::{directory_of, readings, testdata};

fn all_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn files_ending_with(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    all_files(&testdata().join("torchserve"), &mut found);
    assert_eq!(found.len(), 338, "captures are missing");
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    found
}

#[test]
fn every_line_of_every_captured_page_parses() {
    let pages = files_ending_with(".prom");
    assert_eq!(pages.len(), 144);
    for page in pages {
        let body = fs::read(&page).unwrap();
        let expected = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && line[0] != b'#')
            .count();
        let samples: Vec<_> = exposition::parse(&body).collect();
        let bad: Vec<_> = samples.iter().filter(|line| line.is_err()).collect();
        assert!(bad.is_empty(), "{}: {bad:?}", page.display());
        assert_eq!(samples.len(), expected, "{}", page.display());
    }
}

#[test]
fn every_captured_model_description_parses() {
    let descriptions = files_ending_with(".models.json");
    assert!(descriptions.len() > 100);
    for file in descriptions {
        let body = fs::read(&file).unwrap();
        let queues: Queues<'_> = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(queues.sum().is_some(), "{}", file.display());
    }
}

#[test]
fn other_pages_have_malformed_lines() {
    for ending in [".txt", ".log", ".csv", ".jsonl", ".json"] {
        for file in files_ending_with(ending) {
            let body = fs::read(&file).unwrap();
            let bad = exposition::parse(&body).filter(Result::is_err).count();
            assert!(bad > 0, "{}", file.display());
        }
    }
}

#[test]
fn unusual_model_names_are_unescaped() {
    let body = fs::read(testdata().join("torchserve/unusual-model-names/all.prom")).unwrap();
    let page = read_page(&body);
    let names: Vec<_> = page.models.keys().map(String::as_str).collect();
    for name in [
        "my model.v-1_x",
        "tab\tnl\nx",
        "quo\"te\\back",
        "café",
        "a:b,c={d}",
        "m\"q",
    ] {
        assert!(names.contains(&name), "{name:?} is not in {names:?}");
    }
    assert_eq!(page.models["default"].arrivals, Some(2.0));
    assert_eq!(
        page.models["m\"q"].arrivals,
        Some(2.0),
        "summed over versions"
    );
}

#[test]
fn captured_series_have_the_expected_readings() {
    let mut wrong = Vec::new();
    let mut series_count = 0;
    for directory in fs::read_dir(testdata().join("torchserve")).unwrap() {
        let directory = directory.unwrap().path();
        if !directory.join("t00.prom").exists() {
            continue;
        }
        series_count += 1;
        let series = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        for management in [true, false] {
            let heading = if management {
                "with the management port"
            } else {
                "from the metrics port alone"
            };
            writeln!(text, "{heading}").unwrap();
            for reading in readings(&directory, management) {
                writeln!(text, "{}", describe(&reading)).unwrap();
            }
        }
        compare(&format!("{series}.txt"), &text, &mut wrong);
    }
    assert_eq!(series_count, 12);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_restart_starts_a_new_counter_epoch() {
    let directory = testdata().join("torchserve/restart");
    let mut reader = Reader::default();
    let mut text = String::new();
    let pages = [
        "before-restart.prom",
        "before-restart.prom",
        "after-restart-no-request.prom",
        "after-restart-3-requests.prom",
    ];
    for (second, page) in pages.iter().enumerate() {
        let scrape = Scrape {
            own_responses: 0,
            at: Duration::from_secs(second as u64),
            metrics: Ok(read_page(&fs::read(directory.join(page)).unwrap())),
            management: None,
        };
        writeln!(text, "{}", describe(&reader.read(&scrape))).unwrap();
    }
    let mut wrong = Vec::new();
    compare("restart.txt", &text, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn single_pages_have_the_expected_readings() {
    let mut text = String::new();
    for file in [
        "start-no-request.prom",
        "after-1-request.prom",
        "mode-legacy/start-no-request.prom",
        "mode-legacy/after-2-requests.prom",
        "two-models-two-versions/after-requests.prom",
        "continuous-batching-1-request.prom",
    ] {
        let body = fs::read(testdata().join("torchserve").join(file)).unwrap();
        let reading = Reader::default().read(&Scrape {
            own_responses: 0,
            at: Duration::ZERO,
            metrics: Ok(read_page(&body)),
            management: None,
        });
        writeln!(text, "{file}\n{}", describe(&reading)).unwrap();
    }
    for port in [PortState::Empty, PortState::Refused, PortState::Frozen] {
        let reading = Reader::default().read(&Scrape {
            own_responses: 0,
            at: Duration::ZERO,
            metrics: Err(port),
            management: None,
        });
        writeln!(text, "port state {port:?}\n{}", describe(&reading)).unwrap();
    }
    let mut wrong = Vec::new();
    compare("single-pages.txt", &text, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The expected values, in seconds, are the clients' latencies minus the service time, of the requests sent in that
/// second. The last number is the tolerance in percent.
#[test]
fn queue_latency_matches_what_clients_measured() {
    let cases = [
        ("overload-20rps-100ms", 4, 3.19 + 0.5, 20),
        ("overload-20rps-100ms", 7, 6.46 + 0.5, 20),
        ("overload-20rps-100ms", 9, 8.48, 20),
        ("queue-full-q20-20rps-100ms", 7, 2.11, 15),
        ("stuck-one-8s-request", 6, 5.08, 15),
        ("two-workers-30rps", 6, 2.78 + 0.2, 20),
        ("batch4-delay200-overload-60rps", 5, 2.44 + 0.2, 25),
        ("grpc-only", 3, 2.0, 25),
    ];
    for (series, second, expected, tolerance) in cases {
        let wait = readings(&directory_of(series), true)[second].models[0]
            .queue_latency_seconds
            .unwrap();
        let error = (wait / expected - 1.0).abs() * 100.0;
        assert!(
            error <= f64::from(tolerance),
            "{series} at {second} s: {wait:.2} s, clients waited {expected:.2} s"
        );
    }
}

fn describe(reading: &Reading) -> String {
    let mut line = format!("{:>3} s  {:?}", reading.at.as_secs(), reading.state);
    if reading.counter_epoch > 0 {
        write!(line, "  epoch {}", reading.counter_epoch).unwrap();
    }
    for model in &reading.models {
        write!(line, "  {}:", model.name).unwrap();
        match model.queue_latency_seconds {
            Some(wait) => write!(line, " {wait:.2} s").unwrap(),
            None => write!(line, " unknown").unwrap(),
        }
        write!(line, " {:?}", model.basis).unwrap();
        if let Some(waiting) = model.waiting {
            write!(line, ", {waiting} waiting").unwrap();
        }
        if let Some(service) = model.service_seconds {
            write!(line, ", {service:.3} s per batch").unwrap();
        }
        if let Some(completed) = model.completed_total {
            write!(line, ", {completed:.0} completed").unwrap();
        }
        if let Some(in_flight) = model.in_flight {
            write!(line, ", {in_flight:.1} in flight").unwrap();
        }
        if let Some(rejected) = model.rejected_total.filter(|rejected| *rejected > 0.0) {
            write!(line, ", {rejected:.0} rejected").unwrap();
        }
        if model.rejecting {
            line.push_str(", rejecting");
        }
    }
    line
}

fn compare(name: &str, text: &str, wrong: &mut Vec<String>) {
    let file = testdata().join("readings").join(name);
    if !golden::matches(&file, text) {
        let expected = fs::read_to_string(&file).unwrap_or_default();
        wrong.push(format!("{name}: expected\n{expected}found\n{text}"));
    }
}

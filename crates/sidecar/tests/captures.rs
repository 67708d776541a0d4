//! All captures of a real TorchServe parse, and each folder with a story has the readings that its file in
//! `testdata/readings` says. `make generate` rewrites those files; the differences are for a person to judge.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod stories;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use pushscale_protocol::PortState;
use pushscale_sidecar::exposition;
use pushscale_sidecar::reading::{Reader, Reading};
use pushscale_sidecar::scrape::Scrape;
use pushscale_sidecar::torchserve::{Queues, read_page};

use stories::{folder_of, play, testdata};

fn all_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn with_ending(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    all_files(&testdata().join("torchserve"), &mut found);
    assert_eq!(found.len(), 338, "captures went missing");
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    found
}

#[test]
fn every_captured_page_parses_to_the_last_line() {
    let pages = with_ending(".prom");
    assert_eq!(pages.len(), 144);
    for page in pages {
        let body = fs::read(&page).unwrap();
        let said = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && line[0] != b'#')
            .count();
        let samples: Vec<_> = exposition::parse(&body).collect();
        let bad: Vec<_> = samples.iter().filter(|line| line.is_err()).collect();
        assert!(bad.is_empty(), "{}: {bad:?}", page.display());
        assert_eq!(samples.len(), said, "{}", page.display());
    }
}

#[test]
fn every_captured_description_of_a_model_is_understood() {
    let descriptions = with_ending(".models.json");
    assert!(descriptions.len() > 100);
    for file in descriptions {
        let body = fs::read(&file).unwrap();
        let queues: Queues<'_> = serde_json::from_slice(&body)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(queues.sum().is_some(), "{}", file.display());
    }
}

#[test]
fn every_captured_exchange_and_log_is_survived() {
    for ending in [".txt", ".log", ".csv", ".jsonl", ".json"] {
        for file in with_ending(ending) {
            // None of these is a page of metrics; each is read to its end all the same.
            let body = fs::read(&file).unwrap();
            let bad = exposition::parse(&body).filter(Result::is_err).count();
            assert!(bad > 0, "{}", file.display());
        }
    }
}

#[test]
fn odd_names_come_out_as_they_were_registered() {
    let body = fs::read(testdata().join("torchserve/odd-labels/all.prom")).unwrap();
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
fn each_story_has_its_readings() {
    let mut wrong = Vec::new();
    let mut stories = 0;
    for folder in fs::read_dir(testdata().join("torchserve")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.join("t00.prom").exists() {
            continue;
        }
        stories += 1;
        let story = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let mut told = String::new();
        for management in [true, false] {
            let heading = if management {
                "with the management port"
            } else {
                "from the metrics port alone"
            };
            writeln!(told, "{heading}").unwrap();
            for reading in play(&folder, management) {
                writeln!(told, "{}", tell(&reading)).unwrap();
            }
        }
        compare(&format!("{story}.txt"), &told, &mut wrong);
    }
    assert_eq!(stories, 12);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_restart_is_a_new_baseline_and_no_number_is_invented() {
    let folder = testdata().join("torchserve/restart");
    let mut reader = Reader::default();
    let mut told = String::new();
    let pages = [
        "before-restart.prom",
        "before-restart.prom",
        "after-restart-no-request.prom",
        "after-restart-3-requests.prom",
    ];
    for (second, page) in pages.iter().enumerate() {
        let scrape = Scrape {
            at: Duration::from_secs(second as u64),
            metrics: Ok(read_page(&fs::read(folder.join(page)).unwrap())),
            management: None,
        };
        writeln!(told, "{}", tell(&reader.read(&scrape))).unwrap();
    }
    let mut wrong = Vec::new();
    compare("restart.txt", &told, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn single_pages_are_read_for_what_they_are() {
    let mut told = String::new();
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
            at: Duration::ZERO,
            metrics: Ok(read_page(&body)),
            management: None,
        });
        writeln!(told, "{file}\n{}", tell(&reading)).unwrap();
    }
    for port in [PortState::Empty, PortState::Refused, PortState::Frozen] {
        let reading = Reader::default().read(&Scrape {
            at: Duration::ZERO,
            metrics: Err(port),
            management: None,
        });
        writeln!(told, "a port that is {port:?}\n{}", tell(&reading)).unwrap();
    }
    let mut wrong = Vec::new();
    compare("single-pages.txt", &told, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The truth is what the clients saw (torchserve-facts, section 6: client latency minus service time of
/// requests sent in that second), and how near the reading must come, in percent.
#[test]
fn the_wait_is_what_clients_then_waited() {
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
    for (story, second, truth, percent) in cases {
        let readings = play(&folder_of(story), true);
        let wait = readings[second].models[0].queue_latency_seconds.unwrap();
        let off = (wait / truth - 1.0).abs() * 100.0;
        assert!(
            off <= f64::from(percent),
            "{story} at {second} s: {wait:.2} s, clients waited {truth:.2} s"
        );
    }
}

fn tell(reading: &Reading) -> String {
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
        if let Some(pending) = model.pending {
            write!(line, ", {pending} pending").unwrap();
        }
        if let Some(service) = model.service_seconds {
            write!(line, ", {service:.3} s a batch").unwrap();
        }
        if let Some(answered) = model.answered_total {
            write!(line, ", {answered:.0} answered").unwrap();
        }
        if let Some(in_service) = model.in_service {
            write!(line, ", {in_service:.1} in hand").unwrap();
        }
        if let Some(refused) = model.refused_total.filter(|refused| *refused > 0.0) {
            write!(line, ", {refused:.0} refused").unwrap();
        }
        if model.refusing {
            line.push_str(", refusing");
        }
    }
    line
}

fn compare(name: &str, told: &str, wrong: &mut Vec<String>) {
    let file = testdata().join("readings").join(name);
    if env::var_os("PUSHSCALE_GENERATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, told).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    if kept != told {
        wrong.push(format!("{name}: expected\n{kept}found\n{told}"));
    }
}

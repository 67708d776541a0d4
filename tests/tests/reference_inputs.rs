//! Replays recorded decisions of the original reference model with our implementation of it, second by second.
//!
//! `reference/inputs/*.txt` are recordings of `reference/record.py`. The first line has the settings. Each further line
//! is a second: its number, the replicas, the decided replicas (`-`: none), then either `silent` or the pods:
//! `SLOT.GENERATION`, a letter for the state (starting, ready, draining), and the increase of its counters since the
//! pod's last line: arrived, rejected and completed requests, and microseconds of waits and sojourns.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pushscale_simulator::cluster::{
    Batching, Deletion, Goal, PodReading, PodState, PodView, ServerHealth, View,
};
use pushscale_simulator::control::Controller;
use pushscale_tests::reference_model::{ReferenceModel, ReferenceModelOptions};

#[test]
fn every_decision_is_that_of_the_original() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/inputs");
    let mut decided = 0;
    let mut files = 0;
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        decided += decide_again(&name, &text);
        files += 1;
    }
    assert_eq!(files, 6);
    assert!(decided > 8000, "only {decided} decisions were compared");
}

/// Replays a recording, whose decisions must all be the same. Returns their number.
fn decide_again(name: &str, text: &str) -> usize {
    let mut lines = text.lines();
    let (mut controller, goal, workers) = settings(lines.next().unwrap());
    let mut pods = Pods::default();
    let mut decided = 0;
    for line in lines {
        let mut words = line.split(' ');
        let second = words.next().unwrap().parse().unwrap();
        let replicas = words.next().unwrap().parse().unwrap();
        let expected: Option<u32> = match words.next().unwrap() {
            "-" => None,
            size => Some(size.parse().unwrap()),
        };
        let words: Vec<&str> = words.collect();
        let silent = words == ["silent"];
        let views = if silent {
            Vec::new()
        } else {
            words.iter().map(|word| pods.read(word)).collect()
        };
        let view = View {
            second,
            pods: &views,
            replicas,
            arrived: 0,
            silent,
            goal,
            workers,
            queue: 1000,
            batching: Batching::default(),
            scrape_interval: 1,
            deletion: Deletion::default(),
        };
        let found = controller.decide(&view);
        assert_eq!(found, expected, "{name}: second {second}");
        decided += usize::from(found.is_some());
    }
    decided
}

fn settings(line: &str) -> (ReferenceModel, Goal, u32) {
    let mut words = line.split(' ');
    let additions = words.next().unwrap() == "qm2";
    let settings: BTreeMap<&str, &str> = words.map(|word| word.split_once('=').unwrap()).collect();
    let controller = ReferenceModel::new(ReferenceModelOptions {
        additions,
        calibrated: settings["kappa"] == "on",
        pooled: settings["pooled"] == "yes",
    });
    let goal = Goal {
        target: settings["target"].parse().unwrap(),
        min: settings["min"].parse().unwrap(),
        max: settings["max"].parse().unwrap(),
    };
    (controller, goal, settings["workers"].parse().unwrap())
}

/// The pods so far: number and counters by name, with times in microseconds.
#[derive(Default)]
struct Pods(BTreeMap<String, (u64, [u64; 5])>);

impl Pods {
    fn read(&mut self, word: &str) -> PodView {
        let at = word.find(['s', 'r', 'd']).unwrap();
        let (name, rest) = word.split_at(at);
        let (state, moved) = rest.split_at(1);
        let number = self.0.len() as u64;
        let (id, counted) = self.0.entry(name.to_owned()).or_insert((number, [0; 5]));
        for (counter, moved) in counted.iter_mut().zip(moved.split_terminator(',')) {
            *counter += moved.parse::<u64>().unwrap();
        }
        let [arrivals, rejected, completed, waited, sojourned] = *counted;
        PodView {
            id: *id,
            state: match state {
                "s" => PodState::Starting,
                "r" => PodState::Ready,
                _ => PodState::Terminating,
            },
            reading: PodReading {
                arrivals,
                rejected,
                completed,
                waited: waited as f64 / 1e6,
                sojourned: sojourned as f64 / 1e6,
                in_system: u32::try_from(arrivals - rejected - completed).unwrap(),
                ..PodReading::default()
            },
            has_pushed: state != "s",
            sidecar_restarts: 0,
            health: ServerHealth::Ready,
            service: 0.0,
        }
    }
}

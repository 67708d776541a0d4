//! The controller itself: it still decides as recorded, and Pushscale decides like it in random clusters.

use std::fs;

use pushscale_tests::conformance::{Recorder, compare};
use serde_json::Value;

use super::{SAMPLE, SEVERAL, path};

/// A seed that differs from those of manual runs, which start at 1.
const SEED: u64 = 37_002;

#[test]
fn pushscale_decides_like_the_hpa_in_random_clusters() {
    let Some(recorder) = Recorder::for_test().unwrap() else {
        return;
    };
    let found = compare(&recorder, SEED, 400, |_| {}).unwrap();
    println!(
        "seed {SEED}: {} cases, {} passes",
        found.cases, found.passes
    );
    let texts: Vec<_> = found.differences.iter().map(ToString::to_string).collect();
    assert!(
        texts.is_empty(),
        "seed {SEED}: {} of {} cases differ:\n{}",
        texts.len(),
        found.cases,
        texts[..texts.len().min(10)].join("\n")
    );
    assert_eq!(found.cases, 400);
}

#[test]
fn the_controller_still_decides_as_recorded() {
    let Some(recorder) = Recorder::for_test().unwrap() else {
        return;
    };
    for file in [SAMPLE, SEVERAL] {
        let recorded = fs::read_to_string(path(file)).unwrap();
        let again = recorder.record(recorded.clone()).unwrap();
        assert_eq!(recorded.lines().count(), again.lines().count(), "{file}");
        for (then, now) in recorded.lines().zip(again.lines()) {
            let [then, now] = [then, now].map(|line| serde_json::from_str::<Value>(line).unwrap());
            assert_eq!(then, now, "{file}");
        }
    }
}

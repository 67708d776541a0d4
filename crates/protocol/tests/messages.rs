//! Every message in `testdata` is read, for ever; every message in `testdata/refused` is refused with the
//! sentence on the first line of its file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use pushscale_protocol::{Basis, MAX_BODY_BYTES, MAX_MODELS, Model, Push, State};

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn messages_of_version_1_are_read_for_ever() {
    for file in files("testdata", "-v1.json") {
        let body = fs::read(&file).unwrap();
        if let Err(error) = Push::parse(&body) {
            panic!("{}: {error}", file.display());
        }
    }
}

#[test]
fn what_is_written_is_read_again() {
    for file in files("testdata", "-v1.json") {
        let body = fs::read(&file).unwrap();
        let push = Push::parse(&body).unwrap();
        let written = serde_json::to_vec(&push).unwrap();
        // What a newer release said is lost on the way, what this release knows is not.
        if !file.ends_with("from-a-newer-sidecar-v1.json") {
            assert_eq!(Push::parse(&written).unwrap(), push, "{}", file.display());
        }
    }
}

#[test]
fn bad_messages_are_refused_in_words_that_name_the_field() {
    for file in files("testdata/refused", ".txt") {
        let text = fs::read_to_string(&file).unwrap();
        let (expected, body) = text.split_once('\n').unwrap();
        let error = Push::parse(body.trim_end().as_bytes())
            .expect_err(&file.display().to_string())
            .to_string();
        assert!(
            error.starts_with(expected),
            "{}:\n  says    {error}\n  expects {expected}",
            file.display()
        );
    }
}

#[test]
fn a_newer_sidecar_is_understood_as_far_as_it_can_be() {
    let body = include_bytes!("../testdata/from-a-newer-sidecar-v1.json");
    let push = Push::parse(body).unwrap();
    assert_eq!(push.server.state, State::Unknown);
    assert_eq!(push.models[0].basis, Basis::Unknown);
    assert_eq!(push.models[0].queue_latency_seconds, None);
}

#[test]
fn a_sidecar_from_before_answers_were_counted_counts_none() {
    let body = include_bytes!("../testdata/overloaded-v1.json");
    let push = Push::parse(body).unwrap();
    let model = &push.models[0];
    assert_eq!(model.arrivals_total, Some(143.0));
    assert_eq!(
        (model.refused_total, model.answered_total, model.in_service),
        (None, None, None),
        "absent is not zero"
    );
}

#[test]
fn the_largest_reading_fits_into_the_largest_body() {
    let body = include_bytes!("../testdata/turning-away-v1.json");
    let mut push = Push::parse(body).unwrap();
    let model = push.models[0].clone();
    push.models = (0..MAX_MODELS)
        .map(|index| Model {
            name: format!("a-model-name-of-usual-length-{index}").into(),
            arrivals_total: Some(9_007_199_254_740_991.0),
            refused_total: Some(9_007_199_254_740_991.0),
            answered_total: Some(1_234_567_890_123.456_7),
            in_service: Some(1.789_034_567_890_123),
            wait_seconds_total: Some(1_234_567_890.123_456_7),
            ..model.clone()
        })
        .collect();
    let written = serde_json::to_vec(&push).unwrap();
    assert!(written.len() <= MAX_BODY_BYTES, "{} bytes", written.len());
    assert!(Push::parse(&written).is_ok());
}
